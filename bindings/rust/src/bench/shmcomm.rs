// SPDX-License-Identifier: MIT
//! Profile shmcomm under the benchmark. Peers are words behind "shmcomm-", joined by dashes: pub (a sole publisher and subscribers,
//! with credit), push (a pipeline), req (round trips by request and reply); lock (no sole writer), view, free (publishers never wait;
//! what a subscriber missed counts as skipped), sleep (receivers sleep, all others spin). Writer w's message i begins with the word
//! w << 56 | i. Ping writes PATH, pong PATH.back; a channel lives as long as its keeper, so whoever writes makes it.

use std::error::Error;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use shmwire::shmcomm::{Message, Meta, Options, Publisher, Puller, Pusher, Replier, Requester, Subscriber, MIN_CAPACITY};
use shmwire::{Answer, SharedCounts, Wait};

use super::actor::{self, check, credit_path, fill, report, Allowance, Args, Role, Tally, IN_FLIGHT};

/// Bytes of a frame beside its payload, at most.
const HEADROOM: usize = 64;
/// Bytes of a ring for what is in flight, at most, unless four messages take more.
const MOST_RING: u64 = 1 << 26;
/// Of the first word, below the writer's number.
const WRITER_BITS: u32 = 56;
/// Messages that go out with one reading of the clock: the references have no clock.
const STAMPED: u64 = 16;
const STAND_BACK: Duration = Duration::from_micros(2);
const READY: Duration = Duration::from_secs(10);
const NAP: Duration = Duration::from_secs(1);

type Done = Result<(), Box<dyn Error>>;

pub fn run(args: &Args, kind: &str) -> Done {
    if args.role == Role::Make {
        return Ok(SharedCounts::create(credit_path(args), args.readers).map(|_| ())?);
    }
    args.pin()?;
    let plan = Plan::new(args, kind);
    let back = format!("{}.back", args.seg);
    match args.role {
        Role::Ping if plan.does("req") => ask(&plan),
        _ if plan.does("req") => serve(&plan),
        Role::Write => plan.write(),
        Role::Read => plan.read(),
        Role::Ping => exchange(&plan, &args.seg, &back),
        _ => exchange(&plan, &back, &args.seg),
    }
}

/// A ring for twice what is in flight, so that the publisher never evicts what a subscriber with credit has yet to read.
struct Plan<'a> {
    args: &'a Args,
    kind: &'a str,
    capacity: u64,
    /// Messages in flight.
    window: u64,
}

impl<'a> Plan<'a> {
    fn new(args: &'a Args, kind: &'a str) -> Plan<'a> {
        let frame = (args.size + HEADROOM) as u64;
        let (mut capacity, wanted) = match args.room {
            0 => (2 * MIN_CAPACITY, 2 * IN_FLIGHT * frame),
            room => (MIN_CAPACITY, room),
        };
        while capacity < wanted && (capacity < MOST_RING || capacity < 4 * frame) {
            capacity *= 2;
        }
        Plan { args, kind, capacity, window: (capacity / 2 / frame).min(IN_FLIGHT) }
    }

    fn does(&self, word: &str) -> bool {
        self.kind.split('-').any(|other| other == word)
    }

    fn options(&self) -> Options {
        Options::new().capacity(self.capacity).ready_timeout(READY)
    }

    /// For one receive.
    fn timeout(&self) -> Wait {
        Wait::at_most(if self.does("sleep") { NAP } else { Duration::ZERO })
    }

    fn writer(&self, path: &str) -> shmwire::Result<Writer> {
        let options = self.options().sole(!self.does("lock") && self.args.writers() == 1);
        Ok(if self.does("push") {
            Writer::Push(Pusher::open(path, &options)?)
        } else {
            Writer::Publish(Publisher::open(path, &options)?)
        })
    }

    fn reader(&self, path: &str) -> shmwire::Result<Reader> {
        Ok(if self.does("push") {
            Reader::Pull(Puller::open(path, &self.options())?)
        } else {
            Reader::Subscribe(Subscriber::open(path, &self.options())?)
        })
    }

    fn has_credit(&self) -> bool {
        !self.does("push") && !self.does("free")
    }

    fn write(&self) -> Done {
        let args = self.args;
        let mut out = self.writer(&args.seg)?;
        let mut allowance = if self.has_credit() { Allowance::open(args)? } else { Allowance::unlimited() };
        let mut batch = vec![vec![0; args.size]; args.batch.max(1)];
        let first = (args.party - args.readers) << WRITER_BITS;
        let mut clock = Clock::default();
        let began = args.meet()?;
        for i in (0..args.count).step_by(batch.len()) {
            // Of several publishers each knows only its own count.
            allowance.wait_within(args, i + batch.len() as u64 - 1, self.window / args.writers());
            batch.iter_mut().zip(first + i..).for_each(|(part, number)| fill(part, number));
            match batch.as_slice() {
                [payload] => out.send(payload, &clock.stamp(i))?,
                parts => out.send_batch(parts)?,
            }
        }
        report(args, began, &mut Tally::default());
        Ok(())
    }

    fn read(&self) -> Done {
        let mut reader = self.reader(&self.args.seg)?;
        let mut heard = Heard::new(self)?;
        let began = self.args.meet()?;
        match &mut reader {
            Reader::Subscribe(from) if self.does("view") => read_views(self, from, &mut heard)?,
            from if self.args.batch > 1 => read_batches(self, from, &mut heard)?,
            from => read_copies(self, from, &mut heard)?,
        }
        heard.report(began);
        Ok(())
    }
}

