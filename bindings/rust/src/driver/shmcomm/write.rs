// SPDX-License-Identifier: MIT
//! Profile shmcomm behind the driver protocol: sending and claims.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{json, Value};
use shmwire::shmcomm::{Claim, Meta};
use shmwire::Answer;

use super::super::profile::{ClaimOutcome, HeldClaim, Injection};
use super::super::wire::{text, word, Failure, Outcome, Request};
use super::end::{lock, End};
use super::SharedEnd;

/// `meta` of an item, and the injected time of the message that is sent after `nth` others.
pub fn meta(item: &Request<'_>, injection: &Injection, nth: u64) -> Result<Meta, Failure> {
    let mut meta = Meta::new();
    let given = item.optional_object("meta")?;
    if let Some(time) = given.number("timestamp_ns", u64::MAX)?.or_else(|| injection.time(nth)) {
        meta = meta.timestamp_ns(time);
    }
    if let Some(content_type) = given.number("content_type", u64::from(u16::MAX))? {
        meta = meta.content_type(content_type as u16);
    }
    Ok(meta.flags(given.number("flags", u64::from(u16::MAX))?.unwrap_or(0) as u16))
}

fn sent(sequence: u64) -> Value {
    json!({"st": "ok", "seq": text(sequence)})
}

impl End {
    /// Send one message. Done carries its sequence.
    pub fn send(&mut self, data: &[u8], meta: &Meta, wait: Duration) -> Result<Answer<u64>, Failure> {
        Ok(match self {
            End::Publisher(publisher) => Answer::Done(publisher.send_with(data, meta, wait)?),
            End::Pusher(pusher) => pusher.send_with(data, meta, wait)?,
            End::Requester(requester) => requester.send_with(data, meta, wait)?,
            _ => return Err(Failure::new("UNSUPPORTED", "this end does not send")),
        })
    }

    pub fn send_batch(
        &mut self,
        parts: &[impl AsRef<[u8]>],
        meta: &Meta,
        wait: Duration,
        each: impl FnMut(u64),
    ) -> Result<Answer<()>, Failure> {
        Ok(match self {
            End::Publisher(publisher) => Answer::Done(publisher.send_batch(parts, meta, each)?),
            End::Pusher(pusher) => pusher.send_batch(parts, meta, wait, each)?,
            _ => return Err(Failure::new("UNSUPPORTED", "this end does not send batches")),
        })
    }

    fn open_claim(&mut self) -> Option<Claim<'_>> {
        match self {
            End::Publisher(publisher) => publisher.open_claim(),
            End::Pusher(pusher) => pusher.open_claim(),
            _ => None,
        }
    }
}

pub fn write(request: &Request<'_>, end: &mut End, injection: &mut Injection) -> Outcome {
    let modes = ["try", "block", "batch"];
    let mode = modes[request.one_of("mode", &modes)?];
    let wait = if mode == "try" { Duration::ZERO } else { request.timeout()? };
    let items = request.objects("items")?;
    let mut results = Vec::new();
    let answer = if mode == "batch" {
        let parts = items.iter().map(|item| item.bytes("data")).collect::<Result<Vec<_>, _>>()?;
        let meta = meta(request, injection, 0)?;
        end.send_batch(&parts, &meta, wait, |sequence| results.push(sent(sequence)))
    } else {
        write_each(&items, end, injection, wait, &mut results)
    };
    injection.advance(results.len() as u64);
    match answer? {
        Answer::Done(()) => {}
        other => results.push(json!({ "st": word(&other) })),
    }
    Ok(json!({ "results": results }))
}

fn write_each(
    items: &[Request<'_>],
    end: &mut End,
    injection: &Injection,
    wait: Duration,
    results: &mut Vec<Value>,
) -> Result<Answer<()>, Failure> {
    for (nth, item) in items.iter().enumerate() {
        match end.send(&item.bytes("data")?, &meta(item, injection, nth as u64)?, wait)? {
            Answer::Done(sequence) => results.push(sent(sequence)),
            other => return Ok(other.map(|_| ())),
        }
    }
    Ok(Answer::Done(()))
}

pub fn claim(request: &Request<'_>, end: &SharedEnd) -> ClaimOutcome {
    let length = request.number("len", u64::from(u32::MAX))? as usize;
    let meta = meta(request, &Injection::default(), 0)?;
    let timed = request.optional_object("meta")?.number("timestamp_ns", u64::MAX)?.is_some();
    let mut guard = lock(end)?;
    let answer = match &mut *guard {
        End::Publisher(publisher) => publisher.claim(length, &meta)?.map(Claim::keep),
        End::Pusher(pusher) => pusher.claim(length, &meta)?.map(Claim::keep),
        _ => return Err(Failure::new("UNSUPPORTED", "this end has no claims")),
    };
    match answer {
        Answer::Done(()) => {
            let held = Held { end: Arc::clone(end), length, timed };
            Ok((json!({"st": "ok", "capacity": length}), Some(Box::new(held))))
        }
        other => Ok((json!({ "st": word(&other) }), None)),
    }
}

/// The open claim of an end.
struct Held {
    end: SharedEnd,
    length: usize,
    /// Its time was given; otherwise it is that of the commit.
    timed: bool,
}

impl Held {
    fn take<T>(&self, work: impl FnOnce(Claim<'_>) -> Result<T, Failure>) -> Result<T, Failure> {
        let mut end = lock(&self.end)?;
        let claim = end.open_claim().ok_or_else(|| Failure::new("OUT_OF_ORDER", "the claim is over"))?;
        work(claim)
    }
}

impl HeldClaim for Held {
    fn commit(&mut self, request: &Request<'_>, injection: &mut Injection) -> Outcome {
        let data = request.bytes("data")?;
        if data.len() != self.length {
            return Err(Failure::new("INVALID_ARGUMENT", format!("the claim takes {} bytes", self.length)));
        }
        let time = injection.time(0).filter(|_| !self.timed);
        let sequence = self.take(|mut claim| {
            if let Some(time) = time {
                claim.set_timestamp_ns(time);
            }
            claim.write(0, &data)?;
            Ok(claim.commit()?)
        })?;
        injection.advance(1);
        Ok(sent(sequence))
    }

    fn abandon(&mut self) -> Outcome {
        self.take(|claim| Ok(claim.abandon()?))?;
        Ok(json!({}))
    }

    /// It goes with its end.
    fn leave(self: Box<Self>) {}
}
