// SPDX-License-Identifier: MIT

package dmxp

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// These tests read segments as bytes, with the offsets of the specification typed out: the generated numbers must not
// vouch for themselves.

func u16at(raw []byte, off int) uint16 { return binary.LittleEndian.Uint16(raw[off:]) }
func u32at(raw []byte, off int) uint32 { return binary.LittleEndian.Uint32(raw[off:]) }
func u64at(raw []byte, off int) uint64 { return binary.LittleEndian.Uint64(raw[off:]) }

func TestSegmentBytes(t *testing.T) {
	segment, name := testSegment(t, WithPayloadLayout(LayoutDocument))
	raw := bytesOf(t, name)
	if len(raw) != 1<<18 {
		t.Fatalf("%d bytes", len(raw))
	}
	want := make([]byte, len(raw))
	copy(want, "\x4d\x45\x4d\x5f\x50\x58\x4d\x44") // DMXP_MEM as a little-endian word
	want[8] = 1
	want[13] = 1 // 256
	want[20] = 1
	if !bytes.Equal(raw, want) {
		t.Fatal("the header is not what the specification says, or something else is not zero")
	}
	addChannel(t, segment, 2, WithCapacity(4))
	if err := segment.CreateChannel(7, WithCapacity(2), WithCountedWaiters()); err != nil {
		t.Fatal(err)
	}
	raw = bytesOf(t, name)
	for _, check := range []struct {
		what     string
		off      int
		expected uint64
	}{
		{"channel[2].capacity", 128 + 2*384 + 8, 4},
		{"channel[2].band_offset", 128 + 2*384 + 16, 98432},
		{"channel[2].tail", 128 + 2*384 + 128, 0},
		{"channel[2].head", 128 + 2*384 + 256, 0},
		{"channel[7].capacity", 128 + 7*384 + 8, 2},
		{"channel[7].band_offset", 128 + 7*384 + 16, 102784}, // 98,432 + 4 x 1,088, on 128 already
		{"slot 0", 98432, 0}, {"slot 1", 98432 + 1088, 1}, {"slot 3", 98432 + 3*1088, 3}, {"slot 1 of 7", 102784 + 1088, 1},
	} {
		if found := u64at(raw, check.off); found != check.expected {
			t.Errorf("%s is %d, expected %d", check.what, found, check.expected)
		}
	}
	if u32at(raw, 16) != 2 || u32at(raw, 128+2*384) != 2 || u32at(raw, 128+2*384+4) != 0 || u32at(raw, 128+7*384+4) != 1 {
		t.Error("channel_count, channel_id or flags")
	}
}

func TestMessageBytes(t *testing.T) {
	for _, layout := range []struct {
		number  uint32
		payload int
	}{{LayoutCrate, 48}, {LayoutDocument, 64}} {
		segment, name := testSegment(t, WithPayloadLayout(layout.number))
		c := addChannel(t, segment, 5, WithCapacity(2))
		before := bytesOf(t, name)
		meta := Meta{
			MessageID: 77, ExplicitID: true, TimestampNS: 1<<63 + 5, MessageType: 1 << 31, SenderPID: 4242, Flags: 0x7fff,
		}
		if _, err := c.TrySend([]byte("payload"), &meta); err != nil {
			t.Fatal(err)
		}
		want := append([]byte(nil), before...)
		entry, slot := 128+5*384, 98432
		le := binary.LittleEndian
		le.PutUint32(want[entry+24:], 1)  // signal
		le.PutUint64(want[entry+128:], 1) // tail
		le.PutUint64(want[slot:], 1)      // sequence
		le.PutUint64(want[slot+8:], 77)
		le.PutUint64(want[slot+16:], 1<<63+5)
		le.PutUint32(want[slot+24:], 5)
		le.PutUint32(want[slot+28:], 1<<31)
		le.PutUint32(want[slot+32:], 4242)
		le.PutUint16(want[slot+36:], 17)
		le.PutUint16(want[slot+38:], 0x7fff)
		le.PutUint32(want[slot+40:], 7)
		copy(want[slot+layout.payload:], "payload")
		if !bytes.Equal(bytesOf(t, name), want) {
			t.Errorf("layout %d: bytes differ after a send", layout.number)
		}
		mustReceive(t, c, "payload")
		le.PutUint64(want[slot:], 2)      // released
		le.PutUint64(want[entry+256:], 1) // head
		if !bytes.Equal(bytesOf(t, name), want) {
			t.Errorf("layout %d: bytes differ after a receive", layout.number)
		}
	}
}

// A producer stores to no byte that its message does not need [dmxp.produce.extent].
func TestExtent(t *testing.T) {
	for _, layout := range []uint32{LayoutCrate, LayoutDocument} {
		segment, name := testSegment(t, WithPayloadLayout(layout))
		c := addChannel(t, segment, 0, WithCapacity(2))
		slot := segment.window.Bytes(98432, 1088)
		for i := 8; i < len(slot); i++ {
			slot[i] = 0xEE
		}
		mustSend(t, c, "abc")
		raw := bytesOf(t, name)[98432 : 98432+1088]
		payload := map[uint32]int{LayoutCrate: 48, LayoutDocument: 64}[layout]
		for i, b := range raw {
			written := i < 44 || i >= payload && i < payload+3
			if !written && b != 0xEE {
				t.Errorf("layout %d: byte %d was stored to", layout, i)
			}
		}
	}
}

func TestTombstoneBytes(t *testing.T) {
	c, name := newQueue(t, 2)
	claim, err := c.Claim()
	if err != nil {
		t.Fatal(err)
	}
	if err := claim.Abandon(); err != nil {
		t.Fatal(err)
	}
	raw := bytesOf(t, name)
	if u64at(raw, 98432) != 1 || u16at(raw, 98432+38) != 0x8000 || u32at(raw, 98432+40) != 0 || u32at(raw, 128+24) != 1 {
		t.Error("sequence, flags, payload_len or signal")
	}
}

// Segments of payload_layout 0 are the crate's; the choice and sender_runtime decide [dmxp.layout.*].
func TestUnspecifiedLayout(t *testing.T) {
	segment, name := testSegment(t)
	if err := segment.CreateChannel(0, WithCapacity(4)); err != nil {
		t.Fatal(err)
	}
	segment.window.PutU32(headerPayloadLayoutOffset, LayoutUnspecified)
	send := func(text string, options ...OpenOption) {
		c, err := reopen(t, name, options...).Attach(0)
		if err != nil {
			t.Fatal(err)
		}
		mustSend(t, c, text)
	}
	send("crate")
	send("document", WithPayloadChoice(ChooseDocument), WithRuntime(99))
	send("auto", WithPayloadChoice(ChooseAuto), WithRuntime(99))
	raw := bytesOf(t, name)
	for i, check := range []struct {
		payload int
		runtime uint16
		text    string
	}{{48, 17, "crate"}, {64, 0, "document"}, {48, 99, "auto"}} {
		slot := raw[98432+i*1088:]
		if u16at(slot, 36) != check.runtime || !bytes.HasPrefix(slot[check.payload:], []byte(check.text)) {
			t.Errorf("message %d", i)
		}
	}
	auto, err := reopen(t, name, WithPayloadChoice(ChooseAuto)).Attach(0)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"crate", "document", "auto"} {
		mustReceive(t, auto, text)
	}
}
