// SPDX-License-Identifier: MIT
//! Looking without consuming (section 7 of the specification, rules dmxp.peek.*). Works on a read-only mapping.

use super::channel::load_cursors;
use super::layout::*;
use super::reader::Content;
use super::{Channel, Message};
use crate::atomic::fence_acquire;
use crate::error::{Answer, Error, Result};

/// A look at the messages that nobody has consumed, oldest first; made by [`Channel::peek`].
///
/// As an iterator it hands out owned payloads; [`Peek::next_into`] copies into a buffer of the caller's.
#[derive(Debug)]
pub struct Peek<'a> {
    channel: &'a Channel,
    /// Where to go on; `None` before the first look.
    next: Option<u64>,
    ended: bool,
}

/// What one try at a position gave.
enum Look {
    Found(Message),
    /// Nothing to deliver there: claimed and not published, or a tombstone.
    Skip,
    /// It changed while it was being copied.
    Changed,
}

impl Channel {
    /// Look at the messages that are there without taking them [dmxp.peek.whole, dmxp.peek.readonly].
    ///
    /// ```
    /// # let name = format!("/shmw-doc-peek-{}", std::process::id());
    /// # let segment = shmwire::dmxp::CreateOptions::new().size(1 << 20).create(&name)?;
    /// # shmwire::unlink(&name)?;
    /// # segment.create_channel(0, &shmwire::dmxp::ChannelOptions::new().capacity(4))?;
    /// # let channel = segment.attach(0)?;
    /// # for word in ["one", "two"] {
    /// #     channel.try_send(word.as_bytes(), &Default::default())?.done().expect("there is room");
    /// # }
    /// for looked_at in channel.peek() {
    ///     let (message, payload) = looked_at?;
    ///     println!("{}: {} bytes", message.position, payload.len());
    /// }
    /// assert_eq!(channel.peek().count(), 2);
    /// # Ok::<(), shmwire::Error>(())
    /// ```
    #[must_use]
    pub fn peek(&self) -> Peek<'_> {
        Peek { channel: self, next: None, ended: false }
    }
}

impl Peek<'_> {
    /// Copy the next message into `buffer`; [`Answer::Empty`] at the end, or [`Answer::Closed`].
    ///
    /// # Errors
    /// [`Error::TooSmall`] stays where it is; [`Error::Corrupt`] has stepped over the position, if it is about one.
    pub fn next_into(&mut self, buffer: &mut [u8]) -> Result<Answer<Message>> {
        loop {
            let at = match self.following()? {
                Some(at) => at,
                None if self.channel.is_removed() => return Ok(Answer::Closed),
                None => return Ok(Answer::Empty),
            };
            match self.channel.look(at, buffer) {
                Ok(Look::Changed) => continue,
                Err(error @ Error::TooSmall { .. }) => return Err(error),
                look => {
                    self.next = Some(at.wrapping_add(1));
                    if let Look::Found(message) = look? {
                        return Ok(Answer::Done(message));
                    }
                }
            }
        }
    }

    /// The first position at or after `next` that is in [head, tail).
    fn following(&mut self) -> Result<Option<u64>> {
        let channel = self.channel;
        let (head, tail) = load_cursors(channel.entry()).ok_or_else(|| channel.corrupt("head does not stand still"))?;
        let ahead = tail.wrapping_sub(head);
        if ahead > channel.capacity() {
            self.ended = true;
            return Err(channel.corrupt("tail and head are further apart than the capacity"));
        }
        // A position behind head is far ahead of it, modulo 2^64.
        let at = self.next.filter(|next| next.wrapping_sub(head) <= channel.capacity()).unwrap_or(head);
        Ok(if at.wrapping_sub(head) < ahead { Some(at) } else { None })
    }
}

impl Iterator for Peek<'_> {
    type Item = Result<(Message, Vec<u8>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let mut buffer = vec![0; PAYLOAD_CAPACITY_CRATE as usize];
        match self.next_into(&mut buffer) {
            Ok(Answer::Done(message)) => {
                buffer.truncate(message.length);
                Some(Ok((message, buffer)))
            }
            Ok(_) => {
                self.ended = true;
                None
            }
            Err(error) => Some(Err(error)),
        }
    }
}

impl Channel {
    /// Copy the message at a position that was in [head, tail) just now.
    fn look(&self, at: u64, buffer: &mut [u8]) -> Result<Look> {
        let slot = self.slots.at(at);
        let word = slot.u64(SLOT_SEQUENCE_OFFSET);
        // A2: pairs with R2; the sequence before meta and payload
        let sequence = word.load_acquire();
        if sequence == at {
            return Ok(Look::Skip);
        }
        if sequence != at.wrapping_add(1) {
            return self.not_there(at);
        }
        let content = self.content(slot);
        let message = match content {
            Content::Payload { offset, length } if length <= buffer.len() => {
                slot.copy_racing(offset, &mut buffer[..length]);
                Some(self.message(slot, at, length))
            }
            _ => None,
        };
        // Pairs with F6: had any of the loads above met a later message, the sequence would have changed [dmxp.peek.whole]
        fence_acquire();
        if word.load_relaxed() != sequence {
            return Ok(Look::Changed);
        }
        match (content, message) {
            (_, Some(message)) => Ok(Look::Found(message)),
            (Content::Payload { length, .. }, None) => Err(Error::TooSmall { needed: length as u64 }),
            (Content::Tombstone, None) => Ok(Look::Skip),
            (Content::Impossible, None) => Err(self.corrupt("payload_len is above the payload capacity")),
        }
    }

    /// The slot belongs to another position: consumed meanwhile, or impossible.
    fn not_there(&self, at: u64) -> Result<Look> {
        // The position is consumed when head has gone past it: then it is no longer 1 to capacity below head + capacity.
        let head = self.entry().u64(CHANNEL_HEAD_OFFSET).load_relaxed();
        if at.wrapping_sub(head) > self.capacity() {
            return Ok(Look::Changed);
        }
        if self.is_removed() {
            return Ok(Look::Skip);
        }
        Err(self.corrupt("the sequence of a position between head and tail is impossible"))
    }
}
