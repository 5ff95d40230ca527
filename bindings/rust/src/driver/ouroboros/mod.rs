// SPDX-License-Identifier: MIT
//! Profile ouroboros behind the driver protocol (its section 6).

mod live;
mod read;

use std::time::Duration;

use serde_json::{json, Map, Value};
use shmwire::ouroboros::{CreateOptions, KeptView, OpenOptions, Reader, ResumeOptions, Start, Writer};

use self::live::WritePort;
use super::follow::{Lending, ReadPort};
use super::live::Line;
use super::profile::{Injection, Profile, Segment, SegmentOutcome};
use super::reading;
use super::wire::{text, word, Failure, Options, Outcome, Request};

const STARTS: [Start; 3] = [Start::Auto, Start::Latest, Start::Oldest];
const START_WORDS: [&str; 3] = ["auto", "latest", "oldest"];

pub struct Ouroboros;

impl Profile for Ouroboros {
    fn name(&self) -> &'static str {
        "ouroboros"
    }

    fn classes(&self) -> &'static [&'static str] {
        &["inspect", "read", "write", "write-exact", "live", "blocking", "hardened", "recovery"]
    }

    fn features(&self) -> &'static [&'static str] {
        &["batch", "view"]
    }

    fn create(&self, seg: &str, _timeout: Duration, options: &Options<'_>, _injection: &Injection) -> SegmentOutcome {
        let create = CreateOptions::new()
            .chunk_count(options.number("chunk_count", u64::from(u32::MAX))?.unwrap_or(0) as u32)
            .chunk_target_size(options.number("chunk_target_size", u64::MAX)?.unwrap_or(0))
            .size(options.number("size", u64::MAX)?.unwrap_or(0));
        writer_handle(seg, create.create(seg)?)
    }

    fn open(
        &self,
        seg: &str,
        read_only: bool,
        timeout: Duration,
        options: &Options<'_>,
        _injection: &Injection,
    ) -> SegmentOutcome {
        if !read_only {
            return writer_handle(seg, resume(seg, options)?);
        }
        let start = options.one_of("from", &START_WORDS)?.map_or(Start::Auto, |word| STARTS[word]);
        let reader = OpenOptions::new().start(start).ready_timeout(timeout).open(seg)?;
        Ok(Box::new(ReadHandle { reader, views: Vec::new(), pending: None }))
    }

    fn attach(&self, seg: &str, plan: &Request<'_>) -> Result<Box<dyn Line>, Failure> {
        if plan.one_of("role", &["read", "write"])? == 1 {
            return Ok(Box::new(WritePort::new(resume(seg, &plan.optional_object("options")?)?)));
        }
        let start = if plan.has("from") { STARTS[plan.one_of("from", &START_WORDS)?] } else { Start::Auto };
        let reader = OpenOptions::new().start(start).open(seg)?;
        let size = reader.info().size as usize;
        Ok(Box::new(ReadPort::new(reader, size)))
    }
}

fn resume(seg: &str, options: &Options<'_>) -> Result<Writer, Failure> {
    if !options.flag("resume")?.unwrap_or(true) {
        return Err(Failure::new("UNSUPPORTED", "a log is opened read-write to take it over: resume is false"));
    }
    let target = options.number("chunk_target_size", u64::MAX)?.unwrap_or(0);
    Ok(ResumeOptions::new().chunk_target_size(target).resume(seg)?)
}

fn writer_handle(seg: &str, writer: Writer) -> Result<Box<dyn Segment>, Failure> {
    let look = OpenOptions::new().open(seg)?;
    Ok(Box::new(WriteHandle { writer, look }))
}

fn inspect(reader: &Reader) -> Outcome {
    let header = reader.header();
    let mut fields = Map::new();
    let mut put = |name: String, value: u64| fields.insert(name, text(value));
    put("header.magic".into(), header.magic);
    put("header.version".into(), header.version.into());
    put("header.chunk_count".into(), header.chunk_count.into());
    for (i, row) in (0..header.chunk_count).map_while(|i| Some((i, reader.row(i)?))) {
        put(format!("row[{i}].offset"), row.offset);
        put(format!("row[{i}].token"), row.token);
    }
    Ok(json!({ "fields": fields }))
}

