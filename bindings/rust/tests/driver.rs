// SPDX-License-Identifier: MIT
//! The conformance driver as its runner meets it: lines in, lines out.

mod common;
#[path = "common/feeds.rs"]
#[allow(dead_code)]
mod feeds;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use common::Name;
use feeds::Base;
use serde_json::{json, Value};

struct Driver {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    last_id: u64,
}

impl Driver {
    fn start() -> Driver {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shmwire-driver-rust"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the driver");
        let (input, output) = (child.stdin.take(), BufReader::new(child.stdout.take().expect("its output")));
        Driver { child, input, output, last_id: 0 }
    }

    fn line(&mut self, line: &[u8]) -> Value {
        let input = self.input.as_mut().expect("not closed");
        input.write_all(line).and_then(|()| input.write_all(b"\n")).expect("the driver reads");
        let mut reply = String::new();
        self.output.read_line(&mut reply).expect("the driver answers");
        serde_json::from_str(&reply).expect("JSON")
    }

    fn ask(&mut self, mut request: Value) -> Value {
        self.last_id += 1;
        request["id"] = json!(self.last_id);
        let mut reply = self.line(request.to_string().as_bytes());
        assert_eq!(reply["id"], json!(self.last_id));
        reply.as_object_mut().expect("an object").remove("id");
        reply
    }

    fn ok(&mut self, request: Value) -> Value {
        let mut reply = self.ask(request.clone());
        assert!(reply["ok"].is_object(), "{request} gave {reply}");
        reply["ok"].take()
    }

    fn err(&mut self, request: Value) -> Value {
        let mut reply = self.ask(request.clone());
        assert!(reply["err"].is_object(), "{request} gave {reply}");
        reply["err"]["code"].take()
    }

    fn finish(mut self) {
        self.input = None;
        assert!(self.child.wait().expect("our own child").success());
    }
}

/// A driver, and a segment with channel 0 of 4 slots under its first handle.
fn with_segment(name: &Name) -> Driver {
    let mut driver = Driver::start();
    driver.ok(json!({"cmd": "create", "profile": "dmxp", "seg": name.0, "options": {"size": "131072"}}));
    driver.ok(json!({"cmd": "call", "h": 1, "verb": "dmxp.channel_create", "args": {"channel": 0, "capacity": "4"}}));
    driver
}

#[test]
fn manners() {
    let mut driver = Driver::start();
    let hello = driver.ok(json!({"cmd": "hello", "proto": [1], "suite": "test", "env": {}}));
    assert_eq!((&hello["proto"], &hello["impl"]["language"]), (&json!(1), &json!("rust")));
    assert_eq!(hello["profiles"]["dmxp"]["classes"].as_array().map(Vec::len), Some(8));
    assert_eq!(driver.err(json!({"cmd": "hello", "proto": [2]})), "UNSUPPORTED");
    assert_eq!(driver.err(json!({"cmd": "frobnicate"})), "UNKNOWN_COMMAND");
    assert_eq!(driver.err(json!({"cmd": "read", "h": 99, "max": 1, "mode": "try"})), "BAD_REQUEST");
    assert_eq!(driver.err(json!({"cmd": "open", "profile": "nope", "seg": "/x", "mode": "ro"})), "UNSUPPORTED");
    assert_eq!(driver.err(json!({"cmd": "open", "profile": "dmxp", "seg": "/shmw-rust-absent", "mode": "ro"})), "NOT_FOUND");
    let long = vec![b' '; (1 << 20) + 10];
    for bad in [&b"not JSON"[..], b"[]", b"{\"cmd\":\"hello\"}", b"\xff\xfe", &long] {
        let reply = driver.line(bad);
        assert_eq!((&reply["err"]["code"], &reply["id"]), (&json!("BAD_REQUEST"), &Value::Null));
    }
    driver.ok(json!({"cmd": "reset", "unknown": {"field": []}}));
    driver.ok(json!({"cmd": "bye"}));
    driver.finish();
}

