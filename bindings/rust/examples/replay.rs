// SPDX-License-Identifier: MIT
//! Print a feed's records, from the oldest on, and go on with those that are appended, until none has come for a second:
//! `cargo run --example replay -- BASE FEED`.

use std::time::Duration;

use shmwire::deepwater::{Reader, ReaderOptions};
use shmwire::{Answer, Error, Result};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let base = arguments.next().unwrap_or_else(|| "/tmp/shmwire-feeds".to_owned());
    let feed = arguments.next().unwrap_or_else(|| "lines".to_owned());
    let patience = Duration::from_secs(1);
    let mut reader = Reader::open(base, &feed, &ReaderOptions::new().ready_timeout(patience))?;
    loop {
        match reader.wait_next(patience) {
            Ok(Answer::Done(record)) => {
                println!("{} at {}: {}", record.sequence, record.timestamp_ns, String::from_utf8_lossy(record.data()));
            }
            Ok(_) => return Ok(()), // nothing came, or the feed is retired
            Err(Error::Expired { lost }) => println!("({lost} records are not kept any more)"),
            Err(error) => return Err(error),
        }
    }
}
