// SPDX-License-Identifier: MIT
//! Benchmark actor (bench/README.md describes the protocol). Peers: "counted" (the channel counts its waiters: no wake while
//! nobody sleeps) and "wake" (a wake per send) of profile dmxp; "credit", "credit-view", "free" and "free-view" of profile ouroboros;
//! "slick-KIND" of profile slick; "shmcomm-KIND" of profile shmcomm; "deepwater-KIND" of profile deepwater.
#![deny(unsafe_code)]

#[path = "../bench/actor.rs"]
mod actor;
#[path = "../bench/deepwater.rs"]
mod deepwater;
#[path = "../bench/dmxp.rs"]
mod dmxp;
#[path = "../bench/ouroboros.rs"]
mod ouroboros;
#[path = "../bench/shmcomm.rs"]
mod shmcomm;
#[path = "../bench/slick.rs"]
mod slick;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args = match actor::Args::parse(std::env::args().skip(1)) {
        Some(args) => args,
        None => {
            eprintln!("{}", actor::USAGE);
            return ExitCode::from(2);
        }
    };
    let kind_of = |profile| args.peer.strip_prefix(profile);
    let result = match (kind_of("slick-"), kind_of("shmcomm-"), kind_of("deepwater-")) {
        (Some(kind), _, _) => slick::run(&args, kind),
        (_, Some(kind), _) => shmcomm::run(&args, kind),
        (_, _, Some(kind)) => deepwater::run(&args, kind),
        _ if ouroboros::is_peer(&args.peer) => ouroboros::run(&args),
        _ => dmxp::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::from(2)
        }
    }
}
