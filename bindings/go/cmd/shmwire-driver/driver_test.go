// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// talk sends lines to a driver of its own and answers its replies. "%s" in a line is the path of the test's segment.
func talk(t *testing.T, lines ...string) []map[string]any {
	t.Helper()
	return talkOver(t, filepath.Join(t.TempDir(), "segment"), lines...)
}

func talkOver(t *testing.T, seg string, lines ...string) []map[string]any {
	t.Helper()
	input := strings.ReplaceAll(strings.Join(lines, "\n")+"\n", "%s", seg)
	var out bytes.Buffer
	if err := serve(strings.NewReader(input), &out); err != nil {
		t.Fatal(err)
	}
	var replies []map[string]any
	for _, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		var reply map[string]any
		if err := json.Unmarshal([]byte(line), &reply); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		replies = append(replies, reply)
	}
	return replies
}

// expect compares a reply as text: its "ok", or the code of its "err".
func expect(t *testing.T, reply map[string]any, want string) {
	t.Helper()
	var found string
	if failed, is := reply["err"].(map[string]any); is {
		found = fmt.Sprint(failed["code"])
	} else {
		text, err := json.Marshal(reply["ok"])
		if err != nil {
			t.Fatal(err)
		}
		found = string(text)
	}
	if found != want {
		t.Errorf("reply %v\n   is %s\nnot   %s", reply["id"], found, want)
	}
}

const (
	createLine  = `{"id":1,"cmd":"create","profile":"dmxp","seg":"%s","options":{"size":131072}}`
	channelLine = `{"id":2,"cmd":"call","h":1,"verb":"dmxp.channel_create","args":{"channel":0,"capacity":"4"}}`
)

func TestManners(t *testing.T) {
	replies := talk(t,
		`{"id":1,"cmd":"hello","proto":[1],"surplus":{"a":[1]}}`, `{"id":2,"cmd":"hello","proto":[2]}`, `{"id":3,"cmd":"dance"}`,
		`not json`, `{"id":5,"cmd":"open","profile":"dmxp","seg":"%s","mode":"ro"}`,
		`{"id":6,"cmd":"open","profile":"nope","seg":"%s","mode":"ro"}`,
		`{"id":7,"cmd":"open","profile":"dmxp","seg":"%s","mode":"up"}`,
		`{"id":8,"cmd":"read","h":9,"channel":0}`, `{"id":9,"cmd":"write"}`, `{"id":10,"cmd":"commit","c":"1"}`,
		`{"id":11,"cmd":"go"}`,
		`{"id":12,"cmd":"inject","pid":-1}`, `{"id":13,"cmd":"bye"}`, `{"id":14,"cmd":"hello"}`)
	for i, want := range map[int]string{
		1: "UNSUPPORTED", 2: "UNKNOWN_COMMAND", 3: "BAD_REQUEST", 4: "NOT_FOUND", 5: "UNSUPPORTED", 6: "BAD_REQUEST",
		7: "BAD_REQUEST", 8: "BAD_REQUEST", 9: "BAD_REQUEST", 10: "BAD_REQUEST", 11: "BAD_REQUEST", 12: "{}",
	} {
		expect(t, replies[i], want)
	}
	if len(replies) != 13 {
		t.Errorf("%d replies: bye was not the end", len(replies))
	}
	ok := replies[0]["ok"].(map[string]any)
	if ok["proto"] != 1.0 || ok["profiles"].(map[string]any)["dmxp"] == nil {
		t.Errorf("hello: %v", ok)
	}
}

// message is an item of a read reply.
func message(data, pos, id, timestamp string, kind, flags int) string {
	return fmt.Sprintf(`{"data":{"hex":"%s"},"meta":{"flags":%d,"message_id":"%s","message_type":%d,"sender_pid":7,`+
		`"sender_runtime":9,"timestamp_ns":"%s"},"pos":"%s"}`, data, flags, id, kind, timestamp, pos)
}

