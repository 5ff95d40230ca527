// SPDX-License-Identifier: MIT
//! Profile deepwater behind the driver protocol: live actors.

use std::time::Duration;

use shmwire::deepwater::{Making, Part, Reader, Record, Writer};
use shmwire::{Answer, Error};

use super::super::live::{Ending, Letter, Line};
use super::super::profile::Injection;
use super::super::wire::{Failure, Options, Request};

/// Between the timestamps of two messages.
const STEP_NS: u64 = 1000;
const KIND: u32 = 1;
const LARGEST_BATCH: u64 = 4096;
const LARGEST_PAYLOAD: u64 = 1 << 20;

/// A writer makes the feed if it is not there; a reader waits for it as long as the plan's limit.
pub fn attach(seg: &str, plan: &Request<'_>) -> Result<Box<dyn Line>, Failure> {
    let open = plan.optional_object("open")?;
    if plan.one_of("role", &["read", "write"])? == 1 {
        let writer = super::open_writer(seg, &open, Making::OpenOrCreate, &Injection::default())?;
        let rotate_every = plan.optional_number("rotate_every", u64::MAX)?.unwrap_or(0);
        return Ok(Box::new(WritePort::new(writer, rotate_every)));
    }
    let limit = Duration::from_millis(plan.number("limit_ms", u32::MAX.into())?);
    let mut reader = super::open_reader(seg, &open, limit)?;
    let of_plan: Options<'_> = (*plan).into();
    if let Some(start) = super::start(&of_plan, "from")? {
        reader.seek(start)?;
    }
    Ok(Box::new(ReadPort { largest: reader.feed().chunk_size.min(LARGEST_PAYLOAD) as usize, reader, lost: 0 }))
}

struct WritePort {
    writer: Writer,
    largest: usize,
    /// The sequence of the next message: timestamps follow it, so that a writer that takes over goes on behind the one before.
    next: u64,
    sent: u64,
    /// 0: never on purpose.
    rotate_every: u64,
}

impl WritePort {
    fn new(writer: Writer, rotate_every: u64) -> WritePort {
        let feed = writer.feed();
        let next = feed.last_sequence.map_or(0, |last| last + 1);
        WritePort { largest: feed.chunk_size.min(LARGEST_PAYLOAD) as usize, next, sent: 0, rotate_every, writer }
    }

    fn append(&mut self, letters: &[Letter]) -> (u64, shmwire::Result<()>) {
        if let [letter] = letters {
            let appended = self.writer.append(STEP_NS * self.next, KIND, &letter.data);
            return (appended.is_ok().into(), appended.map(|_| ()));
        }
        let times = (self.next..).map(|sequence| STEP_NS * sequence);
        let parts: Vec<Part<'_>> =
            times.zip(letters).map(|(timestamp_ns, letter)| Part { timestamp_ns, kind: KIND, data: &letter.data }).collect();
        let mut done = 0;
        let outcome = self.writer.append_batch(&parts, |_| done += 1);
        (done, outcome)
    }

    fn rotate(&mut self, before: u64) -> shmwire::Result<()> {
        match self.rotate_every {
            0 => Ok(()),
            every if before / every == self.sent / every => Ok(()),
            _ => self.writer.rotate(),
        }
    }
}

impl Line for WritePort {
    /// There is room, or the actor ends.
    fn send(&mut self, letters: &[Letter], _wait: Duration) -> shmwire::Result<Answer<usize>> {
        let before = self.sent;
        let (done, outcome) = self.append(letters);
        self.next += done;
        self.sent += done;
        match outcome.and_then(|()| self.rotate(before)) {
            Ok(()) => Ok(Answer::Done(done as usize)),
            Err(_) if done > 0 => Ok(Answer::Done(done as usize)), // the next call will say so
            Err(error) => {
                eprintln!("a live writer ends: {error}");
                Ok(Answer::Closed)
            }
        }
    }

    fn receive(&mut self, _letters: &mut [Letter], _wait: Duration) -> shmwire::Result<Answer<usize>> {
        Err(Error::Unsupported("a writer that reads"))
    }

    fn largest_batch(&self) -> u64 {
        LARGEST_BATCH
    }

    fn largest_payload(&self) -> usize {
        self.largest
    }

    fn ending(&self) -> Ending {
        Ending::Sequence
    }
}

struct ReadPort {
    reader: Reader,
    largest: usize,
    /// Before the next record.
    lost: u64,
}

fn keep(record: &Record<'_>, letter: &mut Letter, lost: &mut u64) {
    letter.kind = record.kind;
    letter.position = record.sequence;
    letter.sender_pid = record.chunk_id as u32; // where this profile's records have the chunk
    letter.skipped = std::mem::take(lost);
    letter.data.clear();
    letter.data.extend_from_slice(record.data());
}

impl ReadPort {
    fn fetch(&mut self, letters: &mut [Letter], wait: Duration) -> shmwire::Result<Answer<usize>> {
        let ReadPort { reader, lost, .. } = self;
        if letters.len() > 1 {
            if let Answer::Done(records) = reader.next_batch(letters.len())? {
                let count = records.len();
                records.zip(letters).for_each(|(record, letter)| keep(&record, letter, lost));
                return Ok(Answer::Done(count));
            }
        }
        Ok(reader.wait_next(wait)?.map(|record| {
            keep(&record, &mut letters[0], lost);
            1
        }))
    }
}

impl Line for ReadPort {
    fn send(&mut self, _letters: &[Letter], _wait: Duration) -> shmwire::Result<Answer<usize>> {
        Err(Error::Unsupported("a reader that writes"))
    }

    fn receive(&mut self, letters: &mut [Letter], wait: Duration) -> shmwire::Result<Answer<usize>> {
        match self.fetch(letters, wait) {
            Err(Error::Expired { lost }) => {
                self.lost += lost; // told with the record that comes next
                Ok(Answer::Lapped)
            }
            other => other,
        }
    }

    fn largest_batch(&self) -> u64 {
        LARGEST_BATCH
    }

    fn largest_payload(&self) -> usize {
        self.largest
    }

    fn ending(&self) -> Ending {
        Ending::Sequence
    }
}
