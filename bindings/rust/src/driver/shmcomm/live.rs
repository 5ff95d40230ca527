// SPDX-License-Identifier: MIT
//! Profile shmcomm behind the driver protocol: live actors.

use std::time::{Duration, Instant};

use serde_json::{json, Value};
use shmwire::shmcomm::{Message, Meta};
use shmwire::{Answer, Code, Error, SharedCounts};

use super::super::live::{Ending, Letter, Line};
use super::super::profile::Injection;
use super::super::wire::{Failure, Request};
use super::end::{End, Manner};

/// What END carries; every other message has 0.
const CONTENT_END: u16 = 0xFFFF;
/// Most letters that an actor prepares at a time.
const LARGEST_BATCH: u64 = 1024;
/// A reading actor's buffer, unless one message takes more.
const BUFFER: usize = 4 << 20;
/// How long a replier insists where a requester's ring is full.
const REPLY_PATIENCE: Duration = Duration::from_secs(2);
/// How long a requester waits for a reply, unless its plan says otherwise.
const REPLY_LIMIT_MS: u64 = 5_000;

pub fn attach(seg: &str, plan: &Request<'_>) -> Result<Box<dyn Line>, Failure> {
    let role = plan.text("as")?;
    let manner = Manner::new(&plan.optional_object("open")?, plan.timeout()?, &Injection::default())?;
    let end = manner.with_role(role).open(seg)?;
    let writes = plan.one_of("role", &["read", "write"])? == 1;
    match (&end, writes) {
        (End::Publisher(_) | End::Pusher(_), true) => Ok(Box::new(WritePort::new(end, plan)?)),
        (End::Requester(_), true) => Ok(Box::new(AskPort::new(end, plan)?)),
        (End::Subscriber(_) | End::Observer(_) | End::Puller(_) | End::Replier(_), false) => {
            Ok(Box::new(ReadPort::new(end, plan)?))
        }
        _ => Err(Failure::bad_request("as does not go with role")),
    }
}

/// What a failure of a live call is; a lock that is held for long is no failure.
fn into_error(failure: Failure) -> Error {
    match failure.code() {
        "BUSY" => Error::Busy,
        "CORRUPT" => Error::Corrupt { what: "a live call", channel: None },
        "OUT_OF_ORDER" => Error::OutOfOrder,
        _ => Error::Unsupported("a live call; see standard error"),
    }
}

fn patient<T>(result: Result<Answer<T>, Failure>) -> shmwire::Result<Answer<T>> {
    match result {
        Ok(answer) => Ok(answer),
        Err(failure) if failure.code() == Code::Busy.name() => Ok(Answer::Timeout),
        Err(failure) => {
            eprintln!("{failure:?}");
            Err(into_error(failure))
        }
    }
}

fn meta_of(letter: &Letter) -> Meta {
    Meta::new().content_type(if letter.end { CONTENT_END } else { 0 })
}

/// How far publishers may go.
struct Window {
    counts: SharedCounts,
    size: u64,
    /// Where the slowest reader was when it was looked for last.
    slowest: u64,
}

impl Window {
    fn of(plan: &Request<'_>) -> Result<Option<Window>, Failure> {
        if !plan.has("credit") {
            return Ok(None);
        }
        let credit = plan.object("credit")?;
        let counts = SharedCounts::open_credit(shmwire::path(credit.text("path")?)?)?;
        Ok(Some(Window { counts, size: credit.number("window", u64::MAX)?, slowest: 0 }))
    }

    /// How many messages may be sent from a sequence on.
    fn room(&mut self, next: u64) -> u64 {
        let end = self.slowest.saturating_add(self.size);
        if next >= end {
            self.slowest = self.counts.least(self.counts.count(), u64::MAX);
        }
        self.slowest.saturating_add(self.size).saturating_sub(next)
    }
}

/// A publisher or a pusher.
struct WritePort {
    end: End,
    largest: usize,
    window: Option<Window>,
}

impl WritePort {
    fn new(end: End, plan: &Request<'_>) -> Result<WritePort, Failure> {
        Ok(WritePort { largest: end.info().max_payload as usize, window: Window::of(plan)?, end })
    }
}

