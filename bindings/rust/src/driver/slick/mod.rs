// SPDX-License-Identifier: MIT
//! Profile slick behind the driver protocol (its section 7).

mod live;
mod read;
mod write;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{json, Map};
use shmwire::slick::{CreateOptions, Cursor, Generation, KeptView, OpenOptions, Producer, Queue, Reader, Start};
use shmwire::Answer;

use self::live::{TellingPort, WritePort};
use super::follow::{Follow, Lending};
use super::live::Line;
use super::profile::{ClaimOutcome, Injection, Profile, Segment, SegmentOutcome};
use super::reading;
use super::wire::{text, word, Failure, Options, Outcome, Request};

const GENERATIONS: [Generation; 3] = [Generation::V1_2, Generation::V1_3, Generation::V1_4];

pub struct Slick;

impl Profile for Slick {
    fn name(&self) -> &'static str {
        "slick"
    }

    fn classes(&self) -> &'static [&'static str] {
        &["inspect", "read", "write", "write-exact", "live", "blocking", "hardened", "recovery"]
    }

    fn features(&self) -> &'static [&'static str] {
        &["batch", "split", "view", "share"]
    }

    fn create(&self, seg: &str, _timeout: Duration, options: &Options<'_>, _injection: &Injection) -> SegmentOutcome {
        let manner = Manner::new(options)?;
        let mut create = CreateOptions::new().portable_name(options.flag("portable_name")?.unwrap_or(false));
        if let Some(size) = options.number("size", u64::from(u32::MAX))? {
            create = create.size(size as u32);
        }
        if let Some(element_size) = options.number("element_size", u64::from(u32::MAX))? {
            create = create.element_size(element_size as u32);
        }
        if let Some(generation) = options.one_of("generation", &GENERATIONS.map(Generation::name))? {
            create = create.generation(GENERATIONS[generation]);
        }
        if let Some(mode) = options.octal("mode")? {
            create = create.mode(mode);
        }
        Ok(Box::new(Handle::new(create.create(seg)?, manner)))
    }

    fn open(
        &self,
        seg: &str,
        read_only: bool,
        timeout: Duration,
        options: &Options<'_>,
        _injection: &Injection,
    ) -> SegmentOutcome {
        let manner = Manner::new(options)?;
        let queue = OpenOptions::new().read_only(read_only).ready_timeout(timeout).open(seg)?;
        Ok(Box::new(Handle::new(queue, manner)))
    }

    fn attach(&self, seg: &str, plan: &Request<'_>) -> Result<Box<dyn Line>, Failure> {
        let queue = OpenOptions::new().open(seg)?;
        if plan.one_of("role", &["read", "write"])? == 1 {
            let manner = Manner::new(&plan.optional_object("open")?)?;
            return Ok(Box::new(WritePort::new(&queue, manner.producer(&queue)?, plan)?));
        }
        let reader = Manner::new(&(*plan).into())?.reader(&queue);
        Ok(Box::new(TellingPort::new(&queue, reader, plan)?))
    }
}

/// How a handle reads and produces: the options of open.
struct Manner {
    start: Start,
    cursor: Option<Cursor>,
    stall: Option<Duration>,
}

impl Manner {
    fn new(options: &Options<'_>) -> Result<Manner, Failure> {
        Ok(Manner {
            start: start(options, "from")?,
            cursor: options.text("cursor")?.map(Cursor::open).transpose()?,
            stall: options.number("stall_ms", u64::from(u32::MAX))?.map(Duration::from_millis),
        })
    }

    fn reader(&self, queue: &Queue) -> Reader {
        match &self.cursor {
            Some(cursor) => queue.consumer(cursor),
            None => queue.reader(self.start),
        }
    }

    fn producer(&self, queue: &Queue) -> shmwire::Result<Producer> {
        let producer = queue.producer()?;
        Ok(match self.stall {
            Some(stall) => producer.with_stall_time(stall),
            None => producer,
        })
    }
}

/// Where to begin: a word, or `index`.
fn start(options: &Options<'_>, key: &str) -> Result<Start, Failure> {
    if let Some(index) = options.number("index", u64::MAX)? {
        return Ok(Start::Index(index));
    }
    Ok([Start::Oldest, Start::Latest][options.one_of(key, &["oldest", "latest"])?.unwrap_or(0)])
}

/// A producer that claims may outlive the handle of: they end through it.
type SharedProducer = Arc<Mutex<Producer>>;

/// A queue with one producer and one reader, made at their first use.
struct Handle {
    queue: Queue,
    manner: Manner,
    producer: Option<SharedProducer>,
    reader: Option<Reader>,
    /// View v is at v - 1.
    views: Vec<KeptView>,
    /// Met after items were read: the answer of the next read.
    pending: Option<Failure>,
}

impl Handle {
    fn new(queue: Queue, manner: Manner) -> Handle {
        Handle { queue, manner, producer: None, reader: None, views: Vec::new(), pending: None }
    }

