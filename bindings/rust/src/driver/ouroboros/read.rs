// SPDX-License-Identifier: MIT
//! Profile ouroboros behind the driver protocol: reading.

use std::time::Duration;

use serde_json::{json, Value};
use shmwire::ouroboros::{Entry, Reader, View};
use shmwire::Answer;

use super::super::wire::{self, text, Failure, Request};
use super::LARGEST_BUFFER;

/// Most items of one reply, so that it stays below the protocol's 4 MiB.
const MOST_ITEMS: u64 = 1024;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Try,
    Block,
    Batch,
    View,
    Peek,
}

/// A `read` while it runs.
pub struct Reading {
    mode: Mode,
    max: u64,
    timeout: Duration,
    buffer: Vec<u8>,
    pub items: Vec<Value>,
}

impl Reading {
    /// `size` is the segment's: no entry is larger.
    pub fn new(request: &Request<'_>, size: u64) -> Result<Reading, Failure> {
        let modes = [Mode::Try, Mode::Block, Mode::Batch, Mode::View, Mode::Peek];
        let mode = modes[request.one_of("mode", &["try", "block", "batch", "view", "peek"])?];
        if mode == Mode::Peek {
            return Err(Failure::new("UNSUPPORTED", "peek: readers take nothing away, reading is looking"));
        }
        let max = request.optional_number("max", u64::MAX)?.unwrap_or(1).min(MOST_ITEMS);
        if max == 0 {
            return Err(Failure::bad_request("max is 0"));
        }
        let size = request.optional_number("buffer", LARGEST_BUFFER)?.unwrap_or_else(|| size.min(LARGEST_BUFFER));
        Ok(Reading { mode, max, timeout: request.timeout()?, buffer: vec![0; size as usize], items: Vec::new() })
    }

    /// Fill `items`; answers the `st` that goes with having none.
    pub fn run(&mut self, reader: &mut Reader, views: &mut Vec<View>) -> Result<String, Failure> {
        let answer = match self.mode {
            Mode::Batch => self.batch(reader)?,
            Mode::View => self.view(reader, views)?,
            _ => self.each(reader)?,
        };
        Ok(word(&answer))
    }

    fn each(&mut self, reader: &mut Reader) -> shmwire::Result<Answer<()>> {
        for n in 0..self.max {
            let answer = match self.mode {
                Mode::Block if n == 0 => reader.wait_next(&mut self.buffer, self.timeout)?,
                _ => reader.next(&mut self.buffer)?,
            };
            match answer {
                Answer::Done(entry) => self.items.push(item(&entry, entry.payload(&self.buffer))),
                other => return Ok(other.map(|_| ())),
            }
        }
        Ok(Answer::Done(()))
    }

    fn batch(&mut self, reader: &mut Reader) -> shmwire::Result<Answer<()>> {
        let mut entries = vec![Entry::default(); self.max as usize];
        let answer = reader.next_batch(&mut self.buffer, &mut entries)?;
        let count = answer.done().unwrap_or(0);
        self.items.extend(entries[..count].iter().map(|entry| item(entry, entry.payload(&self.buffer))));
        Ok(answer.map(|_| ()))
    }

    /// One item, with the data as the view showed it.
    fn view(&mut self, reader: &mut Reader, views: &mut Vec<View>) -> shmwire::Result<Answer<()>> {
        let view = match reader.next_view()? {
            Answer::Done(view) => view,
            other => return Ok(other.map(|_| ())),
        };
        let mut data = vec![0; view.entry().length];
        view.read_at(0, &mut data)?;
        let mut item = item(&view.entry(), &data);
        views.push(view);
        item["view"] = json!(views.len());
        self.items.push(item);
        Ok(Answer::Done(()))
    }
}

/// An answer as `st` has it.
pub fn word<T>(answer: &Answer<T>) -> String {
    answer.code().name().to_lowercase()
}

fn item(entry: &Entry, data: &[u8]) -> Value {
    json!({
        "data": wire::bytes(data),
        "seq": text(entry.sequence),
        "chunk": entry.chunk,
        "token": text(entry.token),
        "skipped": text(entry.skipped),
    })
}
