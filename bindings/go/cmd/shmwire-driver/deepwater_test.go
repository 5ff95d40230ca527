// SPDX-License-Identifier: MIT

package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const createFeed = `{"id":%d,"cmd":"create","profile":"deepwater","seg":"%%s","options":{"persist":true,"rows":16,"feeds":2,` +
	`"live_window":2}}`

// feedItem is an item of a read reply.
func feedItem(chunk int, data string, seq, ts, kind int) string {
	return fmt.Sprintf(`{"chunk":"%d","data":{"hex":"%s"},"seq":"%d","ts":"%d","type":%d}`, chunk, data, seq, ts, kind)
}

func TestDeepwater(t *testing.T) {
	seg := filepath.Join(t.TempDir(), "base")
	call := `{"id":%d,"cmd":"call","h":%d,"verb":"deepwater.%s","args":%s}`
	place := `{"seg":"%s"}`
	replies := talkOver(t, seg,
		`{"id":1,"cmd":"inject","clock_ns":"5","pid":7,"boot_ns":"9"}`, fmt.Sprintf(createFeed, 2),
		`{"id":3,"cmd":"open","profile":"deepwater","seg":"%s","mode":"ro"}`,
		`{"id":4,"cmd":"write","h":1,"mode":"try","items":[{"data":{"hex":"0a"},"ts":"5"},{"data":{"hex":"0b"},"ts":"6","type":3}]}`,
		fmt.Sprintf(call, 5, 1, "rotate", "{}"),
		`{"id":6,"cmd":"write","h":1,"mode":"batch","items":[{"data":{"hex":"0c"},"ts":"7"},{"data":{"hex":""},"ts":"8"}]}`,
		`{"id":7,"cmd":"write","h":1,"mode":"batch","items":[{"data":{"hex":"0d"},"ts":"9"},{"data":{"hex":""},"ts":"8"}]}`,
		`{"id":8,"cmd":"read","h":2,"mode":"try","max":3}`, `{"id":9,"cmd":"read","h":2,"mode":"block","max":9,"timeout_ms":5}`,
		`{"id":10,"cmd":"read","h":2,"mode":"block","max":9,"timeout_ms":5}`, `{"id":11,"cmd":"read","h":2,"mode":"try"}`,
		fmt.Sprintf(call, 12, 2, "has_data_since", `{"time":"9"}`), fmt.Sprintf(call, 13, 2, "has_data_since", `{"time":"10"}`),
		fmt.Sprintf(call, 14, 2, "cursor", "{}"), fmt.Sprintf(call, 15, 2, "range", `{"from":"6","to":"7"}`),
		fmt.Sprintf(call, 16, 2, "restore", `{"chunk":"0","sequence":"1"}`), `{"id":17,"cmd":"read","h":2,"mode":"batch","max":9}`,
		`{"id":18,"cmd":"seek","h":2,"time":"8"}`, `{"id":19,"cmd":"read","h":2,"mode":"try"}`,
		`{"id":20,"cmd":"read","h":1,"mode":"try"}`, `{"id":21,"cmd":"write","h":2,"mode":"try","items":[]}`,
		fmt.Sprintf(call, 22, 2, "rotate", "{}"), fmt.Sprintf(call, 23, 1, "cursor", "{}"),
		`{"id":24,"cmd":"open","profile":"deepwater","seg":"%s","mode":"rw"}`, fmt.Sprintf(createFeed, 25),
		`{"id":26,"cmd":"inspect","h":1}`, `{"id":27,"cmd":"close","h":1}`, fmt.Sprintf(call, 28, 2, "latest_chunk", "{}"),
		fmt.Sprintf(call, 29, 9, "feeds", place), fmt.Sprintf(call, 30, 9, "validate", place), fmt.Sprintf(call, 31, 9, "gc", place),
		fmt.Sprintf(call, 32, 9, "retire", place), `{"id":33,"cmd":"seek","h":2,"to":"latest"}`,
		`{"id":34,"cmd":"read","h":2,"mode":"try"}`,
		`{"id":35,"cmd":"open","profile":"deepwater","seg":"%s","mode":"rw"}`,
		`{"id":36,"cmd":"open","profile":"deepwater","seg":"%s","mode":"ro","options":{"feed":"other"}}`,
		`{"id":37,"cmd":"open","profile":"deepwater","seg":"%s","mode":"rw","options":{"feed":"../x","any":true}}`,
		`{"id":38,"cmd":"open","profile":"deepwater","seg":"%s","mode":"ro","options":{"from":"never"}}`,
		`{"id":39,"cmd":"read","h":2,"mode":"view"}`, `{"id":40,"cmd":"claim","h":2}`, fmt.Sprintf(call, 41, 9, "validate", "{}"))
	for i, want := range map[int]string{
		1: `{"h":1}`, 2: `{"h":2}`, 3: `{"results":[{"seq":"0","st":"ok"},{"seq":"1","st":"ok"}]}`, 4: "{}",
		5: `{"results":[{"seq":"2","st":"ok"},{"seq":"3","st":"ok"}]}`, 6: "OUT_OF_ORDER",
		7: `{"items":[` + feedItem(0, "0a", 0, 5, 0) + "," + feedItem(0, "0b", 1, 6, 3) + "," + feedItem(1, "0c", 2, 7, 0) +
			`],"st":"ok"}`,
		8: `{"items":[` + feedItem(1, "", 3, 8, 0) + "," + feedItem(1, "0d", 4, 9, 0) + `],"st":"ok"}`,
		9: `{"items":[],"st":"timeout"}`, 10: `{"items":[],"st":"empty"}`, 11: `{"has":true}`, 12: `{"has":false}`,
		13: `{"chunk":"1","sequence":"5"}`, 14: `{"items":[` + feedItem(0, "0b", 1, 6, 3) + "," + feedItem(1, "0c", 2, 7, 0) + `]}`,
		15: "{}", 16: `{"items":[` + feedItem(0, "0b", 1, 6, 3) + `],"st":"ok"}`, 17: "{}",
		18: `{"items":[` + feedItem(1, "", 3, 8, 0) + `],"st":"ok"}`, 19: "UNSUPPORTED", 20: "UNSUPPORTED", 21: "UNSUPPORTED",
		22: "UNSUPPORTED", 23: "BUSY", 24: "EXISTS", 26: "{}", 27: "NOT_FOUND", 28: `{"feeds":["feed"]}`, 29: "{}",
		30: `{"adopted":"0","expired":"0","persisted":"0","removed":"0","sealed":"0"}`, 31: "{}", 32: "{}",
		33: `{"items":[],"st":"closed"}`, 34: "CLOSED", 35: "NOT_FOUND", 36: "INVALID_NAME", 37: "BAD_REQUEST", 38: "UNSUPPORTED",
		39: "UNSUPPORTED", 40: "BAD_REQUEST",
	} {
		expect(t, replies[i], want)
	}
	if done := replies[6]["err"].(map[string]any)["done"]; done != 1.0 {
		t.Errorf("done %v", done)
	}
	fields := replies[25]["ok"].(map[string]any)["fields"].(map[string]any)
	for name, want := range map[string]string{
		"registry.count": "1", "feed.name": "feed", "feed.created_ns": "5", "feed_registry.writer_pid": "7",
		"feed_registry.heartbeat_ns": "9", "feed_registry.last_sequence": "4", "row[0].state": "3", "row[1].state": "1",
		"row[1].first_sequence": "2", "feed_registry.latest": "1",
	} {
		if fields[name] != want {
			t.Errorf("%s is %v, expected %s", name, fields[name], want)
		}
	}
}

