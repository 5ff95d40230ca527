// SPDX-License-Identifier: MIT

package dmxp

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

const fixtures = "../../../fixtures"

// fixtureCase is the part of case.json that this test reads; the conformance suite reads all of it.
type fixtureCase struct {
	ID   string `json:"id"`
	File *struct {
		Path string `json:"path"`
	} `json:"file"`
	Read []struct {
		Cmd     string `json:"cmd"`
		Mode    string `json:"mode"`
		Channel uint32 `json:"channel"`
		Expect  struct {
			OK struct {
				Items []struct {
					Data struct {
						Hex *string `json:"hex"`
					} `json:"data"`
					Position string `json:"pos"`
				} `json:"items"`
			} `json:"ok"`
		} `json:"expect"`
	} `json:"read"`
}

// Segments that the original systems wrote are sound, and hold what their cases say.
func TestCaptured(t *testing.T) {
	cases, err := filepath.Glob(filepath.Join(fixtures, "dmxp/captured/*/case.json"))
	if err != nil || len(cases) == 0 {
		t.Fatalf("no captured case: %v", err)
	}
	items := 0
	for _, path := range cases {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var c fixtureCase
		if err := json.Unmarshal(raw, &c); err != nil {
			t.Fatal(err)
		}
		if c.File != nil {
			items += checkCaptured(t, filepath.Join(filepath.Dir(path), c.File.Path), &c)
		}
	}
	if items == 0 {
		t.Error("no captured case expects a message")
	}
}

// checkCaptured answers how many messages it compared.
func checkCaptured(t *testing.T, path string, c *fixtureCase) (items int) {
	segment, err := Open(path, ReadOnly(), WithPayloadChoice(ChooseAuto))
	if err != nil {
		t.Fatalf("%s: %v", c.ID, err)
	}
	defer segment.Close()
	if err := segment.Validate(); err != nil {
		t.Errorf("%s: %v", c.ID, err)
	}
	for _, step := range c.Read {
		if step.Cmd != "read" || step.Mode != "peek" || len(step.Expect.OK.Items) == 0 {
			continue
		}
		channel, err := segment.Attach(step.Channel)
		if err != nil {
			t.Fatalf("%s: %v", c.ID, err)
		}
		look := channel.Peek()
		for i, item := range step.Expect.OK.Items {
			var m Message
			err := look.Next(make([]byte, channel.MaxPayload()), &m)
			if err != nil || item.Data.Hex != nil && hex.EncodeToString(m.Payload) != *item.Data.Hex {
				t.Errorf("%s: message %d is %x, %v", c.ID, i, m.Payload, err)
			}
			items++
		}
	}
	return items
}
