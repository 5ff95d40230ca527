// SPDX-License-Identifier: MIT
//! Profile slick under the benchmark: rings of elements of the payload's size, one element an item. Kinds are credit, credit-12 and
//! credit-13 (in older generations), view; free and free-view, where the writer never waits and what a reader missed counts as
//! skipped. Writer w's message i begins with the word w << 56 | i. Ping writes PATH, pong PATH.back.

use std::error::Error;
use std::time::Instant;

use shmwire::slick::{CreateOptions, Generation, Item, OpenOptions, Producer, Reader, Start};
use shmwire::{Answer, SharedCounts};

use super::actor::{self, check, credit_path, fill, report, Allowance, Args, Role, Tally, IN_FLIGHT};

/// Elements of a ring, unless there is room for so many bytes.
const RING: u32 = 1024;
/// Of the first word, below the writer's number.
const WRITER_BITS: u32 = 56;

pub fn run(args: &Args, kind: &str) -> Result<(), Box<dyn Error>> {
    let back = format!("{}.back", args.seg);
    if args.role == Role::Make {
        return Ok(make(args, kind, &back)?);
    }
    args.pin()?;
    match args.role {
        Role::Write => write(args, kind),
        Role::Read => read(args, kind),
        Role::Ping => exchange(args, &args.seg, &back),
        _ => exchange(args, &back, &args.seg),
    }
}

fn make(args: &Args, kind: &str, back: &str) -> shmwire::Result<()> {
    let size = match args.room / args.size as u64 {
        0 => RING,
        elements => 1 << (63 - elements.leading_zeros()),
    };
    let generation = match kind {
        "credit-12" => Generation::V1_2,
        "credit-13" => Generation::V1_3,
        _ => Generation::V1_4,
    };
    let options = CreateOptions::new().size(size).element_size(args.size as u32).generation(generation);
    options.create(&args.seg)?;
    options.create(back)?;
    SharedCounts::create(credit_path(args), args.readers).map(|_| ())
}

fn produce(path: &str) -> shmwire::Result<Producer> {
    OpenOptions::new().open(path)?.producer()
}

fn follow(path: &str) -> shmwire::Result<Reader> {
    Ok(OpenOptions::new().open(path)?.reader(Start::Oldest))
}

fn write(args: &Args, kind: &str) -> Result<(), Box<dyn Error>> {
    let mut producer = produce(&args.seg)?;
    let mut allowance = if kind.starts_with("free") { Allowance::unlimited() } else { Allowance::open(args)? };
    let mut payload = vec![0; args.size * args.batch.max(1)];
    let first = (args.party - args.readers) << WRITER_BITS;
    let began = args.meet()?;
    if args.batch > 1 {
        write_batches(args, &mut producer, &mut allowance, first, &mut payload)?;
    } else {
        write_items(args, &mut producer, &mut allowance, first, &mut payload)?;
    }
    report(args, began, &mut Tally::default());
    Ok(())
}

/// Of several writers each knows its own last index, and is at most one call past the window.
fn write_items(
    args: &Args,
    producer: &mut Producer,
    allowance: &mut Allowance,
    first: u64,
    payload: &mut [u8],
) -> Result<(), Box<dyn Error>> {
    let mut end = 0;
    for i in 0..args.count {
        allowance.wait(args, end);
        fill(payload, first + i);
        end = producer.write(payload)?.done().ok_or("the item was given up")? + 1;
    }
    Ok(())
}

fn write_batches(
    args: &Args,
    producer: &mut Producer,
    allowance: &mut Allowance,
    first: u64,
    payloads: &mut [u8],
) -> Result<(), Box<dyn Error>> {
    let mut end = 0;
    for i in (0..args.count).step_by(args.batch) {
        let count = usize::try_from(args.count - i).unwrap_or(usize::MAX).min(args.batch);
        let batch = &mut payloads[..count * args.size];
        allowance.wait(args, end + count as u64 - 1);
        batch.chunks_mut(args.size).zip(first + i..).for_each(|(part, number)| fill(part, number));
        producer.write_batch(batch, args.size, |index| end = index + 1)?.done().ok_or("an item was given up")?;
    }
    Ok(())
}

/// What a reader has found.
struct Taken<'a> {
    args: &'a Args,
    /// Of each writer, if there are several, the number of the message that is expected.
    next: Vec<u64>,
    /// Where it tells how far it is.
    credit: Option<SharedCounts>,
    /// Index behind the last item that it came to.
    at: u64,
    /// The same as the writers know it.
    told: u64,
    messages: u64,
    bad: u64,
}