#[test]
fn items_before_an_error_are_returned() {
    let name = Name::new("driver-pending");
    let mut driver = with_segment(&name);
    let items: Vec<Value> = (0..3).map(|i| json!({"data": {"pat": 1, "seed": i, "len": 60}})).collect();
    driver.ok(json!({"cmd": "write", "h": 1, "channel": 0, "mode": "try", "items": items}));
    name.poke(common::HEADER + common::SLOT + 40, &2000_u32.to_le_bytes());
    let read = json!({"cmd": "read", "h": 1, "channel": 0, "max": 8, "mode": "try"});
    let first = driver.ok(read.clone());
    assert_eq!((first["st"].as_str(), first["items"].as_array().map(Vec::len)), (Some("ok"), Some(1)));
    assert_eq!(driver.err(read.clone()), "CORRUPT");
    assert_eq!(driver.ok(read)["items"][0]["pos"], "2");
    driver.finish();
}

#[test]
fn injected_meta_reaches_the_bytes() {
    let name = Name::new("driver-inject");
    let mut driver = with_segment(&name);
    driver.ok(json!({"cmd": "inject", "clock_ns": "1000", "clock_step_ns": "10", "pid": 42, "runtime": 1}));
    let item = json!({"data": {"hex": "6869"}});
    driver.ok(json!({"cmd": "write", "h": 1, "channel": 0, "mode": "batch", "items": [item, item]}));
    driver.ok(json!({"cmd": "write", "h": 1, "channel": 0, "mode": "try", "items": [{"data": {"hex": ""}, "meta": {"message_id": "7"}}]}));
    let metas = driver.ok(json!({"cmd": "read", "h": 1, "channel": 0, "max": 9, "mode": "peek"}))["items"].take();
    let times: Vec<&Value> = metas.as_array().expect("items").iter().map(|item| &item["meta"]["timestamp_ns"]).collect();
    assert_eq!(times, ["1000", "1010", "1020"]);
    let expected =
        json!({"message_id": "7", "timestamp_ns": "1020", "message_type": 0, "sender_pid": 42, "sender_runtime": 1, "flags": 0});
    assert_eq!(metas[2]["meta"], expected);
    driver.finish();
}

#[test]
fn closing_leaves_claims_as_a_death_would() {
    let name = Name::new("driver-claims");
    let mut driver = with_segment(&name);
    driver.ok(json!({"cmd": "open", "profile": "dmxp", "seg": name.0, "mode": "rw"}));
    let claim = driver.ok(json!({"cmd": "claim", "h": 2, "channel": 0}));
    assert_eq!((&claim["st"], &claim["pos"]), (&json!("ok"), &json!("0")));
    assert_eq!(driver.err(json!({"cmd": "commit", "c": claim["c"], "data": {"pat": 1, "seed": 0, "len": 1025}})), "TOO_LARGE");
    driver.ok(json!({"cmd": "close", "h": 2}));
    assert_eq!(driver.err(json!({"cmd": "abandon", "c": claim["c"]})), "BAD_REQUEST");
    assert_eq!(name.u64_at(common::HEADER), 0, "still claimed");
    let report = driver.ok(json!({"cmd": "call", "h": 1, "verb": "dmxp.recover", "args": {"all_dead": true}}));
    assert_eq!((&report["tombstones"], &report["count_repaired"]), (&json!("1"), &json!(false)));
    driver.finish();
}

