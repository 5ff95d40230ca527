// SPDX-License-Identifier: MIT
//! Profile deepwater behind the driver protocol: appending.

use serde_json::{json, Value};
use shmwire::deepwater::{Part, Writer};

use super::super::wire::{text, Failure, Outcome, Request};

/// What a part borrows from.
struct Item {
    timestamp_ns: u64,
    kind: u32,
    data: Vec<u8>,
}

impl Item {
    fn new(item: &Request<'_>) -> Result<Item, Failure> {
        Ok(Item {
            data: item.bytes("data")?,
            timestamp_ns: item.number("ts", u64::MAX)?,
            kind: item.optional_number("type", u32::MAX.into())?.unwrap_or(0) as u32,
        })
    }

    fn part(&self) -> Part<'_> {
        Part { timestamp_ns: self.timestamp_ns, kind: self.kind, data: &self.data }
    }
}

pub fn write(request: &Request<'_>, writer: &mut Writer) -> Outcome {
    let batch = request.one_of("mode", &["try", "batch"])? == 1;
    let items: Vec<Item> = request.objects("items")?.iter().map(Item::new).collect::<Result<_, _>>()?;
    let mut results: Vec<Value> = Vec::new();
    let mut keep = |sequence: u64| results.push(json!({"st": "ok", "seq": text(sequence)}));
    let outcome = if batch {
        let parts: Vec<Part<'_>> = items.iter().map(Item::part).collect();
        writer.append_batch(&parts, keep)
    } else {
        items.iter().try_for_each(|item| writer.append(item.timestamp_ns, item.kind, &item.data).map(&mut keep))
    };
    match outcome {
        Ok(()) => Ok(json!({ "results": results })),
        Err(error) => Err(Failure::from(error).with_done(results.len() as u64)),
    }
}
