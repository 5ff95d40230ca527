// SPDX-License-Identifier: MIT
//! Profile deepwater under the benchmark. Peers are behind "deepwater-": live (a feed in shared memory alone, the writer with credit),
//! persist (chunks go to files, too), scan (all of a feed that the other party has written and holds in shared memory), scan-disk (the
//! same from files), seek-N (places in a persisted feed of N chunks). Feeds lie in the directory PATH.base.

use std::error::Error;
use std::time::Instant;

use shmwire::deepwater::{Options, Part, Reader, ReaderOptions, Record, Start, Writer, DEFAULT_ROWS};
use shmwire::{Answer, SharedCounts};

use super::actor::{check, credit_path, fill, report, Allowance, Args, Role, Tally, IN_FLIGHT};

const THERE: &str = "there";
const BACK: &str = "back";
const STEP_NS: u64 = 10;
/// Records in each chunk of a feed to seek in.
const SEEK_RECORDS: u64 = 4;
const SEEK_CHUNK: u64 = 4096;
const SCAN_CHUNK: u64 = 1 << 24;
/// What a scan goes over: far beyond the caches.
const SCAN_BYTES: u64 = 1 << 28;
/// Of each record, in the index.
const INDEX_BYTES: u64 = 32;

type Done = Result<(), Box<dyn Error>>;

pub fn run(args: &Args, kind: &str) -> Done {
    let plan = Plan::new(args, kind)?;
    if args.role == Role::Make {
        return plan.make();
    }
    args.pin()?;
    match args.role {
        Role::Write => plan.write(),
        Role::Read => plan.read(),
        Role::Ping => plan.exchange(THERE, BACK),
        _ => plan.exchange(BACK, THERE),
    }
}

/// What a peer's name asks for.
struct Plan<'a> {
    args: &'a Args,
    base: String,
    persists: bool,
    scans: bool,
    /// 0: nothing is sought.
    seek_chunks: u64,
}

fn time_of(i: u64) -> u64 {
    i * STEP_NS
}

/// Whether a record is number `i`, as it was written.
#[inline]
fn is_good(args: &Args, record: &Record<'_>, i: u64) -> bool {
    let data = record.data();
    record.sequence == i && data.len() == args.size && check(data, i) == (i, true)
}

/// The sum of all words of a payload, and of the bytes behind the last four of them: each byte is loaded.
fn sum_of(payload: &[u8]) -> u64 {
    let mut sums = [0_u64; 4];
    let fours = payload.chunks_exact(32);
    let rest: u64 = fours.remainder().iter().map(|&byte| u64::from(byte)).sum();
    for four in fours {
        for (sum, bytes) in sums.iter_mut().zip(four.chunks_exact(8)) {
            let mut word = [0; 8];
            word.copy_from_slice(bytes);
            *sum = sum.wrapping_add(u64::from_le_bytes(word));
        }
    }
    sums.iter().fold(rest, |all, &sum| all.wrapping_add(sum))
}

