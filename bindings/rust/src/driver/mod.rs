// SPDX-License-Identifier: MIT
//! Driver protocol 1: one request per line on standard input, one reply per line on standard output. This module knows the
//! commands and the handles; what a command does is a profile's. A new profile is one directory beside dmxp and one line in
//! [`PROFILES`].
//!
//! Whatever touches a segment runs on a thread of its own, with the handle in hand. When the segment has been shortened, the
//! access stops that thread for ever (the library's `park_on_truncation`); the request is answered TRUNCATED, and so is every
//! later one about that handle. All else goes on.

mod deepwater;
mod dmxp;
mod follow;
mod live;
mod ouroboros;
mod profile;
mod reading;
mod shmcomm;
mod slick;
mod wire;

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};
use std::process::ExitCode;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::{json, Map, Value};

use profile::{HeldClaim, Injection, Profile, Segment};
use wire::{Failure, Outcome, Request};

const PROFILES: &[&dyn Profile] = &[&dmxp::Dmxp, &ouroboros::Ouroboros, &slick::Slick, &shmcomm::Shmcomm, &deepwater::Deepwater];
const NAME: &str = "shmwire-driver-rust";
const PROTOCOL: u64 = 1;
/// Lines of the runner are at most 1 MiB.
const LONGEST_LINE: usize = 1 << 20;
/// How often a working thread is looked after.
const HEARTBEAT: Duration = Duration::from_millis(5);

/// A request's object, shared with the thread that works on it.
type Body = Arc<Map<String, Value>>;

/// A claimed slot, and the handle it was claimed with.
struct Claimed {
    /// `None`: lost with a shortened segment.
    claim: Option<Box<dyn HeldClaim>>,
    of: u64,
}

#[derive(Default)]
struct Driver {
    last_handle: u64,
    /// `None`: lost with a shortened segment.
    segments: BTreeMap<u64, Option<Box<dyn Segment>>>,
    claims: BTreeMap<u64, Claimed>,
    injection: Injection,
    armed: Option<live::Actor>,
    /// It has been played, and keeps what it has joined until it is replaced.
    played: Option<live::Actor>,
    leaving: bool,
}