#[test]
fn a_truncated_segment_is_survived() {
    let name = Name::new("driver-truncated");
    let mut driver = with_segment(&name);
    let write = json!({"cmd": "write", "h": 1, "channel": 0, "mode": "try", "items": [{"data": {"hex": "00"}}]});
    driver.ok(write.clone());
    std::fs::OpenOptions::new().write(true).open(name.path()).and_then(|file| file.set_len(4096)).expect("we own it");
    assert_eq!(driver.err(json!({"cmd": "read", "h": 1, "channel": 0, "max": 1, "mode": "try"})), "TRUNCATED");
    assert_eq!(driver.err(write), "TRUNCATED", "the handle is spent");
    driver.ok(json!({"cmd": "reset"}));
    assert_eq!(driver.err(json!({"cmd": "open", "profile": "dmxp", "seg": name.0, "mode": "rw"})), "TRUNCATED");
    drop(name);
    let name = Name::new("driver-afterwards");
    driver.ok(json!({"cmd": "create", "profile": "dmxp", "seg": name.0, "options": {"size": 131_072}}));
    driver.finish();
}

#[test]
fn a_log_behind_the_driver() {
    let name = Name::new("driver-log");
    let mut driver = Driver::start();
    let options = json!({"chunk_count": 2, "chunk_target_size": "64"});
    driver.ok(json!({"cmd": "create", "profile": "ouroboros", "seg": name.0, "options": options}));
    let open = |mode: &str, options: Value| json!({"cmd": "open", "profile": "ouroboros", "seg": name.0, "mode": mode, "options": options});
    assert_eq!(driver.err(open("rw", json!({"resume": true}))), "BUSY");
    let write = |h: u64, data: &str| json!({"cmd": "write", "h": h, "mode": "try", "items": [{"data": {"hex": data}}]});
    assert_eq!(driver.ok(write(1, "00ff"))["results"], json!([{"st": "ok", "seq": "1"}]));
    assert_eq!(driver.err(write(1, "")), "INVALID_ARGUMENT");
    driver.ok(open("ro", json!({"from": "oldest"})));
    assert_eq!(driver.err(write(2, "00")), "UNSUPPORTED");
    let read = |mode: &str| json!({"cmd": "read", "h": 2, "mode": mode, "max": 4});
    assert_eq!(driver.err(json!({"cmd": "read", "h": 2, "mode": "try", "buffer": 1})), "TOO_SMALL");
    let item = json!({"data": {"hex": "00ff"}, "seq": "1", "chunk": 0, "token": "0", "skipped": "0", "view": 1});
    assert_eq!(driver.ok(read("view")), json!({"st": "ok", "items": [item]}));
    assert_eq!(driver.ok(read("try")), json!({"st": "empty", "items": []}));
    assert_eq!(driver.err(read("peek")), "UNSUPPORTED");
    let check = json!({"cmd": "call", "h": 2, "verb": "ouroboros.view_check", "args": {"v": 1}});
    assert_eq!(driver.ok(check.clone())["st"], "ok");
    let long = json!({"data": {"pat": 1, "seed": 3, "len": 100}});
    driver.ok(json!({"cmd": "write", "h": 1, "mode": "batch", "items": [long, long]}));
    assert_eq!(driver.ok(check)["st"], "lapped");
    driver.ok(json!({"cmd": "seek", "h": 2, "to": "latest"}));
    assert_eq!(driver.ok(read("batch"))["items"][0]["seq"], "3");
    let info = driver.ok(json!({"cmd": "call", "h": 1, "verb": "ouroboros.info", "args": {}}));
    assert_eq!(info, json!({"entries_written": "3", "max_payload": "124", "chunk_target_size": "64", "chunk_count": 2}));
    driver.ok(json!({"cmd": "call", "h": 1, "verb": "ouroboros.validate", "args": {}}));
    assert_eq!(driver.ok(json!({"cmd": "inspect", "h": 1}))["fields"]["row[0].token"], "2");
    driver.ok(json!({"cmd": "close", "h": 1}));
    driver.ok(open("rw", json!({"resume": true})));
    driver.finish();
}

