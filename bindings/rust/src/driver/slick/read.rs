// SPDX-License-Identifier: MIT
//! Profile slick behind the driver protocol: reading.

use std::time::Duration;

use serde_json::{json, Value};
use shmwire::slick::{Item, Reader, View};
use shmwire::Answer;

use super::super::reading::Source;
use super::super::wire::{self, text};

/// A reader, and the views that it has lent.
pub struct Lending<'a> {
    pub reader: &'a mut Reader,
    pub views: &'a mut Vec<View>,
}

impl Source for Lending<'_> {
    fn next(&mut self, buffer: &mut [u8], wait: Option<Duration>) -> shmwire::Result<Answer<Value>> {
        let answer = match wait {
            Some(wait) => self.reader.wait_next(buffer, wait)?,
            None => self.reader.next(buffer)?,
        };
        Ok(answer.map(|found| item(&found, found.payload(buffer))))
    }

    fn batch(&mut self, buffer: &mut [u8], max: usize) -> shmwire::Result<Answer<Vec<Value>>> {
        let mut items = vec![Item::default(); max];
        let answer = self.reader.next_batch(buffer, &mut items)?;
        Ok(answer.map(|count| items[..count].iter().map(|found| item(found, found.payload(buffer))).collect()))
    }

    fn view(&mut self) -> shmwire::Result<Answer<Value>> {
        let view = match self.reader.next_view()? {
            Answer::Done(view) => view,
            other => return Ok(other.map(|_| Value::Null)),
        };
        let mut data = vec![0; view.item().length];
        view.read_at(0, &mut data)?;
        let mut item = item(&view.item(), &data);
        self.views.push(view);
        item["view"] = json!(self.views.len());
        Ok(Answer::Done(item))
    }
}

pub fn item(item: &Item, data: &[u8]) -> Value {
    json!({"data": wire::bytes(data), "pos": text(item.index), "elements": item.elements, "lost": text(item.lost)})
}
