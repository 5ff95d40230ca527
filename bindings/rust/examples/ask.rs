// SPDX-License-Identifier: MIT
//! Ask the service of `service`: `cargo run --example ask -- NAME 1 2 3`.

use std::time::Duration;

use shmwire::shmcomm::{Options, Requester};
use shmwire::{Answer, Result};

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let name = words.first().map_or("sum", |name| name);
    let numbers = words.get(1..).unwrap_or_default().join(" ");
    let mut requester = Requester::open(name, &Options::new())?;
    let mut buffer = [0; 1024];
    match requester.call(numbers.as_bytes(), &mut buffer, Duration::from_secs(5))? {
        Answer::Done(reply) => println!("{}", String::from_utf8_lossy(reply.payload(&buffer))),
        other => println!("no reply: {}", other.code().name()),
    }
    Ok(())
}
