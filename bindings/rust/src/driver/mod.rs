// SPDX-License-Identifier: MIT
//! Driver protocol 1: one request per line on standard input, one reply per line on standard output. This module knows the
//! commands and the handles; what a command does is a profile's. A new profile is one file beside dmxp.rs and one line in
//! [`PROFILES`].
//!
//! A segment that is shortened under its mapping answers TRUNCATED: the library's `survive_truncation` puts zeroes where the
//! file has ended, the request goes on to some end, and its reply is replaced. The handle stays TRUNCATED from then on.

mod dmxp;
mod live;
mod profile;
mod wire;

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::process::ExitCode;

use serde_json::{json, Map, Value};

use profile::{HeldClaim, Injection, Profile, Segment};
use wire::{Failure, Outcome, Request};

const PROFILES: &[&dyn Profile] = &[&dmxp::Dmxp];
const NAME: &str = "shmwire-driver-rust";
const PROTOCOL: u64 = 1;
/// Lines of the runner are at most 1 MiB.
const LONGEST_LINE: usize = 1 << 20;

/// An open segment.
struct Open {
    segment: Box<dyn Segment>,
    truncated: bool,
}

/// A claimed slot, and the handle it was claimed with.
struct Claimed {
    claim: Box<dyn HeldClaim>,
    of: u64,
}

#[derive(Default)]
struct Driver {
    last_handle: u64,
    segments: BTreeMap<u64, Open>,
    claims: BTreeMap<u64, Claimed>,
    injection: Injection,
    armed: Option<live::Actor>,
    leaving: bool,
}

/// Serve standard input until it ends or `bye` is said.
pub fn run() -> ExitCode {
    if let Err(error) = shmwire::survive_truncation() {
        eprintln!("{NAME}: SIGBUS will end this process: {error}");
    }
    match serve(&mut io::stdin().lock(), &mut io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{NAME}: {error}");
            ExitCode::from(2)
        }
    }
}

fn serve(input: &mut impl BufRead, output: &mut impl Write) -> io::Result<()> {
    let mut driver = Driver::default();
    let mut line = Vec::new();
    while !driver.leaving && next_line(input, &mut line)? {
        let reply = driver.answer(&line);
        serde_json::to_writer(&mut *output, &reply)?;
        output.write_all(b"\n")?;
        output.flush()?;
    }
    driver.drop_everything();
    Ok(())
}

/// Read one line without its end. A line above the limit is read to its end and kept only so far that it fails to parse.
fn next_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    loop {
        let chunk = input.fill_buf()?;
        if chunk.is_empty() {
            return Ok(!line.is_empty());
        }
        let end = chunk.iter().position(|&byte| byte == b'\n');
        let used = end.unwrap_or(chunk.len());
        let kept = used.min((LONGEST_LINE + 1).saturating_sub(line.len()));
        line.extend_from_slice(&chunk[..kept]);
        input.consume(used + usize::from(end.is_some()));
        if end.is_some() {
            return Ok(true);
        }
    }
}

impl Driver {
    fn answer(&mut self, line: &[u8]) -> Value {
        let body = match serde_json::from_slice::<Value>(line) {
            Ok(Value::Object(body)) if line.len() <= LONGEST_LINE && body.get("id").map_or(false, Value::is_u64) => body,
            _ => return Failure::bad_request("not a JSON object with a numeric id").into_reply(&Value::Null),
        };
        let id = body["id"].clone();
        // What an earlier request left behind, if anything, is not this one's.
        shmwire::truncation_met();
        let outcome = catch_unwind(AssertUnwindSafe(|| self.dispatch(&Request::new(&body))));
        let outcome = outcome.unwrap_or_else(|_| Err(Failure::internal("the driver panicked; see standard error")));
        match self.after_truncation(&body, outcome) {
            Ok(ok) => json!({"id": id, "ok": ok}),
            Err(failure) => failure.into_reply(&id),
        }
    }

    /// Replace the answer of a request that has met the end of a shortened segment, and mark the handle.
    fn after_truncation(&mut self, body: &Map<String, Value>, outcome: Outcome) -> Outcome {
        if !shmwire::truncation_met() {
            return outcome;
        }
        let claimed = body.get("c").and_then(Value::as_u64).and_then(|c| self.claims.get(&c)).map(|claimed| claimed.of);
        if let Some(open) = body.get("h").and_then(Value::as_u64).or(claimed).and_then(|h| self.segments.get_mut(&h)) {
            open.truncated = true;
        }
        Err(Failure::truncated())
    }

    fn dispatch(&mut self, request: &Request<'_>) -> Outcome {
        match request.text("cmd")? {
            "hello" => hello(request),
            "reset" => self.reset(),
            "inject" => self.injection.take(request),
            "create" => self.create(request),
            "open" => self.open(request),
            "inspect" => self.segment(request)?.0.inspect(),
            "write" => {
                let (segment, injection) = self.segment(request)?;
                segment.write(request, injection)
            }
            "read" => {
                let (segment, injection) = self.segment(request)?;
                segment.read(request, injection)
            }
            "seek" => self.segment(request)?.0.seek(request),
            "call" => self.segment(request)?.0.call(request.text("verb")?, &request.object("args")?),
            "claim" => self.claim(request),
            "commit" => self.commit(request),
            "abandon" => self.abandon(request),
            "arm" => self.arm(request),
            "go" => self.go(),
            "close" => self.close(request),
            "bye" => {
                self.leaving = true;
                Ok(json!({}))
            }
            other => Err(Failure::new("UNKNOWN_COMMAND", other)),
        }
    }

