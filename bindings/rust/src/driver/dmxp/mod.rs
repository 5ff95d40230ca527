// SPDX-License-Identifier: MIT
//! Profile dmxp behind the driver protocol (its section 5).

mod live;
mod read;

use std::collections::btree_map::{BTreeMap, Entry};
use std::time::Duration;

use serde_json::{json, Map, Value};
use shmwire::dmxp::{self, Channel, ChannelOptions, Claim, CreateOptions, Item, Meta, OpenOptions, PayloadChoice, PayloadLayout};
use shmwire::Answer;

use self::live::Port;
use self::read::{send_before_sleep, Reading};
use super::live::Line;
use super::profile::{ClaimOutcome, HeldClaim, Injection, Profile, Segment, SegmentOutcome};
use super::wire::{text, word, Failure, Options, Outcome, Request};

const LARGEST_PAYLOAD: usize = dmxp::PAYLOAD_CAPACITY_CRATE as usize;

pub struct Dmxp;

impl Profile for Dmxp {
    fn name(&self) -> &'static str {
        "dmxp"
    }

    fn classes(&self) -> &'static [&'static str] {
        &["inspect", "read", "write", "write-exact", "live", "blocking", "hardened", "recovery"]
    }

    fn features(&self) -> &'static [&'static str] {
        &["batch", "split", "inject", "sleep-hook"]
    }

    fn create(&self, seg: &str, _timeout: Duration, options: &Options<'_>, _injection: &Injection) -> SegmentOutcome {
        let mut create = CreateOptions::new();
        if let Some(size) = options.number("size", u64::MAX)? {
            create = create.size(size);
        }
        match options.number("payload_layout", u64::from(u32::MAX))?.unwrap_or(2) {
            1 => create = create.payload_layout(PayloadLayout::Document),
            2 => create = create.payload_layout(PayloadLayout::Crate),
            _ => return Err(Failure::new("INVALID_ARGUMENT", "payload_layout is 1 or 2")),
        }
        if let Some(mode) = options.octal("mode")? {
            create = create.mode(mode);
        }
        Ok(Box::new(Handle::new(create.create(seg)?)))
    }

    fn open(
        &self,
        seg: &str,
        read_only: bool,
        timeout: Duration,
        options: &Options<'_>,
        _injection: &Injection,
    ) -> SegmentOutcome {
        let choice = match options.one_of("payload", &["crate", "document", "auto"])? {
            None | Some(0) => PayloadChoice::Always(PayloadLayout::Crate),
            Some(1) => PayloadChoice::Always(PayloadLayout::Document),
            Some(_) => PayloadChoice::Auto,
        };
        let open = OpenOptions::new().read_only(read_only).payload_choice(choice).ready_timeout(timeout);
        Ok(Box::new(Handle::new(open.open(seg)?)))
    }

    fn attach(&self, seg: &str, plan: &Request<'_>) -> Result<Box<dyn Line>, Failure> {
        let channel = OpenOptions::new().open(seg)?.attach(channel_id(plan)?)?;
        Ok(Box::new(Port::new(channel)))
    }
}

fn channel_id(request: &Request<'_>) -> Result<u32, Failure> {
    Ok(request.number("channel", u64::from(u32::MAX))? as u32)
}

/// An open segment and the channels that it has been used for.
struct Handle {
    segment: dmxp::Segment,
    channels: BTreeMap<u32, Channel>,
    /// Met after items were read: the answer of the next read.
    pending: BTreeMap<u32, Failure>,
}

impl Handle {
    fn new(segment: dmxp::Segment) -> Handle {
        Handle { segment, channels: BTreeMap::new(), pending: BTreeMap::new() }
    }

    fn channel(&mut self, request: &Request<'_>) -> Result<&Channel, Failure> {
        let id = channel_id(request)?;
        if let Entry::Vacant(place) = self.channels.entry(id) {
            place.insert(self.segment.attach(id)?);
        }
        Ok(&self.channels[&id])
    }
}

