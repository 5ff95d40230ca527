// SPDX-License-Identifier: MIT
//! What readers that take nothing away have in common: profiles ouroboros and slick, at rest and live.

use std::time::Duration;

use serde_json::{json, Value};
use shmwire::{Answer, Error};

use super::live::{Ending, Letter, Line};

/// A reading actor's buffer, unless one item takes more.
const BUFFER: usize = 4 << 20;
/// Most letters that an actor prepares at a time.
pub const LARGEST_BATCH: u64 = 1024;

/// A reader of such a profile.
pub trait Follow: Send {
    type Item: Clone + Default + Send;
    /// A view that stays while the reader goes on.
    type View;

    /// What ends an actor that reads.
    const ENDING: Ending;

    fn next(&mut self, buffer: &mut [u8]) -> shmwire::Result<Answer<Self::Item>>;
    fn wait_next(&mut self, buffer: &mut [u8], wait: Duration) -> shmwire::Result<Answer<Self::Item>>;
    fn next_batch(&mut self, buffer: &mut [u8], items: &mut [Self::Item]) -> shmwire::Result<Answer<usize>>;
    fn next_view(&mut self) -> shmwire::Result<Answer<Self::View>>;
    /// The item of a view with its bytes, before they are known to be whole.
    fn look(view: &Self::View) -> shmwire::Result<(Self::Item, Vec<u8>)>;
    fn payload<'a>(item: &Self::Item, buffer: &'a [u8]) -> &'a [u8];
    /// The item as replies have it.
    fn reply(item: &Self::Item, data: &[u8]) -> Value;
    /// Fill in what a record says beside the payload.
    fn address(item: &Self::Item, letter: &mut Letter);
}

/// A reader, and the views that it has lent.
pub struct Lending<'a, R: Follow> {
    pub reader: &'a mut R,
    pub views: &'a mut Vec<R::View>,
}

impl<R: Follow> Lending<'_, R> {
    /// The next item as replies have it; polls for it if there is a time for that.
    pub fn next(&mut self, buffer: &mut [u8], wait: Option<Duration>) -> shmwire::Result<Answer<Value>> {
        let answer = match wait {
            Some(wait) => self.reader.wait_next(buffer, wait)?,
            None => self.reader.next(buffer)?,
        };
        Ok(answer.map(|item| R::reply(&item, R::payload(&item, buffer))))
    }

    /// Up to `max` items with one call.
    pub fn batch(&mut self, buffer: &mut [u8], max: usize) -> shmwire::Result<Answer<Vec<Value>>> {
        let mut items = vec![R::Item::default(); max];
        let answer = self.reader.next_batch(buffer, &mut items)?;
        Ok(answer.map(|count| items[..count].iter().map(|item| R::reply(item, R::payload(item, buffer))).collect()))
    }

    /// The next item as a view shows it, with a handle of that.
    pub fn view(&mut self) -> shmwire::Result<Answer<Value>> {
        let view = match self.reader.next_view()? {
            Answer::Done(view) => view,
            other => return Ok(other.map(|_| Value::Null)),
        };
        let (item, data) = R::look(&view)?;
        self.views.push(view);
        let mut reply = R::reply(&item, &data);
        reply["view"] = json!(self.views.len());
        Ok(Answer::Done(reply))
    }
}

/// A reader as a live actor uses it.
pub struct ReadPort<R: Follow> {
    reader: R,
    buffer: Vec<u8>,
    items: Vec<R::Item>,
}

impl<R: Follow> ReadPort<R> {
    /// No item takes more than `largest` bytes.
    pub fn new(reader: R, largest: usize) -> ReadPort<R> {
        ReadPort { reader, buffer: vec![0; BUFFER.max(largest)], items: Vec::new() }
    }

    fn take(&mut self, wait: Duration, max: usize) -> shmwire::Result<Answer<usize>> {
        self.items.resize(max, R::Item::default());
        if max > 1 {
            match self.reader.next_batch(&mut self.buffer, &mut self.items)? {
                Answer::Empty if !wait.is_zero() => {}
                other => return Ok(other),
            }
        }
        let one = match wait.is_zero() {
            true => self.reader.next(&mut self.buffer)?,
            false => self.reader.wait_next(&mut self.buffer, wait)?,
        };
        Ok(one.map(|item| {
            self.items[0] = item;
            1
        }))
    }
}

impl<R: Follow> Line for ReadPort<R> {
    fn send(&mut self, _letters: &[Letter], _wait: Duration) -> shmwire::Result<Answer<usize>> {
        Err(Error::Unsupported("a reader that writes"))
    }

    fn receive(&mut self, letters: &mut [Letter], wait: Duration) -> shmwire::Result<Answer<usize>> {
        let answer = self.take(wait, letters.len())?;
        if let Answer::Done(count) = answer {
            for (letter, item) in letters.iter_mut().zip(&self.items[..count]) {
                R::address(item, letter);
                letter.data.clear();
                letter.data.extend_from_slice(R::payload(item, &self.buffer));
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
        R::ENDING
    }
}
