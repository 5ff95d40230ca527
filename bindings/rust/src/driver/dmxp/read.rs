// SPDX-License-Identifier: MIT
//! Profile dmxp behind the driver protocol: reading.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{json, Value};
use shmwire::dmxp::{Channel, Message, OpenOptions};
use shmwire::Answer;

use super::super::profile::Injection;
use super::super::wire::{self, text, word, Failure, Request};
use super::{channel_id, meta, LARGEST_PAYLOAD};

/// Most items of one reply, so that it stays below the protocol's 4 MiB.
const MOST_ITEMS: u64 = 1024;
const LARGEST_BUFFER: u64 = 64 << 20;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Try,
    Block,
    Batch,
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
    pub fn new(request: &Request<'_>) -> Result<Reading, Failure> {
        let modes = [Mode::Try, Mode::Block, Mode::Batch, Mode::Peek];
        let mode = modes[request.one_of("mode", &["try", "block", "batch", "peek"])?];
        let max = request.optional_number("max", u64::MAX)?.unwrap_or(1).min(MOST_ITEMS);
        if max == 0 {
            return Err(Failure::bad_request("max is 0"));
        }
        let messages = if mode == Mode::Batch { max as usize } else { 1 };
        let size = request.optional_number("buffer", LARGEST_BUFFER)?.map_or(LARGEST_PAYLOAD * messages, |size| size as usize);
        Ok(Reading { mode, max, timeout: request.timeout()?, buffer: vec![0; size], items: Vec::new() })
    }

    /// Fill `items`; answers the `st` that goes with having none.
    pub fn run(&mut self, channel: &Channel) -> Result<String, Failure> {
        match self.mode {
            Mode::Batch => self.batch(channel),
            Mode::Peek => {
                let mut look = channel.peek();
                self.each(|buffer, _| look.next_into(buffer))
            }
            Mode::Try => self.each(|buffer, _| channel.try_receive(buffer)),
            Mode::Block => {
                let timeout = self.timeout;
                self.each(|buffer, first| if first { channel.receive(buffer, timeout) } else { channel.try_receive(buffer) })
            }
        }
    }

    fn each(&mut self, mut next: impl FnMut(&mut [u8], bool) -> shmwire::Result<Answer<Message>>) -> Result<String, Failure> {
        for n in 0..self.max {
            match next(&mut self.buffer, n == 0)? {
                Answer::Done(message) => self.items.push(item(&message, &self.buffer)),
                other => return Ok(word(&other)),
            }
        }
        Ok("ok".to_owned())
    }

    fn batch(&mut self, channel: &Channel) -> Result<String, Failure> {
        let mut messages = vec![Message::default(); self.max as usize];
        let answer = channel.try_receive_batch(&mut self.buffer, &mut messages)?;
        let count = answer.done().unwrap_or(0);
        self.items.extend(messages[..count].iter().map(|message| item(message, &self.buffer)));
        Ok(word(&answer))
    }
}

fn item(message: &Message, buffer: &[u8]) -> Value {
    json!({
        "data": wire::bytes(message.payload(buffer)),
        "pos": text(message.position),
        "meta": {
            "message_id": text(message.message_id),
            "timestamp_ns": text(message.timestamp_ns),
            "message_type": message.message_type,
            "sender_pid": message.sender_pid,
            "sender_runtime": message.sender_runtime,
            "flags": message.flags,
        },
    })
}

/// What became of the message that a sleep hook had to send.
pub struct Sent(Arc<Mutex<Option<shmwire::Result<Answer<u64>>>>>);

impl Sent {
    /// How many messages the hook has sent.
    pub fn finish(self) -> Result<u64, Failure> {
        match self.0.lock().map(|mut sent| sent.take()) {
            Ok(None) => Ok(0),
            Ok(Some(Ok(Answer::Done(_)))) => Ok(1),
            Ok(Some(other)) => Err(Failure::internal(format!("on_sleep: the message was not sent: {other:?}"))),
            Err(_) => Err(Failure::internal("on_sleep: the hook panicked")),
        }
    }
}

/// The channel with a hook that sends `on_sleep`'s message, once, through a second handle.
pub fn send_before_sleep(channel: &Channel, on_sleep: &Request<'_>, injection: &Injection) -> Result<(Channel, Sent), Failure> {
    let other = OpenOptions::new().open(on_sleep.text("seg")?)?.attach(channel_id(on_sleep)?)?;
    let (data, meta) = (on_sleep.bytes("data")?, meta(on_sleep, injection, 0)?);
    let sent = Arc::new(Mutex::new(None));
    let slot = Arc::clone(&sent);
    let hooked = channel.clone().with_sleep_hook(move || {
        if let Ok(mut slot) = slot.lock() {
            slot.get_or_insert_with(|| other.try_send(&data, &meta));
        }
    });
    Ok((hooked, Sent(sent)))
}
