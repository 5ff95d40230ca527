// SPDX-License-Identifier: MIT

package ouroboros

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"shmwire"
)

const fixtures = "../../../fixtures"

// fixtureCase is the part of case.json that this test reads; the conformance suite reads all of it.
type fixtureCase struct {
	ID   string `json:"id"`
	File *struct {
		Path string `json:"path"`
	} `json:"file"`
	Base *struct {
		Case string `json:"case"`
	} `json:"base"`
	Read []struct {
		Cmd     string `json:"cmd"`
		Mode    string `json:"mode"`
		Verb    string `json:"verb"`
		Options struct {
			From string `json:"from"`
		} `json:"options"`
		Expect struct {
			OK struct {
				Items []struct {
					Data struct {
						Hex string `json:"hex"`
					} `json:"data"`
					Sequence string `json:"seq"`
					Chunk    uint32 `json:"chunk"`
					Token    string `json:"token"`
					Skipped  string `json:"skipped"`
				} `json:"items"`
			} `json:"ok"`
		} `json:"expect"`
	} `json:"read"`
}

// Segments that the source system wrote hold the entries that its own reader finds, from each start.
func TestCaptured(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(fixtures, "ouroboros/captured/*/case.json"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no captured case: %v", err)
	}
	items := 0
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var c fixtureCase
		if err := json.Unmarshal(raw, &c); err != nil {
			t.Fatal(err)
		}
		segment := filepath.Join(filepath.Dir(path), "seg.bin")
		if c.Base != nil {
			segment = filepath.Join(fixtures, c.Base.Case, "seg.bin")
		}
		items += checkCaptured(t, segment, &c)
	}
	if items < 20 {
		t.Errorf("the captured cases expect %d entries only", items)
	}
}

// checkCaptured answers how many entries it compared.
func checkCaptured(t *testing.T, path string, c *fixtureCase) (items int) {
	starts := map[string]Start{"": StartAuto, "auto": StartAuto, "latest": StartLatest, "oldest": StartOldest}
	r := follow(t, path, WithStart(starts[c.Read[0].Options.From]))
	for _, step := range c.Read[1:] {
		if step.Cmd != "read" || step.Mode != "try" {
			continue
		}
		for _, item := range step.Expect.OK.Items {
			entry, err := r.Next()
			if err != nil || hex.EncodeToString(entry.Payload) != item.Data.Hex || entry.Chunk != item.Chunk ||
				decimal(entry.Sequence) != item.Sequence || decimal(entry.Token) != item.Token ||
				decimal(entry.Skipped) != item.Skipped {
				t.Fatalf("%s: %+v, %v; expected %+v", c.ID, entry, err, item)
			}
			items++
		}
		if len(step.Expect.OK.Items) == 0 {
			if _, err := r.Next(); !errors.Is(err, shmwire.ErrEmpty) {
				t.Errorf("%s: %v at the end", c.ID, err)
			}
		}
	}
	return items
}

func decimal(v uint64) string { return strconv.FormatUint(v, 10) }
