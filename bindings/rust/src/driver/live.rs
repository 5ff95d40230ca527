// SPDX-License-Identifier: MIT
//! Live actors (section 4 of the driver protocol): self-certifying payloads, the history file, the loops. Profile-neutral.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use serde_json::{json, Value};
use shmwire::{Answer, Code};

use super::wire::{pattern, Failure, Outcome, Request};

const MAGIC: u32 = 0x5752_4853;
/// Bytes of a payload before its pattern.
const HEAD: usize = 24;
const RECORD: usize = 40;
const STUTTER_EVERY: u64 = 64;
const SPINS_BEFORE_YIELD: u64 = 64;
const LARGEST_BATCH: u64 = 4096;
/// Longest single wait of a blocking actor, so that its limit is looked at.
const SLICE: Duration = Duration::from_millis(50);

/// A message as the loops see it.
#[derive(Clone, Debug, Default)]
pub struct Letter {
    /// The second word of a record: message type, elements, or sender.
    pub kind: u32,
    /// It says that no more come, and is not recorded.
    pub end: bool,
    /// Position, index or sequence.
    pub position: u64,
    pub sender_pid: u32,
    /// Messages that this reader lost since the one before.
    pub skipped: u64,
    pub data: Vec<u8>,
}

/// What a profile gives an actor to send or receive through.
pub trait Line: Send {
    /// Send letters with one call, from the first one on; answers how many. Waits up to `wait` where the format can. CLOSED ends
    /// the actor; anything else is asked again.
    fn send(&mut self, letters: &[Letter], wait: Duration) -> shmwire::Result<Answer<usize>>;
    /// Receive up to `max` letters with one call into the front of `letters`. Waits up to `wait` for the first.
    fn receive(&mut self, letters: &mut [Letter], wait: Duration) -> shmwire::Result<Answer<usize>>;
    /// Most letters that one call can send.
    fn largest_batch(&self) -> u64;
    /// Longest payload, bytes.
    fn largest_payload(&self) -> usize;
    /// What ends a reader.
    fn ending(&self) -> Ending {
        Ending::Letter
    }
    /// What was received last has been recorded.
    fn recorded(&mut self) -> shmwire::Result<()> {
        Ok(())
    }
    /// The actor is done.
    fn finish(&mut self) {}
    /// What a writer answers beside `sent`, where the profile has something of its own.
    fn complete(&self, _summary: &mut Value) {}
}

/// What ends a reader, if `limit_ms` does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// A letter that says so; others wait for theirs, so that one that was too many goes back.
    Letter,
    /// So many of these; what is too many is kept.
    Letters(u64),
    /// The message at position `count`: every reader reads all that is left, and positions count from 1.
    Position,
    /// The message of sequence `count` - 1: as Position, but they count from 0.
    Sequence,
    /// EMPTY after the file `until` said so.
    Word,
}

/// An actor that is armed: prepared, mapped, prefaulted.
pub struct Actor {
    line: Box<dyn Line>,
    writes: bool,
    wait: Duration,
    actor: u32,
    seed: u32,
    count: u64,
    sizes: Vec<usize>,
    stutter: Duration,
    slow: Duration,
    limit: Duration,
    letters: Vec<Letter>,
    history: Option<BufWriter<File>>,
    until: Option<File>,
    /// Whether records are in the file before the next call.
    flushes: bool,
}

impl Actor {
    pub fn new(line: Box<dyn Line>, plan: &Request<'_>) -> Result<Actor, Failure> {
        let small = u64::from(u32::MAX);
        let writes = plan.one_of("role", &["read", "write"])? == 1;
        let block = plan.has("wait") && plan.one_of("wait", &["spin", "block"])? == 1;
        let batch = plan.optional_number("batch", LARGEST_BATCH)?.unwrap_or(1).max(1);
        // A batch that the channel can never take at once would be FULL for ever.
        let batch = if writes { batch.min(line.largest_batch()) } else { batch };
        let letter = Letter { data: Vec::with_capacity(line.largest_payload()), ..Letter::default() };
        Ok(Actor {
            writes,
            wait: if block { SLICE } else { Duration::ZERO },
            actor: plan.optional_number("actor", small)?.unwrap_or(0) as u32,
            seed: plan.optional_number("seed", small)?.unwrap_or(0) as u32,
            count: plan.optional_number("count", u64::MAX)?.unwrap_or(0),
            sizes: if writes { sizes(plan, line.largest_payload())? } else { Vec::new() },
            stutter: Duration::from_micros(plan.optional_number("stutter_us", small)?.unwrap_or(0)),
            slow: Duration::from_micros(plan.optional_number("slow_us", small)?.unwrap_or(0)),
            limit: Duration::from_millis(plan.number("limit_ms", small)?),
            letters: vec![letter; batch as usize],
            history: if writes { None } else { history(plan)? },
            until: until(plan)?,
            flushes: plan.flag("flush")?,
            line,
        })
    }