#[test]
fn live_actors_certify_and_record() {
    let name = Name::new("driver-live");
    let mut writer = with_segment(&name);
    let mut reader = Driver::start();
    let history = std::env::temp_dir().join(format!("shmw-rust-{}-history", std::process::id()));
    let plan = json!({
        "cmd": "arm", "profile": "dmxp", "seg": name.0, "channel": 0, "actor": 5, "seed": 9, "count": 500, "sizes": [24, 25, 1024],
        "batch": 3, "wait": "block", "stutter_us": 50, "limit_ms": 20_000, "role": "write", "history": history,
    });
    let mut reads = plan.clone();
    reads["role"] = json!("read");
    writer.ok(plan);
    reader.ok(reads);
    let summary = std::thread::scope(|scope| {
        let going = scope.spawn(|| reader.ok(json!({"cmd": "go"})));
        assert_eq!(writer.ok(json!({"cmd": "go"}))["sent"], 500);
        let end = json!([{"data": {"hex": ""}, "meta": {"message_type": 0xFFFF_FFFF_u32}}]);
        writer.ok(json!({"cmd": "write", "h": 1, "channel": 0, "mode": "block", "timeout_ms": 10_000, "items": end}));
        going.join().expect("no panic")
    });
    let of = |key: &str| summary[key].as_u64();
    assert_eq!((of("received"), of("torn"), of("corrupt"), &summary["ended"]), (Some(500), Some(0), Some(0), &json!(true)));
    let records = std::fs::read(&history).expect("the history");
    std::fs::remove_file(&history).expect("ours");
    assert_eq!(records.len(), 500 * 40);
    let word = |record: &[u8], at: usize| u32::from_le_bytes(record[at..at + 4].try_into().expect("4 bytes"));
    for (i, record) in records.chunks(40).enumerate() {
        let expected = [5, 1, i as u32, 0, i as u32, 0, [24, 25, 1024][i % 3], writer.child.id()];
        assert!((0..8).all(|k| word(record, 4 * k) == expected[k]) && word(record, 36) == 0, "record {i}");
    }
    writer.finish();
    reader.finish();
}

