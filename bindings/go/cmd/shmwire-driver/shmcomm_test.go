// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	injectChannel = `{"id":1,"cmd":"inject","clock_ns":"1000","clock_step_ns":"10","pid":77,"boot_ns":"5"}`
	createChannel = `{"id":2,"cmd":"create","profile":"shmcomm","seg":"%s","options":{"role":"publisher","capacity":"4096",` +
		`"serializer":3,"identity":{"endpoint":7,"instance":"9"}}}`
	openSubscriber = `{"id":3,"cmd":"open","profile":"shmcomm","seg":"%s","mode":"rw",` +
		`"options":{"role":"subscriber","tell_lost":true}}`
)

// channelItem is an item of a read reply.
func channelItem(data string, seq, lost, timestamp, kind int) string {
	return fmt.Sprintf(`{"data":{"hex":"%s"},"lost":"%d","meta":{"content_type":%d,"correlation_id":"0","flags":0,"sender":7,`+
		`"timestamp_ns":"%d"},"seq":"%d"}`, data, lost, kind, timestamp, seq)
}

func TestShmcomm(t *testing.T) {
	seg := filepath.Join(t.TempDir(), "segment")
	large := `{"data":{"pat":1,"len":1000}}`
	replies := talkOver(t, seg, injectChannel, createChannel, openSubscriber,
		`{"id":4,"cmd":"write","h":1,"mode":"try","items":[{"data":{"hex":"0a"}},{"data":{"hex":""},"meta":{"content_type":17}}]}`,
		`{"id":5,"cmd":"write","h":1,"mode":"batch","items":[{"data":{"hex":"0b"}},{"data":{"hex":"0c"}}]}`,
		`{"id":6,"cmd":"claim","h":1,"len":2}`, `{"id":7,"cmd":"write","h":1,"mode":"try","items":[{"data":{"hex":""}}]}`,
		`{"id":8,"cmd":"commit","c":3,"data":{"hex":"01"}}`, `{"id":9,"cmd":"commit","c":3,"data":{"hex":"0d0d"}}`,
		`{"id":10,"cmd":"read","h":2,"mode":"try","max":2}`, `{"id":11,"cmd":"read","h":2,"mode":"view"}`,
		`{"id":12,"cmd":"call","h":2,"verb":"shmcomm.view_check","args":{"v":1}}`,
		`{"id":13,"cmd":"read","h":2,"mode":"batch","max":1}`,
		`{"id":14,"cmd":"write","h":1,"mode":"try","items":[`+strings.Repeat(large+",", 4)+large+`]}`,
		`{"id":15,"cmd":"read","h":2,"mode":"try","max":9}`, `{"id":16,"cmd":"call","h":2,"verb":"shmcomm.view_check","args":{"v":1}}`,
		`{"id":17,"cmd":"seek","h":2,"to":"latest"}`, `{"id":18,"cmd":"read","h":2,"mode":"block","timeout_ms":5}`,
		`{"id":19,"cmd":"open","profile":"shmcomm","seg":"%s","mode":"ro"}`,
		`{"id":20,"cmd":"call","h":4,"verb":"shmcomm.validate"}`, `{"id":21,"cmd":"inspect","h":2}`,
		`{"id":22,"cmd":"read","h":1,"mode":"try"}`, `{"id":23,"cmd":"write","h":2,"mode":"try","items":[]}`,
		`{"id":24,"cmd":"call","verb":"shmcomm.recover","args":{"seg":"%s"}}`,
		`{"id":25,"cmd":"call","verb":"shmcomm.remove","args":{"seg":"%s"}}`,
		`{"id":26,"cmd":"open","profile":"shmcomm","seg":"%s-2","mode":"rw","options":{"role":"puller"}}`,
		`{"id":27,"cmd":"create","profile":"shmcomm","seg":"%s","options":{"role":"pusher"}}`,
		`{"id":28,"cmd":"create","profile":"shmcomm","seg":"%s","options":{"role":"puller"}}`,
		`{"id":29,"cmd":"open","profile":"shmcomm","seg":"%s","mode":"rw","options":{"role":"pusher","name":""}}`,
		`{"id":30,"cmd":"close","h":1}`, `{"id":31,"cmd":"read","h":2,"mode":"try"}`)
	for i, want := range map[int]string{
		3: `{"results":[{"seq":"0","st":"ok"},{"seq":"1","st":"ok"}]}`, 4: `{"results":[{"seq":"2","st":"ok"},{"seq":"3","st":"ok"}]}`,
		5: `{"c":3,"capacity":"2","st":"ok"}`, 6: "BUSY", 7: "BAD_REQUEST", 8: `{"seq":"4","st":"ok"}`,
		9:  `{"items":[` + channelItem("0a", 0, 0, 1000, 3) + `,` + channelItem("", 1, 0, 1010, 17) + `],"st":"ok"}`,
		10: `{"items":[` + strings.TrimSuffix(channelItem("0b", 2, 0, 1020, 3), "}") + `,"view":1}],"st":"ok"}`,
		11: `{"st":"ok"}`, 12: `{"items":[` + channelItem("0c", 3, 0, 1020, 3) + `],"st":"ok"}`,
		14: `{"items":[],"lost":"3","st":"lapped"}`, 15: `{"st":"lapped"}`, 16: "{}", 17: `{"items":[],"st":"timeout"}`,
		18: `{"h":4}`, 19: "{}", 21: "UNSUPPORTED", 22: "UNSUPPORTED",
		23: `{"count_repaired":false,"lock_taken":false,"swept":0}`, 24: "BUSY", 25: "NOT_FOUND", 26: "EXISTS", 27: "BAD_REQUEST",
		28: "INVALID_NAME", 29: "{}", 30: `{"items":[],"st":"closed"}`,
	} {
		expect(t, replies[i], want)
	}
	fields := replies[20]["ok"].(map[string]any)["fields"].(map[string]any)
	for name, want := range map[string]string{
		"header.magic": "6001131454959799601", "header.owner_pid": "77", "header.heartbeat_ns": "5", "header.message_count": "10",
		"header.dropped_count": "7", "frame[9].size": "1032", "frame[9].timestamp_ns": "1080", "frame[9].sender": "7",
	} {
		if fields[name] != want {
			t.Errorf("%s is %v, expected %s", name, fields[name], want)
		}
	}
}