// Records that are gone are an answer, behind the items that came before them.
func TestDeepwaterExpired(t *testing.T) {
	write := `{"id":%d,"cmd":"write","h":1,"mode":"try","items":[{"data":{"pat":1,"len":3000},"ts":"1"}]}`
	replies := talk(t,
		`{"id":1,"cmd":"create","profile":"deepwater","seg":"%s","options":{"rows":16,"feeds":2,"live_window":1}}`,
		fmt.Sprintf(write, 2), `{"id":3,"cmd":"open","profile":"deepwater","seg":"%s","mode":"ro"}`,
		`{"id":4,"cmd":"read","h":2,"mode":"try"}`, `{"id":5,"cmd":"seek","h":2,"to":"oldest"}`,
		`{"id":6,"cmd":"read","h":2,"mode":"try"}`, fmt.Sprintf(write, 7), fmt.Sprintf(write, 8),
		`{"id":9,"cmd":"read","h":2,"mode":"try","max":5}`, `{"id":10,"cmd":"read","h":2,"mode":"batch","max":5}`,
		`{"id":11,"cmd":"seek","h":2,"sequence":"0"}`, `{"id":12,"cmd":"read","h":2,"mode":"batch","max":5}`)
	expect(t, replies[8], `{"items":[],"lost":"1","st":"expired"}`)
	expect(t, replies[11], `{"items":[],"lost":"2","st":"expired"}`)
	items := replies[9]["ok"].(map[string]any)["items"].([]any)
	if len(items) != 1 || items[0].(map[string]any)["seq"] != "2" {
		t.Errorf("%v", items)
	}
}