#[test]
fn a_queue_behind_the_driver() {
    let name = Name::new("driver-slick");
    let mut driver = Driver::start();
    let options = json!({"size": 8, "element_size": 2, "generation": "1.4", "stall_ms": 30});
    driver.ok(json!({"cmd": "create", "profile": "slick", "seg": name.0, "options": options}));
    driver.ok(json!({"cmd": "open", "profile": "slick", "seg": name.0, "mode": "ro", "options": {"from": "latest"}}));
    let write = |h: u64, mode: &str, data: &[&str]| {
        let items: Vec<Value> = data.iter().map(|data| json!({"data": {"hex": data}})).collect();
        json!({"cmd": "write", "h": h, "mode": mode, "items": items})
    };
    let read = |h: u64, mode: &str| json!({"cmd": "read", "h": h, "mode": mode, "max": 4});
    let call = |h: u64, verb: &str, args: Value| json!({"cmd": "call", "h": h, "verb": verb, "args": args});
    let item = |data: &str, pos: &str, elements: u32, lost: &str| json!({"data": {"hex": data}, "pos": pos, "elements": elements, "lost": lost});

    assert_eq!(driver.ok(write(1, "try", &["00ff"]))["results"], json!([{"st": "ok", "pos": "0"}]));
    assert_eq!(driver.ok(read(2, "try")), json!({"st": "empty", "items": []}), "it began behind that, at its first use");
    let both = json!([{"st": "ok", "pos": "1"}, {"st": "ok", "pos": "3"}]);
    assert_eq!(driver.ok(write(1, "batch", &["01020304", "05060708"]))["results"], both);
    assert_eq!(driver.err(write(1, "batch", &["0102", "01020304"])), "BAD_REQUEST");
    assert_eq!(driver.err(write(1, "try", &["000000"])), "INVALID_ARGUMENT");
    assert_eq!(driver.err(write(2, "try", &["00ff"])), "PERMISSION");
    assert_eq!(driver.ok(read(2, "batch"))["items"], json!([item("01020304", "1", 2, "0"), item("05060708", "3", 2, "0")]));
    assert_eq!(driver.err(json!({"cmd": "read", "h": 1, "mode": "try", "buffer": 1})), "TOO_SMALL");
    assert_eq!(driver.err(read(1, "peek")), "UNSUPPORTED");
    let mut view = item("00ff", "0", 1, "0");
    view["view"] = json!(1);
    assert_eq!(driver.ok(read(1, "view")), json!({"st": "ok", "items": [view]}));
    assert_eq!(driver.ok(call(1, "slick.view_check", json!({"v": 1})))["st"], "ok");
    let last = json!({"st": "ok", "items": [{"data": {"hex": "05060708"}, "pos": "3", "elements": 2}]});
    assert_eq!(driver.ok(call(2, "slick.last", json!({}))), last);

    let claim = |elements: u32| json!({"cmd": "claim", "h": 1, "elements": elements});
    let claimed = driver.ok(claim(3));
    assert_eq!(claimed, json!({"st": "ok", "c": 3, "pos": "5", "capacity": 6}));
    assert_eq!(driver.err(claim(1)), "BUSY");
    assert_eq!(driver.err(json!({"cmd": "commit", "c": 3, "data": {"hex": "00"}})), "INVALID_ARGUMENT");
    assert_eq!(driver.ok(json!({"cmd": "commit", "c": 3, "data": {"hex": "0a0b0c0d0e0f"}})), json!({"st": "ok"}));
    assert_eq!(driver.err(json!({"cmd": "commit", "c": 3, "data": {"hex": "0a0b0c0d0e0f"}})), "BAD_REQUEST");
    assert_eq!(driver.ok(claim(8))["pos"], "8");
    assert_eq!(driver.err(json!({"cmd": "abandon", "c": 4})), "UNSUPPORTED");
    let whole = json!({"pat": 1, "seed": 1, "len": 16});
    assert_eq!(driver.ok(json!({"cmd": "commit", "c": 4, "data": whole}))["st"], "ok");
    assert_eq!(driver.ok(call(1, "slick.view_check", json!({"v": 1})))["st"], "lapped");
    assert_eq!(driver.ok(read(2, "try"))["items"][0]["lost"], "3");

    assert_eq!(driver.ok(claim(2))["pos"], "16");
    driver.ok(json!({"cmd": "abandon", "c": 5}));
    assert_eq!(driver.ok(claim(2))["c"], 6);
    assert_eq!(driver.err(json!({"cmd": "claim", "h": 1, "elements": 9})), "TOO_LARGE");
    driver.ok(json!({"cmd": "close", "h": 1}));
    driver.ok(json!({"cmd": "open", "profile": "slick", "seg": name.0, "mode": "rw", "options": {"index": "18"}}));
    assert_eq!(driver.ok(read(7, "block")), json!({"st": "timeout", "items": []}), "a claim of who has gone");
    assert_eq!(driver.ok(call(7, "slick.recover", json!({"all_dead": true})))["holes"], "1");
    assert_eq!(driver.ok(write(7, "try", &["aabb"]))["results"][0]["pos"], "20");
    assert_eq!(driver.ok(read(7, "block"))["items"], json!([item("aabb", "20", 1, "0")]));

    let cursor = Name::new("driver-cursor");
    driver.ok(call(7, "slick.cursor_create", json!({"cursor": cursor.0, "index": "20"})));
    assert_eq!(driver.err(call(7, "slick.cursor_create", json!({"cursor": cursor.0, "from": "latest"}))), "EXISTS");
    driver.ok(json!({"cmd": "open", "profile": "slick", "seg": name.0, "mode": "ro", "options": {"cursor": cursor.0}}));
    assert_eq!(driver.ok(read(8, "try"))["items"][0]["pos"], "20");
    assert_eq!((driver.ok(json!({"cmd": "seek", "h": 8, "to": "latest"})), cursor.u64_at(0)), (json!({"cursor": "21"}), 21));
    let info = driver.ok(call(7, "slick.info", json!({})));
    let expected = json!({
        "generation": "1.4", "shm_name": name.0, "size": 8, "element_size": 2, "next_index": "21", "settled": "20",
        "items_written": "1", "given_up": "0", "cursor": "21", "items_read": "1", "lost": "0", "resets": "0",
    });
    assert_eq!(info, expected);
    driver.ok(call(2, "slick.validate", json!({})));
    assert_eq!(driver.ok(json!({"cmd": "inspect", "h": 2}))["fields"]["slot[4].data_index"], "20");
    driver.ok(call(7, "slick.reset", json!({})));
    assert_eq!(driver.ok(call(7, "slick.info", json!({})))["next_index"], "0");
    driver.finish();
}

