// SPDX-License-Identifier: MIT
//! Print a log's entries until none has come for a second: `cargo run --example follow -- /name`.

use std::time::Duration;

use shmwire::ouroboros::{OpenOptions, Start};
use shmwire::{Answer, Result};

fn main() -> Result<()> {
    let name = std::env::args().nth(1).unwrap_or_else(|| "/shmwire-log".to_owned());
    let mut reader = OpenOptions::new().start(Start::Oldest).ready_timeout(Duration::from_secs(1)).open(name)?;
    let mut buffer = vec![0; reader.info().size as usize]; // no entry is larger
    while let Answer::Done(entry) = reader.wait_next(&mut buffer, Duration::from_secs(1))? {
        if entry.skipped > 0 {
            println!("({} entries were overwritten before they were read)", entry.skipped);
        }
        println!("{}: {}", entry.sequence, String::from_utf8_lossy(entry.payload(&buffer)));
    }
    Ok(())
}
