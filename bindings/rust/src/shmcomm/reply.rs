// SPDX-License-Identifier: MIT
//! Requests and replies (section 9 of the specification).

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, Instant};

use super::endpoint::{keeper_lives, Endpoint, Joining};
use super::info::{HeaderInfo, HeldFrame, Info};
use super::layout::*;
use super::names::{locate, reply_locator, reply_prefix};
use super::patterns::looks;
use super::recover::{remove_stale, sweep};
use super::segment::{is_unfinished, Segment};
use super::writer::Writer;
use super::{Making, Message, Meta, Options};
use crate::error::{Answer, Error, Result};
use crate::map::random_u64;
use crate::wait::Wait;

/// Numbers that a requester tries, if living ones have the reply channels of those that it drew.
const NUMBER_TRIES: u32 = 16;
/// Reply channels that a replier keeps mapped.
const MOST_ROUTES: usize = 32;

/// Sends requests to a service, and receives a reply to each. One request at a time: a new one gives up the one before.
///
/// Serves one thread at a time. A forked child has none of its parent's: calls answer [`Error::OutOfOrder`] there.
#[derive(Debug)]
pub struct Requester {
    writer: Writer,
    /// The reply channel, whose keeper and only puller this is.
    replies: Endpoint,
    /// Of the request that is outstanding, or of the next one.
    correlation_id: u64,
    outstanding: bool,
    received: u64,
    discarded: u64,
}

looks!(Requester, end, end.writer.segment(), end.writer.endpoint.locator());

impl Requester {
    /// Join the service of a name, once it is there, and make the channel of its replies; a name with a slash in it is the locator of
    /// the service's segment [shmcomm.request.number].
    ///
    /// # Errors
    /// As [`Publisher::open`](super::Publisher::open); [`Error::NotFound`] when no replier has come in time.
    pub fn open(name: impl AsRef<Path>, options: &Options) -> Result<Requester> {
        let options = options.checked(DEFAULT_REPLY_CAPACITY)?;
        let locator = locate(PATTERN_REQUEST, name.as_ref())?;
        let prefix = reply_prefix(name.as_ref());
        let first = options.identity.correlation_id;
        let correlation_id = if first == 0 { random_u64()?.max(1) } else { first }; // [shmcomm.request.correlation]
        for _ in 0..NUMBER_TRIES {
            let endpoint = Endpoint::join(&locator, &Joining::new(PATTERN_REQUEST, false, &options))?;
            match make_replies(&prefix, endpoint.number, &options) {
                Ok(replies) => {
                    let writer = Writer::new(endpoint);
                    return Ok(Requester { writer, replies, correlation_id, outstanding: false, received: 0, discarded: 0 });
                }
                Err(Error::Busy) if options.identity.endpoint == 0 => {} // a living one has that number
                Err(error) => return Err(error),
            }
        }
        Err(Error::Busy)
    }

    /// Send a request, and give up the one before. Answers as those of [`Pusher::send`](super::Pusher::send); Done carries its sequence.
    ///
    /// # Errors
    /// As [`Pusher::send`](super::Pusher::send). There is no request then.
    #[inline]
    pub fn send(&mut self, data: &[u8], wait: impl Into<Wait>) -> Result<Answer<u64>> {
        self.send_with(data, &Meta::new(), wait)
    }

    /// The same, with what travels beside it.
    ///
    /// # Errors
    /// As [`Requester::send`].
    pub fn send_with(&mut self, data: &[u8], meta: &Meta, wait: impl Into<Wait>) -> Result<Answer<u64>> {
        self.replies.file()?;
        self.writer.check_length(data.len())?;
        if std::mem::take(&mut self.outstanding) {
            self.correlation_id = self.correlation_id.wrapping_add(1).max(1);
        }
        self.discarded += self.replies.segment.discard_all()?;
        let answer = self.writer.send(data, meta, self.correlation_id, wait.into())?;
        self.outstanding = matches!(answer, Answer::Done(_));
        Ok(answer)
    }

