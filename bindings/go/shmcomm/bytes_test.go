// SPDX-License-Identifier: MIT

package shmcomm

import (
	"encoding/binary"
	"testing"

	"shmwire"
)

// fixed are options that leave nothing to chance.
func fixed() *Options {
	return &Options{
		Capacity: MinCapacity, Serializer: ContentJson, NoWait: true,
		Identity: Identity{Endpoint: 7, PID: 99, Instance: 0x1122334455667788, BootNS: 5000},
	}
}

type word struct{ off, size, value uint64 }

// checkWords compares words of a file, little-endian.
func checkWords(t *testing.T, raw []byte, words ...word) {
	t.Helper()
	for _, w := range words {
		found := uint64(0)
		for i := uint64(0); i < w.size; i++ {
			found |= uint64(raw[w.off+i]) << (8 * i)
		}
		if found != w.value {
			t.Errorf("offset %d, %d bytes: %#x, expected %#x", w.off, w.size, found, w.value)
		}
	}
}

// A new segment [shmcomm.segment.init] [shmcomm.segment.mode].
func TestBytesOfHeader(t *testing.T) {
	name := uniqueName(t)
	publisher(t, name, fixed())
	raw := bytesOf(t, name)
	if len(raw) != 128+4096 {
		t.Fatalf("%d bytes", len(raw))
	}
	checkWords(t, raw, word{0, 8, 0x53484D434F4D4D31}, word{8, 8, 2}, word{16, 8, 0}, word{24, 8, 0}, word{32, 4, 0},
		word{36, 4, 0}, word{40, 8, 0}, word{48, 8, 0}, word{56, 8, 4096}, word{64, 4, 1}, word{68, 4, 1}, word{72, 4, 0},
		word{76, 4, 0}, word{80, 4, 0}, word{84, 4, 0}, word{88, 4, 99}, word{92, 4, 3}, word{96, 8, 5000},
		word{104, 8, 0x1122334455667788}, word{112, 4, 7})
	for i, b := range raw[116:] {
		if b != 0 {
			t.Fatalf("byte %d is %#x", 116+i, b)
		}
	}
	if string(raw[:8]) != "1MMOCMHS" {
		t.Errorf("magic %q", raw[:8])
	}
}

// Frames, the zeros behind them, and a SKIP before the end of the ring [shmcomm.send.frame] [shmcomm.send.extent].
func TestBytesOfFrames(t *testing.T) {
	name := uniqueName(t)
	p := pusher(t, name, fixed())
	q := puller(t, name, small())
	send := func(data []byte) {
		_, err := p.Send(data, &Meta{TimestampNS: 1234, ContentType: 17, Flags: 0xBEEF}, 0)
		succeed(t, err)
	}
	raw := bytesOf(t, name)
	send([]byte{1, 2, 3})
	first := bytesOf(t, name)
	checkWords(t, first, word{128, 8, 35}, word{136, 8, 0}, word{144, 8, 1234}, word{152, 8, 0}, word{160, 4, 7},
		word{164, 2, 17}, word{166, 2, 0xBEEF}, word{168, 8, 0x030201}, word{16, 8, 48}, word{40, 8, 1}, word{32, 4, 0})
	for i := 176; i < len(raw); i++ {
		if first[i] != 0 {
			t.Fatalf("byte %d is %#x: outside of the frame", i, first[i])
		}
	}
	// 48 + 2048 + 1944 = 4040: 56 bytes are left before the end, so a frame of 64 goes to the start.
	for _, length := range []int{2008, 1904} {
		send(numbered(9, length))
	}
	for i := 0; i < 2; i++ {
		_, err := q.Receive(nil, 0)
		succeed(t, err)
	}
	send(numbered(3, 24))
	wrapped := bytesOf(t, name)
	checkWords(t, wrapped, word{128 + 4040, 8, ^uint64(0)}, word{128, 8, 56}, word{136, 8, 3}, word{16, 8, 4096 + 64},
		word{24, 8, 2096}, word{40, 8, 4})
	for i := 128 + 4048; i < len(wrapped); i++ {
		if wrapped[i] != 0 {
			t.Fatalf("byte %d is %#x: a SKIP is 8 bytes", i, wrapped[i])
		}
	}
	mustBeSound(t, name)
}