func TestWriteRead(t *testing.T) {
	const most = "18446744073709551615"
	replies := talk(t, createLine, channelLine,
		`{"id":3,"cmd":"inject","clock_ns":"1000","clock_step_ns":10,"pid":7,"runtime":9}`,
		`{"id":4,"cmd":"write","h":1,"channel":0,"mode":"try","items":[{"data":{"hex":"0aff"}},`+
			`{"data":{"hex":""},"meta":{"message_id":"`+most+`","timestamp_ns":2000,"message_type":5,"flags":3}}]}`,
		`{"id":5,"cmd":"write","h":1,"channel":0,`+
			`"mode":"batch","items":[{"data":{"pat":1,"seed":7,"len":3}},{"data":{"hex":"01"}}]}`,
		`{"id":6,"cmd":"write","h":1,"channel":0,"mode":"try","items":[{"data":{"hex":"02"}},{"data":{"hex":"03"}}]}`,
		`{"id":7,"cmd":"write","h":1,"channel":0,"mode":"block","timeout_ms":1,"items":[{"data":{"hex":"02"}}]}`,
		`{"id":8,"cmd":"read","h":1,"channel":0,"mode":"try","max":2,"buffer":1}`,
		`{"id":9,"cmd":"read","h":1,"channel":0,"mode":"try","max":2}`,
		`{"id":10,"cmd":"read","h":1,"channel":0,"mode":"batch","max":8}`,
		`{"id":11,"cmd":"read","h":1,"channel":0,"mode":"batch","max":8}`,
		`{"id":12,"cmd":"read","h":1,"channel":0,"mode":"block","timeout_ms":5,"max":8}`,
		`{"id":13,"cmd":"write","h":1,"channel":0,`+
			`"mode":"try","items":[{"data":{"hex":"02"}},{"data":{"pat":1,"seed":1,"len":1025}}]}`,
		`{"id":14,"cmd":"read","h":1,"channel":0,"mode":"peek","max":8}`,
		`{"id":15,"cmd":"read","h":1,"channel":0,"mode":"block","timeout_ms":5000,"max":2,`+
			`"on_sleep":{"seg":"%s","channel":0,"data":{"hex":"0b"}}}`)
	expect(t, replies[3], `{"results":[{"pos":"0","st":"ok"},{"pos":"1","st":"ok"}]}`)
	expect(t, replies[4], `{"results":[{"pos":"2","st":"ok"}]}`)
	expect(t, replies[5], `{"results":[{"st":"full"}]}`)
	expect(t, replies[6], `{"results":[{"st":"timeout"}]}`)
	expect(t, replies[7], "TOO_SMALL")
	if needed := replies[7]["err"].(map[string]any)["needed"]; needed != "2" {
		t.Errorf("needed %v", needed)
	}
	expect(t, replies[8], `{"items":[`+message("0aff", "0", "0", "1000", 0, 0)+`,`+
		message("", "1", most, "2000", 5, 3)+`],"st":"ok"}`)
	expect(t, replies[9], `{"items":[`+message("d9eafb", "2", "2", "1010", 0, 0)+`,`+
		message("01", "3", "3", "1020", 0, 0)+`],"st":"ok"}`)
	expect(t, replies[10], `{"items":[],"st":"empty"}`)
	expect(t, replies[11], `{"items":[],"st":"timeout"}`)
	expect(t, replies[12], "TOO_LARGE")
	expect(t, replies[13], `{"items":[`+message("02", "4", "4", "1030", 0, 0)+`],"st":"ok"}`)
	expect(t, replies[14], `{"items":[`+message("02", "4", "4", "1030", 0, 0)+`],"st":"ok"}`)
}

func TestSleepHook(t *testing.T) {
	replies := talk(t, createLine, channelLine,
		`{"id":3,"cmd":"read","h":1,"channel":0,"mode":"block","timeout_ms":5000,"max":2,`+
			`"on_sleep":{"seg":"%s","channel":0,"data":{"hex":"0b"}}}`,
		`{"id":4,"cmd":"read","h":1,"channel":0,"mode":"block","timeout_ms":5}`)
	if items := replies[2]["ok"].(map[string]any)["items"].([]any); len(items) != 1 {
		t.Errorf("%v", replies[2])
	}
	expect(t, replies[3], `{"items":[],"st":"timeout"}`)
}