    /// Receive the reply to the request, copied to `buffer`. Replies to others are passed over and counted [shmcomm.request.late].
    /// [`Answer::Empty`] at once for no time, else [`Answer::Timeout`]: the request stays outstanding.
    ///
    /// # Errors
    /// [`Error::OutOfOrder`] without a request [shmcomm.request.order], and in a forked child; [`Error::TooSmall`] leaves the reply where
    /// it is; [`Error::Corrupt`].
    pub fn receive(&mut self, buffer: &mut [u8], wait: impl Into<Wait>) -> Result<Answer<Message>> {
        self.replies.file()?;
        if !self.outstanding {
            return Err(Error::OutOfOrder);
        }
        let (wanted, discarded) = (self.correlation_id, &mut self.discarded);
        let answer = self.replies.wait_to_take(wait.into(), |replies| replies.segment.pull(buffer, Some(wanted), discarded))?;
        if let Answer::Done(_) = answer {
            self.outstanding = false;
            self.correlation_id = wanted.wrapping_add(1).max(1);
            self.received += 1;
        }
        Ok(answer)
    }

    /// Send a request and receive its reply, `wait` for each at most.
    ///
    /// # Errors
    /// As [`Requester::send`] and [`Requester::receive`].
    pub fn call(&mut self, data: &[u8], buffer: &mut [u8], wait: impl Into<Wait>) -> Result<Answer<Message>> {
        let wait = wait.into();
        match self.send(data, wait)? {
            Answer::Done(_) => self.receive(buffer, wait),
            other => Ok(other.map(|_| Message::default())),
        }
    }

    /// The service's channel, and what this endpoint has done.
    #[must_use]
    pub fn info(&self) -> Info {
        let writer = &self.writer;
        Info {
            sent: writer.sent,
            refused: writer.refused,
            received: self.received,
            discarded: self.discarded,
            ..writer.endpoint.info()
        }
    }
}

