// SPDX-License-Identifier: MIT

package shmcomm

import (
	"encoding/hex"
	"encoding/json"
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
	Base struct {
		Case  string            `json:"case"`
		Patch []json.RawMessage `json:"patch"`
	} `json:"base"`
	Read []struct {
		Cmd    string `json:"cmd"`
		Mode   string `json:"mode"`
		Expect struct {
			OK struct {
				Items []fixtureItem `json:"items"`
			} `json:"ok"`
		} `json:"expect"`
	} `json:"read"`
}

type fixtureItem struct {
	Data struct {
		Hex  *string `json:"hex"`
		Seed uint64  `json:"seed"`
		Len  int     `json:"len"`
	} `json:"data"`
	Sequence string `json:"seq"`
	Meta     struct {
		TimestampNS   string `json:"timestamp_ns"`
		CorrelationID string `json:"correlation_id"`
		Sender        uint32 `json:"sender"`
		ContentType   uint16 `json:"content_type"`
		Flags         uint16 `json:"flags"`
	} `json:"meta"`
}

// message is what the item stands for, without its position.
func (i *fixtureItem) message(t *testing.T) Message {
	t.Helper()
	number := func(text string) uint64 {
		value, err := strconv.ParseUint(text, 10, 64)
		succeed(t, err)
		return value
	}
	m := Message{
		Sequence: number(i.Sequence), TimestampNS: number(i.Meta.TimestampNS), CorrelationID: number(i.Meta.CorrelationID),
		Sender: i.Meta.Sender, ContentType: i.Meta.ContentType, Flags: i.Meta.Flags,
	}
	if i.Data.Hex != nil {
		raw, err := hex.DecodeString(*i.Data.Hex)
		succeed(t, err)
		m.Payload = raw
		return m
	}
	m.Payload = make([]byte, i.Data.Len)
	for j := range m.Payload {
		m.Payload[j] = byte(31*i.Data.Seed + 17*uint64(j) + 101*(uint64(j)>>8))
	}
	return m
}

// The golden segments are sound, and hold what their cases say; the suite has cases for the driver over the same bytes.
func TestGolden(t *testing.T) {
	cases, err := filepath.Glob(filepath.Join(fixtures, "shmcomm/golden/*-observe/case.json"))
	if err != nil || len(cases) == 0 {
		t.Fatalf("no golden case: %v", err)
	}
	items := 0
	for _, path := range cases {
		raw, err := os.ReadFile(path)
		succeed(t, err)
		var c fixtureCase
		succeed(t, json.Unmarshal(raw, &c))
		if len(c.Base.Patch) == 0 {
			items += observeGolden(t, &c)
		}
	}
	if items < 100 {
		t.Errorf("%d messages in all golden cases", items)
	}
}

// observeGolden answers how many messages it compared.
func observeGolden(t *testing.T, c *fixtureCase) (items int) {
	look := observer(t, filepath.Join(fixtures, c.Base.Case, "seg.bin"))
	// Where a writer died between two stores the counts are behind: then the lock has an owner.
	if err := look.Validate(); err != nil {
		t.Errorf("%s: %v", c.ID, err)
	}
	for _, step := range c.Read {
		for _, item := range step.Expect.OK.Items {
			want := item.message(t)
			found, err := look.Receive(nil, 0)
			if err != nil {
				t.Fatalf("%s: message %d: %v", c.ID, want.Sequence, err)
			}
			want.Position = found.Position
			if string(found.Payload) != string(want.Payload) {
				t.Errorf("%s: payload of %d: %x, expected %x", c.ID, want.Sequence, found.Payload, want.Payload)
			}
			found.Payload, want.Payload = nil, nil
			if !same(&found, &want) {
				t.Errorf("%s: %+v, expected %+v", c.ID, found, want)
			}
			items++
		}
	}
	_, err := look.Receive(nil, 0)
	if code := shmwire.CodeOf(err); code != shmwire.ErrEmpty && code != shmwire.ErrClosed {
		t.Errorf("%s: %v behind the last message", c.ID, err)
	}
	return items
}

func same(a, b *Message) bool {
	return a.Sequence == b.Sequence && a.TimestampNS == b.TimestampNS && a.CorrelationID == b.CorrelationID &&
		a.Lost == b.Lost && a.Sender == b.Sender && a.ContentType == b.ContentType && a.Flags == b.Flags
}