impl<'a> Taken<'a> {
    fn new(args: &'a Args, kind: &str) -> shmwire::Result<Taken<'a>> {
        let lossless = !kind.starts_with("free");
        let credit = if lossless { Some(SharedCounts::open(credit_path(args), args.readers)?) } else { None };
        let next = if args.writers() > 1 { vec![0; args.writers() as usize] } else { Vec::new() };
        Ok(Taken { args, next, credit, at: 0, told: 0, messages: 0, bad: 0 })
    }

    /// Of one writer, a message's first word is its index. Of several, each one's messages come in its order, and the order
    /// between them is free.
    #[inline]
    fn follows(&mut self, word: u64, index: u64) -> bool {
        if self.next.is_empty() {
            return word == index;
        }
        let number = word & ((1 << WRITER_BITS) - 1);
        let lossless = self.credit.is_some();
        match self.next.get_mut((word >> WRITER_BITS) as usize) {
            Some(next) if number == *next || (number > *next && !lossless) => {
                *next = number + 1;
                true
            }
            _ => false,
        }
    }

    /// A message that was whole.
    #[inline]
    fn count(&mut self, item: &Item, payload: &[u8]) {
        let (word, sound) = check(payload, item.index);
        let good = sound && item.length == self.args.size && self.follows(word, item.index);
        self.messages += 1;
        self.bad += u64::from(!good);
    }

    /// Tell the writers how far it is, every eighth of the window and before waiting, so that the line is not fought for.
    #[inline]
    fn go_on<T>(&mut self, answer: &Answer<T>) {
        let waits = matches!(answer, Answer::Empty);
        if let (Some(credit), true) = (&self.credit, self.at != self.told && (waits || self.at - self.told >= IN_FLIGHT / 8)) {
            credit.store(self.args.party, self.at);
            self.told = self.at;
        }
        if waits {
            self.args.stand_back();
        }
    }

    fn report(mut self, began: Instant) {
        let skipped = self.args.count - self.messages;
        if self.credit.is_some() {
            self.bad += skipped;
        }
        let mut tally = Tally { bad: self.bad, skipped, ..Tally::default() };
        report(&Args { count: self.messages, ..self.args.clone() }, began, &mut tally);
    }
}

/// To the last message that all writers write.
fn read(args: &Args, kind: &str) -> Result<(), Box<dyn Error>> {
    let mut reader = follow(&args.seg)?;
    let mut taken = Taken::new(args, kind)?;
    let mut buffer = vec![0; args.size * args.batch.max(1)];
    let began = args.meet()?;
    if kind.ends_with("view") {
        read_views(&mut reader, &mut taken, &mut buffer)?;
    } else if args.batch > 1 {
        read_batches(&mut reader, &mut taken, &mut buffer)?;
    } else {
        read_items(&mut reader, &mut taken, &mut buffer)?;
    }
    taken.report(began);
    Ok(())
}

fn read_items(reader: &mut Reader, taken: &mut Taken<'_>, buffer: &mut [u8]) -> shmwire::Result<()> {
    while taken.at < taken.args.count {
        let answer = reader.next(buffer)?;
        if let Answer::Done(item) = &answer {
            taken.at = item.index + 1;
            taken.count(item, item.payload(buffer));
        }
        taken.go_on(&answer);
    }
    Ok(())
}

fn read_batches(reader: &mut Reader, taken: &mut Taken<'_>, buffer: &mut [u8]) -> shmwire::Result<()> {
    let mut items = vec![Item::default(); taken.args.batch];
    while taken.at < taken.args.count {
        let answer = reader.next_batch(buffer, &mut items)?;
        if let Answer::Done(count) = answer {
            items[..count].iter().for_each(|item| taken.count(item, item.payload(buffer)));
            taken.at = items[count - 1].index + 1;
        }
        taken.go_on(&answer);
    }
    Ok(())
}

/// Items are looked at where they lie: first word and last byte. One that was overwritten meanwhile is not counted, which with
/// credit is bad.
fn read_views(reader: &mut Reader, taken: &mut Taken<'_>, buffer: &mut [u8]) -> shmwire::Result<()> {
    let (head, last) = (taken.args.size.min(8), taken.args.size - 1);
    while taken.at < taken.args.count {
        let answer = reader.next_view()?;
        if let Answer::Done(view) = &answer {
            view.read_at(0, &mut buffer[..head])?;
            view.read_at(last, &mut buffer[last..])?;
            taken.at = view.item().index + 1;
            if view.check() == Answer::Done(()) {
                taken.count(&view.item(), buffer);
            }
        }
        taken.go_on(&answer);
    }
    Ok(())
}

fn exchange(args: &Args, to: &str, from: &str) -> Result<(), Box<dyn Error>> {
    let (mut out, mut reader) = (produce(to)?, follow(from)?);
    let mut payload = vec![0; args.size];
    let mut tally = Tally::default();
    tally.samples.reserve(usize::try_from(args.count).unwrap_or(0));
    let began = args.meet()?;
    let write = |data: &[u8]| out.write(data).map(|_| ());
    actor::exchange(args, &mut payload, &mut tally, write, |buffer| Ok(reader.next(buffer)? != Answer::Empty))?;
    report(args, began, &mut tally);
    Ok(())
}