impl Segment for Handle {
    fn inspect(&mut self) -> Outcome {
        let info = self.segment.info();
        let mut fields = Map::new();
        let mut put = |name: String, value: u64| fields.insert(name, text(value));
        put("header.magic".into(), info.magic);
        put("header.version".into(), info.version.into());
        put("header.max_channels".into(), info.max_channels.into());
        put("header.channel_count".into(), info.channel_count.into());
        put("header.payload_layout".into(), info.payload_layout.into());
        for id in self.segment.channels() {
            let entry = self.segment.channel_info(id)?;
            put(format!("channel[{id}].channel_id"), entry.channel_id.into());
            put(format!("channel[{id}].flags"), entry.flags.into());
            put(format!("channel[{id}].capacity"), entry.capacity);
            put(format!("channel[{id}].band_offset"), entry.band_offset);
            put(format!("channel[{id}].signal"), entry.signal.into());
            put(format!("channel[{id}].waiters"), entry.waiters.into());
            put(format!("channel[{id}].retired_capacity"), entry.retired_capacity);
            put(format!("channel[{id}].tail"), entry.tail);
            put(format!("channel[{id}].head"), entry.head);
            put(format!("channel[{id}].removals"), entry.removals);
        }
        Ok(json!({ "fields": fields }))
    }

    fn write(&mut self, request: &Request<'_>, injection: &mut Injection) -> Outcome {
        let channel = self.channel(request)?;
        let items = request.objects("items")?;
        let results = match request.one_of("mode", &["try", "block", "batch"])? {
            0 => write_each(channel, &items, Duration::ZERO, false, injection)?,
            1 => write_each(channel, &items, request.timeout()?, true, injection)?,
            _ => write_batch(channel, &items, injection)?,
        };
        Ok(json!({ "results": results }))
    }

    fn read(&mut self, request: &Request<'_>, injection: &mut Injection) -> Outcome {
        let channel = self.channel(request)?.clone();
        if let Some(failure) = self.pending.remove(&channel.id()) {
            return Err(failure);
        }
        let mut reading = Reading::new(request)?;
        let mut sleeper = None;
        let hooked = if request.has("on_sleep") {
            let (hooked, sent) = send_before_sleep(&channel, &request.object("on_sleep")?, injection)?;
            sleeper = Some(sent);
            hooked
        } else {
            channel.clone()
        };
        let outcome = reading.run(&hooked);
        if let Some(sent) = sleeper {
            injection.advance(sent.finish()?);
        }
        match outcome {
            Err(failure) if reading.items.is_empty() => Err(failure),
            Err(failure) => {
                self.pending.insert(channel.id(), failure);
                Ok(json!({"st": "ok", "items": reading.items}))
            }
            Ok(_) if !reading.items.is_empty() => Ok(json!({"st": "ok", "items": reading.items})),
            Ok(st) => Ok(json!({"st": st, "items": []})),
        }
    }

    fn claim(&mut self, request: &Request<'_>) -> ClaimOutcome {
        match self.channel(request)?.claim()? {
            Answer::Done(claim) => {
                let reply = json!({"st": "ok", "pos": text(claim.position()), "capacity": claim.capacity()});
                Ok((reply, Some(Box::new(Held(Some(claim.into_owned()))))))
            }
            other => Ok((json!({ "st": word(&other) }), None)),
        }
    }

    fn call(&mut self, verb: &str, args: &Request<'_>, _injection: &mut Injection) -> Outcome {
        match verb {
            "dmxp.channel_create" => {
                let capacity = args.number("capacity", u64::MAX)?;
                let options = ChannelOptions::new().capacity(capacity).counted_waiters(args.flag("counted_waiters")?);
                self.segment.create_channel(channel_id(args)?, &options)?;
                Ok(json!({}))
            }
            "dmxp.channel_remove" => {
                self.segment.remove_channel(channel_id(args)?)?;
                Ok(json!({}))
            }
            "dmxp.channels" => Ok(json!({ "channels": self.segment.channels() })),
            "dmxp.validate" => {
                self.segment.validate()?;
                Ok(json!({}))
            }
            "dmxp.recover" => {
                let report = self.segment.recover(args.flag("all_dead")?)?;
                Ok(json!({
                    "tombstones": text(report.tombstones),
                    "possibly_lost": text(report.possibly_lost),
                    "waiters_reset": text(report.waiters_reset),
                    "count_repaired": report.count_repaired,
                }))
            }
            other => Err(Failure::new("UNKNOWN_COMMAND", other)),
        }
    }
}

