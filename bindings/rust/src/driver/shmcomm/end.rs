// SPDX-License-Identifier: MIT
//! Profile shmcomm behind the driver protocol: ends of channels, and how they are opened.

use std::path::Path;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use shmwire::shmcomm::{
    HeaderInfo, HeldFrame, Identity, Info, Making, Observer, Options as Manners, Publisher, Puller, Pusher, Replier, Requester,
    Subscriber,
};

use super::super::profile::Injection;
use super::super::wire::{Failure, Options};
use super::start;

const ROLES: [&str; 7] = ["publisher", "subscriber", "pusher", "puller", "requester", "replier", "observer"];
const OBSERVER: usize = 6;

/// One end of a channel.
pub enum End {
    Publisher(Publisher),
    Subscriber(Subscriber),
    Pusher(Pusher),
    Puller(Puller),
    Requester(Box<Requester>),
    Replier(Box<Replier>),
    Observer(Observer),
}

/// The end, which nobody else uses now: a thread that holds it still has stopped at the end of a shortened segment.
pub fn lock(end: &Mutex<End>) -> Result<MutexGuard<'_, End>, Failure> {
    end.try_lock().map_err(|_| Failure::truncated())
}

/// The same call of whatever end it is.
macro_rules! each {
    ($end:expr, $one:ident => $call:expr) => {
        match $end {
            End::Publisher($one) => $call,
            End::Subscriber($one) => $call,
            End::Pusher($one) => $call,
            End::Puller($one) => $call,
            End::Requester($one) => $call,
            End::Replier($one) => $call,
            End::Observer($one) => $call,
        }
    };
}

impl End {
    pub fn info(&self) -> Info {
        each!(self, end => end.info())
    }

    pub fn header(&self) -> HeaderInfo {
        each!(self, end => end.header())
    }

    pub fn held(&self) -> shmwire::Result<Vec<HeldFrame>> {
        each!(self, end => end.held())
    }

    pub fn segment(&self) -> &Path {
        each!(self, end => end.segment())
    }
}

/// A role, and the options of open.
pub struct Manner {
    role: Option<usize>,
    options: Manners,
}

impl Manner {
    pub fn new(options: &Options<'_>, timeout: Duration, injection: &Injection) -> Result<Manner, Failure> {
        let mut manners = Manners::new().ready_timeout(timeout).making(Making::JoinOnly);
        if options.one_of("making", &["join", "any"])? == Some(1) {
            manners = manners.making(Making::JoinOrCreate);
        }
        if let Some(capacity) = options.number("capacity", u64::MAX)? {
            manners = manners.capacity(capacity);
        }
        if let Some(serializer) = options.number("serializer", u64::from(u16::MAX))? {
            manners = manners.serializer(serializer as u16);
        }
        if let Some(mode) = options.octal("mode")? {
            manners = manners.mode(mode);
        }
        if let Some(from) = start(options, "from")? {
            manners = manners.start(from);
        }
        manners = manners
            .sole(options.flag("sole")?.unwrap_or(false))
            .tell_lost(options.flag("tell_lost")?.unwrap_or(false))
            .read_only(options.flag("read_only")?.unwrap_or(false))
            .identity(identity(options, injection)?);
        Ok(Manner { role: options.one_of("role", &ROLES)?, options: manners })
    }

    /// The role that a plan has.
    pub fn with_role(self, role: &str) -> Manner {
        Manner { role: ROLES.iter().position(|&word| word == role), ..self }
    }

    /// For `create`.
    pub fn making_only(self) -> Manner {
        Manner { options: self.options.making(Making::CreateOnly), ..self }
    }

    /// For `open` "ro".
    pub fn looking_only(self) -> Result<Manner, Failure> {
        match self.role {
            None => Ok(Manner { role: Some(OBSERVER), ..self }),
            Some(1 | OBSERVER) => Ok(Manner { options: self.options.read_only(true), ..self }),
            Some(_) => Err(Failure::bad_request("only subscribers and observers open \"ro\"")),
        }
    }

    pub fn open(&self, seg: &str) -> Result<End, Failure> {
        let options = &self.options;
        Ok(match self.role.map(|role| ROLES[role]) {
            Some("publisher") => End::Publisher(Publisher::open(seg, options)?),
            Some("subscriber") => End::Subscriber(Subscriber::open(seg, options)?),
            Some("pusher") => End::Pusher(Pusher::open(seg, options)?),
            Some("puller") => End::Puller(Puller::open(seg, options)?),
            Some("requester") => End::Requester(Box::new(Requester::open(seg, options)?)),
            Some("replier") => End::Replier(Box::new(Replier::open(seg, options)?)),
            Some(_) => End::Observer(Observer::open(seg, options)?),
            None => return Err(Failure::bad_request("role is missing")),
        })
    }
}

fn identity(options: &Options<'_>, injection: &Injection) -> Result<Identity, Failure> {
    let given = options.object("identity")?;
    let number = |key: &str, max: u64| given.number(key, max).map(Option::unwrap_or_default);
    Ok(Identity {
        endpoint: number("endpoint", u64::from(u32::MAX))? as u32,
        pid: injection.pid.unwrap_or(0),
        instance: number("instance", u64::MAX)?,
        boot_ns: injection.boot_ns.unwrap_or(0),
        correlation_id: number("correlation_id", u64::MAX)?,
    })
}