    fn reset(&mut self) -> Outcome {
        self.drop_everything();
        Ok(json!({}))
    }

    /// Claims first: they stay claimed in the segment, as those of a process that dies.
    fn drop_everything(&mut self) {
        self.leave_claims(|_| true);
        self.armed = None;
        self.segments.clear();
        self.injection = Injection::default();
    }

    fn leave_claims(&mut self, which: impl Fn(&Claimed) -> bool) {
        let gone: Vec<u64> = self.claims.iter().filter(|(_, claimed)| which(claimed)).map(|(&c, _)| c).collect();
        gone.iter().filter_map(|c| self.claims.remove(c)).for_each(|claimed| claimed.claim.leave());
    }

    fn new_handle(&mut self) -> u64 {
        self.last_handle += 1;
        self.last_handle
    }

    fn add_segment(&mut self, segment: Box<dyn Segment>) -> Outcome {
        let h = self.new_handle();
        self.segments.insert(h, Open { segment, truncated: false });
        Ok(json!({ "h": h }))
    }

    fn create(&mut self, request: &Request<'_>) -> Outcome {
        let options = request.optional_object("options")?;
        let segment = profile(request)?.create(request.text("seg")?, &options)?;
        self.add_segment(segment)
    }

    fn open(&mut self, request: &Request<'_>) -> Outcome {
        let read_only = request.one_of("mode", &["rw", "ro"])? == 1;
        let options = request.optional_object("options")?;
        let segment = profile(request)?.open(request.text("seg")?, read_only, request.timeout()?, &options)?;
        self.add_segment(segment)
    }

    fn segment(&mut self, request: &Request<'_>) -> Result<(&mut dyn Segment, &mut Injection), Failure> {
        match self.segments.get_mut(&request.number("h", u64::MAX)?) {
            None => Err(Failure::bad_request("h is not a handle")),
            Some(open) if open.truncated => Err(Failure::truncated()),
            Some(open) => Ok((open.segment.as_mut(), &mut self.injection)),
        }
    }

    fn claim(&mut self, request: &Request<'_>) -> Outcome {
        let of = request.number("h", u64::MAX)?;
        let (mut reply, claim) = self.segment(request)?.0.claim(request)?;
        if let Some(claim) = claim {
            let c = self.new_handle();
            self.claims.insert(c, Claimed { claim, of });
            reply["c"] = json!(c);
        }
        Ok(reply)
    }

    fn commit(&mut self, request: &Request<'_>) -> Outcome {
        let c = request.number("c", u64::MAX)?;
        let claimed = self.claims.get_mut(&c).ok_or_else(|| Failure::bad_request("c is not a claim"))?;
        claimed.claim.commit(request, &mut self.injection)?;
        self.claims.remove(&c);
        Ok(json!({}))
    }

    fn abandon(&mut self, request: &Request<'_>) -> Outcome {
        let c = request.number("c", u64::MAX)?;
        let claimed = self.claims.remove(&c).ok_or_else(|| Failure::bad_request("c is not a claim"))?;
        claimed.claim.abandon()
    }

    fn close(&mut self, request: &Request<'_>) -> Outcome {
        let h = request.number("h", u64::MAX)?;
        self.leave_claims(|claimed| claimed.of == h);
        self.segments.remove(&h).map(|_| json!({})).ok_or_else(|| Failure::bad_request("h is not a handle"))
    }

    fn arm(&mut self, request: &Request<'_>) -> Outcome {
        self.armed = None;
        let line = profile(request)?.attach(request.text("seg")?, request)?;
        self.armed = Some(live::Actor::new(line, request)?);
        Ok(json!({}))
    }

    fn go(&mut self) -> Outcome {
        self.armed.take().ok_or_else(|| Failure::bad_request("go without arm"))?.run()
    }
}

fn profile(request: &Request<'_>) -> Result<&'static dyn Profile, Failure> {
    let name = request.text("profile")?;
    let found = PROFILES.iter().copied().find(|profile| profile.name() == name);
    found.ok_or_else(|| Failure::new("UNSUPPORTED", format!("profile {name}")))
}

fn hello(request: &Request<'_>) -> Outcome {
    let offered = request.list("proto")?;
    if !offered.is_empty() && !offered.contains(&json!(PROTOCOL)) {
        return Err(Failure::new("UNSUPPORTED", "this driver speaks protocol 1"));
    }
    let mut profiles = Map::new();
    for profile in PROFILES {
        let (classes, features) = (profile.classes(), profile.features());
        profiles.insert(profile.name().to_owned(), json!({"classes": classes, "features": features}));
    }
    Ok(json!({
        "proto": PROTOCOL,
        "driver": {"name": NAME, "version": shmwire::VERSION},
        "impl": {"name": "shmwire-rust", "version": shmwire::VERSION, "language": "rust"},
        "profiles": profiles,
    }))
}
