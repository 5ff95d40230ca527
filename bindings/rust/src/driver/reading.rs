// SPDX-License-Identifier: MIT
//! The command `read` of profiles whose readers take nothing away (sections 6 and 7 of the driver protocol).

use std::time::Duration;

use serde_json::{json, Value};
use shmwire::Answer;

use super::follow::{Follow, Lending};
use super::wire::{word, Failure, Outcome, Request};

/// Largest default buffer of a read.
const LARGEST_BUFFER: u64 = 64 << 20;
/// Most items of one reply, so that it stays below the protocol's 4 MiB.
const MOST_ITEMS: u64 = 1024;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Try,
    Block,
    Batch,
    View,
    Peek,
}

/// A `read` while it runs.
pub(super) struct Reading {
    pub(super) mode: Mode,
    pub(super) max: u64,
    pub(super) timeout: Duration,
    pub(super) buffer: Vec<u8>,
    pub(super) items: Vec<Value>,
}

/// Read as the request says; no item takes more than `largest` bytes. An error that is met after some items is kept as `pending`,
/// the answer of the next read.
pub fn read<R: Follow>(
    request: &Request<'_>,
    largest: u64,
    mut source: Lending<'_, R>,
    pending: &mut Option<Failure>,
) -> Outcome {
    let mut reading = Reading::new(request, largest, false)?;
    if let Some(failure) = pending.take() {
        return Err(failure);
    }
    let st = match reading.run(&mut source) {
        Err(error) if reading.items.is_empty() => return Err(error.into()),
        Err(error) => {
            *pending = Some(error.into());
            "ok".to_owned()
        }
        Ok(_) if !reading.items.is_empty() => "ok".to_owned(),
        Ok(answer) => word(&answer),
    };
    Ok(json!({"st": st, "items": reading.items}))
}

impl Reading {
    /// What a request asks for. `largest`: most bytes of an item. `whole_batch`: the buffer takes
    /// all items of a batch, and not one at a time.
    pub(super) fn new(request: &Request<'_>, largest: u64, whole_batch: bool) -> Result<Reading, Failure> {
        let modes = [Mode::Try, Mode::Block, Mode::Batch, Mode::View, Mode::Peek];
        let mode = modes[request.one_of("mode", &["try", "block", "batch", "view", "peek"])?];
        if mode == Mode::Peek {
            return Err(Failure::new("UNSUPPORTED", "peek: readers take nothing away, reading is looking"));
        }
        let max = request.optional_number("max", u64::MAX)?.unwrap_or(1).min(MOST_ITEMS);
        if max == 0 {
            return Err(Failure::bad_request("max is 0"));
        }
        let largest = if whole_batch && mode == Mode::Batch { largest.saturating_mul(max) } else { largest };
        let size = request.optional_number("buffer", LARGEST_BUFFER)?.unwrap_or_else(|| largest.min(LARGEST_BUFFER));
        Ok(Reading { mode, max, timeout: request.timeout()?, buffer: vec![0; size as usize], items: Vec::new() })
    }

    /// Fill `items`; answers what goes with having none.
    fn run<R: Follow>(&mut self, source: &mut Lending<'_, R>) -> shmwire::Result<Answer<()>> {
        match self.mode {
            Mode::Batch => {
                let answer = source.batch(&mut self.buffer, self.max as usize)?;
                Ok(answer.map(|items| self.items = items))
            }
            Mode::View => Ok(source.view()?.map(|item| self.items.push(item))),
            _ => self.each(source),
        }
    }

    fn each<R: Follow>(&mut self, source: &mut Lending<'_, R>) -> shmwire::Result<Answer<()>> {
        for n in 0..self.max {
            let wait = (self.mode == Mode::Block && n == 0).then_some(self.timeout);
            match source.next(&mut self.buffer, wait)? {
                Answer::Done(item) => self.items.push(item),
                other => return Ok(other.map(|_| ())),
            }
        }
        Ok(Answer::Done(()))
    }
}