// Requests, replies, and what is told of both ends.
func TestShmcommService(t *testing.T) {
	replies := talk(t,
		`{"id":1,"cmd":"create","profile":"shmcomm","seg":"%s","options":{"role":"replier","capacity":"4096",`+
			`"identity":{"endpoint":5}}}`,
		`{"id":2,"cmd":"open","profile":"shmcomm","seg":"%s","mode":"rw","options":{"role":"requester","capacity":"4096",`+
			`"identity":{"endpoint":6,"correlation_id":"100"}}}`,
		`{"id":3,"cmd":"read","h":2,"mode":"try"}`,
		`{"id":4,"cmd":"write","h":2,"mode":"try","items":[{"data":{"hex":"01"},"meta":{"timestamp_ns":"8"}}]}`,
		`{"id":5,"cmd":"read","h":1,"mode":"block","timeout_ms":1000}`,
		`{"id":6,"cmd":"call","h":1,"verb":"shmcomm.reply","args":{"request":1,"data":{"hex":"02"},"meta":{"timestamp_ns":"9"}}}`,
		`{"id":7,"cmd":"call","h":1,"verb":"shmcomm.reply","args":{"request":2,"data":{"hex":"02"}}}`,
		`{"id":8,"cmd":"read","h":2,"mode":"try","max":5}`, `{"id":9,"cmd":"read","h":2,"mode":"try"}`,
		`{"id":10,"cmd":"write","h":2,"mode":"batch","items":[]}`, `{"id":11,"cmd":"read","h":2,"mode":"batch"}`,
		`{"id":12,"cmd":"close","h":2}`,
		`{"id":13,"cmd":"call","h":1,"verb":"shmcomm.reply","args":{"request":1,"data":{"hex":"02"}}}`,
		`{"id":14,"cmd":"call","h":1,"verb":"shmcomm.info"}`)
	item := `{"data":{"hex":"%s"},"lost":"0","meta":{"content_type":0,"correlation_id":"100","flags":0,"sender":%d,` +
		`"timestamp_ns":"%d"},`
	for i, want := range map[int]string{
		2: "OUT_OF_ORDER", 3: `{"results":[{"seq":"0","st":"ok"}]}`,
		4: `{"items":[` + fmt.Sprintf(item, "01", 6, 8) + `"request":1,"seq":"0"}],"st":"ok"}`, 5: `{"st":"ok"}`, 6: "BAD_REQUEST",
		7: `{"items":[` + fmt.Sprintf(item, "02", 5, 9) + `"seq":"0"}],"st":"ok"}`, 8: "OUT_OF_ORDER", 9: "UNSUPPORTED",
		10: "UNSUPPORTED", 11: "{}", 12: `{"st":"closed"}`,
	} {
		expect(t, replies[i], want)
	}
	info := replies[13]["ok"].(map[string]any)
	if info["unanswered"] != "1" || info["sent"] != "1" || info["received"] != "1" || info["keeper_lives"] != true ||
		info["endpoint"] != 5.0 {
		t.Errorf("%v", info)
	}
}

