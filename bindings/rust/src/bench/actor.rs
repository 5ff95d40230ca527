// SPDX-License-Identifier: MIT
//! What every benchmark actor needs: arguments, pinning, the barrier, content checks, the result line.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use shmwire::SharedCounts;

pub const USAGE: &str = "usage: PEER make|write|read|ping|pong --seg PATH --count N --size B --batch K --cpu C --barrier PATH \
                         --parties M --party P --readers R --room BYTES";
/// Bytes between the words of two parties in the barrier file.
const BARRIER_STRIDE: u64 = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Make,
    Write,
    Read,
    Ping,
    Pong,
}

const ROLES: [(&str, Role); 5] =
    [("make", Role::Make), ("write", Role::Write), ("read", Role::Read), ("ping", Role::Ping), ("pong", Role::Pong)];

#[derive(Clone, Debug)]
pub struct Args {
    pub peer: String,
    pub role: Role,
    pub seg: String,
    pub barrier: String,
    /// Messages this actor writes, reads or exchanges.
    pub count: u64,
    /// Payload bytes.
    pub size: usize,
    /// Messages per call.
    pub batch: usize,
    pub cpu: Option<usize>,
    pub parties: u64,
    /// Which of them this is; the readers come first.
    pub party: u64,
    pub readers: u64,
    /// Bytes of the segment where the peer can choose; 0 as it likes.
    pub room: u64,
    /// More actors than CPUs: give way instead of spinning.
    pub crowded: bool,
}

impl Args {
    pub fn parse(mut words: impl Iterator<Item = String>) -> Option<Args> {
        let peer = words.next()?;
        let word = words.next()?;
        let role = ROLES.iter().find(|(name, _)| *name == word)?.1;
        let (seg, barrier) = (String::new(), String::new());
        let (count, size, batch, cpu, parties, party) = (1, 64, 1, None, 1, 0);
        let (readers, room, crowded) = (1, 0, false);
        let mut args = Args { peer, role, seg, barrier, count, size, batch, cpu, parties, party, readers, room, crowded };
        while let Some(name) = words.next() {
            let value = words.next()?;
            match name.as_str() {
                "--seg" => args.seg = value,
                "--barrier" => args.barrier = value,
                "--count" => args.count = value.parse().ok()?,
                "--size" => args.size = value.parse().ok()?,
                "--batch" => args.batch = value.parse().ok()?,
                "--cpu" => args.cpu = value.parse().ok(),
                "--parties" => args.parties = value.parse().ok()?,
                "--party" => args.party = value.parse().ok()?,
                "--readers" => args.readers = value.parse().ok()?,
                "--room" => args.room = value.parse().ok()?,
                _ => return None,
            }
        }
        let cpus = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
        args.crowded = args.parties > cpus;
        Some(args)
    }

    /// How many of the parties write.
    pub fn writers(&self) -> u64 {
        self.parties - self.readers
    }

    pub fn pin(&self) -> io::Result<()> {
        self.cpu.map_or(Ok(()), shmwire::pin_to_cpu)
    }

    /// In every turn of a loop that found nothing to do.
    #[inline]
    pub fn relax(&self) {
        if self.crowded {
            std::thread::yield_now();
        } else {
            std::hint::spin_loop();
        }
    }

    /// For a reader of ouroboros or slick that found nothing: let the writers get ahead. Each look takes from them the line at which
    /// they meet, so that a reader who looks at once goes in lockstep with them, at a third of the pace.
    pub fn stand_back(&self) {
        (0..if self.crowded { 1 } else { PAUSES }).for_each(|_| self.relax());
    }

    /// Wait until all parties have arrived. The file is read, not mapped: the page cache is the same for both.
    pub fn meet(&self) -> io::Result<Instant> {
        let file = fs::OpenOptions::new().read(true).write(true).open(&self.barrier)?;
        file.write_all_at(&1_u32.to_ne_bytes(), BARRIER_STRIDE * self.party)?;
        for other in 0..self.parties {
            while !arrived(&file, other)? {
                self.relax();
            }
        }
        Ok(Instant::now())
    }
}

fn arrived(barrier: &File, party: u64) -> io::Result<bool> {
    let mut word = [0; 4];
    barrier.read_exact_at(&mut word, BARRIER_STRIDE * party)?;
    Ok(word != [0; 4])
}