// Old bytes behind a payload become zeros, and no others change.
func TestBytesPadding(t *testing.T) {
	name := uniqueName(t)
	p := publisher(t, name, fixed())
	ring := p.ring.Bytes(0, 4096)
	for i := range ring {
		ring[i] = 0xAA
	}
	_, err := p.Send(make([]byte, 9), nil, 0)
	succeed(t, err)
	raw := bytesOf(t, name)[128:]
	for i := 40; i < 56; i++ {
		if raw[i] != 0 {
			t.Errorf("byte %d is %#x", i, raw[i])
		}
	}
	for i := 56; i < len(raw); i++ {
		if raw[i] != 0xAA {
			t.Fatalf("byte %d is %#x: outside of the frame", i, raw[i])
		}
	}
}

// A publisher evicts whole frames, oldest first, no more than it needs, and counts them [shmcomm.publish.evict]
// [shmcomm.publish.dropped].
func TestBytesEviction(t *testing.T) {
	name := uniqueName(t)
	p := publisher(t, name, fixed())
	for i := 0; i < 4; i++ { // frames of 1024 fill the ring
		mustSend(t, p, uint64(i), 984)
	}
	checkWords(t, bytesOf(t, name), word{16, 8, 4096}, word{24, 8, 0}, word{48, 8, 0})
	mustSend(t, p, 4, 0)
	checkWords(t, bytesOf(t, name), word{16, 8, 4136}, word{24, 8, 1024}, word{48, 8, 1})
	mustSend(t, p, 5, 984)
	checkWords(t, bytesOf(t, name), word{16, 8, 5160}, word{24, 8, 2048}, word{48, 8, 2})
	mustSend(t, p, 6, 2008)
	checkWords(t, bytesOf(t, name), word{16, 8, 7208}, word{24, 8, 4096}, word{48, 8, 4})
	mustSend(t, p, 7, 2008) // 984 bytes are left before the end: a SKIP, and the frame at 8192
	checkWords(t, bytesOf(t, name), word{16, 8, 8192 + 2048}, word{24, 8, 7208}, word{48, 8, 7}, word{40, 8, 8})
	mustBeSound(t, name)
}

// The answers of a sender that has nothing done, and changes nothing but what it must.
func TestBytesRefusals(t *testing.T) {
	name := uniqueName(t)
	p := pusher(t, name, fixed())
	mustSend(t, p, 0, 2008, 2008)
	before := bytesOf(t, name)
	_, err := p.Send(make([]byte, 2009), nil, 0)
	expectCode(t, err, shmwire.ErrTooLarge)
	_, err = p.SendBatch([][]byte{nil, make([]byte, 2009)}, nil, 0)
	expectCode(t, err, shmwire.ErrTooLarge)
	if string(bytesOf(t, name)) != string(before) {
		t.Error("TOO_LARGE changed the segment")
	}
	_, err = p.Send(nil, nil, 0)
	expectCode(t, err, shmwire.ErrFull)
	if binary.LittleEndian.Uint64(before[48:]) != 0 {
		t.Error("dropped_count before")
	}
	before[48] = 1 // [shmcomm.push.full]
	if string(bytesOf(t, name)) != string(before) {
		t.Error("FULL changed more than dropped_count")
	}
	c, err := p.Claim(0, nil, 0)
	if c != nil {
		t.Error("a claim without room")
	}
	expectCode(t, err, shmwire.ErrFull)
}

// A claim leaves nothing behind that counts when it is abandoned [shmcomm.send.claim].
func TestBytesClaim(t *testing.T) {
	name := uniqueName(t)
	p := publisher(t, name, fixed())
	mustSend(t, p, 0, 100)
	before := bytesOf(t, name)
	c, err := p.Claim(24, nil, 0)
	succeed(t, err)
	copy(c.Data, numbered(1, 24))
	_, err = p.Send(nil, nil, 0)
	expectCode(t, err, shmwire.ErrBusy)
	checkWords(t, bytesOf(t, name), word{32, 4, 7})
	succeed(t, c.Abandon())
	expectCode(t, c.Abandon(), shmwire.ErrOutOfOrder)
	after := bytesOf(t, name)
	if string(after[:128+144]) != string(before[:128+144]) {
		t.Error("an abandoned claim changed header or frames")
	}
	c, err = p.Claim(24, &Meta{TimestampNS: 5}, 0)
	succeed(t, err)
	copy(c.Data, numbered(1, 24))
	if sequence, err := c.Commit(); err != nil || sequence != 1 {
		t.Fatal(sequence, err)
	}
	_, err = c.Commit()
	expectCode(t, err, shmwire.ErrOutOfOrder)
	o := observer(t, name)
	mustReceive(t, o, 0, 0, 100)
	if m := mustReceive(t, o, 1, 0, 24); m.TimestampNS != 5 || m.Sender != 7 {
		t.Errorf("%+v", m)
	}
}
