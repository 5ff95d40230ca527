// SPDX-License-Identifier: MIT
//! Profile shmcomm behind the driver protocol.

mod end;
mod live;
mod read;
mod write;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{json, Map, Value};
use shmwire::shmcomm::{self, HeaderInfo, Info, Message, Start};
use shmwire::Code;

use super::live::Line;
use super::profile::{ClaimOutcome, Injection, Profile, Segment, SegmentOutcome};
use super::wire::{text, word, Failure, Options, Outcome, Request};
use end::{lock, End, Manner};

pub struct Shmcomm;

impl Profile for Shmcomm {
    fn name(&self) -> &'static str {
        "shmcomm"
    }

    fn classes(&self) -> &'static [&'static str] {
        &["inspect", "read", "write", "write-exact", "live", "blocking", "hardened", "recovery"]
    }

    fn features(&self) -> &'static [&'static str] {
        &["batch", "split", "view", "lapped"]
    }

    fn create(&self, seg: &str, timeout: Duration, options: &Options<'_>, injection: &Injection) -> SegmentOutcome {
        let manner = Manner::new(options, timeout, injection)?.making_only();
        Ok(Box::new(Handle::new(manner.open(seg)?)))
    }

    fn open(
        &self,
        seg: &str,
        read_only: bool,
        timeout: Duration,
        options: &Options<'_>,
        injection: &Injection,
    ) -> SegmentOutcome {
        let mut manner = Manner::new(options, timeout, injection)?;
        if read_only {
            manner = manner.looking_only()?;
        }
        Ok(Box::new(Handle::new(manner.open(seg)?)))
    }

    fn attach(&self, seg: &str, plan: &Request<'_>) -> Result<Box<dyn Line>, Failure> {
        live::attach(seg, plan)
    }

    fn call(&self, verb: &str, args: &Request<'_>) -> Outcome {
        match verb {
            "shmcomm.recover" => {
                let found = shmcomm::recover(args.text("seg")?)?;
                Ok(json!({"lock_taken": found.lock_taken, "count_repaired": found.count_repaired, "swept": found.swept}))
            }
            "shmcomm.remove" => {
                let answer = shmcomm::remove(args.text("seg")?, args.flag("insist")?)?;
                Ok(json!({ "st": word(&answer) }))
            }
            other => Err(Failure::bad_request(format!("{other} without h"))),
        }
    }
}

/// One end of a channel, which its claim may outlive the handle of.
type SharedEnd = Arc<Mutex<End>>;

/// What is kept for the next read: met after items were read.
enum Pending {
    Failure(Failure),
    Lapped(u64),
}

struct Handle {
    end: SharedEnd,
    /// View v is of the message at v - 1.
    views: Vec<Message>,
    /// Request r is at r - 1.
    requests: Vec<Message>,
    pending: Option<Pending>,
}

impl Handle {
    fn new(end: End) -> Handle {
        Handle { end: Arc::new(Mutex::new(end)), views: Vec::new(), requests: Vec::new(), pending: None }
    }

    fn reply(&self, args: &Request<'_>, injection: &mut Injection) -> Outcome {
        let request = pick(&self.requests, args.number("request", u64::MAX)?, "request")?;
        let (data, meta) = (args.bytes("data")?, write::meta(args, injection, 0)?);
        let answer = match &mut *lock(&self.end)? {
            End::Replier(replier) => replier.reply_with(request, &data, &meta, args.timeout()?)?,
            _ => return Err(Failure::new("UNSUPPORTED", "only repliers reply")),
        };
        if answer.code() == Code::Ok {
            injection.advance(1);
        }
        Ok(json!({ "st": word(&answer) }))
    }

    fn view_check(&self, args: &Request<'_>) -> Outcome {
        let message = pick(&self.views, args.number("v", u64::MAX)?, "v")?;
        let answer = match &*lock(&self.end)? {
            End::Subscriber(subscriber) => subscriber.check(message),
            End::Observer(observer) => observer.check(message),
            _ => return Err(Failure::new("UNSUPPORTED", "this end has no views")),
        };
        Ok(json!({ "st": word(&answer) }))
    }

    fn validate(&self) -> Outcome {
        match &*lock(&self.end)? {
            End::Observer(observer) => match observer.validate() {
                Ok(()) => Ok(json!({})),
                Err(finding) => Err(Failure::new(finding.error.code().name(), finding.to_string())),
            },
            _ => Err(Failure::new("UNSUPPORTED", "only observers validate")),
        }
    }
}

/// What handle `h` stands for: handles count from 1.
fn pick<'a>(list: &'a [Message], h: u64, key: &str) -> Result<&'a Message, Failure> {
    let index = h.checked_sub(1).and_then(|index| usize::try_from(index).ok());
    let found = index.and_then(|index| list.get(index));
    found.ok_or_else(|| Failure::bad_request(format!("{key} is no handle of this handle")))
}

