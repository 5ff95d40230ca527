// SPDX-License-Identifier: MIT
//! Profile deepwater behind the driver protocol.

mod live;
mod read;
mod write;

use std::time::Duration;

use serde_json::{json, Map, Value};
use shmwire::deepwater::{self, Cursor, Identity, Making, Options as FeedOptions, Reader, ReaderOptions, Start, Writer};

use self::read::Pending;
use super::live::Line;
use super::profile::{Injection, Profile, Segment, SegmentOutcome};
use super::wire::{text, Failure, Options, Outcome, Request};

const DEFAULT_FEED: &str = "feed";
/// Bytes of records in a chunk, when a request does not say.
const DEFAULT_CHUNK: u64 = 4096;

pub struct Deepwater;

impl Profile for Deepwater {
    fn name(&self) -> &'static str {
        "deepwater"
    }

    fn classes(&self) -> &'static [&'static str] {
        &["inspect", "read", "write", "write-exact", "live", "blocking", "hardened", "recovery"]
    }

    fn features(&self) -> &'static [&'static str] {
        &["batch"]
    }

    fn create(&self, seg: &str, _timeout: Duration, options: &Options<'_>, injection: &Injection) -> SegmentOutcome {
        handle(End::Writer(open_writer(seg, options, Making::CreateOnly, injection)?))
    }

    fn open(
        &self,
        seg: &str,
        read_only: bool,
        timeout: Duration,
        options: &Options<'_>,
        injection: &Injection,
    ) -> SegmentOutcome {
        if read_only {
            return handle(End::Reader(open_reader(seg, options, timeout)?));
        }
        let making = if options.flag("any")?.unwrap_or(false) { Making::OpenOrCreate } else { Making::OpenOnly };
        handle(End::Writer(open_writer(seg, options, making, injection)?))
    }

    fn attach(&self, seg: &str, plan: &Request<'_>) -> Result<Box<dyn Line>, Failure> {
        live::attach(seg, plan)
    }

    fn call(&self, verb: &str, args: &Request<'_>) -> Outcome {
        let seg = args.text("seg")?;
        let feed = feed_name(&(*args).into())?;
        match verb {
            "deepwater.feeds" => {
                let names: Vec<String> = deepwater::feeds(seg)?.into_iter().map(|feed| feed.name).collect();
                Ok(json!({ "feeds": names }))
            }
            "deepwater.validate" => match deepwater::validate(seg, feed) {
                Ok(()) => Ok(json!({})),
                Err(finding) => Err(Failure::new(finding.error.code().name(), finding.to_string())),
            },
            "deepwater.retire" => {
                deepwater::retire(seg, feed)?;
                Ok(json!({}))
            }
            "deepwater.gc" => {
                let found = deepwater::collect(seg, feed)?;
                Ok(json!({
                    "sealed": text(found.sealed), "persisted": text(found.persisted), "adopted": text(found.adopted),
                    "expired": text(found.expired), "removed": text(found.removed),
                }))
            }
            other => Err(Failure::new("UNKNOWN_COMMAND", other)),
        }
    }
}

fn feed_name<'a>(options: &Options<'a>) -> Result<&'a str, Failure> {
    Ok(options.text("feed")?.unwrap_or(DEFAULT_FEED))
}

fn small(options: &Options<'_>, key: &str, default: u32) -> Result<u32, Failure> {
    Ok(options.number(key, u32::MAX.into())?.map_or(default, |number| number as u32))
}

fn open_writer(seg: &str, options: &Options<'_>, making: Making, injection: &Injection) -> Result<Writer, Failure> {
    let identity = Identity {
        pid: injection.pid.unwrap_or(0),
        clock_ns: injection.time(0).unwrap_or(0),
        boot_ns: injection.boot_ns.unwrap_or(0),
    };
    let open = FeedOptions::new()
        .persist(options.flag("persist")?.unwrap_or(false))
        .chunk_size(options.number("chunk_size", u64::MAX)?.unwrap_or(DEFAULT_CHUNK))
        .live_window(small(options, "live_window", deepwater::DEFAULT_WINDOW)?)
        .record_size(small(options, "record_size", 0)?)
        .rotate_ns(options.number("rotate_ns", u64::MAX)?.unwrap_or(0))
        .rows(small(options, "rows", deepwater::DEFAULT_ROWS)?)
        .feeds(small(options, "feeds", deepwater::DEFAULT_FEEDS)?)
        .mode(options.octal("mode")?.unwrap_or(deepwater::DEFAULT_MODE))
        .making(making)
        .identity(identity);
    Ok(Writer::open(seg, feed_name(options)?, &open)?)
}

