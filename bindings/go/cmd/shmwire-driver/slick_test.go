// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

const createRing = `{"id":1,"cmd":"create","profile":"slick","seg":"%s","options":{"size":4,"element_size":2,"stall_ms":1}}`

// ringItem is an item of a read reply.
func ringItem(data string, pos, elements, lost int) string {
	return fmt.Sprintf(`{"data":{"hex":"%s"},"elements":%d,"lost":"%d","pos":"%d"}`, data, elements, lost, pos)
}

func TestSlick(t *testing.T) {
	seg := filepath.Join(t.TempDir(), "segment")
	replies := talkOver(t, seg, createRing,
		`{"id":2,"cmd":"open","profile":"slick","seg":"%s","mode":"ro"}`,
		`{"id":3,"cmd":"write","h":1,"mode":"batch","items":[{"data":{"hex":"0a0b"}},{"data":{"hex":"0c0d"}}]}`,
		`{"id":4,"cmd":"write","h":2,"mode":"try","items":[{"data":{"hex":"0a0b"}}]}`,
		`{"id":5,"cmd":"claim","h":1,"elements":3}`, `{"id":6,"cmd":"claim","h":1,"elements":1}`,
		`{"id":7,"cmd":"commit","c":3,"data":{"hex":"0102"}}`,
		`{"id":8,"cmd":"commit","c":3,"data":{"hex":"010203040506"}}`,
		`{"id":9,"cmd":"commit","c":3,"data":{"hex":"010203040506"}}`,
		`{"id":10,"cmd":"read","h":2,"mode":"try","max":4,"buffer":1}`, `{"id":11,"cmd":"read","h":2,"mode":"view"}`,
		`{"id":12,"cmd":"call","h":2,"verb":"slick.view_check","args":{"v":1}}`,
		`{"id":13,"cmd":"call","h":1,"verb":"slick.last"}`,
		`{"id":14,"cmd":"write","h":1,"mode":"try","items":[{"data":{"hex":"11"}}]}`,
		`{"id":15,"cmd":"write","h":1,"mode":"try","items":[{"data":{"hex":"1112"}},{"data":{"hex":"13141516"}}]}`,
		`{"id":16,"cmd":"call","h":2,"verb":"slick.view_check","args":{"v":1}}`,
		`{"id":17,"cmd":"read","h":2,"mode":"batch","max":4}`,
		`{"id":18,"cmd":"read","h":2,"mode":"block","timeout_ms":5}`,
		`{"id":19,"cmd":"call","h":2,"verb":"slick.info"}`, `{"id":20,"cmd":"seek","h":2,"to":"oldest"}`,
		`{"id":21,"cmd":"seek","h":2,"index":"17"}`, `{"id":22,"cmd":"seek","h":2}`,
		`{"id":23,"cmd":"inspect","h":2}`, `{"id":24,"cmd":"call","h":2,"verb":"slick.validate"}`,
		`{"id":25,"cmd":"call","h":2,"verb":"slick.reset"}`, `{"id":26,"cmd":"claim","h":1,"elements":4}`,
		`{"id":27,"cmd":"abandon","c":4}`, `{"id":28,"cmd":"claim","h":1,"elements":"0"}`,
		`{"id":29,"cmd":"create","profile":"slick","seg":"%s-2","options":{"size":3,"element_size":2}}`,
		`{"id":30,"cmd":"create","profile":"slick","seg":"%s-2","options":{"generation":"1.5","element_size":2}}`)
	for i, want := range map[int]string{
		1: `{"h":2}`, 2: `{"results":[{"pos":"0","st":"ok"},{"pos":"1","st":"ok"}]}`, 3: "PERMISSION",
		4: `{"c":3,"capacity":"6","pos":"4","st":"ok"}`, 5: "BUSY", 6: "BAD_REQUEST", 7: `{"st":"ok"}`, 8: "BAD_REQUEST",
		9:  "TOO_SMALL",
		10: `{"items":[{"data":{"hex":"010203040506"},"elements":3,"lost":"0","pos":"4","view":1}],"st":"ok"}`,
		11: `{"st":"ok"}`, 12: `{"items":[{"data":{"hex":"010203040506"},"elements":3,"pos":"4"}],"st":"ok"}`,
		13: "INVALID_ARGUMENT", 14: `{"results":[{"pos":"7","st":"ok"},{"pos":"8","st":"ok"}]}`, 15: `{"st":"lapped"}`,
		16: `{"items":[` + ringItem("1112", 7, 1, 0) + `,` + ringItem("13141516", 8, 2, 0) + `],"st":"ok"}`,
		17: `{"items":[],"st":"timeout"}`,
		18: `{"cursor":"10","element_size":2,"generation":"1.4","given_up":"0","items_read":"3","items_written":"0","lost":"0",` +
			`"next_index":"10","resets":"0","settled":"0","shm_name":"` + seg + `","size":4}`,
		19: `{"cursor":"7"}`, 20: `{"cursor":"17"}`, 21: "BAD_REQUEST",
		22: `{"fields":{"header.element_size":"2","header.header_magic":"1397510449","header.init_state":"3",` +
			`"header.last_published":"8","header.reserved":"655362","header.settled":"0","header.size":"4",` +
			`"slot[0].data_index":"8","slot[0].size":"2","slot[1].data_index":"1","slot[1].size":"1",` +
			`"slot[2].data_index":"4","slot[2].size":"3","slot[3].data_index":"7","slot[3].size":"1"}}`,
		23: "{}", 24: "PERMISSION", 25: `{"c":4,"capacity":"8","pos":"12","st":"ok"}`, 26: "UNSUPPORTED",
		27: "INVALID_ARGUMENT", 28: "INVALID_ARGUMENT", 29: "BAD_REQUEST",
	} {
		expect(t, replies[i], want)
	}
}