/// The time that goes with messages, read once for 16.
#[derive(Default)]
struct Clock {
    meta: Meta,
}

impl Clock {
    #[inline]
    fn stamp(&mut self, i: u64) -> Meta {
        if i % STAMPED == 0 {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            self.meta = Meta::new().timestamp_ns(now.as_nanos() as u64);
        }
        self.meta
    }
}

/// One who sends to all, or to one of those who pull.
enum Writer {
    Publish(Publisher),
    Push(Pusher),
}

impl Writer {
    #[inline]
    fn send(&mut self, data: &[u8], meta: &Meta) -> Done {
        match self {
            Writer::Publish(publisher) => publisher.send_with(data, meta, Wait::forever()).map(drop)?,
            Writer::Push(pusher) => pusher.send_with(data, meta, Wait::forever())?.done().map(drop).ok_or("not sent")?,
        }
        Ok(())
    }

    fn send_batch(&mut self, parts: &[Vec<u8>]) -> Done {
        match self {
            Writer::Publish(publisher) => publisher.send_batch(parts, &Meta::new(), |_| ())?,
            Writer::Push(pusher) => pusher.send_batch(parts, &Meta::new(), Wait::forever(), |_| ())?.done().ok_or("not sent")?,
        }
        Ok(())
    }
}

/// The other side of it.
enum Reader {
    Subscribe(Subscriber),
    Pull(Puller),
}

impl Reader {
    #[inline]
    fn receive(&mut self, buffer: &mut [u8], wait: Wait) -> shmwire::Result<Answer<Message>> {
        match self {
            Reader::Subscribe(subscriber) => subscriber.receive(buffer, wait),
            Reader::Pull(puller) => puller.receive(buffer, wait),
        }
    }

    fn receive_batch(&mut self, buffer: &mut [u8], messages: &mut [Message], wait: Wait) -> shmwire::Result<Answer<usize>> {
        match self {
            Reader::Subscribe(subscriber) => subscriber.receive_batch(buffer, messages, wait),
            Reader::Pull(puller) => puller.receive_batch(buffer, messages, wait),
        }
    }
}

/// What a receiver has found.
struct Heard<'a> {
    args: &'a Args,
    pushed: bool,
    /// Messages may go elsewhere, or be lost.
    gaps: bool,
    lossless: bool,
    window: u64,
    /// Of each writer, the number of the message that is expected.
    next: Vec<u64>,
    /// Where it tells how far it is.
    credit: Option<SharedCounts>,
    /// The sequence behind the last message.
    end: u64,
    /// The same as the writers know it.
    told: u64,
    messages: u64,
    bad: u64,
}