impl<'a> Plan<'a> {
    fn new(args: &'a Args, kind: &str) -> Result<Plan<'a>, Box<dyn Error>> {
        let seek_chunks = kind.strip_prefix("seek-").map_or(Ok(0), str::parse)?;
        let persists = seek_chunks > 0 || kind.contains("persist") || kind.contains("disk");
        Ok(Plan { args, base: format!("{}.base", args.seg), persists, scans: kind.starts_with("scan"), seek_chunks })
    }

    /// How many records a scan goes over, again and again.
    fn scanned(&self) -> u64 {
        self.args.count.min(SCAN_BYTES / (self.args.size as u64 + INDEX_BYTES))
    }

    fn options(&self) -> Options {
        let options = Options::new().persist(self.persists).feeds(2);
        if self.scans && self.persists {
            options.chunk_size(SCAN_CHUNK)
        } else if self.scans {
            let window = 2 * self.scanned() * (self.args.size as u64 + 8) / SCAN_CHUNK + 2;
            options.chunk_size(SCAN_CHUNK).live_window(window as u32)
        } else if self.seek_chunks > 0 {
            options.chunk_size(SEEK_CHUNK).rows(DEFAULT_ROWS.max(self.seek_chunks as u32))
        } else {
            options
        }
    }

    fn writer(&self, feed: &str) -> shmwire::Result<Writer> {
        Writer::open(&self.base, feed, &self.options())
    }

    fn reader(&self, feed: &str) -> shmwire::Result<Reader> {
        Reader::open(&self.base, feed, &ReaderOptions::new())
    }

    fn make(&self) -> Done {
        for feed in [THERE, BACK] {
            let mut writer = self.writer(feed)?;
            if feed == THERE && (self.seek_chunks > 0 || (self.scans && self.persists)) {
                self.write_before(&mut writer)?;
            }
            writer.close()?;
        }
        SharedCounts::create(credit_path(self.args), self.args.readers)?;
        Ok(())
    }

    /// What is read later: the records of a scan, or chunks of a few records to seek in.
    fn write_before(&self, writer: &mut Writer) -> Done {
        let mut payload = vec![0; self.args.size];
        let records = if self.seek_chunks > 0 { self.seek_chunks * SEEK_RECORDS } else { self.scanned() };
        for i in 0..records {
            append(writer, &mut payload, i)?;
            if self.seek_chunks > 0 && i % SEEK_RECORDS == SEEK_RECORDS - 1 {
                writer.rotate()?;
            }
        }
        Ok(())
    }

    fn write(&self) -> Done {
        let mut writer = self.writer(THERE)?;
        if self.scans {
            self.write_before(&mut writer)?;
        }
        let mut allowance = Allowance::open(self.args)?;
        let began = self.args.meet()?;
        match self.args.batch {
            _ if self.scans => {}
            0 | 1 => self.write_each(&mut writer, &mut allowance)?,
            _ => self.write_batches(&mut writer, &mut allowance)?,
        }
        if self.persists {
            writer.close()?; // all of it is on the disk: this counts
            report(self.args, began, &mut Tally::default());
            return Ok(());
        }
        report(self.args, began, &mut Tally::default());
        allowance.outlast(self.args); // a writer that leaves takes along what is in shared memory alone
        Ok(writer.close()?)
    }

    fn write_each(&self, writer: &mut Writer, allowance: &mut Allowance) -> Done {
        let mut payload = vec![0; self.args.size];
        for i in 0..self.args.count {
            allowance.wait(self.args, i);
            append(writer, &mut payload, i)?;
        }
        Ok(())
    }

    fn write_batches(&self, writer: &mut Writer, allowance: &mut Allowance) -> Done {
        let mut payloads = vec![vec![0; self.args.size]; self.args.batch];
        for i in (0..self.args.count).step_by(self.args.batch) {
            allowance.wait(self.args, i + self.args.batch as u64 - 1);
            payloads.iter_mut().zip(i..).for_each(|(payload, number)| fill(payload, number));
            let parts: Vec<Part<'_>> =
                payloads.iter().zip(i..).map(|(data, number)| Part { timestamp_ns: time_of(number), kind: 0, data }).collect();
            writer.append_batch(&parts, |_| ())?;
        }
        Ok(())
    }

    fn read(&self) -> Done {
        let mut reader = self.reader(THERE)?;
        let credit = SharedCounts::open(credit_path(self.args), self.args.readers)?;
        let mut tally = self.tally();
        let began = self.args.meet()?;
        if self.seek_chunks > 0 {
            self.seek(&mut reader, &mut tally)?;
        } else if self.scans {
            self.scan(&mut reader, &mut tally)?;
        } else {
            self.follow(&mut reader, &credit, &mut tally)?;
        }
        credit.store(self.args.party, self.args.count);
        report(self.args, began, &mut tally);
        Ok(())
    }

    fn tally(&self) -> Tally {
        let timed = self.seek_chunks > 0 || self.args.role == Role::Ping;
        let samples = if timed { usize::try_from(self.args.count).unwrap_or(0) } else { 0 };
        Tally { samples: Vec::with_capacity(samples), ..Tally::default() }
    }

    /// Visit up to `most` of the records that there are, where they lie; without batches by the call for one. Answers how many.
    #[inline]
    fn visit(&self, reader: &mut Reader, most: usize, mut look: impl FnMut(&Record<'_>)) -> shmwire::Result<u64> {
        if self.args.batch > 1 {
            return Ok(reader.next_batch(most)?.done().map_or(0, |records| records.map(|record| look(&record)).count() as u64));
        }
        Ok(reader.next()?.done().map_or(0, |record| {
            look(&record);
            1
        }))
    }

    /// There is no lap, so nothing has to be checked again.
    fn follow(&self, reader: &mut Reader, credit: &SharedCounts, tally: &mut Tally) -> Done {
        let (mut i, mut given) = (0, 0);
        while i < self.args.count {
            let mut number = i;
            let got = self.visit(reader, self.args.batch, |record| {
                tally.bad += u64::from(!is_good(self.args, record, number));
                number += 1;
            })?;
            i += got;
            if got == 0 || i - given >= IN_FLIGHT / 8 {
                credit.store(self.args.party, i);
                given = i;
            }
            if got == 0 {
                self.args.stand_back();
            }
        }
        Ok(())
    }

    /// All of the feed, again from its beginning until count records are read, and every byte of them.
    fn scan(&self, reader: &mut Reader, tally: &mut Tally) -> Done {
        let (mut left, mut at, scanned) = (self.args.count, 0, self.scanned());
        while left > 0 {
            if at == scanned {
                reader.seek(Start::Oldest)?;
                at = 0;
            }
            let most = self.args.batch.min(usize::try_from(left).unwrap_or(usize::MAX));
            let mut number = at;
            let got = self.visit(reader, most, |record| {
                tally.sum = tally.sum.wrapping_add(sum_of(record.data()));
                tally.bad += u64::from(!is_good(self.args, record, number));
                number += 1;
            })?;
            if got == 0 {
                return Err("the feed ends before its last record".into());
            }
            left -= got;
            at = number;
        }
        Ok(())
    }

    fn seek(&self, reader: &mut Reader, tally: &mut Tally) -> Done {
        let (records, mut state) = (self.seek_chunks * SEEK_RECORDS, 1_u64);
        for _ in 0..self.args.count {
            // Knuth's generator: anywhere, not in order.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let wanted = (state >> 33) % records;
            let began = Instant::now();
            reader.seek(Start::Time(time_of(wanted)))?;
            let answer = reader.next()?;
            tally.samples.push(began.elapsed().as_nanos() as u64);
            tally.bad += u64::from(!matches!(answer, Answer::Done(record) if is_good(self.args, &record, wanted)));
        }
        Ok(())
    }

    /// Ping begins.
    fn exchange(&self, to: &str, from: &str) -> Done {
        let (mut out, mut back) = (self.writer(to)?, self.reader(from)?);
        let (mut payload, mut tally, pings) = (vec![0; self.args.size], self.tally(), self.args.role == Role::Ping);
        let began = self.args.meet()?;
        for i in 0..self.args.count {
            let sent = Instant::now();
            if pings {
                append(&mut out, &mut payload, i)?;
            }
            tally.bad += u64::from(!self.await_one(&mut back, i)?);
            if pings {
                tally.samples.push(sent.elapsed().as_nanos() as u64);
            } else {
                append(&mut out, &mut payload, i)?;
            }
        }
        report(self.args, began, &mut tally);
        self.part()?;
        Ok(out.close()?)
    }

    /// Look until there is record `i`; answers whether it is as it was written.
    #[inline]
    fn await_one(&self, from: &mut Reader, i: u64) -> shmwire::Result<bool> {
        loop {
            if let Answer::Done(record) = from.next()? {
                return Ok(is_good(self.args, &record, i));
            }
            self.args.relax();
        }
    }

    /// Of round trips pong is the reader by number, 0: it keeps its last record until ping has it.
    fn part(&self) -> Done {
        if self.args.role == Role::Ping {
            SharedCounts::open(credit_path(self.args), self.args.readers)?.store(0, self.args.count);
        }
        Allowance::open(self.args)?.outlast(self.args);
        Ok(())
    }
}

#[inline]
fn append(writer: &mut Writer, payload: &mut [u8], i: u64) -> Done {
    fill(payload, i);
    writer.append(time_of(i), 0, payload)?;
    Ok(())
}