/// Where a subscriber begins, or goes.
fn start(options: &Options<'_>, key: &str) -> Result<Option<Start>, Failure> {
    Ok(options.one_of(key, &["latest", "oldest"])?.map(|word| [Start::Latest, Start::Oldest][word]))
}

impl Segment for Handle {
    fn inspect(&mut self) -> Outcome {
        let end = lock(&self.end)?;
        let mut fields = header_fields(&end.header());
        for frame in end.held().unwrap_or_default() {
            let message = &frame.message;
            let mut put = |name: &str, value: Value| fields.insert(format!("frame[{}].{name}", message.sequence), value);
            put("size", text(message.length as u64 + 32));
            put("sequence", text(message.sequence));
            put("timestamp_ns", text(message.timestamp_ns));
            put("correlation_id", text(message.correlation_id));
            put("sender", text(message.sender));
            put("content_type", text(message.content_type));
            put("flags", text(message.flags));
            put("position", text(message.position));
            put("payload", Value::String(super::wire::to_hex(&frame.start)));
        }
        Ok(json!({ "fields": fields }))
    }

    fn write(&mut self, request: &Request<'_>, injection: &mut Injection) -> Outcome {
        write::write(request, &mut *lock(&self.end)?, injection)
    }

    fn claim(&mut self, request: &Request<'_>) -> ClaimOutcome {
        write::claim(request, &self.end)
    }

    fn read(&mut self, request: &Request<'_>, _injection: &mut Injection) -> Outcome {
        read::read(request, self)
    }

    fn seek(&mut self, request: &Request<'_>) -> Outcome {
        let to = start(&(*request).into(), "to")?.ok_or_else(|| Failure::bad_request("to is missing"))?;
        match &mut *lock(&self.end)? {
            End::Subscriber(subscriber) => subscriber.seek(to)?,
            End::Observer(observer) => observer.seek(to)?,
            _ => return Err(Failure::new("UNSUPPORTED", "this end has no place of its own")),
        }
        self.pending = None;
        Ok(json!({}))
    }

    fn call(&mut self, verb: &str, args: &Request<'_>, injection: &mut Injection) -> Outcome {
        match verb {
            "shmcomm.info" => {
                let end = lock(&self.end)?;
                Ok(info_fields(&end.info(), &end.segment().to_string_lossy()))
            }
            "shmcomm.validate" => self.validate(),
            "shmcomm.reply" => self.reply(args, injection),
            "shmcomm.view_check" => self.view_check(args),
            "shmcomm.recover" | "shmcomm.remove" => Shmcomm.call(verb, args),
            other => Err(Failure::new("UNKNOWN_COMMAND", other)),
        }
    }
}

fn header_fields(header: &HeaderInfo) -> Map<String, Value> {
    let mut fields = Map::new();
    let mut put = |name: &str, value: u64| fields.insert(format!("header.{name}"), text(value));
    put("magic", header.magic);
    put("version", header.version);
    put("head", header.head);
    put("tail", header.tail);
    put("writer_lock", header.writer_lock.into());
    put("lock_epoch", header.lock_epoch.into());
    put("message_count", header.message_count);
    put("dropped_count", header.dropped_count);
    put("capacity", header.capacity);
    put("pattern", header.pattern.into());
    put("state", header.state.into());
    put("data_signal", header.data_signal.into());
    put("data_waiters", header.data_waiters.into());
    put("space_signal", header.space_signal.into());
    put("space_waiters", header.space_waiters.into());
    put("owner_pid", header.owner_pid.into());
    put("serializer", header.serializer.into());
    put("heartbeat_ns", header.heartbeat_ns);
    put("instance", header.instance);
    put("owner_endpoint", header.owner_endpoint.into());
    fields
}

fn info_fields(info: &Info, segment: &str) -> Value {
    let long = json!({
        "capacity": text(info.capacity), "max_payload": text(info.max_payload),
        "head": text(info.head), "tail": text(info.tail),
        "message_count": text(info.message_count), "dropped_count": text(info.dropped_count),
        "instance": text(info.instance), "heartbeat_ns": text(info.heartbeat_ns),
        "sent": text(info.sent), "received": text(info.received), "lost": text(info.lost), "refused": text(info.refused),
        "discarded": text(info.discarded), "unanswered": text(info.unanswered), "takeovers": text(info.takeovers),
    });
    let short = json!({
        "pattern": info.pattern, "state": info.state, "writer_lock": info.writer_lock, "lock_epoch": info.lock_epoch,
        "data_waiters": info.data_waiters, "space_waiters": info.space_waiters, "owner_pid": info.owner_pid,
        "owner_endpoint": info.owner_endpoint, "serializer": info.serializer, "endpoint": info.endpoint,
        "keeper_lives": info.keeper_lives, "segment": segment,
    });
    let mut all = Map::new();
    for part in [long, short] {
        if let Value::Object(part) = part {
            all.extend(part);
        }
    }
    Value::Object(all)
}