fn open_reader(seg: &str, options: &Options<'_>, timeout: Duration) -> Result<Reader, Failure> {
    let open = ReaderOptions::new()
        .start(start(options, "from")?.unwrap_or(Start::Oldest))
        .end_with_writer(options.flag("end_with_writer")?.unwrap_or(false))
        .read_only(options.flag("read_only")?.unwrap_or(false))
        .ready_timeout(timeout);
    Ok(Reader::open(seg, feed_name(options)?, &open)?)
}

/// Where a reader begins, or goes; `word` is the field of "oldest" and "latest".
fn start(options: &Options<'_>, word: &str) -> Result<Option<Start>, Failure> {
    if let Some(time) = options.number("time", u64::MAX)? {
        return Ok(Some(Start::Time(time)));
    }
    if let Some(sequence) = options.number("sequence", u64::MAX)? {
        return Ok(Some(Start::Sequence(sequence)));
    }
    Ok(options.one_of(word, &["oldest", "latest"])?.map(|word| [Start::Oldest, Start::Latest][word]))
}

enum End {
    Writer(Writer),
    Reader(Reader),
}

struct Handle {
    end: End,
    pending: Option<Pending>,
}

fn handle(end: End) -> SegmentOutcome {
    Ok(Box::new(Handle { end, pending: None }))
}

fn not_a(role: &str) -> Failure {
    Failure::new("UNSUPPORTED", format!("this handle is not a {role}"))
}

impl Handle {
    fn reader(&mut self) -> Result<&mut Reader, Failure> {
        match &mut self.end {
            End::Reader(reader) => Ok(reader),
            End::Writer(_) => Err(not_a("reader")),
        }
    }

    fn writer(&mut self) -> Result<&mut Writer, Failure> {
        match &mut self.end {
            End::Writer(writer) => Ok(writer),
            End::Reader(_) => Err(not_a("writer")),
        }
    }

    fn restore(&mut self, args: &Request<'_>) -> Outcome {
        let (chunk_id, sequence) = (args.number("chunk", u64::MAX)?, args.number("sequence", u64::MAX)?);
        self.reader()?.restore(Cursor { chunk_id, sequence })?;
        self.pending = None;
        Ok(json!({}))
    }
}

impl Segment for Handle {
    fn inspect(&mut self) -> Outcome {
        let fields = match &self.end {
            End::Writer(writer) => writer.fields(),
            End::Reader(reader) => reader.fields(),
        };
        let fields: Map<String, Value> = fields.into_iter().map(|(name, value)| (name, Value::String(value))).collect();
        Ok(json!({ "fields": fields }))
    }

    fn write(&mut self, request: &Request<'_>, _injection: &mut Injection) -> Outcome {
        write::write(request, self.writer()?)
    }

    fn read(&mut self, request: &Request<'_>, _injection: &mut Injection) -> Outcome {
        match &mut self.end {
            End::Reader(reader) => read::read(request, reader, &mut self.pending),
            End::Writer(_) => Err(not_a("reader")),
        }
    }

    fn seek(&mut self, request: &Request<'_>) -> Outcome {
        let to = start(&(*request).into(), "to")?.ok_or_else(|| Failure::bad_request("to, time or sequence is missing"))?;
        self.reader()?.seek(to)?;
        self.pending = None;
        Ok(json!({}))
    }

    fn call(&mut self, verb: &str, args: &Request<'_>, _injection: &mut Injection) -> Outcome {
        match verb {
            "deepwater.rotate" => {
                self.writer()?.rotate()?;
                Ok(json!({}))
            }
            "deepwater.latest_chunk" => {
                let latest = self.reader()?.latest_chunk()?;
                Ok(json!({
                    "chunk": text(latest.chunk.chunk_id), "state": latest.chunk.state,
                    "first_sequence": text(latest.chunk.first_sequence), "start_ns": text(latest.chunk.start_ns),
                    "data_name": latest.data_name, "index_name": latest.index_name,
                }))
            }
            "deepwater.has_data_since" => Ok(json!({ "has": self.reader()?.has_data_since(args.number("time", u64::MAX)?) })),
            "deepwater.range" => read::range(args, self.reader()?),
            "deepwater.cursor" => {
                let cursor = self.reader()?.save();
                Ok(json!({ "chunk": text(cursor.chunk_id), "sequence": text(cursor.sequence) }))
            }
            "deepwater.restore" => self.restore(args),
            other => Deepwater.call(other, args),
        }
    }
}