impl<'a> Heard<'a> {
    fn new(plan: &Plan<'a>) -> shmwire::Result<Heard<'a>> {
        let args = plan.args;
        let (pushed, lossless) = (plan.does("push"), !plan.does("free"));
        let credit = if plan.has_credit() { Some(SharedCounts::open(credit_path(args), args.readers)?) } else { None };
        let next = vec![0; usize::try_from(args.writers()).unwrap_or(0)];
        let gaps = !lossless || (pushed && args.readers > 1);
        let (end, told, messages, bad) = (0, 0, 0, 0);
        Ok(Heard { args, pushed, gaps, lossless, window: plan.window, next, credit, end, told, messages, bad })
    }

    /// Each writer's messages come in its order; all of them, unless they may be lost or go to others.
    #[inline]
    fn follows(&mut self, word: u64) -> bool {
        let number = word & ((1 << WRITER_BITS) - 1);
        match self.next.get_mut((word >> WRITER_BITS) as usize) {
            Some(next) if number == *next || (number > *next && self.gaps) => {
                *next = number + 1;
                true
            }
            _ => false,
        }
    }

    /// A message that was whole.
    #[inline]
    fn count(&mut self, message: &Message, payload: &[u8]) {
        let (word, sound) = check(payload, 0);
        let good = sound && message.length == self.args.size && (message.length < 8 || self.follows(word));
        self.end = message.sequence + 1;
        self.messages += 1;
        self.bad += u64::from(!good);
    }

    fn done(&self) -> bool {
        (if self.pushed { self.messages } else { self.end }) >= self.args.count
    }

    /// Tell the writers how far it is, in units of one writer's messages, every eighth of the window and before waiting, so that the
    /// line is not fought for; and let them get ahead if there was nothing. False: there will be nothing more.
    #[inline]
    fn go_on<T>(&mut self, answer: &Answer<T>) -> bool {
        let waits = !matches!(answer, Answer::Done(_));
        if let (Some(credit), true) = (&self.credit, self.end != self.told && (waits || self.end - self.told > self.window / 8)) {
            credit.store(self.args.party, self.end / self.args.writers());
            self.told = self.end;
        }
        if matches!(answer, Answer::Empty) {
            stand_back(self.args);
        }
        !matches!(answer, Answer::Closed)
    }

    fn report(mut self, began: Instant) {
        let skipped = self.args.count - self.messages;
        if self.lossless {
            self.bad += skipped;
        }
        let mut tally = Tally { bad: self.bad, skipped, ..Tally::default() };
        report(&Args { count: self.messages, ..self.args.clone() }, began, &mut tally);
    }
}

/// Let the writers get ahead, as `Args::stand_back`, but by the clock, since a pause is 4 ns on one processor and 50 ns on another.
fn stand_back(args: &Args) {
    let since = Instant::now();
    args.relax();
    while !args.crowded && since.elapsed() < STAND_BACK {
        args.relax();
    }
}

fn read_copies(plan: &Plan<'_>, from: &mut Reader, heard: &mut Heard<'_>) -> Done {
    let (mut buffer, wait) = (vec![0; plan.args.size], plan.timeout());
    while !heard.done() {
        let answer = from.receive(&mut buffer, wait)?;
        if let Answer::Done(message) = &answer {
            heard.count(message, message.payload(&buffer));
        }
        if !heard.go_on(&answer) {
            break;
        }
    }
    Ok(())
}

fn read_batches(plan: &Plan<'_>, from: &mut Reader, heard: &mut Heard<'_>) -> Done {
    let mut buffer = vec![0; plan.args.batch * (plan.args.size + HEADROOM)];
    let (mut messages, wait) = (vec![Message::default(); plan.args.batch], plan.timeout());
    while !heard.done() {
        let answer = from.receive_batch(&mut buffer, &mut messages, wait)?;
        if let Answer::Done(count) = answer {
            messages[..count].iter().for_each(|message| heard.count(message, message.payload(&buffer)));
        }
        if !heard.go_on(&answer) {
            break;
        }
    }
    Ok(())
}

/// Messages are looked at where they lie: first word and last byte. One that was overwritten meanwhile is not counted, which with
/// credit is bad.
fn read_views(plan: &Plan<'_>, from: &mut Subscriber, heard: &mut Heard<'_>) -> Done {
    let (mut buffer, wait) = (vec![0; plan.args.size], plan.timeout());
    let head = plan.args.size.min(8);
    let last = head.max(plan.args.size.saturating_sub(1));
    while !heard.done() {
        let answer = from.view(wait)?;
        if let Answer::Done(view) = &answer {
            let message = view.message();
            if message.length == buffer.len() {
                view.read_at(0, &mut buffer[..head])?;
                view.read_at(last, &mut buffer[last..])?;
            }
            if view.check() == Answer::Done(()) {
                heard.count(&message, &buffer);
            }
            heard.end = message.sequence + 1;
        }
        if !heard.go_on(&answer) {
            break;
        }
    }
    Ok(())
}

fn samples(args: &Args) -> Tally {
    Tally { samples: Vec::with_capacity(usize::try_from(args.count).unwrap_or(0)), ..Tally::default() }
}

/// Whether a receive that may have slept brought a message.
fn came(answer: Answer<Message>) -> shmwire::Result<Option<Message>> {
    match answer {
        Answer::Closed => Err(shmwire::Error::OutOfOrder),
        other => Ok(other.done()),
    }
}

fn exchange(plan: &Plan<'_>, to: &str, from: &str) -> Done {
    let mut out = plan.writer(to)?;
    let mut back = plan.reader(from)?;
    let (mut payload, mut tally, wait) = (vec![0; plan.args.size], samples(plan.args), plan.timeout());
    let began = plan.args.meet()?;
    let (mut clock, mut sent) = (Clock::default(), 0..);
    let write = |data: &[u8]| out.send(data, &clock.stamp(sent.next().unwrap_or(0)));
    actor::exchange(plan.args, &mut payload, &mut tally, write, |buffer| Ok(came(back.receive(buffer, wait)?)?.is_some()))?;
    report(plan.args, began, &mut tally);
    Ok(())
}

/// The ping of round trips by request and reply.
fn ask(plan: &Plan<'_>) -> Done {
    let requester = std::cell::RefCell::new(Requester::open(&plan.args.seg, &plan.options())?);
    let (mut payload, mut tally, wait) = (vec![0; plan.args.size], samples(plan.args), plan.timeout());
    let began = plan.args.meet()?;
    let (mut clock, mut sent) = (Clock::default(), 0..);
    let write = |data: &[u8]| -> Done {
        let meta = clock.stamp(sent.next().unwrap_or(0));
        Ok(requester.borrow_mut().send_with(data, &meta, Wait::forever())?.done().map(drop).ok_or("the request was not sent")?)
    };
    let read = |buffer: &mut [u8]| Ok(came(requester.borrow_mut().receive(buffer, wait)?)?.is_some());
    actor::exchange(plan.args, &mut payload, &mut tally, write, read)?;
    report(plan.args, began, &mut tally);
    Ok(())
}

/// Its pong.
fn serve(plan: &Plan<'_>) -> Done {
    let args = plan.args;
    let mut replier = Replier::open(&args.seg, &plan.options())?;
    let (mut payload, mut tally, wait) = (vec![0; args.size], Tally::default(), plan.timeout());
    let mut clock = Clock::default();
    let began = args.meet()?;
    for i in 0..args.count {
        let request = loop {
            match came(replier.receive(&mut payload, wait)?)? {
                Some(request) => break request,
                None => args.relax(),
            }
        };
        tally.bad += u64::from(check(&payload, i) != (i, true));
        replier.reply_with(&request, &payload, &clock.stamp(i), Wait::forever())?.done().ok_or("the requester is gone")?;
    }
    report(args, began, &mut tally);
    Ok(())
}
