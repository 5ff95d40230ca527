// SPDX-License-Identifier: MIT
//! Profile dmxp under the benchmark. Throughput uses channel 0; ping sends on 0 and pong answers on 1.

use std::error::Error;
use std::time::Instant;

use shmwire::dmxp::{Channel, ChannelOptions, CreateOptions, Item, Message, Meta, OpenOptions, HEADER_SIZE};
use shmwire::Answer;

use super::actor::{check, fill, report, Args, Role, Tally};

const SLOTS: u64 = 256;
const CHANNELS: u32 = 2;
/// A slot and what alignment may add to a band, amply.
const BYTES_PER_SLOT: u64 = 1100;
const LARGEST: usize = shmwire::dmxp::PAYLOAD_CAPACITY_CRATE as usize;
/// Looking at the clock is no part of what is measured.
const META: Meta = Meta::new().timestamp_ns(1);

pub fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    if args.role == Role::Make {
        return Ok(make(args)?);
    }
    args.pin()?;
    let segment = OpenOptions::new().open(&args.seg)?;
    let (first, second) = (segment.attach(0)?, segment.attach(1)?);
    let mut tally = Tally::default();
    let mut payload = vec![0; LARGEST * args.batch.max(1)];
    let began = args.meet()?;
    match args.role {
        Role::Write if args.batch > 1 => write_batch(args, &first, &mut payload)?,
        Role::Write => write_single(args, &first, &mut payload)?,
        Role::Read if args.batch > 1 => read_batch(args, &first, &mut payload, &mut tally)?,
        Role::Read => read_single(args, &first, &mut payload, &mut tally)?,
        Role::Ping => ping(args, &first, &second, &mut payload, &mut tally)?,
        _ => pong(args, &second, &first, &mut payload, &mut tally)?,
    }
    report(args, began, &mut tally);
    Ok(())
}

fn make(args: &Args) -> shmwire::Result<()> {
    let size = HEADER_SIZE + u64::from(CHANNELS) * SLOTS * BYTES_PER_SLOT;
    let segment = CreateOptions::new().size(size).create(&args.seg)?;
    let options = ChannelOptions::new().capacity(SLOTS).counted_waiters(args.peer == "counted");
    (0..CHANNELS).try_for_each(|id| segment.create_channel(id, &options))
}

fn send(args: &Args, channel: &Channel, payload: &[u8]) -> shmwire::Result<()> {
    while channel.try_send(payload, &META)? == Answer::Full {
        args.relax();
    }
    Ok(())
}

fn write_single(args: &Args, channel: &Channel, payload: &mut [u8]) -> shmwire::Result<()> {
    for i in 0..args.count {
        fill(&mut payload[..args.size], i);
        send(args, channel, &payload[..args.size])?;
    }
    Ok(())
}

fn write_batch(args: &Args, channel: &Channel, payload: &mut [u8]) -> shmwire::Result<()> {
    let mut i = 0;
    while i < args.count {
        payload.chunks_mut(args.size.max(1)).take(args.batch).zip(i..).for_each(|(part, i)| fill(part, i));
        let items = payload.chunks(args.size.max(1)).map(|data| Item { data: &data[..args.size], meta: META }).take(args.batch);
        while channel.try_send_batch(items.clone())? == Answer::Full {
            args.relax();
        }
        i += args.batch as u64;
    }
    Ok(())
}

/// With several writers the order between them is free: only the content's own consistency is checked then.
fn count_bad(args: &Args, payload: &[u8], expected: u64, tally: &mut Tally) {
    let (number, sound) = check(payload, expected);
    tally.bad += u64::from(!sound || (args.parties <= 2 && number != expected));
}

fn receive(args: &Args, channel: &Channel, buffer: &mut [u8]) -> shmwire::Result<usize> {
    loop {
        match channel.try_receive(buffer)? {
            Answer::Done(message) => return Ok(message.length),
            _ => args.relax(),
        }
    }
}

fn read_single(args: &Args, channel: &Channel, buffer: &mut [u8], tally: &mut Tally) -> shmwire::Result<()> {
    for i in 0..args.count {
        let length = receive(args, channel, buffer)?;
        count_bad(args, &buffer[..length], i, tally);
    }
    Ok(())
}

fn read_batch(args: &Args, channel: &Channel, buffer: &mut [u8], tally: &mut Tally) -> shmwire::Result<()> {
    let mut messages = vec![Message::default(); args.batch];
    let mut i = 0;
    while i < args.count {
        let want = usize::try_from(args.count - i).unwrap_or(usize::MAX).min(args.batch);
        match channel.try_receive_batch(buffer, &mut messages[..want])? {
            Answer::Done(count) => {
                for message in &messages[..count] {
                    count_bad(args, message.payload(buffer), i, tally);
                    i += 1;
                }
            }
            _ => args.relax(),
        }
    }
    Ok(())
}

fn ping(args: &Args, out: &Channel, back: &Channel, buffer: &mut [u8], tally: &mut Tally) -> shmwire::Result<()> {
    tally.samples.reserve(usize::try_from(args.count).unwrap_or(0));
    for i in 0..args.count {
        let began = Instant::now();
        fill(&mut buffer[..args.size], i);
        send(args, out, &buffer[..args.size])?;
        let length = receive(args, back, buffer)?;
        count_bad(args, &buffer[..length], i, tally);
        tally.samples.push(began.elapsed().as_nanos() as u64);
    }
    Ok(())
}

fn pong(args: &Args, out: &Channel, back: &Channel, buffer: &mut [u8], tally: &mut Tally) -> shmwire::Result<()> {
    for i in 0..args.count {
        let length = receive(args, back, buffer)?;
        count_bad(args, &buffer[..length], i, tally);
        send(args, out, &buffer[..length])?;
    }
    Ok(())
}
