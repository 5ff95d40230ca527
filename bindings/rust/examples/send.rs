// SPDX-License-Identifier: MIT
//! Send each word of the command line as a message: `cargo run --example send -- /name word...`. Makes the segment and its
//! channel 0 when they are not there.

use std::time::Duration;

use shmwire::dmxp::{ChannelOptions, CreateOptions, Meta, OpenOptions, Segment};
use shmwire::{Answer, Error, Result};

fn open_or_create(name: &str) -> Result<Segment> {
    match CreateOptions::new().size(4 << 20).create(name) {
        Err(Error::Exists) => OpenOptions::new().ready_timeout(Duration::from_secs(1)).open(name),
        other => other,
    }
}

fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let name = words.next().unwrap_or_else(|| "/shmwire-example".to_owned());
    let segment = open_or_create(&name)?;
    match segment.create_channel(0, &ChannelOptions::new().capacity(64).counted_waiters(true)) {
        Ok(()) | Err(Error::Exists) => {}
        Err(error) => return Err(error),
    }
    let channel = segment.attach(0)?;
    for word in words {
        match channel.send(word.as_bytes(), &Meta::new(), Duration::from_secs(5))? {
            Answer::Done(position) => println!("{position}: {word}"),
            other => eprintln!("{word}: {}", other.code().text()),
        }
    }
    Ok(())
}