// Replies above 4,096 bytes carry a digest.
func TestBytes(t *testing.T) {
	long := bytesReply(make([]byte, 4097))
	if long["len"] != "4097" || len(long["sha256"].(string)) != 64 || len(long["head"].(string)) != 64 {
		t.Errorf("%v", long)
	}
	if reply := bytesReply(make([]byte, 4096)); len(reply["hex"].(string)) != 8192 {
		t.Error("4,096 bytes are still hex digits")
	}
	if p := pattern(7, 300); p[0] != 217 || p[299] != (31*7+17*299+101)%256 {
		t.Errorf("%v", p[:2])
	}
}

func TestClaims(t *testing.T) {
	replies := talk(t, createLine, channelLine, `{"id":3,"cmd":"claim","h":1,"channel":0}`,
		`{"id":4,"cmd":"commit","c":2,"data":{"pat":1,"seed":0,"len":1025}}`, `{"id":5,"cmd":"commit","c":2,"data":{"hex":"aa"}}`,
		`{"id":6,"cmd":"commit","c":2,"data":{"hex":"aa"}}`, `{"id":7,"cmd":"claim","h":1,"channel":0}`,
		`{"id":8,"cmd":"abandon","c":3}`,
		`{"id":9,"cmd":"claim","h":1,"channel":0}`, `{"id":10,"cmd":"close","h":1}`, `{"id":11,"cmd":"abandon","c":4}`,
		`{"id":12,"cmd":"open","profile":"dmxp","seg":"%s","mode":"rw"}`,
		`{"id":13,"cmd":"call","h":5,"verb":"dmxp.recover","args":{"all_dead":true}}`,
		`{"id":14,"cmd":"call","h":5,"verb":"dmxp.validate"}`,
		`{"id":15,"cmd":"call","h":5,"verb":"dmxp.channel_remove","args":{"channel":0}}`,
		`{"id":16,"cmd":"call","h":5,"verb":"dmxp.channels"}`, `{"id":17,"cmd":"seek","h":5,"to":"0"}`,
		`{"id":18,"cmd":"call","h":5,"verb":"x"}`)
	for i, want := range map[int]string{
		2: `{"c":2,"capacity":"1024","pos":"0","st":"ok"}`, 3: "TOO_LARGE", 4: "{}", 5: "BAD_REQUEST", 7: "{}", 9: "{}",
		10: "BAD_REQUEST",
		12: `{"count_repaired":false,"possibly_lost":"0","tombstones":"1","waiters_reset":"0"}`, 13: "{}", 14: "{}",
		15: `{"channels":[]}`, 16: "UNSUPPORTED", 17: "UNSUPPORTED",
	} {
		expect(t, replies[i], want)
	}
}

// A segment that is cut under its mapping is an error, and the driver goes on.
func TestTruncation(t *testing.T) {
	seg := filepath.Join(t.TempDir(), "segment")
	expect(t, talkOver(t, seg, createLine, channelLine)[1], "{}")
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	done := make(chan error)
	go func() { done <- serve(reader, &out) }()
	lines := []string{ // the third one's segment says that the second is done
		fmt.Sprintf(`{"id":1,"cmd":"open","profile":"dmxp","seg":"%s","mode":"rw"}`, seg),
		`{"id":2,"cmd":"write","h":1,"channel":0,"mode":"try","items":[{"data":{"hex":"aa"}}]}`,
		fmt.Sprintf(`{"id":3,"cmd":"create","profile":"dmxp","seg":"%s-2","options":{"size":131072}}`, seg),
	}
	fmt.Fprintln(writer, strings.Join(lines, "\n"))
	for {
		if _, err := os.Stat(seg + "-2"); err == nil {
			break
		}
	}
	if err := os.Truncate(seg, 4096); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(writer, `{"id":4,"cmd":"write","h":1,"channel":0,"mode":"try","items":[{"data":{"hex":"aa"}}]}`)
	fmt.Fprintln(writer, `{"id":5,"cmd":"inspect","h":1}`)
	fmt.Fprintln(writer, `{"id":6,"cmd":"inspect","h":2}`)
	writer.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	replies := strings.Split(strings.TrimSpace(out.String()), "\n")
	for i, want := range []string{`"ok":{"h":1}`, `"st":"ok"`, `"ok":{"h":2}`, `"TRUNCATED"`, `"TRUNCATED"`,
		`"header.version":"1"`} {
		if !strings.Contains(replies[i], want) {
			t.Errorf("%s: no %s", replies[i], want)
		}
	}
}