fn validate(reader: &Reader) -> Outcome {
    match reader.validate() {
        Ok(()) => Ok(json!({})),
        Err(finding) => Err(Failure::new(finding.error.code().name(), finding.to_string())),
    }
}

fn not_a(role: &str) -> Failure {
    Failure::new("UNSUPPORTED", format!("this handle is not a {role}"))
}

/// A writer, and a reader that inspects and validates for it.
struct WriteHandle {
    writer: Writer,
    look: Reader,
}

impl Segment for WriteHandle {
    fn inspect(&mut self) -> Outcome {
        inspect(&self.look)
    }

    /// A writer never waits, and batches are what it does anyway: the modes do the same.
    fn write(&mut self, request: &Request<'_>, _injection: &mut Injection) -> Outcome {
        request.one_of("mode", &["try", "block", "batch"])?;
        let mut results: Vec<Value> = Vec::new();
        for item in request.objects("items")? {
            let sequence = self.writer.write(&item.bytes("data")?)?;
            results.push(json!({"st": "ok", "seq": text(sequence)}));
        }
        Ok(json!({ "results": results }))
    }

    fn read(&mut self, _request: &Request<'_>, _injection: &mut Injection) -> Outcome {
        Err(not_a("reader"))
    }

    fn seek(&mut self, _request: &Request<'_>) -> Outcome {
        Err(not_a("reader"))
    }

    fn call(&mut self, verb: &str, _args: &Request<'_>, _injection: &mut Injection) -> Outcome {
        match verb {
            "ouroboros.info" => {
                let info = self.writer.info();
                Ok(json!({
                    "entries_written": text(info.entries_written),
                    "max_payload": text(info.max_payload),
                    "chunk_target_size": text(info.chunk_target_size),
                    "chunk_count": info.chunk_count,
                }))
            }
            "ouroboros.validate" => validate(&self.look),
            "ouroboros.view_check" => Err(not_a("reader")),
            other => Err(Failure::new("UNKNOWN_COMMAND", other)),
        }
    }
}

struct ReadHandle {
    reader: Reader,
    /// View v is at v - 1.
    views: Vec<KeptView>,
    /// Met after items were read: the answer of the next read.
    pending: Option<Failure>,
}

impl ReadHandle {
    fn view_check(&self, args: &Request<'_>) -> Outcome {
        let v = args.number("v", u64::MAX)?;
        let view = v.checked_sub(1).and_then(|index| self.views.get(usize::try_from(index).ok()?));
        let answer = view.ok_or_else(|| Failure::bad_request("v is not a view of this handle"))?.view().check();
        Ok(json!({ "st": word(&answer) }))
    }
}

impl Segment for ReadHandle {
    fn inspect(&mut self) -> Outcome {
        inspect(&self.reader)
    }

    fn write(&mut self, _request: &Request<'_>, _injection: &mut Injection) -> Outcome {
        Err(not_a("writer"))
    }

    fn read(&mut self, request: &Request<'_>, _injection: &mut Injection) -> Outcome {
        let size = self.reader.info().size;
        reading::read(request, size, Lending { reader: &mut self.reader, views: &mut self.views }, &mut self.pending)
    }

    fn seek(&mut self, request: &Request<'_>) -> Outcome {
        let start = STARTS[request.one_of("to", &START_WORDS)?];
        self.pending = None;
        self.reader.seek(start);
        Ok(json!({}))
    }

    fn call(&mut self, verb: &str, args: &Request<'_>, _injection: &mut Injection) -> Outcome {
        match verb {
            "ouroboros.info" => {
                let info = self.reader.info();
                Ok(json!({
                    "total_entries_read": text(info.total_entries_read),
                    "total_skipped": text(info.total_skipped),
                    "next_sequence": text(info.next_sequence),
                    "chunk_count": info.chunk_count,
                }))
            }
            "ouroboros.validate" => validate(&self.reader),
            "ouroboros.view_check" => self.view_check(args),
            other => Err(Failure::new("UNKNOWN_COMMAND", other)),
        }
    }
}
