# SPDX-License-Identifier: MIT
"""The shmwire command: what each verb prints, its exit codes, and that nothing is written that should not be."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from support import LAYOUT, ROOT, SHMWIRE, STRUCTS, as_json, driver, field, message_lines, offset_of, ok, pattern, poke, run

Make = Callable[..., Path]
VERBS = ["ls", "top", "gc", "inspect", "validate", "dump", "tail", "gen", "diff", "snapshot", "recover", "bench"]
VERBS += ["schema", "version"]
TOMBSTONE = 0x8000


def messages(*args: str | Path, code: int = 0) -> list[dict[str, Any]]:
    done = run("dump", "--format", "jsonl", *args)
    assert done.returncode == code, done.stderr
    return message_lines(done.stdout)


# --- the command itself -----------------------------------------------------------------------------------------------


def test_help_names_every_verb() -> None:
    text = ok("help")
    for verb in VERBS:
        assert re.search(rf"^  {verb} ", text, re.M)
        assert ok(verb, "--help") == ok("help", verb)


def test_every_verb_has_a_valid_schema() -> None:
    names = ok("schema").split()
    more = {"feed", "feeds", "validate-feeds", "gc-feeds"}  # what ls, validate and gc print of a base
    assert set(VERBS) | {"dmxp", "ouroboros", "slick", "shmcomm", "deepwater"} | more == set(names)
    assert as_json("schema")["names"] == names
    for verb in [*VERBS, *more]:
        jsonschema.Draft202012Validator.check_schema(json.loads(ok("schema", verb)))
    assert json.loads(ok("schema", "dmxp")) == LAYOUT


def test_version() -> None:
    value = as_json("version")
    assert value["version"] == value["library"]
    assert value["version"] in ok("version")


@pytest.mark.parametrize("words", [
    [], ["nonsense"], ["inspect"], ["inspect", "a", "b"], ["inspect", "--nonsense", "a"], ["dump", "a", "--channel"],
    ["dump", "a", "--channel", "-1"], ["dump", "a", "--channel", "256"], ["dump", "a", "--format", "xml"],
    ["dump", "a", "--format="], ["dump", "a", "--all=1"], ["dump", "a", "--json", "--format", "raw"], ["tail", "a", "-n", "x"],
    ["gen", "a", "--capacity", "3"],
    ["gen", "a", "--capacity", "1"], ["gen", "a", "--capacity", "8", "--count", "9"], ["gen", "a", "--size", "1025"],
    ["gen", "a", "--payload-layout", "document", "--size", "961"], ["gen", "a", "--payload-layout", "auto"], ["diff", "a"],
    ["inspect", "--profile", "nonsense", "a"], ["validate", "a", "--stall-ms", "0"], ["schema", "nonsense"], ["--generate", "x"],
    ["gen", "a", "--seed", "18446744073709551616"], ["inspect", ""], ["help", "nonsense"], ["bench", "--ms", "1"],
])
def test_wrong_usage_is_exit_2(words: list[str], tmp_path: Path) -> None:
    done = run(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == "" and done.stderr.startswith("shmwire: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("kind", "path"), [("man", "man/shmwire.1"), ("bash", "completions/shmwire.bash"),
                                            ("zsh", "completions/_shmwire"), ("fish", "completions/shmwire.fish")])
def test_generated_files_are_up_to_date(kind: str, path: str) -> None:
    assert ok("--generate", kind) == (ROOT / "ref-c" / path).read_text(encoding="utf-8")


def test_man_page_and_completions_have_every_option() -> None:
    man, bash = ok("--generate", "man"), ok("--generate", "bash")
    for verb in VERBS:
        for option in re.findall(r"--([a-z-]+)", ok("help", verb).split("options:")[1]):
            assert f"--{option}" in bash
            assert f"\\-\\-{option}".replace("-", "\\-").replace("\\\\-", "\\-") in man


def test_bash_completion_completes(tmp_path: Path) -> None:
    script = (f"source {ROOT}/ref-c/completions/shmwire.bash; COMP_WORDS=(shmwire dump --fo); COMP_CWORD=2; _shmwire; "
              "echo ${COMPREPLY[@]}; COMP_WORDS=(shmwire dump --format j); COMP_CWORD=3; _shmwire; echo ${COMPREPLY[@]}")
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.split() == ["--format", "jsonl"]


def test_full_output_device_is_exit_2(segment: Make) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run([SHMWIRE, "dump", str(segment())], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2 and "standard output" in done.stderr


def on_terminal(*words: str, env: dict[str, str]) -> str:
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.pop("NO_COLOR", None)
        os.environ.update(env)
        os.execv(SHMWIRE, [SHMWIRE, *words])
    text = b""
    try:
        while chunk := os.read(terminal, 65536):
            text += chunk
    except OSError:
        pass
    os.close(terminal)
    os.waitpid(pid, 0)
    return text.decode()


def test_colour_on_terminals_only(segment: Make) -> None:
    path = str(segment())
    assert "\033[" not in ok("inspect", path)
    assert "\033[1m" in on_terminal("inspect", path, env={"TERM": "xterm"})
    assert "\033[" not in on_terminal("inspect", path, env={"TERM": "xterm", "NO_COLOR": "1"})
    assert "\033[" not in on_terminal("inspect", path, env={"TERM": "dumb"})
    assert "channel 0 " in on_terminal("dump", path, env={"TERM": "dumb"}), "text is the format on a terminal"


# --- names ------------------------------------------------------------------------------------------------------------


def test_bare_word_is_the_file_here_else_shared_memory(tmp_path: Path, shm_name: str) -> None:
    word = shm_name[1:]
    ok("gen", word, "--capacity=2", cwd=tmp_path)
    assert Path(f"/dev/shm{shm_name}").exists()
    assert as_json("inspect", shm_name)["path"] == f"/dev/shm{shm_name}"
    assert json.loads(ok("inspect", "--json", word, cwd=tmp_path))["path"] == f"/dev/shm{shm_name}"
    ok("gen", f"./{word}", "--capacity=4", cwd=tmp_path)
    assert json.loads(ok("inspect", "--json", word, cwd=tmp_path))["path"] == f"./{word}"


# --- gen --------------------------------------------------------------------------------------------------------------


def test_gen_is_deterministic_and_private(segment: Make) -> None:
    first = segment(channels=3, count=5, seed=7)
    assert first.read_bytes() == segment(channels=3, count=5, seed=7).read_bytes()
    assert first.read_bytes() != segment(channels=3, count=5, seed=8).read_bytes()
    assert first.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("layout", ["crate", "document"])
def test_gen_messages_are_what_the_options_say(segment: Make, layout: str) -> None:
    path = segment(channels=2, count=4, size=900, seed=5, payload_layout=layout)
    found = messages(path)
    assert [(m["channel"], m["position"]) for m in found] == [(c, str(i)) for c in range(2) for i in range(4)]
    for message in found:
        seed = 5 + message["channel"] + int(message["position"])
        assert message["payload"] == pattern(seed, 900).hex()
        assert message["message_id"] == message["position"]
    assert as_json("inspect", path)["fields"]["header.payload_layout"] == {"crate": "2", "document": "1"}[layout]


def test_gen_refuses_a_taken_name(segment: Make) -> None:
    path = segment()
    before = path.read_bytes()
    done = run("gen", path)
    assert done.returncode == 2 and "EXISTS" in done.stderr
    assert path.read_bytes() == before


def test_gen_json_and_full_table(tmp_path: Path) -> None:
    value = as_json("gen", tmp_path / "all.bin", "--channels", "256", "--capacity", "2", "--count", "2")
    assert value["messages"] == "512" and value["channels"] == 256
    assert len(messages(tmp_path / "all.bin")) == 512
    assert as_json("validate", tmp_path / "all.bin")["valid"]


# --- inspect and the layout's names -----------------------------------------------------------------------------------


def test_inspect_prints_every_field_of_the_layout(segment: Make) -> None:
    fields = as_json("inspect", segment(channels=2))["fields"]
    wanted = {f"header.{f['name']}" for f in STRUCTS["header"]["fields"] if not f.get("reserved")}
    for channel in range(2):
        wanted |= {f"channel[{channel}].{f['name']}" for f in STRUCTS["channel"]["fields"] if not f.get("reserved")}
    assert set(fields) == wanted


def test_inspect_values(segment: Make) -> None:
    path = segment(count=3)
    with driver() as d:
        handle = d.open(path)
        d.good("read", h=handle, channel=0, max=1, mode="try")
        claim = d.good("claim", h=handle, channel=0)
        assert claim["pos"] == "3"
    value = as_json("inspect", path)
    assert value["fields"]["channel[0].head"] == "1" and value["fields"]["channel[0].tail"] == "4"
    health = {"channel": 0, "capacity": "8", "depth": "3", "published": "2", "unpublished": "1", "waiters": 0, "good": True}
    assert value["channels"] == [health]
    text = ok("inspect", path)
    assert "depth 3 of 8, 2 published, 1 claimed and not published, 0 waiters; good" in text


def test_inspect_shows_broken_segments(segment: Make) -> None:
    path = segment()
    poke(path, "header.magic", 0x1122334455667788)
    poke(path, "channel.capacity", 3)
    assert run("inspect", path).returncode == 3
    value = as_json("inspect", "--profile", "dmxp", path, code=1)
    assert value["fields"]["header.magic"] == str(0x1122334455667788)
    assert value["channels"][0]["good"] is False and "depth" not in value["channels"][0]
    assert {f["rule"] for f in value["findings"]} >= {"dmxp.segment.magic", "dmxp.channel.capacity"}


def test_diff_names_every_field_of_the_layout(segment: Make) -> None:
    base = segment(channels=2)
    for struct in ("header", "channel", "slot"):
        for member in STRUCTS[struct]["fields"]:
            name = f"{struct}.{member['name']}"
            if name in ("channel.capacity", "channel.band_offset"):
                continue  # they say where the slots are; compared below
            other = base.with_name("other.bin")
            data = bytearray(base.read_bytes())
            data[offset_of(name, channel=1, slot=2) + int(field(name)["size"]) - 1] ^= 0x40
            other.write_bytes(data)
            prefix = {"header": "header", "channel": "channel[1]", "slot": "channel[0].slot[2]"}[struct]
            differences = as_json("diff", base, other, code=1)["differences"]
            assert [d["field"] for d in differences] == [f"{prefix}.{member['name']}"]
            assert int(differences[0]["offset"]) == offset_of(name, channel=1, slot=2)
            assert int(differences[0]["length"]) == int(field(name)["size"])


# --- dump -------------------------------------------------------------------------------------------------------------


def test_dump_line_is_exactly_this(segment: Make) -> None:
    path = segment(count=0)
    with driver() as d:
        handle = d.open(path)
        d.send(handle, b"\x00\xffA", message_id="18446744073709551614", timestamp_ns="1700000000000000001", message_type=9,
               sender_pid=4711, sender_runtime=1, flags=3)
    assert ok("dump", path, "--profile", "dmxp", "--format", "jsonl") == (
        '{"channel": 0, "position": "0", "message_id": "18446744073709551614", "timestamp_ns": "1700000000000000001", '
        '"message_type": 9, "sender_pid": 4711, "sender_runtime": 1, "flags": 3, "payload": "00ff41"}\n')


def test_dump_leaves_a_read_only_file_alone(segment: Make) -> None:
    path = segment()
    before = path.read_bytes()
    path.chmod(0o400)
    for words in (["dump"], ["inspect"], ["validate"], ["tail"], ["recover", "--dry-run"]):
        ok(*words, path)
    assert path.read_bytes() == before


def test_dump_formats(segment: Make) -> None:
    path = segment(count=2, size=70)
    assert ok("dump", path) == ok("dump", path, "--json") == ok("dump", path, "--format=jsonl"), "jsonl off a terminal"
    text = ok("dump", path, "--format", "text")
    assert "    0000  1f 30" in text and "and 6 more bytes" in text and "2023-11-14T22:13:20.000000000Z" in text
    raw = subprocess.run([SHMWIRE, "dump", str(path), "--format", "raw"], capture_output=True, check=True).stdout
    assert raw == pattern(1, 70) + pattern(2, 70)


def test_dump_one_channel(segment: Make) -> None:
    path = segment(channels=3)
    assert {m["channel"] for m in messages(path, "-c", "2")} == {2}
    assert run("dump", path, "-c", "5").returncode == 2


def test_dump_holes_and_tombstones(segment: Make) -> None:
    path = segment(count=1)
    with driver() as d:
        handle = d.open(path)
        claims = [d.good("claim", h=handle, channel=0)["c"] for _ in range(3)]
        d.good("abandon", c=claims[1])
        d.send(handle, b"after")
    done = run("dump", path)
    assert done.returncode == 0
    assert [json.loads(line)["position"] for line in done.stdout.splitlines()] == ["0", "4"]
    assert done.stderr.splitlines() == ["shmwire: channel 0: 2 positions claimed and not published, the first 1: skipped"]
    everything = messages(path, "--all")
    assert [(m["position"], bool(m["flags"] & TOMBSTONE)) for m in everything] == [("0", False), ("2", True), ("4", False)]


def test_dump_prints_the_others_beside_a_corrupt_message(segment: Make) -> None:
    path = segment(count=4)
    poke(path, "slot.payload_len", 1025, slot=1)
    poke(path, "slot.sequence", 77, slot=2)
    done = run("dump", path)
    assert done.returncode == 1
    assert [json.loads(line)["position"] for line in done.stdout.splitlines()] == ["0", "3"]
    assert "dmxp.consume.payload-len" in done.stderr and "dmxp.consume.impossible" in done.stderr


def test_dump_goes_on_after_a_broken_channel(segment: Make) -> None:
    path = segment(channels=3, count=1)
    poke(path, "channel.tail", 1 << 40, channel=0)
    poke(path, "channel.band_offset", 1 << 63, channel=1)
    done = run("dump", path)
    assert done.returncode == 1
    assert [json.loads(line)["channel"] for line in done.stdout.splitlines()] == [2]


def test_payload_layout_where_the_header_does_not_say(segment: Make) -> None:
    path = segment(count=2, size=40)
    poke(path, "header.payload_layout", 0)
    poke(path, "slot.sender_runtime", 0, slot=1)  # as the document's clients do
    crate, document = pattern(1, 40), pattern(2, 40)[16:] + bytes(16)
    assert [m["payload"] for m in messages(path)] == [crate.hex(), document.hex()]
    assert messages(path, "--payload-layout", "crate")[1]["payload"] == pattern(2, 40).hex()
    assert messages(path, "--payload-layout", "document")[0]["payload"] == (crate[16:] + bytes(16)).hex()
    declared = segment(count=2, size=40)
    assert messages(declared, "--payload-layout", "document") == messages(declared), "a declared layout wins"


# --- validate ---------------------------------------------------------------------------------------------------------

FAULTS = [
    ("header.version", 2, {}, "dmxp.segment.version"),
    ("header.max_channels", 255, {}, "dmxp.segment.header"),
    ("header.payload_layout", 3, {}, "dmxp.segment.header"),
    ("channel.capacity", 7, {}, "dmxp.channel.capacity"),
    ("channel.capacity", 1, {}, "dmxp.channel.capacity"),
    ("channel.capacity", 1 << 63, {}, "dmxp.channel.band"),
    ("channel.band_offset", 98432 + 64, {}, "dmxp.channel.band"),
    ("channel.band_offset", 98304, {}, "dmxp.channel.band"),
    ("channel.band_offset", (1 << 64) - 128, {}, "dmxp.channel.band"),
    ("channel.band_offset", 98432, {"channel": 1}, "dmxp.channel.overlap"),
    ("channel.channel_id", 9, {}, "dmxp.channel.id"),
    ("channel.tail", 9, {}, "dmxp.channel.cursors"),
    ("channel.head", 4, {}, "dmxp.channel.cursors"),
    ("slot.sequence", 99, {"slot": 0}, "dmxp.consume.impossible"),
    ("slot.sequence", 0, {"slot": 7}, "dmxp.consume.impossible"),
    ("slot.payload_len", 1025, {"slot": 1}, "dmxp.consume.payload-len"),
    ("slot.channel_id", 3, {"slot": 1}, "dmxp.produce.meta"),
    ("slot.flags", TOMBSTONE, {"slot": 1}, "dmxp.produce.abandon"),
]


@pytest.mark.parametrize(("name", "value", "where", "rule"), FAULTS, ids=lambda v: str(v) if isinstance(v, str | int) else "")
def test_validate_names_the_rule_of_one_fault(segment: Make, name: str, value: int, where: dict[str, int], rule: str) -> None:
    path = segment(channels=2)
    sound = as_json("validate", path)
    assert (sound["valid"], sound["findings"], sound["errors"], sound["omitted"]) == (True, [], "0", "0")
    poke(path, name, value, **where)
    before = path.read_bytes()
    found = as_json("validate", path, code=1)
    assert rule in {f["rule"] for f in found["findings"] if f["severity"] == "error"}
    assert f"[{rule}]" in run("validate", path).stdout
    assert path.read_bytes() == before


def test_validate_size_magic_and_not_ready(segment: Make) -> None:
    path = segment()
    poke(path, "header.magic", 0)
    rules = {f["rule"] for f in as_json("validate", "--profile", "dmxp", path, code=1)["findings"]}
    assert rules == {"dmxp.segment.not-ready"}
    poke(path, "header.magic", 1)
    rules = {f["rule"] for f in as_json("validate", "--profile", "dmxp", path, code=1)["findings"]}
    assert rules == {"dmxp.segment.magic"}
    assert run("validate", path).returncode == 3
    os.truncate(segment("short.bin"), 98431)
    found = as_json("validate", path.with_name("short.bin"), code=1)["findings"]
    assert found[0]["rule"] == "dmxp.segment.size"


def test_notes_do_not_count(segment: Make) -> None:
    path = segment()
    poke(path, "header.payload_layout", 0)
    poke(path, "header.channel_count", 9)
    poke(path, "channel.flags", 6)
    found = as_json("validate", path)
    assert found["valid"] and {f["severity"] for f in found["findings"]} == {"note"} and len(found["findings"]) == 3
    assert "payload_layout is unspecified" in ok("inspect", path)


def test_document_style_consumer_leaves_the_channel_wedged(segment: Make) -> None:
    path = segment(count=8)
    poke(path, "channel.head", 8)  # took everything, released nothing
    found = as_json("validate", path, code=1)["findings"]
    assert [(f["rule"], f["position"]) for f in found] == [("dmxp.consume.release", "0")]
    assert "wedged: 8 published positions below head" in found[0]["text"]
    assert run("inspect", path).returncode == 1


def test_stalled_slot_only_when_asked(segment: Make) -> None:
    path = segment(count=0)
    with driver() as d:
        handle = d.open(path)
        claim = d.good("claim", h=handle, channel=0)["c"]
        assert as_json("validate", path)["valid"]
        found = as_json("validate", path, "--stall-ms", "30", code=1)["findings"]
        assert [(f["rule"], f["position"]) for f in found] == [("stalled-slot", "0")]
        assert "claimed and not published" in found[0]["text"]
        assert as_json("inspect", path, "--stall-ms", "30", code=1)["channels"][0]["good"] is False
        d.good("commit", c=claim, data={"hex": ""})
        d.good("read", h=handle, channel=0, max=1, mode="try")
        assert as_json("validate", path, "--stall-ms", "30")["valid"]


def test_findings_of_random_slots_are_bounded(segment: Make) -> None:
    path = segment(capacity=512, count=0)
    data = bytearray(path.read_bytes())
    start = offset_of("slot.sequence")
    data[start:] = pattern(3, len(data) - start)
    path.write_bytes(data)
    found = as_json("validate", path, code=1)
    assert len(found["findings"]) + int(found["omitted"]) == int(found["errors"]) > 256


# --- diff, snapshot ---------------------------------------------------------------------------------------------------


def test_diff(segment: Make) -> None:
    a, b = segment(), segment()
    assert as_json("diff", a, b)["equal"] and ok("diff", a, b) == ""
    poke(b, "channel.head", 2)
    poke(b, "channel.capacity", 16)
    found = [(d["field"], d["a"], d["b"]) for d in as_json("diff", a, b, code=1)["differences"]]
    assert found == [("channel[0].capacity", "8", "16"), ("channel[0].head", "0", "2")]
    assert "channel[0].head: 0 != 2" in run("diff", a, b).stdout


def test_diff_of_sizes_and_magic(segment: Make) -> None:
    a, b = segment(), segment()
    with b.open("ab") as file:
        file.write(b"\0" * 10)
    found = as_json("diff", a, b, code=1)
    assert found["differences"] == [] and not found["equal"]
    assert "size: " in run("diff", a, b).stdout
    poke(b, "header.magic", 5)
    assert as_json("diff", b, a, code=1)["differences"][0]["field"] == "header.magic"
    poke(a, "header.magic", 6)
    assert run("diff", a, b).returncode == 3


def test_diff_of_free_bytes_and_many_differences(segment: Make) -> None:
    a, b = segment(), segment()
    end = a.stat().st_size
    for path, byte in ((a, b"\0"), (b, b"\1")):
        with path.open("ab") as file:
            file.write(byte * 100)
    found = as_json("diff", a, b, code=1)["differences"]
    assert [(d["field"], d["length"]) for d in found] == [(f"free[{end}]", "100")]
    c, d = segment(capacity=1024, count=0), segment(capacity=1024, count=1024)
    many = as_json("diff", c, d, code=1)
    assert len(many["differences"]) == 1000 and int(many["omitted"]) > 1000


def test_snapshot(segment: Make, tmp_path: Path) -> None:
    path, copy = segment(), tmp_path / "copy.bin"
    value = as_json("snapshot", path, copy)
    assert value["consistent"] and value["size"] == str(path.stat().st_size)
    assert copy.read_bytes() == path.read_bytes() and copy.stat().st_mode & 0o777 == 0o600
    copy.write_bytes(b"mine")
    names = sorted(tmp_path.iterdir())
    assert run("snapshot", path, copy).returncode == 2
    assert copy.read_bytes() == b"mine" and sorted(tmp_path.iterdir()) == names
    assert run("snapshot", path, tmp_path / "no/such/copy.bin").returncode == 2


# --- recover ----------------------------------------------------------------------------------------------------------


def test_recover(segment: Make) -> None:
    path = segment(count=3)
    with driver() as d:
        handle = d.open(path)
        d.good("claim", h=handle, channel=0)
        before = path.read_bytes()
        busy = run("recover", path)
        assert busy.returncode == 2 and "BUSY" in busy.stderr
    poke(path, "channel.head", 2)  # two taken and not released
    poke(path, "channel.waiters", 1)
    poke(path, "header.channel_count", 5)
    before = path.read_bytes()
    wanted = {"tombstones": "1", "possibly_lost": "2", "waiters_reset": "1", "count_repaired": True}
    dry = as_json("recover", "--dry-run", path, code=1)
    assert dry["dry_run"] and path.read_bytes() == before
    done = as_json("recover", "--all-dead", path)
    assert {k: dry[k] for k in wanted} == wanted == {k: done[k] for k in wanted}
    assert run("recover", "--dry-run", path).returncode == 0
    assert as_json("validate", path)["findings"] == []
    assert [m["position"] for m in messages(path)] == ["2"]


def test_recover_leaves_a_sound_segment_alone(segment: Make) -> None:
    path = segment()
    before = path.read_bytes()
    ok("recover", "--all-dead", path)
    assert path.read_bytes() == before


# --- ls, bench --------------------------------------------------------------------------------------------------------


def test_ls_of_a_directory(segment: Make, tmp_path: Path) -> None:
    segment("b.bin", channels=2)
    segment("a.bin", count=0)
    (tmp_path / "noise").write_bytes(os.urandom(5000))
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "link").symlink_to("a.bin")
    (tmp_path / "dir").mkdir()
    os.mkfifo(tmp_path / "fifo")
    value = as_json("ls", "--dir", tmp_path)
    found = [(s["name"], s["channels"], s["waiting"], s["mode"]) for s in value["segments"]]
    assert found == [("a.bin", "1", "0", "0600"), ("b.bin", "2", "6", "0600")]
    text = ok("ls", "--dir", tmp_path).splitlines()
    assert text[0].split()[:3] == ["NAME", "PROFILE", "KIND"] and len(text) == 3
    assert run("ls", "--dir", tmp_path / "nowhere").returncode == 2


def test_top_ends_after_its_rounds_and_when_interrupted(segment: Make, tmp_path: Path) -> None:
    segment("a.bin", channels=2)
    lines = ok("top", "--dir", tmp_path, "--json", "--interval-ms", "1", "--rounds", "3").splitlines()
    checker = jsonschema.Draft202012Validator(json.loads(ok("schema", "top")))
    for line in lines:
        checker.validate(json.loads(line))
    assert [json.loads(line)["segments"][0]["waiting"] for line in lines] == ["6"] * 3
    assert "a.bin" in ok("top", "--dir", tmp_path, "--interval-ms", "1", "--rounds", "1")
    process = subprocess.Popen([SHMWIRE, "top", "--dir", str(tmp_path), "--interval-ms", "50"], stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.stdout.read()
    process.stdout.close()
    assert process.wait(10) == 0


def test_gc_leaves_alone_what_cannot_tell(segment: Make, tmp_path: Path) -> None:
    path = segment("a.bin")
    os.mkfifo(tmp_path / "fifo")
    before = path.read_bytes()
    assert as_json("gc", "--dir", tmp_path)["segments"] == [] and ok("gc", "--insist", "--dir", tmp_path) == ""
    assert path.read_bytes() == before
    assert run("gc", "--dir", tmp_path / "nowhere").returncode == 2


def test_ls_shows_who_maps(shm_name: str) -> None:
    ok("gen", shm_name, "--capacity=2")
    with driver() as d:
        d.open(shm_name)
        mine = [s for s in as_json("ls")["segments"] if s["name"] == shm_name[1:]]
        assert mine[0]["processes"] == [d.process.pid]
        assert re.search(rf"^{shm_name} +dmxp .* {d.process.pid}", ok("ls"), re.M)


def test_bench_is_a_probe_that_leaves_nothing() -> None:
    before = set(os.listdir("/dev/shm"))
    value = as_json("bench", "--ms", "20")
    assert value["kind"] == "probe" and value["messages_per_second"] > 0 and int(value["rounds"]) > 0
    assert "probe, not a benchmark" in ok("bench", "--ms", "20")
    assert not {name for name in set(os.listdir("/dev/shm")) - before if name.startswith("shmwire-bench")}
