// SPDX-License-Identifier: MIT
//! Profile shmcomm behind the driver protocol: receiving.

use std::time::Duration;

use serde_json::{json, Value};
use shmwire::shmcomm::Message;
use shmwire::Answer;

use super::super::reading::{Mode, Reading};
use super::super::wire::{self, text, word, Outcome, Request};
use super::end::{lock, End};
use super::{Handle, Pending};

/// A message, a copy of its payload, and whether it was still there when that was made.
pub type Viewed = (Message, Vec<u8>, Answer<()>);

impl End {
    /// Receive one message.
    pub fn receive(&mut self, buffer: &mut [u8], wait: Duration) -> shmwire::Result<Answer<Message>> {
        match self {
            End::Subscriber(subscriber) => subscriber.receive(buffer, wait),
            End::Observer(observer) => observer.receive(buffer, wait),
            End::Puller(puller) => puller.receive(buffer, wait),
            End::Requester(requester) => requester.receive(buffer, wait),
            End::Replier(replier) => replier.receive(buffer, wait),
            _ => Err(shmwire::Error::Unsupported("this end does not receive")),
        }
    }

    pub fn receive_batch(
        &mut self,
        buffer: &mut [u8],
        messages: &mut [Message],
        wait: Duration,
    ) -> shmwire::Result<Answer<usize>> {
        match self {
            End::Subscriber(subscriber) => subscriber.receive_batch(buffer, messages, wait),
            End::Observer(observer) => observer.receive_batch(buffer, messages, wait),
            End::Puller(puller) => puller.receive_batch(buffer, messages, wait),
            End::Replier(replier) => replier.receive_batch(buffer, messages, wait),
            _ => Err(shmwire::Error::Unsupported("this end does not receive batches")),
        }
    }

    /// The next message where it lies, with a copy of its payload and whether it was that.
    pub fn view(&mut self, wait: Duration) -> shmwire::Result<Answer<Viewed>> {
        let answer = match self {
            End::Subscriber(subscriber) => subscriber.view(wait)?,
            End::Observer(observer) => observer.view(wait)?,
            _ => return Err(shmwire::Error::Unsupported("this end has no views")),
        };
        let view = match answer {
            Answer::Done(view) => view,
            other => return Ok(other.map(|_| (Message::default(), Vec::new(), Answer::Empty))),
        };
        let mut data = vec![0; view.message().length];
        view.read_at(0, &mut data)?;
        Ok(Answer::Done((view.message(), data, view.check())))
    }

    /// What the last LAPPED stood for.
    fn told_lost(&self) -> u64 {
        match self {
            End::Subscriber(subscriber) => subscriber.told_lost(),
            _ => 0,
        }
    }
}

pub fn read(request: &Request<'_>, handle: &mut Handle) -> Outcome {
    let Handle { end, views, requests, pending } = handle;
    let mut end = lock(end)?;
    let mut reading = Reading::new(request, end.info().max_payload, true)?;
    match pending.take() {
        Some(Pending::Failure(failure)) => return Err(failure),
        Some(Pending::Lapped(lost)) => return Ok(json!({"st": "lapped", "lost": text(lost), "items": []})),
        None => {}
    }
    let outcome = reading.receive(&mut end, views, requests);
    if !reading.items.is_empty() {
        match outcome {
            Err(error) => *pending = Some(Pending::Failure(error.into())),
            Ok(Answer::Lapped) => *pending = Some(Pending::Lapped(end.told_lost())),
            Ok(_) => {}
        }
        return Ok(json!({"st": "ok", "items": reading.items}));
    }
    match outcome? {
        Answer::Lapped => Ok(json!({"st": "lapped", "lost": text(end.told_lost()), "items": []})),
        answer => Ok(json!({"st": word(&answer), "items": []})),
    }
}

impl Reading {
    /// Fill `items`; answers what goes with having none.
    fn receive(&mut self, end: &mut End, views: &mut Vec<Message>, requests: &mut Vec<Message>) -> shmwire::Result<Answer<()>> {
        match self.mode {
            Mode::View => {
                let answer = end.view(self.timeout)?;
                Ok(answer.map(|(message, data, _)| {
                    views.push(message);
                    let mut item = item(&message, &data);
                    item["view"] = json!(views.len());
                    self.items.push(item);
                }))
            }
            Mode::Batch => {
                let mut messages = vec![Message::default(); self.max as usize];
                let answer = end.receive_batch(&mut self.buffer, &mut messages, self.timeout)?;
                messages[..answer.done().unwrap_or(0)].iter().for_each(|message| self.keep(end, message, requests));
                Ok(answer.map(|_| ()))
            }
            _ => self.receive_each(end, requests),
        }
    }

    fn receive_each(&mut self, end: &mut End, requests: &mut Vec<Message>) -> shmwire::Result<Answer<()>> {
        for n in 0..self.max {
            let wait = if self.mode == Mode::Block && n == 0 { self.timeout } else { Duration::ZERO };
            match end.receive(&mut self.buffer, wait)? {
                Answer::Done(message) => self.keep(end, &message, requests),
                other => return Ok(other.map(|_| ())),
            }
            if matches!(end, End::Requester(_)) {
                break; // its request has been answered
            }
        }
        Ok(Answer::Done(()))
    }

    fn keep(&mut self, end: &End, message: &Message, requests: &mut Vec<Message>) {
        let mut item = item(message, message.payload(&self.buffer));
        if let End::Replier(_) = end {
            requests.push(*message);
            item["request"] = json!(requests.len());
        }
        self.items.push(item);
    }
}

fn item(message: &Message, data: &[u8]) -> Value {
    json!({
        "data": wire::bytes(data),
        "seq": text(message.sequence),
        "lost": text(message.lost),
        "meta": {
            "timestamp_ns": text(message.timestamp_ns),
            "correlation_id": text(message.correlation_id),
            "sender": message.sender,
            "content_type": message.content_type,
            "flags": message.flags,
        },
    })
}
