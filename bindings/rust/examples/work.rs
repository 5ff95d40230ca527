// SPDX-License-Identifier: MIT
//! A work queue: `cargo run --example work -- push NAME COUNT` hands out so many tasks, `work -- pull NAME` does them, until there are
//! none and nobody is left to hand out more. Start four of those.

use shmwire::shmcomm::{Options, Puller, Pusher};
use shmwire::{Answer, Result, Wait};

fn push(name: &str, count: u64) -> Result<()> {
    let mut pusher = Pusher::open(name, &Options::new())?;
    for task in 0..count {
        // Waits while the queue is full.
        if pusher.send(task.to_string().as_bytes(), Wait::forever())? == Answer::Closed {
            break;
        }
    }
    Ok(())
}

fn pull(name: &str) -> Result<()> {
    let mut puller = Puller::open(name, &Options::new())?;
    let (mut buffer, mut done) = (vec![0; puller.info().max_payload as usize], 0);
    while let Answer::Done(task) = puller.receive(&mut buffer, Wait::forever())? {
        let number: u64 = String::from_utf8_lossy(task.payload(&buffer)).parse().unwrap_or(0);
        println!("{number} squared is {}", number * number);
        done += 1;
    }
    println!("{done} done");
    Ok(())
}

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let name = words.get(1).map_or("tasks", |name| name);
    match words.first().map(String::as_str) {
        Some("push") => push(name, words.get(2).and_then(|count| count.parse().ok()).unwrap_or(100)),
        Some("pull") => pull(name),
        _ => {
            eprintln!("work push NAME COUNT, or work pull NAME");
            Ok(())
        }
    }
}
