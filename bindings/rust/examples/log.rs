// SPDX-License-Identifier: MIT
//! Append each line of standard input to a log: `cargo run --example log -- /name`. Makes the log, or takes it over when its writer
//! has gone.

use std::io::BufRead;

use shmwire::ouroboros::{CreateOptions, ResumeOptions, Writer};
use shmwire::{Error, Result};

fn create_or_resume(name: &str) -> Result<Writer> {
    match CreateOptions::new().create(name) {
        Err(Error::Exists) => ResumeOptions::new().resume(name),
        other => other,
    }
}

fn main() -> Result<()> {
    let name = std::env::args().nth(1).unwrap_or_else(|| "/shmwire-log".to_owned());
    let mut log = create_or_resume(&name)?;
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(Error::System)?;
        match log.write(line.as_bytes()) {
            Ok(sequence) => println!("{sequence}: {line}"),
            Err(Error::InvalidArgument(_)) => {} // an empty line: entries have at least one byte
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