/// Two writers that stay behind a slow reader, which ends when it is told: nothing is lost, and a record says where each item was.
#[test]
fn live_actors_of_a_queue() {
    let name = Name::new("driver-slick-live");
    let scratch = |word: &str| std::env::temp_dir().join(format!("shmw-rust-{}-{word}", std::process::id()));
    let (history, credit, until) = (scratch("slick-history"), scratch("slick-credit"), scratch("slick-until"));
    std::fs::write(&credit, [0; 64]).and_then(|()| std::fs::write(&until, [0])).expect("new files");
    let mut writers = [Driver::start(), Driver::start()];
    let mut reader = Driver::start();
    let options = json!({"size": 256, "element_size": 24});
    writers[0].ok(json!({"cmd": "create", "profile": "slick", "seg": name.0, "options": options}));
    let plan = json!({
        "cmd": "arm", "profile": "slick", "seg": name.0, "seed": 9, "count": 400, "sizes": [24, 48, 120], "batch": 3, "stutter_us": 50,
        "limit_ms": 20_000, "role": "write", "credit": {"path": credit, "window": 100}, "open": {"stall_ms": 20_000},
    });
    for (writer, actor) in writers.iter_mut().zip([5, 6]) {
        let mut plan = plan.clone();
        plan["actor"] = json!(actor);
        writer.ok(plan);
    }
    reader.ok(json!({
        "cmd": "arm", "profile": "slick", "seg": name.0, "role": "read", "batch": 2, "history": history, "limit_ms": 20_000,
        "credit": {"path": credit, "slot": 0}, "slow_us": 5, "until": until, "from": "oldest",
    }));
    let summary = std::thread::scope(|scope| {
        let reading = scope.spawn(|| reader.ok(json!({"cmd": "go"})));
        let writing: Vec<_> = writers.iter_mut().map(|writer| scope.spawn(move || writer.ok(json!({"cmd": "go"})))).collect();
        for writer in writing {
            assert_eq!(writer.join().expect("no panic"), json!({"sent": 400, "full": 0, "given_up": 0}));
        }
        // In place: the reader has it mapped, and fs::write would shorten it first.
        let opened = std::fs::OpenOptions::new().write(true).open(&until);
        opened.and_then(|mut file| std::io::Write::write_all(&mut file, &[1])).expect("ours");
        reading.join().expect("no panic")
    });
    let (records, credit_at_end) = (std::fs::read(&history).expect("the history"), std::fs::read(&credit).expect("the credit"));
    [history, credit, until].iter().for_each(|path| std::fs::remove_file(path).expect("ours"));
    let of = |key: &str| summary[key].as_u64();
    assert_eq!(
        (of("received"), of("torn"), of("corrupt"), of("lapped"), of("lost")),
        (Some(800), Some(0), Some(0), Some(0), Some(0))
    );
    assert_eq!((&summary["ended"], &credit_at_end[..8], records.len()), (&json!(true), &[255; 8][..], 800 * 40));
    let word = |record: &[u8], at: usize| u32::from_le_bytes(record[at..at + 4].try_into().expect("4 bytes"));
    let (mut behind, mut sequences) = (0, [0, 0]);
    for record in records.chunks(40) {
        let (actor, elements, index) = (word(record, 0) as usize - 5, word(record, 4), word(record, 16));
        assert_eq!(word(record, 8), sequences[actor], "in the order of its writer");
        sequences[actor] += 1;
        assert!(index >= behind && index - behind < 5, "index {index} behind {behind}");
        assert_eq!((word(record, 24), word(record, 36)), (24 * elements, 0));
        behind = index + elements;
    }
    writers.into_iter().for_each(Driver::finish);
    reader.finish();
}

