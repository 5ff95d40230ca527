// SPDX-License-Identifier: MIT
//! Profile ouroboros behind the driver protocol: reading.

use std::time::Duration;

use serde_json::{json, Value};
use shmwire::ouroboros::{Entry, KeptView, Reader};
use shmwire::{Answer, Result};

use super::super::follow::Follow;
use super::super::live::{Ending, Letter};
use super::super::wire::{self, text};

impl Follow for Reader {
    type Item = Entry;
    type View = KeptView;

    const ENDING: Ending = Ending::Position;

    fn next(&mut self, buffer: &mut [u8]) -> Result<Answer<Entry>> {
        Reader::next(self, buffer)
    }

    fn wait_next(&mut self, buffer: &mut [u8], wait: Duration) -> Result<Answer<Entry>> {
        Reader::wait_next(self, buffer, wait)
    }

    fn next_batch(&mut self, buffer: &mut [u8], entries: &mut [Entry]) -> Result<Answer<usize>> {
        Reader::next_batch(self, buffer, entries)
    }

    fn next_view(&mut self) -> Result<Answer<KeptView>> {
        Ok(Reader::next_view(self)?.map(|view| view.keep()))
    }

    fn look(kept: &KeptView) -> Result<(Entry, Vec<u8>)> {
        let view = kept.view();
        let mut data = vec![0; view.entry().length];
        view.read_at(0, &mut data).map(|()| (view.entry(), data))
    }

    fn payload<'a>(entry: &Entry, buffer: &'a [u8]) -> &'a [u8] {
        entry.payload(buffer)
    }

    fn reply(entry: &Entry, data: &[u8]) -> Value {
        json!({
            "data": wire::bytes(data),
            "seq": text(entry.sequence),
            "chunk": entry.chunk,
            "token": text(entry.token),
            "skipped": text(entry.skipped),
        })
    }

    fn address(entry: &Entry, letter: &mut Letter) {
        letter.position = entry.sequence;
        letter.skipped = entry.skipped;
    }
}
