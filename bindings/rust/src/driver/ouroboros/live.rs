// SPDX-License-Identifier: MIT
//! Profile ouroboros behind the driver protocol: live actors.

use std::time::Duration;

use shmwire::ouroboros::{Entry, Reader, Writer};
use shmwire::{Answer, Error};

use super::super::live::{Ending, Letter, Line};

/// A reading actor's buffer, unless one entry takes more.
const BUFFER: usize = 4 << 20;
/// Most letters that a writing actor prepares at a time.
const LARGEST_BATCH: u64 = 1024;

pub struct WritePort(Writer);

impl WritePort {
    pub fn new(writer: Writer) -> WritePort {
        WritePort(writer)
    }
}

impl Line for WritePort {
    /// There is always room.
    fn send(&mut self, letters: &[Letter], _wait: Duration) -> shmwire::Result<Answer<usize>> {
        for letter in letters {
            self.0.write(&letter.data)?;
        }
        Ok(Answer::Done(letters.len()))
    }

    fn receive(&mut self, _letters: &mut [Letter], _wait: Duration) -> shmwire::Result<Answer<usize>> {
        Err(Error::Unsupported("a writer that reads"))
    }

    fn largest_batch(&self) -> u64 {
        LARGEST_BATCH
    }

    fn largest_payload(&self) -> usize {
        usize::try_from(self.0.info().max_payload).unwrap_or(usize::MAX)
    }

    fn ending(&self) -> Ending {
        Ending::Position
    }
}

pub struct ReadPort {
    reader: Reader,
    buffer: Vec<u8>,
    entries: Vec<Entry>,
}

impl ReadPort {
    pub fn new(reader: Reader) -> ReadPort {
        let size = BUFFER.max(reader.info().size as usize);
        ReadPort { reader, buffer: vec![0; size], entries: Vec::new() }
    }

    fn take(&mut self, wait: Duration, max: usize) -> shmwire::Result<Answer<usize>> {
        self.entries.resize(max, Entry::default());
        if max > 1 {
            match self.reader.next_batch(&mut self.buffer, &mut self.entries)? {
                Answer::Empty if !wait.is_zero() => {}
                other => return Ok(other),
            }
        }
        let one = match wait.is_zero() {
            true => self.reader.next(&mut self.buffer)?,
            false => self.reader.wait_next(&mut self.buffer, wait)?,
        };
        Ok(one.map(|entry| {
            self.entries[0] = entry;
            1
        }))
    }
}

impl Line for ReadPort {
    fn send(&mut self, _letters: &[Letter], _wait: Duration) -> shmwire::Result<Answer<usize>> {
        Err(Error::Unsupported("a reader that writes"))
    }

    fn receive(&mut self, letters: &mut [Letter], wait: Duration) -> shmwire::Result<Answer<usize>> {
        let answer = self.take(wait, letters.len())?;
        if let Answer::Done(count) = answer {
            for (letter, entry) in letters.iter_mut().zip(&self.entries[..count]) {
                letter.position = entry.sequence;
                letter.skipped = entry.skipped;
                letter.data.clear();
                letter.data.extend_from_slice(entry.payload(&self.buffer));
            }
        }
        Ok(answer)
    }

    fn largest_batch(&self) -> u64 {
        LARGEST_BATCH
    }

    /// Nothing is prepared for reading: letters grow with what comes.
    fn largest_payload(&self) -> usize {
        0
    }

    fn ending(&self) -> Ending {
        Ending::Position
    }
}
