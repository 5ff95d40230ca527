// SPDX-License-Identifier: MIT
//! Profile ouroboros under the benchmark. With credit the writer waits for the slowest reader's count, which PATH.credit carries, so
//! that nothing is lost; free, it never waits, and what a reader missed it counts as skipped. Ping writes PATH, pong PATH.back.

use std::error::Error;
use std::time::Instant;

use shmwire::ouroboros::{CreateOptions, OpenOptions, Reader, ResumeOptions, Writer};
use shmwire::{Answer, SharedCounts};

use super::actor::{self, check, credit_path, fill, report, Allowance, Args, Role, Tally, IN_FLIGHT};

const CHUNKS: u32 = 4;

/// Whether this peer is one of this profile's.
pub fn is_peer(peer: &str) -> bool {
    ["credit", "credit-view", "free", "free-view"].contains(&peer)
}

pub fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let back = format!("{}.back", args.seg);
    if args.role == Role::Make {
        return Ok(make(args, &back)?);
    }
    args.pin()?;
    let lossless = args.peer.starts_with("credit");
    let mut payload = vec![0; args.size];
    let mut tally = Tally::default();
    let began = match args.role {
        Role::Write => {
            let mut writer = ResumeOptions::new().resume(&args.seg)?;
            let mut allowance = if lossless { Allowance::open(args)? } else { Allowance::unlimited() };
            let began = args.meet()?;
            write_all(args, &mut writer, &mut allowance, &mut payload)?;
            began
        }
        Role::Read => {
            let mut reader = OpenOptions::new().open(&args.seg)?;
            let credit = if lossless { Some(SharedCounts::open(credit_path(args), args.readers)?) } else { None };
            let began = args.meet()?;
            let count = read_all(args, &mut reader, credit.as_ref(), &mut payload, &mut tally)?;
            report(&Args { count, ..args.clone() }, began, &mut tally);
            return Ok(());
        }
        Role::Ping => exchange(args, ResumeOptions::new().resume(&args.seg)?, &back, &mut payload, &mut tally)?,
        _ => exchange(args, ResumeOptions::new().resume(&back)?, &args.seg, &mut payload, &mut tally)?,
    };
    report(args, began, &mut tally);
    Ok(())
}

/// Entries in flight stay within one lap, and a chunk is left over: the writer with credit overwrites nothing unread.
fn make(args: &Args, back: &str) -> shmwire::Result<()> {
    let window = (args.size as u64 + 8) * IN_FLIGHT / u64::from(CHUNKS - 2);
    let target = if args.room > 0 { args.room / u64::from(CHUNKS) } else { window };
    let options = CreateOptions::new().chunk_count(CHUNKS).chunk_target_size(target);
    options.create(&args.seg)?;
    options.create(back)?;
    SharedCounts::create(credit_path(args), args.readers).map(|_| ())
}

fn write_all(args: &Args, writer: &mut Writer, allowance: &mut Allowance, payload: &mut [u8]) -> shmwire::Result<()> {
    for i in 0..args.count {
        allowance.wait(args, i);
        fill(payload, i);
        writer.write(payload)?;
    }
    Ok(())
}

/// One entry, copied by the reader or through a view that is checked after the look: its sequence, and whether its content is good.
/// A view that was overwritten meanwhile is as if it had not been.
#[inline]
fn read_one(args: &Args, reader: &mut Reader, views: bool, payload: &mut [u8]) -> shmwire::Result<Option<(u64, bool)>> {
    let entry = if views {
        let view = match reader.next_view()? {
            Answer::Done(view) => view,
            _ => return Ok(None),
        };
        let last = args.size.saturating_sub(1);
        if args.size >= 8 {
            let mut word = [0; 8]; // of known size: no loop
            view.read_at(0, &mut word)?;
            payload[..8].copy_from_slice(&word);
        } else {
            view.read_at(0, payload)?;
        }
        view.read_at(last, &mut payload[last..])?;
        if view.check() != Answer::Done(()) {
            return Ok(None);
        }
        view.entry()
    } else {
        match reader.next(payload)? {
            Answer::Done(entry) => entry,
            _ => return Ok(None),
        }
    };
    let (number, sound) = check(payload, entry.sequence - 1);
    Ok(Some((entry.sequence, sound && number == entry.sequence - 1)))
}

/// To the last message that the writer writes; answers how many came. A view that was overwritten while it was looked at counts as
/// skipped.
fn read_all(
    args: &Args,
    reader: &mut Reader,
    credit: Option<&SharedCounts>,
    payload: &mut [u8],
    tally: &mut Tally,
) -> shmwire::Result<u64> {
    let views = args.peer.ends_with("-view");
    let (mut last, mut count) = (0, 0);
    while last < args.count {
        let found = read_one(args, reader, views, payload)?;
        if let Some((sequence, good)) = found {
            last = sequence;
            count += 1;
            tally.bad += u64::from(!good);
        }
        // Published every eighth of the window, and before waiting, so that the line is not fought for.
        if let (Some(credit), true) = (credit, found.is_none() || last % (IN_FLIGHT / 8) == 0) {
            credit.store(args.party, last);
        }
        if found.is_none() {
            args.stand_back();
        }
    }
    tally.skipped = args.count - count;
    if credit.is_some() {
        tally.bad += tally.skipped;
    }
    Ok(count)
}

fn exchange(args: &Args, mut out: Writer, back: &str, payload: &mut [u8], tally: &mut Tally) -> Result<Instant, Box<dyn Error>> {
    let mut reader = OpenOptions::new().open(back)?;
    tally.samples.reserve(usize::try_from(args.count).unwrap_or(0));
    let began = args.meet()?;
    let write = |data: &[u8]| out.write(data).map(|_| ());
    actor::exchange(args, payload, tally, write, |buffer| Ok(reader.next(buffer)? != Answer::Empty))?;
    Ok(began)
}
