// SPDX-License-Identifier: MIT
//! Write the time into a queue, a hundred times a second for ten seconds: `cargo run --example tick -- /name`. Start as many as you like:
//! the first one makes the queue.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use shmwire::slick::{CreateOptions, OpenOptions, Queue};
use shmwire::{Error, Result};

fn open_or_create(name: &str) -> Result<Queue> {
    match CreateOptions::new().size(256).element_size(16).create(name) {
        Err(Error::Exists) => OpenOptions::new().open(name),
        other => other,
    }
}

fn main() -> Result<()> {
    let name = std::env::args().nth(1).unwrap_or_else(|| "/shmwire-ticks".to_owned());
    let queue = open_or_create(&name)?;
    let mut producer = queue.producer()?;
    println!("writing to {} as process {}", queue.shm_name().display(), std::process::id());
    for _ in 0..1000 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64);
        let mut tick = [0; 16];
        tick[..8].copy_from_slice(&now.to_le_bytes());
        tick[8..].copy_from_slice(&u64::from(std::process::id()).to_le_bytes());
        if producer.write(&tick)?.done().is_none() {
            break; // the indices are used up, or somebody gave the item up: not at a hundred items a second
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
