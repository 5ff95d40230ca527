// SPDX-License-Identifier: MIT
//! A service that adds numbers: `cargo run --example service -- NAME COUNT` answers so many requests. Start several: they share them.

use shmwire::shmcomm::{Options, Replier};
use shmwire::{Answer, Result, Wait};

fn sum(request: &[u8]) -> String {
    let numbers: std::result::Result<Vec<i64>, _> = String::from_utf8_lossy(request).split_whitespace().map(str::parse).collect();
    numbers.map_or_else(|error| format!("no: {error}"), |numbers| numbers.iter().sum::<i64>().to_string())
}

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let name = words.first().map_or("sum", |name| name);
    let count = words.get(1).and_then(|count| count.parse().ok()).unwrap_or(u64::MAX);
    let mut replier = Replier::open(name, &Options::new())?;
    let mut buffer = vec![0; replier.info().max_payload as usize];
    for _ in 0..count {
        let request = match replier.receive(&mut buffer, Wait::forever())? {
            Answer::Done(request) => request,
            _ => break,
        };
        let reply = sum(request.payload(&buffer));
        if replier.reply(&request, reply.as_bytes(), std::time::Duration::from_secs(1))? == Answer::Closed {
            println!("the requester is gone");
        }
    }
    Ok(())
}