impl Line for WritePort {
    fn send(&mut self, letters: &[Letter], wait: Duration) -> shmwire::Result<Answer<usize>> {
        let mut most = letters.len();
        if let Some(window) = &mut self.window {
            let next = self.end.header().message_count;
            most = most.min(usize::try_from(window.room(next)).unwrap_or(usize::MAX));
        }
        let mut sent = 0;
        let answer = match &letters[..most] {
            [] => return Ok(Answer::Timeout), // no credit yet
            [one] => patient(self.end.send(&one.data, &meta_of(one), wait))?.map(|_| sent = 1),
            many => {
                let parts: Vec<&[u8]> = many.iter().map(|letter| &letter.data[..]).collect();
                patient(self.end.send_batch(&parts, &meta_of(&many[0]), wait, |_| sent += 1))?
            }
        };
        Ok(match answer {
            _ if sent > 0 => Answer::Done(sent), // if something stopped it, the next call will say so
            other => other.map(|()| 0),
        })
    }

    /// By the library's count: a batch that was stopped by want of room was answered so, too.
    fn complete(&self, summary: &mut Value) {
        summary["full"] = json!(self.end.info().refused);
    }

    fn receive(&mut self, _letters: &mut [Letter], _wait: Duration) -> shmwire::Result<Answer<usize>> {
        Err(Error::Unsupported("a writer that reads"))
    }

    fn largest_batch(&self) -> u64 {
        LARGEST_BATCH
    }

    fn largest_payload(&self) -> usize {
        self.largest
    }

    fn ending(&self) -> Ending {
        Ending::Letters(1)
    }
}

/// A requester.
struct AskPort {
    end: End,
    largest: usize,
    limit: Duration,
    buffer: Vec<u8>,
    replied: u64,
    timeouts: u64,
    mismatched: u64,
}

impl AskPort {
    fn new(end: End, plan: &Request<'_>) -> Result<AskPort, Failure> {
        let largest = end.info().max_payload as usize;
        let limit = Duration::from_millis(plan.optional_number("reply_ms", u64::from(u32::MAX))?.unwrap_or(REPLY_LIMIT_MS));
        Ok(AskPort { end, largest, limit, buffer: vec![0; BUFFER.max(largest)], replied: 0, timeouts: 0, mismatched: 0 })
    }

    /// Wait for the reply as long as there may be one; sleeping, or polling where `wait` says so.
    fn await_reply(&mut self, wait: Duration, expected: &[u8]) -> shmwire::Result<()> {
        let end = Instant::now() + self.limit;
        loop {
            let last = Instant::now() >= end;
            match self.end.receive(&mut self.buffer, wait)? {
                Answer::Done(message) if message.payload(&self.buffer) == expected => self.replied += 1,
                Answer::Done(_) => self.mismatched += 1,
                Answer::Closed => self.timeouts += 1,
                _ if last => self.timeouts += 1,
                _ => {
                    std::thread::yield_now();
                    continue;
                }
            }
            return Ok(());
        }
    }
}

impl Line for AskPort {
    fn send(&mut self, letters: &[Letter], wait: Duration) -> shmwire::Result<Answer<usize>> {
        let letter = &letters[0];
        match patient(self.end.send(&letter.data, &meta_of(letter), wait))? {
            Answer::Done(_) => {
                self.await_reply(wait, &letter.data)?;
                Ok(Answer::Done(1))
            }
            other => Ok(other.map(|_| 0)),
        }
    }

    fn receive(&mut self, _letters: &mut [Letter], _wait: Duration) -> shmwire::Result<Answer<usize>> {
        Err(Error::Unsupported("a requester that reads on its own"))
    }

    fn largest_batch(&self) -> u64 {
        LARGEST_BATCH
    }

    fn largest_payload(&self) -> usize {
        self.largest
    }

    fn ending(&self) -> Ending {
        Ending::Letters(1)
    }

    fn complete(&self, summary: &mut Value) {
        summary["full"] = json!(self.end.info().refused);
        summary["replied"] = json!(self.replied);
        summary["timeouts"] = json!(self.timeouts);
        summary["mismatched"] = json!(self.mismatched);
    }
}

/// Where a subscriber says how far it is, until it has ended.
struct Told {
    counts: SharedCounts,
    slot: u64,
}

impl Drop for Told {
    fn drop(&mut self) {
        self.counts.store(self.slot, u64::MAX);
    }
}

