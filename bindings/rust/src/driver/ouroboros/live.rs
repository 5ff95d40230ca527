// SPDX-License-Identifier: MIT
//! Profile ouroboros behind the driver protocol: live actors.

use std::time::Duration;

use shmwire::ouroboros::Writer;
use shmwire::{Answer, Error};

use super::super::follow::LARGEST_BATCH;
use super::super::live::{Ending, Letter, Line};

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