// A dead claim is recovered, and a shared cursor gives each item once.
func TestSlickRecoverShare(t *testing.T) {
	replies := talk(t, createRing, `{"id":2,"cmd":"open","profile":"slick","seg":"%s","mode":"rw"}`,
		`{"id":3,"cmd":"claim","h":1,"elements":1}`, `{"id":4,"cmd":"write","h":2,"mode":"try","items":[{"data":{"hex":"0102"}}]}`,
		`{"id":5,"cmd":"call","h":2,"verb":"slick.recover"}`, `{"id":6,"cmd":"call","h":2,"verb":"slick.cursor_create"}`,
		`{"id":7,"cmd":"call","h":2,"verb":"slick.cursor_create","args":{"cursor":"%s-c","index":"0"}}`,
		`{"id":8,"cmd":"open","profile":"slick","seg":"%s","mode":"ro","options":{"cursor":"%s-c"}}`,
		`{"id":9,"cmd":"open","profile":"slick","seg":"%s","mode":"ro","options":{"cursor":"%s-c"}}`,
		`{"id":10,"cmd":"open","profile":"slick","seg":"%s","mode":"ro","options":{"cursor":"%s-d"}}`,
		`{"id":11,"cmd":"read","h":4,"mode":"try"}`,
		`{"id":12,"cmd":"call","h":2,"verb":"slick.recover","args":{"all_dead":true}}`,
		`{"id":13,"cmd":"commit","c":3,"data":{"hex":"ffff"}}`,
		`{"id":14,"cmd":"write","h":2,"mode":"try","items":[{"data":{"hex":"0304"}}]}`,
		`{"id":15,"cmd":"read","h":4,"mode":"try"}`, `{"id":16,"cmd":"read","h":5,"mode":"try"}`,
		`{"id":17,"cmd":"read","h":4,"mode":"try"}`, `{"id":18,"cmd":"call","h":4,"verb":"slick.info"}`)
	for i, want := range map[int]string{
		5: "BAD_REQUEST", 6: "{}", 7: `{"h":4}`, 8: `{"h":5}`, 9: "NOT_FOUND", 10: `{"items":[],"st":"empty"}`,
		11: `{"holes":"1"}`, 12: `{"st":"lapped"}`, 14: `{"items":[` + ringItem("0102", 1, 1, 0) + `],"st":"ok"}`,
		15: `{"items":[` + ringItem("0304", 2, 1, 0) + `],"st":"ok"}`, 16: `{"items":[],"st":"empty"}`,
	} {
		expect(t, replies[i], want)
	}
	if info := replies[17]["ok"].(map[string]any); info["cursor"] != "3" || info["items_read"] != "1" {
		t.Errorf("%v", info)
	}
}

const armRing = `{"id":%d,"cmd":"arm","profile":"slick","seg":"%%s","limit_ms":%d,%s}`

// A writer within its credit, a reader that reports to it and ends by the byte of a file, and one that was lapped.
func TestSlickLive(t *testing.T) {
	seg := filepath.Join(t.TempDir(), "segment")
	history, creditFile, until := seg+".history", seg+".credit", seg+".until"
	for path, raw := range map[string][]byte{creditFile: make([]byte, 128), until: {1}} {
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	writer := `"role":"write","actor":6,"count":9,"sizes":[28,56],"seed":5,"batch":2,"open":{"stall_ms":5},` +
		`"credit":{"path":"` + creditFile + `","window":4}`
	reader := `"role":"read","batch":4,"until":"` + until + `"`
	replies := talkOver(t, seg,
		`{"id":1,"cmd":"create","profile":"slick","seg":"%s","options":{"size":4,"element_size":28}}`,
		fmt.Sprintf(armRing, 2, 50, writer), `{"id":3,"cmd":"go"}`,
		fmt.Sprintf(armRing, 4, 5000, reader+`,"history":"`+history+`","credit":{"path":"`+creditFile+`","slot":0}`),
		`{"id":5,"cmd":"go"}`,
		fmt.Sprintf(armRing, 6, 5000, reader+`,"index":"0","credit":{"path":"`+creditFile+`","slot":1}`), `{"id":7,"cmd":"go"}`,
		fmt.Sprintf(armRing, 8, 5000, writer), `{"id":9,"cmd":"go"}`,
		fmt.Sprintf(armRing, 10, 5000, reader+`,"index":"0"`), `{"id":11,"cmd":"go"}`,
		fmt.Sprintf(armRing, 12, 5000, `"role":"read","credit":{"path":"`+creditFile+`","slot":5}`))
	// Indices 0 and 1 to 2; 3 would end at 4, and the two behind it at 6.
	expect(t, replies[2], `{"full":0,"given_up":0,"sent":3}`)
	expect(t, replies[4], `{"corrupt":0,"empty":1,"ended":true,"lapped":0,"lost":0,"received":3,"torn":0}`)
	expect(t, replies[6], `{"corrupt":0,"empty":1,"ended":true,"lapped":0,"lost":0,"received":3,"torn":0}`)
	expect(t, replies[8], `{"full":0,"given_up":0,"sent":9}`)
	last := replies[10]["ok"].(map[string]any)
	if last["ended"] != true || last["lost"] == 0.0 || last["received"] == 0.0 || last["torn"] != 0.0 {
		t.Errorf("%v", last)
	}
	expect(t, replies[11], "TRUNCATED")
	raw, err := os.ReadFile(history)
	if err != nil || len(raw) != 3*40 {
		t.Fatalf("%d bytes, %v", len(raw), err)
	}
	expectRecord(t, raw[40:80], wantedRecord{kind: 2, sequence: 1, position: 1, length: 56})
}
