// SPDX-License-Identifier: MIT
//! Profile dmxp behind the driver protocol: live actors.

use std::time::Duration;

use shmwire::dmxp::{Channel, Item, Message, Meta};
use shmwire::Answer;

use super::super::live::{Letter, Line};
use super::LARGEST_PAYLOAD;

const TYPE_DATA: u32 = 1;
const TYPE_END: u32 = 0xFFFF_FFFF;

fn type_of(letter: &Letter) -> u32 {
    if letter.end {
        TYPE_END
    } else {
        TYPE_DATA
    }
}

/// A channel as live actors use it.
pub struct Port {
    channel: Channel,
    buffer: Vec<u8>,
    messages: Vec<Message>,
}

impl Port {
    pub fn new(channel: Channel) -> Port {
        Port { channel, buffer: Vec::new(), messages: Vec::new() }
    }

    fn take(&mut self, wait: Duration, max: usize) -> shmwire::Result<Answer<usize>> {
        self.buffer.resize(LARGEST_PAYLOAD * max, 0);
        self.messages.resize(max, Message::default());
        if max > 1 {
            match self.channel.try_receive_batch(&mut self.buffer, &mut self.messages)? {
                Answer::Empty if !wait.is_zero() => {}
                other => return Ok(other),
            }
        }
        let one = match wait.is_zero() {
            true => self.channel.try_receive(&mut self.buffer)?,
            false => self.channel.receive(&mut self.buffer, wait)?,
        };
        Ok(one.map(|message| {
            self.messages[0] = message;
            1
        }))
    }
}

impl Line for Port {
    fn send(&mut self, letters: &[Letter], wait: Duration) -> shmwire::Result<Answer<usize>> {
        let answer = match letters {
            [one] => {
                let meta = Meta::new().message_type(type_of(one));
                match wait.is_zero() {
                    true => self.channel.try_send(&one.data, &meta)?,
                    false => self.channel.send(&one.data, &meta, wait)?,
                }
            }
            many => {
                let meta = |letter: &Letter| Meta::new().message_type(type_of(letter));
                self.channel.try_send_batch(many.iter().map(|letter| Item { data: &letter.data, meta: meta(letter) }))?
            }
        };
        Ok(answer.map(|_| letters.len()))
    }

    fn receive(&mut self, letters: &mut [Letter], wait: Duration) -> shmwire::Result<Answer<usize>> {
        let answer = self.take(wait, letters.len())?;
        if let Answer::Done(count) = answer {
            for (letter, message) in letters.iter_mut().zip(&self.messages[..count]) {
                letter.kind = message.message_type;
                letter.end = message.message_type == TYPE_END;
                letter.position = message.position;
                letter.sender_pid = message.sender_pid;
                letter.data.clear();
                letter.data.extend_from_slice(message.payload(&self.buffer));
            }
        }
        Ok(answer)
    }

    fn largest_batch(&self) -> u64 {
        self.channel.capacity()
    }

    fn largest_payload(&self) -> usize {
        self.channel.payload_capacity()
    }
}