// A live writer, which keeps its feed until the next arm, and readers one by one and in batches.
func TestDeepwaterLive(t *testing.T) {
	seg := filepath.Join(t.TempDir(), "base")
	history := seg + ".history"
	arm := `{"id":%d,"cmd":"arm","profile":"deepwater","seg":"%%s","limit_ms":20000,%s}`
	open := `"open":{"persist":true,"rows":64,"feeds":2}`
	writer := `"role":"write","actor":6,"count":10,"sizes":[24,28],"seed":5,"batch":%d,"rotate_every":4,` + open
	reader := `"role":"read","count":20,"batch":%d,"wait":"%s"`
	replies := talkOver(t, seg,
		fmt.Sprintf(arm, 1, fmt.Sprintf(writer, 1)), `{"id":2,"cmd":"go"}`, `{"id":3,"cmd":"go"}`,
		`{"id":4,"cmd":"open","profile":"deepwater","seg":"%s","mode":"rw"}`,
		fmt.Sprintf(arm, 5, fmt.Sprintf(writer, 3)), `{"id":6,"cmd":"go"}`,
		fmt.Sprintf(arm, 7, fmt.Sprintf(reader, 1, "block")+`,"history":"`+history+`"`), `{"id":8,"cmd":"go"}`,
		fmt.Sprintf(arm, 9, fmt.Sprintf(reader, 8, "spin")+`,"sequence":"3"`), `{"id":10,"cmd":"go"}`,
		`{"id":11,"cmd":"call","verb":"deepwater.validate","args":{"seg":"%s"}}`)
	for i, want := range map[int]string{
		1: `{"full":0,"sent":10}`, 2: "BAD_REQUEST", 3: "BUSY", 5: `{"full":0,"sent":10}`, 10: "{}",
		7: `{"corrupt":0,"empty":0,"ended":true,"lost":0,"received":20,"torn":0}`,
		9: `{"corrupt":0,"empty":0,"ended":true,"lost":0,"received":17,"torn":0}`,
	} {
		expect(t, replies[i], want)
	}
	raw, err := os.ReadFile(history)
	if err != nil || len(raw) != 20*40 {
		t.Fatalf("%d bytes, %v", len(raw), err)
	}
	for n := uint32(0); n < 20; n++ { // message n mod 10 is record n; chunks end behind 4 and 8 of the first writer's
		record := raw[40*n : 40*n+40]
		chunk := binary.LittleEndian.Uint32(record[28:])
		if n < 10 && chunk != n/4 || n >= 10 && chunk < 3 {
			t.Errorf("record %d is in chunk %d", n, chunk)
		}
		expectRecord(t, record, wantedRecord{
			kind: 1, sequence: n % 10, position: n, length: 24 + n%2*4, pid: chunk,
		})
	}
}

// What a plan can have wrong.
func TestDeepwaterPlans(t *testing.T) {
	arm := `{"id":%d,"cmd":"arm","profile":"deepwater","seg":"%%s","limit_ms":1,%s}`
	plans := []string{
		`"role":"write","sizes":[5000],"open":{"rows":4}`, `"role":"write","sizes":[24],"open":{"chunk_size":"5"}`,
		`"role":"read","from":"middle"`, `"role":"read","open":{"feed":"absent"}`,
	}
	lines := []string{}
	for i, plan := range plans {
		lines = append(lines, fmt.Sprintf(arm, i, plan))
	}
	replies := talk(t, lines...)
	for i, want := range strings.Fields("BAD_REQUEST INVALID_ARGUMENT BAD_REQUEST NOT_FOUND") {
		expect(t, replies[i], want)
	}
}