    fn producer(&mut self) -> Result<&SharedProducer, Failure> {
        if self.producer.is_none() {
            self.producer = Some(Arc::new(Mutex::new(self.manner.producer(&self.queue)?)));
        }
        self.producer.as_ref().ok_or_else(|| Failure::internal("no producer"))
    }

    fn reader(&mut self) -> &mut Reader {
        let (queue, manner) = (&self.queue, &self.manner);
        self.reader.get_or_insert_with(|| manner.reader(queue))
    }

    /// Bytes of the largest item.
    fn largest(&self) -> u64 {
        let info = self.queue.info();
        u64::from(info.size) * u64::from(info.element_size)
    }

    fn info(&self) -> Outcome {
        let info = self.queue.info();
        let written = match &self.producer {
            Some(producer) => write::lock(producer)?.info(),
            None => Default::default(),
        };
        let read = self.reader.as_ref().map(Reader::info).unwrap_or_default();
        Ok(json!({
            "generation": info.generation.name(),
            "shm_name": self.queue.shm_name().to_string_lossy(),
            "size": info.size,
            "element_size": info.element_size,
            "next_index": text(info.next_index),
            "settled": text(info.settled),
            "items_written": text(written.items_written),
            "given_up": text(written.given_up),
            "cursor": text(read.cursor),
            "items_read": text(read.items_read),
            "lost": text(read.lost),
            "resets": text(read.resets),
        }))
    }

    fn last(&mut self) -> Outcome {
        let mut buffer = vec![0; self.largest() as usize];
        let answer = self.reader().last(&mut buffer)?;
        let items = match answer {
            Answer::Done(item) => {
                let mut reply = Reader::reply(&item, item.payload(&buffer));
                let _ = reply.as_object_mut().map(|reply| reply.remove("lost"));
                json!([reply])
            }
            _ => json!([]),
        };
        Ok(json!({ "st": word(&answer), "items": items }))
    }

    fn validate(&self) -> Outcome {
        match self.queue.validate() {
            Ok(()) => Ok(json!({})),
            Err(finding) => Err(Failure::new(finding.error.code().name(), finding.to_string())),
        }
    }

    fn view_check(&self, args: &Request<'_>) -> Outcome {
        let v = args.number("v", u64::MAX)?;
        let view = v.checked_sub(1).and_then(|index| self.views.get(usize::try_from(index).ok()?));
        let answer = view.ok_or_else(|| Failure::bad_request("v is not a view of this handle"))?.view().check();
        Ok(json!({ "st": word(&answer) }))
    }
}

impl Segment for Handle {
    fn inspect(&mut self) -> Outcome {
        let header = self.queue.header();
        let mut fields = Map::new();
        let mut put = |name: String, value: u64| fields.insert(name, text(value));
        put("header.reserved".into(), header.reserved);
        put("header.size".into(), header.size.into());
        put("header.element_size".into(), header.element_size.into());
        put("header.last_published".into(), header.last_published);
        put("header.header_magic".into(), header.header_magic.into());
        put("header.settled".into(), header.settled);
        put("header.init_state".into(), header.init_state.into());
        for (i, slot) in (0..self.queue.info().size).map_while(|i| Some((i, self.queue.slot(i)?))) {
            put(format!("slot[{i}].data_index"), slot.data_index);
            put(format!("slot[{i}].size"), slot.size.into());
        }
        Ok(json!({ "fields": fields }))
    }

    fn write(&mut self, request: &Request<'_>, _injection: &mut Injection) -> Outcome {
        write::write(request, self.producer()?)
    }

    fn claim(&mut self, request: &Request<'_>) -> ClaimOutcome {
        write::claim(request, self.producer()?)
    }

    fn read(&mut self, request: &Request<'_>, _injection: &mut Injection) -> Outcome {
        self.reader();
        let largest = self.largest();
        let Handle { reader, views, pending, .. } = self;
        let reader = reader.as_mut().ok_or_else(|| Failure::internal("no reader"))?;
        reading::read(request, largest, Lending { reader, views }, pending)
    }

    fn seek(&mut self, request: &Request<'_>) -> Outcome {
        let start = start(&(*request).into(), "to")?;
        self.pending = None;
        Ok(json!({ "cursor": text(self.reader().seek(start)) }))
    }

    fn call(&mut self, verb: &str, args: &Request<'_>, _injection: &mut Injection) -> Outcome {
        match verb {
            "slick.info" => self.info(),
            "slick.validate" => self.validate(),
            "slick.last" => self.last(),
            "slick.reset" => {
                self.queue.reset()?;
                Ok(json!({}))
            }
            "slick.recover" => Ok(json!({ "holes": text(self.queue.recover(args.flag("all_dead")?)?) })),
            "slick.view_check" => self.view_check(args),
            "slick.cursor_create" => {
                Cursor::create(args.text("cursor")?, &self.queue, start(&(*args).into(), "from")?)?;
                Ok(json!({}))
            }
            other => Err(Failure::new("UNKNOWN_COMMAND", other)),
        }
    }
}
