// SPDX-License-Identifier: MIT
//! Profile slick behind the driver protocol: reading.

use std::time::Duration;

use serde_json::{json, Value};
use shmwire::slick::{Item, KeptView, Reader};
use shmwire::{Answer, Result};

use super::super::follow::Follow;
use super::super::live::{Ending, Letter};
use super::super::wire::{self, text};

impl Follow for Reader {
    type Item = Item;
    type View = KeptView;

    const ENDING: Ending = Ending::Word;

    fn next(&mut self, buffer: &mut [u8]) -> Result<Answer<Item>> {
        Reader::next(self, buffer)
    }

    fn wait_next(&mut self, buffer: &mut [u8], wait: Duration) -> Result<Answer<Item>> {
        Reader::wait_next(self, buffer, wait)
    }

    fn next_batch(&mut self, buffer: &mut [u8], items: &mut [Item]) -> Result<Answer<usize>> {
        Reader::next_batch(self, buffer, items)
    }

    fn next_view(&mut self) -> Result<Answer<KeptView>> {
        Ok(Reader::next_view(self)?.map(|view| view.keep()))
    }

    fn look(kept: &KeptView) -> Result<(Item, Vec<u8>)> {
        let view = kept.view();
        let mut data = vec![0; view.item().length];
        view.read_at(0, &mut data).map(|()| (view.item(), data))
    }

    fn payload<'a>(item: &Item, buffer: &'a [u8]) -> &'a [u8] {
        item.payload(buffer)
    }

    fn reply(item: &Item, data: &[u8]) -> Value {
        json!({"data": wire::bytes(data), "pos": text(item.index), "elements": item.elements, "lost": text(item.lost)})
    }

    fn address(item: &Item, letter: &mut Letter) {
        letter.kind = item.elements;
        letter.position = item.index;
        letter.skipped = item.lost;
    }
}