    /// Play it, once. The actor keeps what it has joined until it is dropped.
    pub fn run(&mut self) -> Outcome {
        let outcome = if self.writes { self.write() } else { self.read() };
        self.line.finish();
        outcome
    }

    fn write(&mut self) -> Outcome {
        let end = Instant::now() + self.limit;
        let (mut sent, mut full, mut spins) = (0_u64, 0_u64, 0_u64);
        'messages: while sent < self.count {
            let n = (self.count - sent).min(self.letters.len() as u64);
            for i in 0..n {
                self.fill(i as usize, sent + i);
            }
            let before = sent;
            while sent < before + n {
                match self.line.send(&self.letters[(sent - before) as usize..n as usize], self.wait)? {
                    Answer::Done(count) => {
                        sent += count as u64;
                        continue;
                    }
                    Answer::Closed => break 'messages,
                    Answer::Full => full += 1,
                    _ => full += u64::from(self.line.ending() == Ending::Letter), // a time limit of one call
                }
                if Instant::now() > end {
                    break 'messages;
                }
                relax(&mut spins);
            }
            self.stutter(before, sent);
        }
        let mut summary = json!({"sent": sent, "full": full});
        self.line.complete(&mut summary);
        Ok(summary)
    }

    /// The self-certifying payload of message `i`.
    fn fill(&mut self, slot: usize, i: u64) {
        let length = self.sizes[(i % self.sizes.len() as u64) as usize];
        let letter = &mut self.letters[slot];
        let data = &mut letter.data;
        data.clear();
        data.extend_from_slice(&MAGIC.to_le_bytes());
        data.extend_from_slice(&self.actor.to_le_bytes());
        data.extend_from_slice(&i.to_le_bytes());
        data.extend_from_slice(&(length as u32).to_le_bytes());
        data.extend_from_slice(&self.seed.to_le_bytes());
        let base = base(self.actor, i, self.seed);
        data.extend((HEAD..length).map(|j| pattern(base, j as u64)));
    }

    fn stutter(&self, before: u64, after: u64) {
        if !self.stutter.is_zero() && before / STUTTER_EVERY != after / STUTTER_EVERY {
            std::thread::sleep(self.stutter);
        }
    }

    fn read(&mut self) -> Outcome {
        let end = Instant::now() + self.limit;
        let mut tally = Tally::default();
        let mut spins = 0;
        let mut told = false;
        let needed = match self.line.ending() {
            Ending::Letters(count) => count,
            _ => 1,
        };
        while tally.ends < needed && Instant::now() <= end {
            let before = tally.received;
            match self.line.receive(&mut self.letters, self.wait) {
                Ok(Answer::Done(count)) => self.judge(count, &mut tally)?,
                Ok(Answer::Closed) => break,
                Ok(Answer::Lapped) => tally.lapped += 1,
                Ok(_) => {
                    tally.empty += 1;
                    tally.ends = u64::from(told);
                    told = told || self.is_told();
                    relax(&mut spins);
                }
                Err(error) if error.code() == Code::Corrupt => tally.corrupt += 1,
                Err(error) => return Err(error.into()),
            }
            self.stutter(before, tally.received);
        }
        if self.line.ending() == Ending::Letter {
            self.give_back(tally.ends.saturating_sub(1))?;
        }
        self.flush()?;
        Ok(tally.into_reply(self.line.ending(), needed))
    }

    fn flush(&mut self) -> Result<(), Failure> {
        match &mut self.history {
            Some(history) => history.flush().map_err(|error| Failure::new("SYSTEM", format!("history: {error}"))),
            None => Ok(()),
        }
    }

    /// Whether the file `until` says that nothing more will come.
    fn is_told(&self) -> bool {
        let mut word = [0];
        self.until.as_ref().map_or(false, |file| matches!(file.read_at(&mut word, 0), Ok(1)) && word != [0])
    }

    /// Judge and record what one call returned, also what stands behind an END: it has been consumed.
    fn judge(&mut self, count: usize, tally: &mut Tally) -> Result<(), Failure> {
        let ending = self.line.ending();
        for letter in &self.letters[..count] {
            if letter.end {
                tally.ends += 1;
                continue;
            }
            let is_last = match ending {
                Ending::Position => letter.position >= self.count,
                Ending::Sequence => letter.position.saturating_add(1) >= self.count,
                _ => false,
            };
            if is_last {
                tally.ends = 1;
            }
            tally.received += 1;
            tally.skipped = tally.skipped.wrapping_add(letter.skipped);
            tally.torn += u64::from(!is_whole(&letter.data));
            if let Some(history) = &mut self.history {
                let written = history.write_all(&record(letter));
                written.map_err(|error| Failure::new("SYSTEM", format!("history: {error}")))?;
            }
            if !self.slow.is_zero() {
                std::thread::sleep(self.slow);
            }
        }
        if self.flushes {
            self.flush()?; // it may be killed next
        }
        self.line.recorded()?;
        Ok(())
    }

    /// A batch may have taken the END of other readers: they would wait for it.
    fn give_back(&mut self, ends: u64) -> Result<(), Failure> {
        let end = [Letter { end: true, ..Letter::default() }];
        for _ in 0..ends {
            let _ = self.line.send(&end, SLICE)?;
        }
        Ok(())
    }
}

