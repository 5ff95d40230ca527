// SPDX-License-Identifier: MIT
//! Publish a message ten times a second: `cargo run --example publish -- NAME COUNT`.

use std::time::Duration;

use shmwire::shmcomm::{Options, Publisher};
use shmwire::Result;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let name = words.first().map_or("clock", |name| name);
    let count = words.get(1).and_then(|count| count.parse().ok()).unwrap_or(100);
    let mut publisher = Publisher::open(name, &Options::new())?;
    for tick in 0..count {
        let sequence = publisher.send(format!("tick {tick}").as_bytes())?;
        println!("{sequence}");
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}