const armChannel = `{"id":%d,"cmd":"arm","profile":"shmcomm","seg":"%%s","limit_ms":5000,%s}`

// A publisher within its credit, and subscribers that end at the second END.
func TestShmcommLive(t *testing.T) {
	seg := filepath.Join(t.TempDir(), "segment")
	history, creditFile := seg+".history", seg+".credit"
	if err := os.WriteFile(creditFile, make([]byte, 64), 0o600); err != nil {
		t.Fatal(err)
	}
	end := `{"id":%d,"cmd":"write","h":1,"mode":"try","items":[{"data":{"hex":""},"meta":{"content_type":65535}}]}`
	writer := `"role":"write","as":"publisher","actor":6,"count":4,"sizes":[24,28],"seed":5,"batch":3,"open":{},` +
		`"credit":{"path":"` + creditFile + `","window":4}`
	reader := `"role":"read","as":"subscriber","batch":%d,"ends":2,"view":%v,"open":{"from":"oldest"}`
	replies := talkOver(t, seg,
		`{"id":1,"cmd":"create","profile":"shmcomm","seg":"%s","options":{"role":"publisher","capacity":"4096"}}`,
		fmt.Sprintf(armChannel, 2, writer), `{"id":3,"cmd":"go"}`, fmt.Sprintf(end, 4), fmt.Sprintf(end, 5),
		fmt.Sprintf(armChannel, 6, fmt.Sprintf(reader, 8, false)+`,"flush":true,"history":"`+history+
			`","credit":{"path":"`+creditFile+`","slot":0}`),
		`{"id":7,"cmd":"go"}`, fmt.Sprintf(armChannel, 8, fmt.Sprintf(reader, 1, true)), `{"id":9,"cmd":"go"}`,
		fmt.Sprintf(armChannel, 10, `"role":"read","as":"publisher"`))
	expect(t, replies[2], `{"full":0,"sent":4}`)
	for _, i := range []int{6, 8} {
		expect(t, replies[i], `{"corrupt":0,"empty":0,"ended":true,"lost":0,"received":4,"torn":0}`)
	}
	expect(t, replies[9], "BAD_REQUEST")
	raw, err := os.ReadFile(history)
	if err != nil || len(raw) != 4*40 {
		t.Fatalf("%d bytes, %v", len(raw), err)
	}
	copy(raw[44:48], []byte{0, 0, 0, 0}) // the sender's number, drawn at random
	expectRecord(t, raw[40:80], wantedRecord{sequence: 1, position: 1, length: 28})
	raw, err = os.ReadFile(creditFile)
	if err != nil || string(raw[:8]) != "\xff\xff\xff\xff\xff\xff\xff\xff" {
		t.Errorf("credit %x, %v", raw[:8], err)
	}
}

// A requester that nobody answers in time, then one that is.
func TestShmcommLiveService(t *testing.T) {
	seg := filepath.Join(t.TempDir(), "segment")
	ask := `"role":"write","as":"requester","actor":6,"count":2,"sizes":[24],"seed":5,"wait":"%s","reply_ms":5,` +
		`"open":{"capacity":"4096"}`
	replies := talkOver(t, seg,
		`{"id":1,"cmd":"create","profile":"shmcomm","seg":"%s","options":{"role":"replier","capacity":"4096"}}`,
		fmt.Sprintf(armChannel, 2, fmt.Sprintf(ask, "spin")), `{"id":3,"cmd":"go"}`,
		`{"id":4,"cmd":"open","profile":"shmcomm","seg":"%s","mode":"rw","options":{"role":"requester"}}`,
		`{"id":5,"cmd":"write","h":2,"mode":"try","items":[{"data":{"hex":"77"}},{"data":{"hex":""},"meta":{"content_type":65535}}]}`,
		fmt.Sprintf(armChannel, 6, `"role":"read","as":"replier","open":{}`), `{"id":7,"cmd":"go"}`,
		fmt.Sprintf(armChannel, 8, fmt.Sprintf(ask, "block")), `{"id":9,"cmd":"go"}`)
	for _, i := range []int{2, 8} {
		expect(t, replies[i], `{"full":0,"mismatched":0,"replied":0,"sent":2,"timeouts":2}`)
	}
	expect(t, replies[6], `{"corrupt":0,"empty":0,"ended":true,"lost":0,"received":3,"torn":1}`)
}