/// The meta of a request, filled up with what was injected, for the message after `nth` others.
fn meta(item: &Request<'_>, injection: &Injection, nth: u64) -> Result<Meta, Failure> {
    let given = item.optional_object("meta")?;
    let mut meta = Meta::new();
    if let Some(id) = given.number("message_id", u64::MAX)? {
        meta = meta.message_id(id);
    }
    if let Some(time) = given.number("timestamp_ns", u64::MAX)?.or_else(|| injection.time(nth)) {
        meta = meta.timestamp_ns(time);
    }
    if let Some(message_type) = given.number("message_type", u64::from(u32::MAX))? {
        meta = meta.message_type(message_type as u32);
    }
    if let Some(pid) = given.number("sender_pid", u64::from(u32::MAX))?.map(|pid| pid as u32).or(injection.pid) {
        meta = meta.sender_pid(pid);
    }
    if let Some(runtime) =
        given.number("sender_runtime", u64::from(u16::MAX))?.map(|runtime| runtime as u16).or(injection.runtime)
    {
        meta = meta.sender_runtime(runtime);
    }
    if let Some(flags) = given.number("flags", u64::from(u16::MAX))? {
        meta = meta.flags(flags as u16);
    }
    Ok(meta)
}

fn put_result(results: &mut Vec<Value>, answer: &Answer<u64>) -> bool {
    results.push(match answer {
        Answer::Done(position) => json!({"st": "ok", "pos": text(*position)}),
        other => json!({ "st": word(other) }),
    });
    matches!(answer, Answer::Done(_))
}

fn write_each(
    channel: &Channel,
    items: &[Request<'_>],
    timeout: Duration,
    block: bool,
    injection: &mut Injection,
) -> Result<Vec<Value>, Failure> {
    let mut results = Vec::new();
    for item in items {
        let (data, meta) = (item.bytes("data")?, meta(item, injection, 0)?);
        let answer = if block { channel.send(&data, &meta, timeout)? } else { channel.try_send(&data, &meta)? };
        if !put_result(&mut results, &answer) {
            break;
        }
        injection.advance(1);
    }
    Ok(results)
}

fn write_batch(channel: &Channel, items: &[Request<'_>], injection: &mut Injection) -> Result<Vec<Value>, Failure> {
    let mut batch = Vec::new();
    for (nth, item) in items.iter().enumerate() {
        batch.push((item.bytes("data")?, meta(item, injection, nth as u64)?));
    }
    let items: Vec<Item<'_>> = batch.iter().map(|(data, meta)| Item { data, meta: *meta }).collect();
    let mut results = Vec::new();
    if put_result(&mut results, &channel.try_send_batch(&items)?) {
        injection.advance(items.len() as u64);
    }
    Ok(results)
}

/// A claim; `None` once it is over.
struct Held(Option<Claim<'static>>);

impl HeldClaim for Held {
    fn commit(&mut self, request: &Request<'_>, injection: &mut Injection) -> Outcome {
        let (data, meta) = (request.bytes("data")?, meta(request, injection, 0)?);
        let claim = self.0.as_mut().ok_or_else(|| Failure::new("OUT_OF_ORDER", "the claim is over"))?;
        claim.write(0, &data)?;
        match self.0.take().map(|claim| claim.commit(data.len(), &meta)) {
            Some(Err(refused)) => {
                self.0 = Some(refused.claim);
                Err(refused.error.into())
            }
            _ => {
                injection.advance(1);
                Ok(json!({}))
            }
        }
    }

    fn abandon(&mut self) -> Outcome {
        self.0.take().ok_or_else(|| Failure::new("OUT_OF_ORDER", "the claim is over"))?.abandon()?;
        Ok(json!({}))
    }

    fn leave(self: Box<Self>) {
        if let Some(claim) = self.0 {
            claim.leave_stalled();
        }
    }
}
