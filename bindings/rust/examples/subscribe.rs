// SPDX-License-Identifier: MIT
//! Print what is published until the publishers have left: `cargo run --example subscribe -- NAME`.

use shmwire::shmcomm::{Options, Subscriber};
use shmwire::{Answer, Result, Wait};

fn main() -> Result<()> {
    let name = std::env::args().nth(1).unwrap_or_else(|| "clock".to_owned());
    let mut subscriber = Subscriber::open(&name, &Options::new())?;
    let mut buffer = vec![0; subscriber.info().max_payload as usize];
    loop {
        match subscriber.receive(&mut buffer, Wait::forever())? {
            Answer::Done(message) => {
                let text = String::from_utf8_lossy(message.payload(&buffer));
                println!("{} ({} lost before): {text}", message.sequence, message.lost);
            }
            Answer::Lapped => {} // overtaken again and again: ask again
            _ => return Ok(()),
        }
    }
}