#[derive(Default)]
struct Tally {
    received: u64,
    torn: u64,
    empty: u64,
    corrupt: u64,
    ends: u64,
    lapped: u64,
    skipped: u64,
}

impl Tally {
    fn into_reply(self, ending: Ending, needed: u64) -> Value {
        let Tally { received, torn, empty, corrupt, ends, lapped, skipped } = self;
        let mut reply = json!({"received": received, "torn": torn, "empty": empty, "corrupt": corrupt, "ended": ends >= needed});
        match ending {
            Ending::Letter => {}
            Ending::Letters(_) | Ending::Sequence => reply["lost"] = json!(skipped),
            Ending::Position => reply["skipped"] = json!(skipped),
            Ending::Word => {
                reply["lapped"] = json!(lapped);
                reply["lost"] = json!(skipped);
            }
        }
        reply
    }
}

fn sizes(plan: &Request<'_>, largest: usize) -> Result<Vec<usize>, Failure> {
    let allowed =
        |value: &Value| value.as_u64().and_then(|size| usize::try_from(size).ok()).filter(|s| (HEAD..=largest).contains(s));
    let sizes: Option<Vec<usize>> = plan.list("sizes")?.iter().map(allowed).collect();
    sizes
        .filter(|sizes| !sizes.is_empty())
        .ok_or_else(|| Failure::bad_request(format!("sizes is missing, or holds something else than {HEAD} to {largest}")))
}

fn history(plan: &Request<'_>) -> Result<Option<BufWriter<File>>, Failure> {
    if !plan.has("history") {
        return Ok(None);
    }
    let path = plan.text("history")?;
    let file = File::create(path).map_err(|error| Failure::new("SYSTEM", format!("{path}: {error}")))?;
    Ok(Some(BufWriter::new(file)))
}

fn until(plan: &Request<'_>) -> Result<Option<File>, Failure> {
    if !plan.has("until") {
        return Ok(None);
    }
    let path = shmwire::path(plan.text("until")?)?;
    File::open(&path).map(Some).map_err(|error| Failure::new("SYSTEM", format!("{}: {error}", path.display())))
}

/// After an answer that changed nothing: let others run now and then. With fewer processors than actors nobody else moves the
/// segment while we spin.
fn relax(spins: &mut u64) {
    *spins += 1;
    if *spins % SPINS_BEFORE_YIELD == 0 {
        std::thread::yield_now();
    } else {
        std::hint::spin_loop();
    }
}

fn base(actor: u32, sequence: u64, seed: u32) -> u64 {
    u64::from(actor).wrapping_add(sequence).wrapping_add(u64::from(seed))
}

fn u32_at(data: &[u8], at: usize) -> u32 {
    data.get(at..at + 4).map_or(0, |part| u32::from_le_bytes([part[0], part[1], part[2], part[3]]))
}

fn u64_at(data: &[u8], at: usize) -> u64 {
    u64::from(u32_at(data, at)) | u64::from(u32_at(data, at + 4)) << 32
}

fn is_whole(data: &[u8]) -> bool {
    if data.len() < HEAD || u32_at(data, 0) != MAGIC || u32_at(data, 16) as usize != data.len() {
        return false;
    }
    let base = base(u32_at(data, 4), u64_at(data, 8), u32_at(data, 20));
    data.iter().enumerate().skip(HEAD).all(|(j, &byte)| byte == pattern(base, j as u64))
}

fn record(letter: &Letter) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    let mut put = |at: usize, bytes: &[u8]| record[at..at + bytes.len()].copy_from_slice(bytes);
    if letter.data.len() >= HEAD {
        put(0, &letter.data[4..8]);
        put(8, &letter.data[8..16]);
    }
    put(4, &letter.kind.to_le_bytes());
    put(16, &letter.position.to_le_bytes());
    put(24, &(letter.data.len() as u32).to_le_bytes());
    put(28, &letter.sender_pid.to_le_bytes());
    put(32, &crc32fast::hash(&letter.data).to_le_bytes());
    put(36, &u32::try_from(letter.skipped).unwrap_or(u32::MAX).to_le_bytes());
    record
}