/// The reply channel of a number that is ours. One of a dead requester is in the way; `Busy`: one of a living one.
fn make_replies(prefix: &OsString, number: u32, options: &Options) -> Result<Endpoint> {
    let locator = reply_locator(prefix, number);
    let options = options.making(Making::CreateOnly);
    let joining = Joining { number, insists: true, ..Joining::new(PATTERN_REPLY, true, &options) };
    for _ in 0..NUMBER_TRIES {
        match Endpoint::join(&locator, &joining) {
            Err(Error::Exists) => {}
            made => return made,
        }
        match remove_stale(&locator, Some(PATTERN_REPLY), true) {
            Ok(_) | Err(Error::NotFound) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Error::Busy)
}

/// A replier's way to a requester.
#[derive(Debug)]
struct Route {
    writer: Writer,
    /// Rank: who was used last has the highest.
    used: u64,
}

/// Takes requests of a service, and replies to them: any number may be unanswered at a time, in any order. Several repliers of a service
/// share the requests.
///
/// Serves one thread at a time. A forked child has none of its parent's: calls answer [`Error::OutOfOrder`] there.
#[derive(Debug)]
pub struct Replier {
    endpoint: Endpoint,
    prefix: OsString,
    routes: HashMap<u32, Route>,
    rank: u64,
    swept: Instant,
    sent: u64,
    received: u64,
    unanswered: u64,
    /// Of routes that are gone.
    refused: u64,
    takeovers: u64,
}

looks!(Replier, end, end.endpoint.segment, end.endpoint.locator());

impl Replier {
    /// Join the service of a name, or make it, and remove what dead requesters left; a name with a slash in it is the locator of the
    /// service's segment.
    ///
    /// # Errors
    /// As [`Publisher::open`](super::Publisher::open).
    pub fn open(name: impl AsRef<Path>, options: &Options) -> Result<Replier> {
        let options = options.checked(DEFAULT_CAPACITY)?;
        let locator = locate(PATTERN_REQUEST, name.as_ref())?;
        let endpoint = Endpoint::join(&locator, &Joining::new(PATTERN_REQUEST, true, &options))?;
        let mut replier = Replier {
            endpoint,
            prefix: reply_prefix(name.as_ref()),
            routes: HashMap::new(),
            rank: 0,
            swept: Instant::now(),
            sent: 0,
            received: 0,
            unanswered: 0,
            refused: 0,
            takeovers: 0,
        };
        replier.sweep();
        Ok(replier)
    }

    /// Remove the reply channels of those who do not live. A directory that cannot be read hides them from us, and nothing else
    /// [shmcomm.reply.sweep].
    fn sweep(&mut self) {
        let _ = sweep(&self.prefix);
        self.swept = Instant::now();
    }

    /// Take the oldest request, copied to `buffer`. Answers and errors as those of [`Puller::receive`](super::Puller::receive).
    ///
    /// # Errors
    /// [`Error::TooSmall`], [`Error::Corrupt`], [`Error::OutOfOrder`].
    #[inline]
    pub fn receive(&mut self, buffer: &mut [u8], wait: impl Into<Wait>) -> Result<Answer<Message>> {
        let answer = self.wait_for(wait.into(), |segment| segment.pull(buffer, None, &mut 0))?;
        self.received += u64::from(matches!(answer, Answer::Done(_)));
        Ok(answer.map(|message| Message { taken: Some(Instant::now()), ..message }))
    }

    /// Take as many requests as are there, have room in `messages`, and fit into `buffer`; as
    /// [`Puller::receive_batch`](super::Puller::receive_batch).
    ///
    /// # Errors
    /// As [`Puller::receive_batch`](super::Puller::receive_batch).
    pub fn receive_batch(&mut self, buffer: &mut [u8], messages: &mut [Message], wait: impl Into<Wait>) -> Result<Answer<usize>> {
        Segment::check_batch(messages)?;
        let answer = self.wait_for(wait.into(), |segment| segment.pull_batch(buffer, messages))?;
        let (count, now) = (answer.done().unwrap_or(0), Instant::now());
        messages[..count].iter_mut().for_each(|message| message.taken = Some(now));
        self.received += count as u64;
        Ok(answer)
    }

    /// Wait slice by slice: after each one that was slept through, or several calls that waited in vain for as long, clear away what
    /// dead requesters left.
    fn wait_for<T>(&mut self, wait: Wait, mut pull: impl FnMut(&Segment) -> Result<Answer<T>>) -> Result<Answer<T>> {
        self.endpoint.file()?;
        match pull(&self.endpoint.segment)? {
            Answer::Empty if !wait.is_none() => {}
            other => return Ok(other),
        }
        let (deadline, slice) = (wait.deadline(), Duration::from_nanos(WAIT_SLICE_NS));
        loop {
            let left = deadline.remaining(slice);
            match self.endpoint.wait_to_take(wait.within(left), |endpoint| pull(&endpoint.segment))? {
                Answer::Timeout | Answer::Empty => {} // the latter if nothing was left of the time
                other => return Ok(other),
            }
            if self.swept.elapsed() >= slice {
                self.routes.retain(|_, route| !route.writer.segment().is_closed());
                self.sweep();
            }
            if left < slice {
                return Ok(Answer::Timeout);
            }
        }
    }

    /// Answer a request that this replier took [shmcomm.reply.pair]. [`Answer::Closed`]: the requester is gone, and the reply was dropped
    /// and counted [shmcomm.reply.vanished]. [`Answer::Full`] or [`Answer::Timeout`]: there is no room in its ring.
    ///
    /// # Errors
    /// As [`Pusher::send`](super::Pusher::send); [`Error::TooLarge`] goes by the requester's ring.
    #[inline]
    pub fn reply(&mut self, request: &Message, data: &[u8], wait: impl Into<Wait>) -> Result<Answer<()>> {
        self.reply_with(request, data, &Meta::new(), wait)
    }

    /// The same, with what travels beside it.
    ///
    /// # Errors
    /// As [`Replier::reply`].
    pub fn reply_with(&mut self, request: &Message, data: &[u8], meta: &Meta, wait: impl Into<Wait>) -> Result<Answer<()>> {
        self.endpoint.file()?;
        let answer = match self.find_route(request)? {
            Some(route) => route.writer.send(data, meta, request.correlation_id, wait.into())?,
            None => Answer::Closed,
        };
        match answer {
            Answer::Done(_) => self.sent += 1,
            Answer::Closed => self.unanswered += 1,
            _ => {}
        }
        Ok(answer.map(|_| ()))
    }

    /// Steps 1 and 2; `None`: the requester is gone.
    fn find_route(&mut self, request: &Message) -> Result<Option<&mut Route>> {
        let number = request.sender;
        // A7 (in is_closed): pairs with R7 [shmcomm.reply.recreated]
        if self.routes.get(&number).map_or(false, |route| route.writer.segment().is_closed()) {
            self.forget(number);
        }
        let joins = !self.routes.contains_key(&number);
        if joins && !self.make_route(number)? {
            return Ok(None);
        }
        let age = request.taken.map_or(Duration::MAX, |taken| taken.elapsed());
        if (joins || age >= Duration::from_nanos(LIVENESS_AGE_NS)) && !self.requester_lives(number)? {
            self.forget(number);
            // Who sees it first clears it away. Where that fails, another one does.
            let _ = remove_stale(&reply_locator(&self.prefix, number), Some(PATTERN_REPLY), true);
            return Ok(None);
        }
        self.rank += 1;
        let rank = self.rank;
        Ok(self.routes.get_mut(&number).map(|route| {
            route.used = rank;
            route
        }))
    }

    fn requester_lives(&self, number: u32) -> Result<bool> {
        match self.routes.get(&number) {
            Some(route) if !route.writer.segment().is_closed() => keeper_lives(route.writer.segment().ring.map().file()),
            _ => Ok(false),
        }
    }

    /// Join the reply channel of a requester by name; false: there is none.
    fn make_route(&mut self, number: u32) -> Result<bool> {
        if number == 0 || number > MAX_ENDPOINT {
            return Ok(false); // nobody can have such a number
        }
        let options = Options::new().ready_timeout(Duration::ZERO);
        let joining = Joining { number: self.endpoint.number, ..Joining::new(PATTERN_REPLY, false, &options) };
        let endpoint = match Endpoint::join(&reply_locator(&self.prefix, number), &joining) {
            Err(Error::NotFound | Error::Unsupported(_)) => return Ok(false),
            Err(error) if is_unfinished(&error) || matches!(error, Error::Truncated { .. }) => return Ok(false),
            joined => joined?,
        };
        if self.routes.len() >= MOST_ROUTES {
            let oldest = self.routes.iter().min_by_key(|(_, route)| route.used).map(|(&number, _)| number);
            oldest.into_iter().for_each(|number| self.forget(number));
        }
        self.routes.insert(number, Route { writer: Writer::new(endpoint), used: 0 });
        Ok(true)
    }

    fn forget(&mut self, number: u32) {
        if let Some(Route { writer, .. }) = self.routes.remove(&number) {
            self.refused += writer.refused;
            self.takeovers += writer.endpoint.takeovers;
        }
    }

    /// The service's channel, and what this endpoint has done.
    #[must_use]
    pub fn info(&self) -> Info {
        let info = self.endpoint.info();
        let routes = || self.routes.values().map(|route| &route.writer);
        Info {
            sent: self.sent,
            received: self.received,
            unanswered: self.unanswered,
            refused: self.refused + routes().map(|writer| writer.refused).sum::<u64>(),
            takeovers: info.takeovers + self.takeovers + routes().map(|writer| writer.endpoint.takeovers).sum::<u64>(),
            ..info
        }
    }
}

impl Drop for Replier {
    fn drop(&mut self) {
        if self.endpoint.file().is_ok() {
            self.sweep();
        }
    }
}
