// SPDX-License-Identifier: MIT
//! Print a queue's items until none has come for a second: `cargo run --example watch -- /name`. With `--share /cursor` those who give the
//! same cursor share the items: each prints some of them.

use std::time::Duration;

use shmwire::slick::{Cursor, OpenOptions, Queue, Reader, Start};
use shmwire::{Answer, Error, Result};

fn share(queue: &Queue, cursor: &str) -> Result<Reader> {
    let cursor = match Cursor::create(cursor, queue, Start::Oldest) {
        Err(Error::Exists) => Cursor::open(cursor),
        other => other,
    };
    cursor.map(|cursor| queue.consumer(&cursor))
}

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let name = words.first().map_or("/shmwire-ticks", |name| name);
    let queue = OpenOptions::new().read_only(true).open(name)?;
    let mut reader = match words.get(1..3) {
        Some([option, cursor]) if option == "--share" => share(&queue, cursor)?,
        _ => queue.reader(Start::Oldest),
    };
    let info = queue.info();
    let mut buffer = vec![0; info.size as usize * info.element_size as usize]; // no item is larger
    loop {
        match reader.wait_next(&mut buffer, Duration::from_secs(1))? {
            Answer::Done(item) => println!("{} ({} lost before): {:02x?}", item.index, item.lost, item.payload(&buffer)),
            Answer::Lapped => {} // overtaken again and again: ask again
            _ => return Ok(()),
        }
    }
}
