// SPDX-License-Identifier: MIT
//! Append each line of standard input to a feed: `cargo run --example append -- BASE FEED`. Makes both if they are not there; the feed
//! persists.

use std::io::BufRead;
use std::time::{SystemTime, UNIX_EPOCH};

use shmwire::deepwater::{Options, Writer};
use shmwire::{Error, Result};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let base = arguments.next().unwrap_or_else(|| "/tmp/shmwire-feeds".to_owned());
    let feed = arguments.next().unwrap_or_else(|| "lines".to_owned());
    let mut writer = Writer::open(&base, &feed, &Options::new().persist(true))?;
    let mut last_ns = writer.feed().last_timestamp_ns;
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(Error::System)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
        last_ns = last_ns.max(now); // a clock may be set back, a feed's timestamps never fall
        let sequence = writer.append(last_ns, 0, line.as_bytes())?;
        println!("{sequence}: {line}");
    }
    writer.close()
}