/// A subscriber, a puller or a replier.
struct ReadPort {
    end: End,
    ends: u64,
    views: bool,
    buffer: Vec<u8>,
    messages: Vec<Message>,
    /// Requests that are to be answered once they were recorded.
    open: Vec<(Message, Vec<u8>)>,
    /// What views lost that were overwritten while they were copied.
    lapsed: u64,
    told: Option<Told>,
    /// Behind the last sequence that it was given.
    given: u64,
}

impl ReadPort {
    fn new(end: End, plan: &Request<'_>) -> Result<ReadPort, Failure> {
        let told = match plan.has("credit") {
            false => None,
            true => {
                let credit = plan.object("credit")?;
                let counts = SharedCounts::open_credit(shmwire::path(credit.text("path")?)?)?;
                let last = counts.count().saturating_sub(1);
                Some(Told { slot: credit.number("slot", last)?, counts })
            }
        };
        Ok(ReadPort {
            ends: plan.optional_number("ends", u64::MAX)?.unwrap_or(1).max(1),
            views: plan.flag("view")?,
            buffer: vec![0; BUFFER.max(end.info().max_payload as usize)],
            messages: Vec::new(),
            open: Vec::new(),
            lapsed: 0,
            told,
            given: 0,
            end,
        })
    }

    /// One message as a view shows it, copied to the front of the buffer.
    fn look(&mut self, wait: Duration) -> shmwire::Result<Answer<Message>> {
        match self.end.view(wait)? {
            Answer::Done((mut message, data, Answer::Done(()))) => {
                self.buffer[..data.len()].copy_from_slice(&data);
                message.lost += std::mem::take(&mut self.lapsed);
                Ok(Answer::Done(message))
            }
            Answer::Done((message, ..)) => {
                self.lapsed += message.lost + 1;
                Ok(Answer::Lapped)
            }
            other => Ok(other.map(|_| Message::default())),
        }
    }

    fn take(&mut self, wait: Duration, max: usize) -> shmwire::Result<Answer<usize>> {
        self.messages.resize(max, Message::default());
        if max > 1 && !self.views {
            return self.end.receive_batch(&mut self.buffer, &mut self.messages, wait);
        }
        let one = if self.views { self.look(wait)? } else { self.end.receive(&mut self.buffer, wait)? };
        Ok(one.map(|message| {
            self.messages[0] = message;
            1
        }))
    }
}

impl Line for ReadPort {
    fn send(&mut self, _letters: &[Letter], _wait: Duration) -> shmwire::Result<Answer<usize>> {
        Err(Error::Unsupported("a reader that writes"))
    }

    fn receive(&mut self, letters: &mut [Letter], wait: Duration) -> shmwire::Result<Answer<usize>> {
        let answer = self.take(wait, letters.len())?;
        let count = match answer {
            Answer::Done(count) => count,
            Answer::Closed => return Ok(Answer::Empty), // END comes by whoever opens it again
            other => return Ok(other),
        };
        for (letter, message) in letters.iter_mut().zip(&self.messages[..count]) {
            self.given = message.sequence + 1;
            letter.kind = message.sender;
            letter.end = message.content_type == CONTENT_END;
            letter.position = message.sequence;
            letter.skipped = message.lost;
            letter.data.clear();
            letter.data.extend_from_slice(message.payload(&self.buffer));
            if matches!(self.end, End::Replier(_)) && !letter.end {
                self.open.push((*message, letter.data.clone()));
            }
        }
        Ok(answer)
    }

    /// Credit and replies come after the record: who is killed in between has not said that it had the message.
    fn recorded(&mut self) -> shmwire::Result<()> {
        if let End::Replier(replier) = &mut self.end {
            for (request, data) in self.open.drain(..) {
                match replier.reply(&request, &data, REPLY_PATIENCE) {
                    Ok(_) | Err(Error::Busy) => {} // whoever asked counts what does not come
                    Err(error) => return Err(error),
                }
            }
        }
        if let Some(told) = &self.told {
            told.counts.store(told.slot, self.given);
        }
        Ok(())
    }

    fn largest_batch(&self) -> u64 {
        LARGEST_BATCH
    }

    /// Nothing is prepared for reading: letters grow with what comes.
    fn largest_payload(&self) -> usize {
        0
    }

    fn ending(&self) -> Ending {
        Ending::Letters(self.ends)
    }

    fn finish(&mut self) {
        self.told = None;
    }
}
