// SPDX-License-Identifier: MIT
//! Profile slick behind the driver protocol: live actors.

use std::time::Duration;

use serde_json::{json, Value};
use shmwire::slick::{Producer, Queue, Reader, MAX_ELEMENTS};
use shmwire::{Answer, Error, SharedCounts};

use super::super::follow::{ReadPort, LARGEST_BATCH};
use super::super::live::{Ending, Letter, Line};
use super::super::wire::{Failure, Request};

/// The file by which writers stay behind readers.
fn credit<'a>(plan: &Request<'a>) -> Result<Option<(SharedCounts, Request<'a>)>, Failure> {
    if !plan.has("credit") {
        return Ok(None);
    }
    let credit = plan.object("credit")?;
    Ok(Some((SharedCounts::open_credit(shmwire::path(credit.text("path")?)?)?, credit)))
}

/// How far a writer may go.
struct Window {
    counts: SharedCounts,
    size: u64,
    /// Where the slowest reader was when it was looked for last.
    slowest: u64,
}

impl Window {
    /// Whether an item may end there.
    fn allows(&mut self, end: u64) -> bool {
        if end > self.slowest.saturating_add(self.size) {
            self.slowest = self.counts.least(self.counts.count(), u64::MAX);
        }
        end <= self.slowest.saturating_add(self.size)
    }
}

pub struct WritePort {
    queue: Queue,
    producer: Producer,
    size: u64,
    element_size: usize,
    window: Option<Window>,
    buffer: Vec<u8>,
}

impl WritePort {
    pub fn new(queue: &Queue, producer: Producer, plan: &Request<'_>) -> Result<WritePort, Failure> {
        let window = match credit(plan)? {
            None => None,
            Some((counts, credit)) => Some(Window { counts, size: credit.number("window", u64::MAX)?, slowest: 0 }),
        };
        let info = queue.info();
        let (size, element_size) = (info.size.into(), info.element_size as usize);
        Ok(WritePort { queue: queue.clone(), producer, size, element_size, window, buffer: Vec::new() })
    }

    /// Whether so many items of one length may be written now, as far as one sees who is not alone.
    fn may_write(&mut self, elements: u64, count: u64) -> bool {
        let (size, next) = (self.size, self.queue.info().next_index);
        let after = |from: u64| {
            let room = size - from % size;
            from + elements + if elements > room { room } else { 0 }
        };
        let window = match &mut self.window {
            Some(window) => window,
            None => return true,
        };
        window.allows((0..count).fold(next, |end, _| after(end)))
    }

    /// Letters from the first one on that have its length, as many as may be written with one call.
    fn run(&mut self, letters: &[Letter]) -> usize {
        let length = letters[0].data.len();
        let elements = (length / self.element_size).max(1) as u64;
        let alike = letters.iter().take_while(|letter| letter.data.len() == length).count();
        if self.may_write(elements, alike as u64) {
            alike
        } else {
            usize::from(self.may_write(elements, 1))
        }
    }
}

impl Line for WritePort {
    /// There is always room; an answer other than that ends the actor.
    fn send(&mut self, letters: &[Letter], _wait: Duration) -> shmwire::Result<Answer<usize>> {
        let run = self.run(letters);
        let mut sent = 0;
        let answer = match run {
            0 => return Ok(Answer::Timeout), // no credit yet
            1 => self.producer.write(&letters[0].data)?.map(|_| sent = 1),
            _ => {
                self.buffer.clear();
                letters[..run].iter().for_each(|letter| self.buffer.extend_from_slice(&letter.data));
                self.producer.write_batch(&self.buffer, letters[0].data.len(), |_| sent += 1)?
            }
        };
        Ok(match answer {
            Answer::Done(()) => Answer::Done(sent),
            _ if sent > 0 => Answer::Done(sent), // the next call will say so
            _ => Answer::Closed,
        })
    }

    fn receive(&mut self, _letters: &mut [Letter], _wait: Duration) -> shmwire::Result<Answer<usize>> {
        Err(Error::Unsupported("a writer that reads"))
    }

    fn largest_batch(&self) -> u64 {
        LARGEST_BATCH
    }

    fn largest_payload(&self) -> usize {
        self.size.min(MAX_ELEMENTS.into()) as usize * self.element_size
    }

    fn ending(&self) -> Ending {
        Ending::Word
    }

    fn complete(&self, summary: &mut Value) {
        summary["given_up"] = json!(self.producer.info().given_up);
    }
}

/// Where a reader says how far it is, until it has ended.
struct Told {
    counts: SharedCounts,
    slot: u64,
}

impl Drop for Told {
    fn drop(&mut self) {
        self.counts.store(self.slot, u64::MAX);
    }
}

/// A reader that says how far it is.
pub struct TellingPort {
    port: ReadPort<Reader>,
    told: Option<Told>,
}

impl TellingPort {
    pub fn new(queue: &Queue, reader: Reader, plan: &Request<'_>) -> Result<TellingPort, Failure> {
        let told = match credit(plan)? {
            None => None,
            Some((counts, credit)) => {
                let last = counts.count().saturating_sub(1);
                Some(Told { slot: credit.number("slot", last)?, counts })
            }
        };
        let info = queue.info();
        Ok(TellingPort { port: ReadPort::new(reader, info.size as usize * info.element_size as usize), told })
    }
}

impl Line for TellingPort {
    fn send(&mut self, letters: &[Letter], wait: Duration) -> shmwire::Result<Answer<usize>> {
        self.port.send(letters, wait)
    }

    fn receive(&mut self, letters: &mut [Letter], wait: Duration) -> shmwire::Result<Answer<usize>> {
        let answer = self.port.receive(letters, wait)?;
        if let (Answer::Done(count), Some(told)) = (answer, &self.told) {
            if let Some(last) = letters[..count].last() {
                told.counts.store(told.slot, last.position + u64::from(last.kind));
            }
        }
        Ok(answer)
    }

    fn largest_batch(&self) -> u64 {
        self.port.largest_batch()
    }

    fn largest_payload(&self) -> usize {
        self.port.largest_payload()
    }

    fn ending(&self) -> Ending {
        self.port.ending()
    }

    fn finish(&mut self) {
        self.told = None;
    }
}
