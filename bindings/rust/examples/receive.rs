// SPDX-License-Identifier: MIT
//! Print messages until none has come for a second: `cargo run --example receive -- /name`.

use std::time::Duration;

use shmwire::dmxp::{OpenOptions, PAYLOAD_CAPACITY_CRATE};
use shmwire::{Answer, Result, Wait};

fn main() -> Result<()> {
    let name = std::env::args().nth(1).unwrap_or_else(|| "/shmwire-example".to_owned());
    let channel = OpenOptions::new().open(name)?.attach(0)?;
    let mut buffer = [0; PAYLOAD_CAPACITY_CRATE as usize];
    let wait = Wait::at_most(Duration::from_secs(1)).spin(Duration::from_micros(5));
    while let Answer::Done(message) = channel.receive(&mut buffer, wait)? {
        println!("{}: {}", message.position, String::from_utf8_lossy(message.payload(&buffer)));
    }
    Ok(())
}
