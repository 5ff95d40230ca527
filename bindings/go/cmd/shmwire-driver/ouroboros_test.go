// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

const (
	createLog = `{"id":1,"cmd":"create","profile":"ouroboros","seg":"%s","options":{"chunk_count":3,"chunk_target_size":"64"}}`
	openLog   = `{"id":2,"cmd":"open","profile":"ouroboros","seg":"%s","mode":"ro"}`
)

// entry is an item of a read reply.
func entry(data string, chunk, seq, skipped, token int) string {
	return fmt.Sprintf(`{"chunk":%d,"data":{"hex":"%s"},"seq":"%d","skipped":"%d","token":"%d"}`, chunk, data, seq, skipped, token)
}

func TestOuroboros(t *testing.T) {
	replies := talk(t, createLog, openLog,
		`{"id":3,"cmd":"read","h":2,"mode":"try","max":4}`,
		`{"id":4,"cmd":"write","h":1,"mode":"batch","items":[{"data":{"hex":"0aff"}},{"data":{"hex":"01"}}]}`,
		`{"id":5,"cmd":"write","h":1,"mode":"try","items":[{"data":{"hex":"02"}},{"data":{"hex":""}}]}`,
		`{"id":6,"cmd":"read","h":2,"mode":"try","max":4,"buffer":1}`,
		`{"id":7,"cmd":"read","h":2,"mode":"view"}`,
		`{"id":8,"cmd":"call","h":2,"verb":"ouroboros.view_check","args":{"v":1}}`,
		`{"id":9,"cmd":"call","h":2,"verb":"ouroboros.view_check","args":{"v":2}}`,
		`{"id":10,"cmd":"read","h":2,"mode":"batch","max":8}`,
		`{"id":11,"cmd":"read","h":2,"mode":"block","timeout_ms":5}`,
		`{"id":12,"cmd":"read","h":2,"mode":"peek"}`, `{"id":13,"cmd":"read","h":1,"mode":"try"}`,
		`{"id":14,"cmd":"write","h":2,"mode":"try","items":[{"data":{"hex":"02"}}]}`,
		`{"id":15,"cmd":"call","h":1,"verb":"ouroboros.info"}`, `{"id":16,"cmd":"call","h":2,"verb":"ouroboros.info"}`,
		`{"id":17,"cmd":"call","h":1,"verb":"ouroboros.validate"}`, `{"id":18,"cmd":"seek","h":2,"to":"oldest"}`,
		`{"id":19,"cmd":"read","h":2,"mode":"try","max":2}`, `{"id":20,"cmd":"seek","h":2,"to":"0"}`,
		`{"id":21,"cmd":"open","profile":"ouroboros","seg":"%s","mode":"rw","options":{"resume":true}}`,
		`{"id":22,"cmd":"close","h":1}`,
		`{"id":23,"cmd":"open","profile":"ouroboros","seg":"%s","mode":"rw","options":{"resume":true}}`,
		`{"id":24,"cmd":"inspect","h":3}`, `{"id":25,"cmd":"claim","h":3}`,
		`{"id":26,"cmd":"open","profile":"ouroboros","seg":"%s","mode":"rw","options":{"resume":false}}`,
		`{"id":27,"cmd":"open","profile":"ouroboros","seg":"%s","mode":"ro","options":{"from":"here"}}`)
	for i, want := range map[int]string{
		1: `{"h":2}`, 2: `{"items":[],"st":"empty"}`,
		3: `{"results":[{"seq":"1","st":"ok"},{"seq":"2","st":"ok"}]}`, 4: "INVALID_ARGUMENT", 5: "TOO_SMALL",
		6: `{"items":[{"chunk":0,"data":{"hex":"0aff"},"seq":"1","skipped":"0","token":"0","view":1}],"st":"ok"}`,
		7: `{"st":"ok"}`, 8: "BAD_REQUEST",
		9:  `{"items":[` + entry("01", 0, 2, 0, 0) + `,` + entry("02", 0, 3, 0, 0) + `],"st":"ok"}`,
		10: `{"items":[],"st":"timeout"}`, 11: "UNSUPPORTED", 12: "UNSUPPORTED", 13: "UNSUPPORTED",
		14: `{"chunk_count":3,"chunk_target_size":"64","entries_written":"3","max_payload":"188"}`,
		15: `{"chunk_count":3,"next_sequence":"4","total_entries_read":"3","total_skipped":"0"}`,
		16: "{}", 17: "{}", 18: `{"items":[` + entry("0aff", 0, 1, 0, 0) + `,` + entry("01", 0, 2, 0, 0) + `],"st":"ok"}`,
		19: "BAD_REQUEST", 20: "BUSY", 21: "{}", 22: `{"h":3}`,
		23: `{"fields":{"header.chunk_count":"3","header.magic":"5716565802384904007","header.version":"1",` +
			`"row[0].offset":"9223372036854775872","row[0].token":"0","row[1].offset":"0","row[1].token":"0",` +
			`"row[2].offset":"0","row[2].token":"0"}}`,
		24: "UNSUPPORTED", 25: "UNSUPPORTED", 26: "BAD_REQUEST",
	} {
		expect(t, replies[i], want)
	}
	if needed := replies[5]["err"].(map[string]any)["needed"]; needed != "2" {
		t.Errorf("needed %v", needed)
	}
}

// A writer that takes the log over, and a reader that was lapped before it began to read.
func TestOuroborosLive(t *testing.T) {
	seg := filepath.Join(t.TempDir(), "segment")
	history := seg + ".history"
	replies := talkOver(t, seg, createLog, `{"id":2,"cmd":"close","h":1}`,
		`{"id":3,"cmd":"arm","profile":"ouroboros","seg":"%s","role":"write","actor":6,"count":9,"sizes":[28],"seed":5,`+
			`"batch":2,"limit_ms":2000}`,
		`{"id":4,"cmd":"go"}`,
		`{"id":5,"cmd":"arm","profile":"ouroboros","seg":"%s","role":"read","from":"oldest","slow_us":10,"count":9,`+
			`"batch":4,"limit_ms":2000,"history":"`+history+`"}`,
		`{"id":6,"cmd":"go"}`,
		`{"id":7,"cmd":"arm","profile":"ouroboros","seg":"%s","role":"read","count":10,"wait":"block","limit_ms":60}`,
		`{"id":8,"cmd":"go"}`,
		`{"id":9,"cmd":"arm","profile":"ouroboros","seg":"%s","role":"write","count":1,"sizes":[189],"limit_ms":1}`)
	expect(t, replies[3], `{"full":0,"sent":9}`)
	// Rows: chunk 0 of the second lap from entry 7, chunk 1 from 9, chunk 2 of the first lap with 5 and 6.
	expect(t, replies[5], `{"corrupt":0,"empty":0,"ended":true,"received":5,"skipped":0,"torn":0}`)
	last := replies[7]["ok"].(map[string]any)
	if last["ended"] != false || last["received"] != 1.0 || last["empty"] == 0.0 {
		t.Errorf("%v", last)
	}
	expect(t, replies[8], "BAD_REQUEST")
	raw, err := os.ReadFile(history)
	if err != nil || len(raw) != 5*40 {
		t.Fatalf("%d bytes, %v", len(raw), err)
	}
	expectRecord(t, raw[160:], wantedRecord{sequence: 8, position: 9, length: 28})
}
