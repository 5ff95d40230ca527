// SPDX-License-Identifier: MIT
//! The conformance driver: puts this implementation behind driver protocol 1 (spec/driver-protocol.md).
#![deny(unsafe_code)]

#[path = "../driver/mod.rs"]
mod driver;

fn main() -> std::process::ExitCode {
    driver::run()
}