// A writer and a reader of a live run; END of a second reader that a batch has caught goes back.
func TestLive(t *testing.T) {
	seg := filepath.Join(t.TempDir(), "segment")
	history := seg + ".history"
	replies := talkOver(t, seg, createLine, channelLine,
		`{"id":3,"cmd":"arm","profile":"dmxp","seg":"%s","channel":0,`+
			`"role":"write","actor":6,"count":2,"sizes":[24,31],"seed":5,"limit_ms":2000}`,
		`{"id":4,"cmd":"go"}`,
		`{"id":5,"cmd":"arm","profile":"dmxp","seg":"%s","channel":0,"role":"write","count":1,"sizes":[23],"limit_ms":1}`,
		`{"id":6,"cmd":"write","h":1,"channel":0,"mode":"batch","items":[{"data":{"hex":""},"meta":{"message_type":4294967295}},`+
			`{"data":{"hex":""},"meta":{"message_type":4294967295}}]}`,
		`{"id":7,"cmd":"arm","profile":"dmxp","seg":"%s","channel":0,`+
			`"role":"write","batch":3,"count":3,"sizes":[24],"limit_ms":1}`,
		`{"id":8,"cmd":"go"}`,
		`{"id":9,"cmd":"arm","profile":"dmxp","seg":"%s","channel":0,`+
			`"role":"read","batch":4,"wait":"block","limit_ms":2000,"history":"`+history+`"}`,
		`{"id":10,"cmd":"go"}`,
		`{"id":11,"cmd":"arm","profile":"dmxp","seg":"%s","channel":0,"role":"read","wait":"block","limit_ms":2000}`,
		`{"id":12,"cmd":"go"}`)
	for i, want := range map[int]string{
		3: `{"full":0,"sent":2}`, 4: "BAD_REQUEST", 9: `{"corrupt":0,"empty":0,"ended":true,"received":2,"torn":0}`,
		11: `{"corrupt":0,"empty":0,"ended":true,"received":0,"torn":0}`,
	} {
		expect(t, replies[i], want)
	}
	if full := replies[7]["ok"].(map[string]any); full["sent"] != 0.0 || full["full"] == 0.0 {
		t.Errorf("a full channel: %v", full)
	}
	raw, err := os.ReadFile(history)
	if err != nil || len(raw) != 80 {
		t.Fatalf("%d bytes, %v", len(raw), err)
	}
	expectRecord(t, raw[40:], wantedRecord{kind: 1, sequence: 1, position: 1, length: 31, pid: uint32(os.Getpid())})
}

// wantedRecord is a record of a message that actor 6 sent with seed 5.
type wantedRecord struct{ kind, sequence, position, length, pid uint32 }

func expectRecord(t *testing.T, found []byte, w wantedRecord) {
	t.Helper()
	payload := make([]byte, w.length)
	for i, value := range []uint32{0x57524853, 6, w.sequence, 0, w.length, 5} {
		binary.LittleEndian.PutUint32(payload[4*i:], value)
	}
	for j := uint32(24); j < w.length; j++ {
		payload[j] = byte(31*(6+w.sequence+5) + 17*j)
	}
	want := make([]byte, 40)
	crc := crc32.ChecksumIEEE(payload)
	for i, value := range []uint32{6, w.kind, w.sequence, 0, w.position, 0, w.length, w.pid, crc, 0} {
		binary.LittleEndian.PutUint32(want[4*i:], value)
	}
	if !bytes.Equal(found, want) {
		t.Errorf("record\n%x\n%x", found, want)
	}
}