#[test]
fn a_feed_behind_the_driver() {
    let base = Base::new("driver");
    let mut driver = Driver::start();
    let ask = |command: &str, mode: &str, options: Value| {
        let profile = "deepwater";
        json!({"cmd": command, "profile": profile, "seg": base.0, "mode": mode, "options": options})
    };
    assert_eq!(driver.err(ask("open", "rw", json!({}))), "NOT_FOUND");
    driver.ok(ask("create", "rw", json!({"live_window": 1, "rows": 3, "feeds": 1})));
    assert_eq!(driver.err(ask("open", "rw", json!({}))), "BUSY");
    assert_eq!(driver.err(ask("create", "rw", json!({"feed": "other"}))), "FULL");
    driver.ok(ask("open", "ro", json!({})));
    let item = |time: u64| json!({"data": {"hex": "00ff"}, "ts": time.to_string()});
    let write = |mode: &str, times: [u64; 3]| json!({"cmd": "write", "h": 1, "mode": mode, "items": times.map(item)});
    assert_eq!(driver.ok(write("try", [1, 2, 3]))["results"][2], json!({"st": "ok", "seq": "2"}));
    for mode in ["try", "batch"] {
        let reply = driver.ask(write(mode, [4, 4, 3]));
        assert_eq!((&reply["err"]["code"], &reply["err"]["done"]), (&json!("OUT_OF_ORDER"), &json!(2)), "{mode}");
    }
    assert_eq!(driver.err(json!({"cmd": "read", "h": 1, "mode": "try"})), "UNSUPPORTED");
    let read = |mode: &str| json!({"cmd": "read", "h": 2, "mode": mode, "max": 9});
    assert_eq!(
        driver.ok(read("batch"))["items"][0],
        json!({"data": {"hex": "00ff"}, "seq": "0", "ts": "1", "type": 0, "chunk": "0"})
    );
    let call =
        |h: u64, verb: &str, args: Value| json!({"cmd": "call", "h": h, "verb": format!("deepwater.{verb}"), "args": args});
    driver.ok(call(2, "restore", json!({"chunk": "0", "sequence": "3"})));
    driver.ok(call(1, "rotate", json!({})));
    driver.ok(write("batch", [5, 6, 7]));
    assert_eq!(driver.ok(read("try")), json!({"st": "expired", "lost": "4", "items": []}));
    assert_eq!(driver.ok(call(2, "range", json!({"from": "6", "to": "6"})))["items"][0]["seq"], "8");
    assert_eq!(driver.ok(call(2, "cursor", json!({}))), json!({"chunk": "1", "sequence": "9"}));
    assert_eq!(driver.ok(call(2, "has_data_since", json!({"time": "8"}))), json!({"has": false}));
    assert_eq!(driver.ok(json!({"cmd": "inspect", "h": 2}))["fields"]["row[0].state"], "4");
    driver.ok(json!({"cmd": "close", "h": 1}));
    let verb = |verb: &str| json!({"cmd": "call", "verb": format!("deepwater.{verb}"), "args": {"seg": base.0, "feed": "feed"}});
    assert_eq!(driver.ok(verb("feeds")), json!({"feeds": ["feed"]}));
    assert_eq!(driver.ok(verb("gc"))["sealed"], "0");
    ["validate", "retire"].iter().for_each(|word| drop(driver.ok(verb(word))));
    assert_eq!(driver.err(ask("open", "rw", json!({}))), "CLOSED");
    assert_eq!(driver.ok(read("block"))["st"], "ok"); // the chunk is held: one record was left
    driver.finish();
}
