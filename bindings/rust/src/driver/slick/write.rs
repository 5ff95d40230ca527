// SPDX-License-Identifier: MIT
//! Profile slick behind the driver protocol: writing and claims.

use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{json, Value};
use shmwire::slick::{Claim, Producer};
use shmwire::Answer;

use super::super::profile::{ClaimOutcome, HeldClaim, Injection};
use super::super::wire::{text, word, Failure, Outcome, Request};
use super::SharedProducer;

/// The producer, whom nobody else uses now: a thread that holds it still has stopped at the end of a shortened segment.
pub fn lock(producer: &Mutex<Producer>) -> Result<MutexGuard<'_, Producer>, Failure> {
    producer.try_lock().map_err(|_| Failure::truncated())
}

fn written(index: u64) -> Value {
    json!({"st": "ok", "pos": text(index)})
}

pub fn write(request: &Request<'_>, producer: &Mutex<Producer>) -> Outcome {
    let batch = request.one_of("mode", &["try", "block", "batch"])? == 2;
    let items = request.objects("items")?.iter().map(|item| item.bytes("data")).collect::<Result<Vec<_>, _>>()?;
    let mut producer = lock(producer)?;
    let mut results = Vec::new();
    let answer =
        if batch { write_batch(&mut producer, &items, &mut results)? } else { write_each(&mut producer, &items, &mut results)? };
    if answer != Answer::Done(()) {
        results.push(json!({ "st": word(&answer) }));
    }
    Ok(json!({ "results": results }))
}

fn write_each(producer: &mut Producer, items: &[Vec<u8>], results: &mut Vec<Value>) -> Result<Answer<()>, Failure> {
    for item in items {
        match producer.write(item)? {
            Answer::Done(index) => results.push(written(index)),
            other => return Ok(other.map(|_| ())),
        }
    }
    Ok(Answer::Done(()))
}

fn write_batch(producer: &mut Producer, items: &[Vec<u8>], results: &mut Vec<Value>) -> Result<Answer<()>, Failure> {
    let length = items.first().map_or(0, Vec::len);
    if items.iter().any(|item| item.len() != length) {
        return Err(Failure::bad_request("the items of a batch have one length"));
    }
    Ok(producer.write_batch(&items.concat(), length, |index| results.push(written(index)))?)
}

pub fn claim(request: &Request<'_>, producer: &SharedProducer) -> ClaimOutcome {
    let elements = request.number("elements", u64::from(u32::MAX))? as u32;
    let mut guard = lock(producer)?;
    let reply = match guard.reserve(elements)? {
        Answer::Done(claim) => {
            let reply = json!({"st": "ok", "pos": text(claim.index()), "capacity": claim.capacity()});
            claim.keep();
            reply
        }
        other => return Ok((json!({ "st": word(&other) }), None)),
    };
    Ok((reply, Some(Box::new(Held(Arc::clone(producer))))))
}

/// The open claim of a producer.
struct Held(SharedProducer);

impl Held {
    /// Let a claim be ended; one that has not been stays open.
    fn end<T>(&self, work: impl FnOnce(Claim<'_>) -> Result<Answer<T>, Failure>) -> Outcome {
        let mut producer = lock(&self.0)?;
        let claim = producer.open_claim().ok_or_else(|| Failure::new("OUT_OF_ORDER", "the claim is over"))?;
        Ok(json!({ "st": word(&work(claim)?) }))
    }
}

impl HeldClaim for Held {
    fn commit(&mut self, request: &Request<'_>, _injection: &mut Injection) -> Outcome {
        let data = request.bytes("data")?;
        self.end(|mut claim| {
            let capacity = claim.capacity();
            if data.len() != capacity {
                claim.keep();
                return Err(Failure::new("INVALID_ARGUMENT", format!("the claim takes {capacity} bytes")));
            }
            claim.write(0, &data)?;
            Ok(claim.publish()?)
        })
    }

    fn abandon(&mut self) -> Outcome {
        self.end(|claim| Ok(claim.abandon()?))
    }

    fn leave(self: Box<Self>) {
        if let Ok(mut producer) = lock(&self.0) {
            if let Some(claim) = producer.open_claim() {
                claim.leave_stalled();
            }
        }
    }
}
