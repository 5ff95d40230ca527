// SPDX-License-Identifier: MIT
//! Benchmark actor (bench/README.md describes the protocol). Peers: "counted" (the channel counts its waiters: no wake while
//! nobody sleeps) and "wake" (a wake per send).
#![deny(unsafe_code)]

#[path = "../bench/actor.rs"]
mod actor;
#[path = "../bench/dmxp.rs"]
mod dmxp;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args = match actor::Args::parse(std::env::args().skip(1)) {
        Some(args) => args,
        None => {
            eprintln!("{}", actor::USAGE);
            return ExitCode::from(2);
        }
    };
    match dmxp::run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::from(2)
        }
    }
}
