// SPDX-License-Identifier: MIT
//! What a profile brings to the driver.

use std::time::Duration;

use serde_json::{json, Value};

use super::live::Line;
use super::wire::{Failure, Options, Outcome, Request};

/// A profile's entry point.
pub trait Profile: Sync {
    fn name(&self) -> &'static str;
    fn classes(&self) -> &'static [&'static str];
    fn features(&self) -> &'static [&'static str];
    fn create(&self, seg: &str, timeout: Duration, options: &Options<'_>, injection: &Injection) -> SegmentOutcome;
    fn open(&self, seg: &str, read_only: bool, timeout: Duration, options: &Options<'_>, injection: &Injection)
        -> SegmentOutcome;
    /// What a live actor sends or receives through.
    fn attach(&self, seg: &str, plan: &Request<'_>) -> Result<Box<dyn Line>, Failure>;

    /// A verb that takes no handle.
    fn call(&self, _verb: &str, _args: &Request<'_>) -> Outcome {
        Err(Failure::bad_request("h is missing"))
    }
}

/// An open segment, or why there is none.
pub type SegmentOutcome = Result<Box<dyn Segment>, Failure>;

/// A reply, and the claim that it tells of.
pub type ClaimOutcome = Result<(Value, Option<Box<dyn HeldClaim>>), Failure>;

/// An open segment: the commands that take `h`.
pub trait Segment: Send {
    fn inspect(&mut self) -> Outcome;
    fn write(&mut self, request: &Request<'_>, injection: &mut Injection) -> Outcome;
    fn read(&mut self, request: &Request<'_>, injection: &mut Injection) -> Outcome;
    fn call(&mut self, verb: &str, args: &Request<'_>, injection: &mut Injection) -> Outcome;

    fn seek(&mut self, _request: &Request<'_>) -> Outcome {
        Err(Failure::new("UNSUPPORTED", "this profile has no private cursor"))
    }

    fn claim(&mut self, _request: &Request<'_>) -> ClaimOutcome {
        Err(Failure::new("UNSUPPORTED", "this profile has no claims"))
    }
}

/// A claim: the commands that take `c`.
pub trait HeldClaim: Send {
    /// A failure leaves the claim as it was; so with abandon.
    fn commit(&mut self, request: &Request<'_>, injection: &mut Injection) -> Outcome;
    fn abandon(&mut self) -> Outcome;
    /// Drop the handle, and leave the slot claimed.
    fn leave(self: Box<Self>);
}

/// What `inject` has set, for messages sent from now on.
#[derive(Clone, Debug, Default)]
pub struct Injection {
    clock_ns: Option<u64>,
    clock_step_ns: u64,
    pub pid: Option<u32>,
    pub runtime: Option<u16>,
    pub boot_ns: Option<u64>,
}

impl Injection {
    pub fn take(&mut self, request: &Request<'_>) -> Outcome {
        let clock_ns = request.optional_number("clock_ns", u64::MAX)?;
        let step = request.optional_number("clock_step_ns", u64::MAX)?;
        let pid = request.optional_number("pid", u64::from(u32::MAX))?;
        let runtime = request.optional_number("runtime", u64::from(u16::MAX))?;
        let boot_ns = request.optional_number("boot_ns", u64::MAX)?;
        self.clock_ns = clock_ns.or(self.clock_ns);
        self.clock_step_ns = step.unwrap_or(self.clock_step_ns);
        self.pid = pid.map(|pid| pid as u32).or(self.pid);
        self.runtime = runtime.map(|runtime| runtime as u16).or(self.runtime);
        self.boot_ns = boot_ns.or(self.boot_ns);
        Ok(json!({}))
    }

    /// The time of the message that is sent after `nth` others from now.
    pub fn time(&self, nth: u64) -> Option<u64> {
        self.clock_ns.map(|clock| clock.wrapping_add(self.clock_step_ns.wrapping_mul(nth)))
    }

    /// So many messages have been sent.
    pub fn advance(&mut self, messages: u64) {
        self.clock_ns = self.time(messages);
    }
}