/// Serve standard input until it ends or `bye` is said.
pub fn run() -> ExitCode {
    if let Err(error) = shmwire::park_on_truncation() {
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

/// Do work that touches a segment on a thread of its own. What it had in hand is lost when it does not come back.
fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    let (done, result) = mpsc::channel();
    shmwire::truncation_met(); // whatever an earlier thread met is not this one's
    thread::spawn(move || done.send(work()));
    loop {
        match result.recv_timeout(HEARTBEAT) {
            Ok(value) => return Ok(value),
            Err(RecvTimeoutError::Timeout) if shmwire::truncation_met() => return Err(Failure::truncated()),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(Failure::internal("the driver panicked; see standard error")),
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
        match self.dispatch(&Arc::new(body)) {
            Ok(ok) => json!({"id": id, "ok": ok}),
            Err(failure) => failure.into_reply(&id),
        }
    }

    fn dispatch(&mut self, body: &Body) -> Outcome {
        let request = Request::new(body);
        match request.text("cmd")? {
            "hello" => hello(&request),
            "reset" => self.reset(),
            "inject" => self.injection.take(&request),
            "create" => self.create(body),
            "open" => self.open(body),
            "inspect" => self.on_segment(body, |segment, _, _| segment.inspect()),
            "write" => self.on_segment(body, |segment, request, injection| segment.write(request, injection)),
            "read" => self.on_segment(body, |segment, request, injection| segment.read(request, injection)),
            "seek" => self.on_segment(body, |segment, request, _| segment.seek(request)),
            "call" if request.has("h") => self.on_segment(body, |segment, request, injection| {
                segment.call(request.text("verb")?, &request.object("args")?, injection)
            }),
            "call" => call_alone(body),
            "claim" => self.claim(body),
            "commit" => self.commit(body),
            "abandon" => self.abandon(body),
            "arm" => self.arm(body),
            "go" => self.go(),
            "close" => self.close(&request),
            "bye" => {
                self.leaving = true;
                Ok(json!({}))
            }
            other => Err(Failure::new("UNKNOWN_COMMAND", other)),
        }
    }

    /// Let the segment of `h` do its part of a request, apart.
    fn on_segment<T: Send + 'static>(
        &mut self,
        body: &Body,
        work: impl FnOnce(&mut dyn Segment, &Request<'_>, &mut Injection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let h = Request::new(body).number("h", u64::MAX)?;
        let place = self.segments.get_mut(&h).ok_or_else(|| Failure::bad_request("h is not a handle"))?;
        let mut segment = place.take().ok_or_else(Failure::truncated)?;
        let (body, mut injection) = (Arc::clone(body), self.injection.clone());
        let (segment, injection, result) = apart(move || {
            let result = work(segment.as_mut(), &Request::new(&body), &mut injection);
            (segment, injection, result)
        })?;
        *place = Some(segment);
        self.injection = injection;
        result
    }

    fn reset(&mut self) -> Outcome {
        self.drop_everything();
        Ok(json!({}))
    }

    /// Claims first: they stay claimed in the segment, as those of a process that dies.
    fn drop_everything(&mut self) {
        self.leave_claims(|_| true);
        self.armed = None;
        self.played = None;
        self.segments.clear();
        self.injection = Injection::default();
    }

    fn leave_claims(&mut self, which: impl Fn(&Claimed) -> bool) {
        let gone: Vec<u64> = self.claims.iter().filter(|(_, claimed)| which(claimed)).map(|(&c, _)| c).collect();
        gone.iter().filter_map(|c| self.claims.remove(c)?.claim).for_each(|claim| claim.leave());
    }

    fn new_handle(&mut self) -> u64 {
        self.last_handle += 1;
        self.last_handle
    }

    fn add_segment(&mut self, segment: Box<dyn Segment>) -> Outcome {
        let h = self.new_handle();
        self.segments.insert(h, Some(segment));
        Ok(json!({ "h": h }))
    }

    fn create(&mut self, body: &Body) -> Outcome {
        let (body, injection) = (Arc::clone(body), self.injection.clone());
        let create = move || {
            let request = Request::new(&body);
            profile(&request)?.create(place(&request)?, request.timeout()?, &request.optional_object("options")?, &injection)
        };
        self.add_segment(apart(create)??)
    }

    fn open(&mut self, body: &Body) -> Outcome {
        let (body, injection) = (Arc::clone(body), self.injection.clone());
        let open = move || {
            let request = Request::new(&body);
            let read_only = request.one_of("mode", &["rw", "ro"])? == 1;
            let options = request.optional_object("options")?;
            profile(&request)?.open(place(&request)?, read_only, request.timeout()?, &options, &injection)
        };
        self.add_segment(apart(open)??)
    }

    fn claim(&mut self, body: &Body) -> Outcome {
        let of = Request::new(body).number("h", u64::MAX)?;
        let (mut reply, claim) = self.on_segment(body, |segment, request, _| segment.claim(request))?;
        if claim.is_some() {
            let c = self.new_handle();
            self.claims.insert(c, Claimed { claim, of });
            reply["c"] = json!(c);
        }
        Ok(reply)
    }

    fn held(&mut self, request: &Request<'_>) -> Result<(u64, Box<dyn HeldClaim>), Failure> {
        let c = request.number("c", u64::MAX)?;
        let claimed = self.claims.get_mut(&c).ok_or_else(|| Failure::bad_request("c is not a claim"))?;
        Ok((c, claimed.claim.take().ok_or_else(Failure::truncated)?))
    }

    fn commit(&mut self, body: &Body) -> Outcome {
        self.end_claim(body, |claim, request, injection| claim.commit(request, injection))
    }

    fn abandon(&mut self, body: &Body) -> Outcome {
        self.end_claim(body, |claim, _, _| claim.abandon())
    }

    /// Let a claim do its part of a request, apart. It is over unless that fails.
    fn end_claim(
        &mut self,
        body: &Body,
        work: impl FnOnce(&mut dyn HeldClaim, &Request<'_>, &mut Injection) -> Outcome + Send + 'static,
    ) -> Outcome {
        let (c, mut claim) = self.held(&Request::new(body))?;
        let (body, mut injection) = (Arc::clone(body), self.injection.clone());
        let (claim, injection, outcome) = apart(move || {
            let outcome = work(claim.as_mut(), &Request::new(&body), &mut injection);
            (claim, injection, outcome)
        })?;
        self.injection = injection;
        if outcome.is_ok() {
            self.claims.remove(&c);
        } else {
            self.claims.entry(c).and_modify(|claimed| claimed.claim = Some(claim));
        }
        outcome
    }

    fn close(&mut self, request: &Request<'_>) -> Outcome {
        let h = request.number("h", u64::MAX)?;
        self.leave_claims(|claimed| claimed.of == h);
        self.segments.remove(&h).map(|_| json!({})).ok_or_else(|| Failure::bad_request("h is not a handle"))
    }

    fn arm(&mut self, body: &Body) -> Outcome {
        self.armed = None;
        self.played = None;
        let body = Arc::clone(body);
        let arm = move || {
            let plan = Request::new(&body);
            live::Actor::new(profile(&plan)?.attach(place(&plan)?, &plan)?, &plan)
        };
        self.armed = Some(apart(arm)??);
        Ok(json!({}))
    }

    fn go(&mut self) -> Outcome {
        let mut actor = self.armed.take().ok_or_else(|| Failure::bad_request("go without arm"))?;
        let (actor, outcome) = apart(move || {
            let outcome = actor.run();
            (actor, outcome)
        })?;
        self.played = Some(actor);
        outcome
    }
}

/// The segment of a request, or the name that a profile makes it of.
fn place<'a>(request: &Request<'a>) -> Result<&'a str, Failure> {
    match request.optional_object("options")?.text("name")? {
        Some(name) => Ok(name),
        None => request.text("seg"),
    }
}

/// A verb that takes no handle: of the profile that its name begins with.
fn call_alone(body: &Body) -> Outcome {
    let body = Arc::clone(body);
    apart(move || {
        let request = Request::new(&body);
        let verb = request.text("verb")?;
        profile_of(verb.split('.').next().unwrap_or(verb))?.call(verb, &request.object("args")?)
    })?
}

fn profile(request: &Request<'_>) -> Result<&'static dyn Profile, Failure> {
    profile_of(request.text("profile")?)
}

fn profile_of(name: &str) -> Result<&'static dyn Profile, Failure> {
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