/// The content of message `i`: its first 8 bytes, and its last byte.
#[inline]
pub fn fill(payload: &mut [u8], i: u64) {
    if let Some(last) = payload.last_mut() {
        *last = i as u8;
    }
    let head = payload.len().min(8);
    payload[..head].copy_from_slice(&i.to_le_bytes()[..head]);
}

/// Number and soundness of a message; one too short for a number has that which was expected.
#[inline]
pub fn check(payload: &[u8], expected: u64) -> (u64, bool) {
    match payload.get(..8) {
        Some(head) => {
            let mut number = [0; 8];
            number.copy_from_slice(head);
            let i = u64::from_le_bytes(number);
            (i, payload.len() == 8 || payload[payload.len() - 1] == i as u8)
        }
        None => (expected, true),
    }
}

#[derive(Debug, Default)]
pub struct Tally {
    pub bad: u64,
    /// Messages overwritten before this reader came to them.
    pub skipped: u64,
    /// Round trips, or seeks, nanoseconds.
    pub samples: Vec<u64>,
    /// Of a scan: of all words read, printed so that no compiler leaves the reading out.
    pub sum: u64,
}

/// Of a reader that stands back.
const PAUSES: u32 = 64;
/// Between two looks of a writer that has nothing to do but to be there.
const OUTLAST_STEP: Duration = Duration::from_millis(1);
/// Messages that a writer with credit may be ahead of the slowest reader.
pub const IN_FLIGHT: u64 = 256;

pub fn credit_path(args: &Args) -> String {
    format!("{}.credit", args.seg)
}

/// The credit of one writer.
pub struct Allowance {
    credit: Option<SharedCounts>,
    taken: u64,
}

impl Allowance {
    /// Of a writer that never waits.
    pub fn unlimited() -> Allowance {
        Allowance { credit: None, taken: 0 }
    }

    pub fn open(args: &Args) -> shmwire::Result<Allowance> {
        Ok(Allowance { credit: Some(SharedCounts::open(credit_path(args), args.readers)?), taken: 0 })
    }

    /// Return when message `i` may be written.
    #[inline]
    pub fn wait(&mut self, args: &Args, i: u64) {
        self.wait_within(args, i, IN_FLIGHT);
    }

    /// The same with another window.
    #[inline]
    pub fn wait_within(&mut self, args: &Args, i: u64, window: u64) {
        while let (Some(credit), true) = (&self.credit, i - self.taken >= window) {
            self.taken = credit.least(args.readers, i);
            if i - self.taken >= window {
                args.relax();
            }
        }
    }

    /// Return when all readers are through.
    pub fn outlast(&self, args: &Args) {
        while matches!(&self.credit, Some(credit) if credit.least(args.readers, args.count) < args.count) {
            std::thread::sleep(OUTLAST_STEP);
        }
    }
}

/// Send and await messages in turn; ping begins. `read` answers whether there was one.
#[inline]
pub fn exchange<E: From<shmwire::Error>>(
    args: &Args,
    payload: &mut [u8],
    tally: &mut Tally,
    mut write: impl FnMut(&[u8]) -> Result<(), E>,
    mut read: impl FnMut(&mut [u8]) -> shmwire::Result<bool>,
) -> Result<(), E> {
    let pings = args.role == Role::Ping;
    for i in 0..args.count {
        let sent = Instant::now();
        if pings {
            fill(payload, i);
            write(payload)?;
        }
        while !read(payload)? {
            args.relax();
        }
        tally.bad += u64::from(check(payload, i) != (i, true));
        if pings {
            tally.samples.push(sent.elapsed().as_nanos() as u64);
        } else {
            write(payload)?;
        }
    }
    Ok(())
}

/// Print the result line.
pub fn report(args: &Args, began: Instant, tally: &mut Tally) {
    let ns = began.elapsed().as_nanos();
    tally.samples.sort_unstable();
    let count = tally.samples.len();
    let at = |place: usize| tally.samples.get(place).copied().unwrap_or(0);
    let role = ROLES.iter().find(|(_, role)| *role == args.role).map_or("", |(name, _)| name);
    println!(
        "{{\"role\":\"{role}\",\"messages\":{},\"ns\":{ns},\"bad\":{},\"skipped\":{},\"nivcsw\":{},\
         \"min_ns\":{},\"p50_ns\":{},\"p99_ns\":{},\"sum\":{}}}",
        args.count,
        tally.bad,
        tally.skipped,
        involuntary_switches(),
        at(0),
        at(count / 2),
        at((count - count / 100).saturating_sub(1)),
        tally.sum
    );
}

fn involuntary_switches() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"));
    line.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}
