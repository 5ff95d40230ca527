// SPDX-License-Identifier: MIT
//! Profile deepwater behind the driver protocol: reading.

use std::time::Duration;

use serde_json::{json, Value};
use shmwire::deepwater::{Reader, Record};
use shmwire::{Answer, Error};

use super::super::wire::{self, text, word, Failure, Outcome, Request};

/// Most items of one reply, so that it stays below the protocol's 4 MiB.
const MOST_ITEMS: u64 = 1024;

/// Met after items were read: the answer of the next read.
pub enum Pending {
    Failure(Failure),
    Expired(u64),
}

impl From<Error> for Pending {
    fn from(error: Error) -> Pending {
        match error {
            Error::Expired { lost } => Pending::Expired(lost),
            error => Pending::Failure(error.into()),
        }
    }
}

impl Pending {
    fn answer(self) -> Outcome {
        match self {
            Pending::Failure(failure) => Err(failure),
            Pending::Expired(lost) => Ok(json!({"st": "expired", "lost": text(lost), "items": []})),
        }
    }
}

pub fn read(request: &Request<'_>, reader: &mut Reader, pending: &mut Option<Pending>) -> Outcome {
    let mode = request.one_of("mode", &["try", "block", "batch", "view", "peek"])?;
    if mode > 2 {
        return Err(Failure::new("UNSUPPORTED", "records are read where they lie, and taken by that"));
    }
    let max = request.optional_number("max", u64::MAX)?.unwrap_or(1).min(MOST_ITEMS);
    if max == 0 {
        return Err(Failure::bad_request("max is 0"));
    }
    if let Some(pending) = pending.take() {
        return pending.answer();
    }
    let mut items = Vec::new();
    let outcome = match mode {
        2 => batch(reader, max, &mut items),
        mode => each(reader, max, if mode == 1 { request.timeout()? } else { Duration::ZERO }, &mut items),
    };
    if !items.is_empty() {
        *pending = outcome.err().map(Pending::from);
        return Ok(json!({"st": "ok", "items": items}));
    }
    match outcome {
        Ok(answer) => Ok(json!({"st": word(&answer), "items": []})),
        Err(error) => Pending::from(error).answer(),
    }
}

fn batch(reader: &mut Reader, max: u64, items: &mut Vec<Value>) -> shmwire::Result<Answer<()>> {
    Ok(reader.next_batch(max as usize)?.map(|records| items.extend(records.map(|record| item(&record)))))
}

fn each(reader: &mut Reader, max: u64, mut wait: Duration, items: &mut Vec<Value>) -> shmwire::Result<Answer<()>> {
    for _ in 0..max {
        match reader.wait_next(wait)? {
            Answer::Done(record) => items.push(item(&record)),
            other => return Ok(other.map(|_| ())),
        }
        wait = Duration::ZERO;
    }
    Ok(Answer::Done(()))
}

pub fn range(args: &Request<'_>, reader: &mut Reader) -> Outcome {
    let mut range = reader.range(args.number("from", u64::MAX)?, args.number("to", u64::MAX)?)?;
    let mut items = Vec::new();
    while (items.len() as u64) < MOST_ITEMS {
        match range.next()? {
            Some(record) => items.push(item(&record)),
            None => break,
        }
    }
    Ok(json!({ "items": items }))
}

fn item(record: &Record<'_>) -> Value {
    json!({
        "data": wire::bytes(record.data()),
        "seq": text(record.sequence),
        "ts": text(record.timestamp_ns),
        "type": record.kind,
        "chunk": text(record.chunk_id),
    })
}
