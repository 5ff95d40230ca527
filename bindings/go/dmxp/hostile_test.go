// SPDX-License-Identifier: MIT

package dmxp

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand"
	"testing"
	"time"

	"shmwire"
	"shmwire/internal/shm"
)

// sampleSegment is a heap segment of three channels in all states: published, claimed, taken, tombstone, removed.
func sampleSegment(t testing.TB) *Segment {
	t.Helper()
	window := shm.WindowOf(int(HeaderSize + 16*slotSize))
	writeHeader(window, LayoutCrate)
	segment := &Segment{window: window, layout: LayoutCrate, runtime: RuntimeGo}
	band := HeaderSize
	for id, capacity := range []uint64{4, 2, 4} {
		segment.writeEntry(uint32(id), band, capacity, 0, 0)
		band = (band + capacity*slotSize + bandAlign - 1) &^ (bandAlign - 1)
		c, err := segment.Attach(uint32(id))
		if err != nil {
			t.Fatal(err)
		}
		mustSend(t, c, "first message")
		mustReceive(t, c, "first message")
		mustSend(t, c, "second")
	}
	c, err := segment.Attach(2)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Claim(); err != nil {
		t.Fatal(err)
	}
	c.entry.head.CompareAndSwap(1, 2) // taken, not released
	return segment
}

// useAll does everything to a segment that a program can do; it returns because nothing in a segment may make it
// hang, and every error must be one of the registry.
func useAll(t testing.TB, segment *Segment) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Microsecond)
	defer cancel()
	check := func(err error) {
		var detailed *shmwire.Error
		var code *shmwire.Code
		if err != nil && !errors.As(err, &detailed) && !errors.As(err, &code) {
			t.Fatalf("error without a code: %v", err)
		}
	}
	check(segment.Validate())
	_, err := segment.Info()
	check(err)
	buffer, messages := make([]byte, 64), make([]Message, 8)
	for id := uint32(0); id < 4; id++ {
		_, err := segment.ChannelInfo(id)
		check(err)
		c, err := segment.Attach(id)
		check(err)
		if err != nil {
			continue
		}
		look := c.Peek()
		for i := 0; i < 8; i++ {
			check(look.Next(buffer, &messages[0]))
		}
		_, err = c.ReceiveBatch(buffer, messages)
		check(err)
		check(c.ReceiveInto(ctx, buffer, &messages[0]))
		check(c.TryReceiveInto(buffer[:4], &messages[0]))
		_, err = c.SendBatch([]Item{{Data: buffer[:9]}, {}})
		check(err)
		_, err = c.Send(ctx, buffer[:9], nil)
		check(err)
		c.repair(&Recovery{})
	}
	_, err = segment.soundChannels()
	check(err)
	_, err = segment.freeBand()
	check(err)
}

// interesting values for one word.
var interesting = []uint64{
	0, 1, 2, 3, 4, 5, 7, 8, 960, 961, 1024, 1025, 1040, 1088, 98304, 98432, 98560, 1 << 20, 1<<31 - 1, 1 << 31,
	1<<32 - 1, 1 << 32, 1<<53 + 1, 1<<63 - 1, 1 << 63, ^uint64(0) - 1087, ^uint64(0) - 3, ^uint64(0),
}

// targets are the offsets of the words that mean something.
func targets() []uint64 {
	offsets := []uint64{0, 8, 16, 20}
	for id := uint64(0); id < 4; id++ {
		for _, field := range []uint64{0, 4, 8, 16, 24, 28, 32, 128, 256, 264} {
			offsets = append(offsets, 128+id*384+field)
		}
	}
	for slot := uint64(0); slot < 10; slot++ {
		for _, field := range []uint64{0, 8, 16, 24, 32, 36, 40} {
			offsets = append(offsets, 98432+slot*1088+field)
		}
	}
	return offsets
}

// mutate stores count words, chosen at random: interesting values, or ones near to what was there.
func mutate(segment *Segment, random *rand.Rand, count int) {
	offsets := targets()
	for i := 0; i < count; i++ {
		off := offsets[random.Intn(len(offsets))]
		value := interesting[random.Intn(len(interesting))]
		if random.Intn(4) == 0 {
			value = binary.LittleEndian.Uint64(segment.window.Bytes(off&^7, 8)) + uint64(random.Intn(9)) - 4
		}
		if off%8 == 0 && random.Intn(2) == 0 {
			segment.window.PutU64(off, value)
		} else {
			segment.window.PutU32(off, uint32(value))
		}
	}
}

func TestMutations(t *testing.T) {
	const seed, rounds = 20260101, 3000
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewSource(seed))
	base := sampleSegment(t)
	pristine := append([]byte(nil), base.window.Bytes(0, base.window.Size())...)
	for round := 0; round < rounds; round++ {
		copy(base.window.Bytes(0, base.window.Size()), pristine)
		mutate(base, random, 1+random.Intn(3))
		if layout, err := checkHeader(base.window); err == nil {
			base.layout = layout
			base.choice = PayloadChoice(random.Intn(3))
			useAll(t, base)
		}
	}
}

// Every single word set to every interesting value: looking at it ends, and changes no byte [dmxp.peek.readonly].
func TestSingleFaults(t *testing.T) {
	segment := sampleSegment(t)
	all := segment.window.Bytes(0, segment.window.Size())
	pristine := append([]byte(nil), all...)
	for _, off := range targets() {
		for _, value := range interesting {
			copy(all, pristine)
			segment.window.PutU32(off, uint32(value))
			if off%8 == 0 {
				segment.window.PutU64(off, value)
			}
			before := append([]byte(nil), all...)
			segment.Validate()
			if c, err := segment.Attach(1); err == nil {
				look := c.Peek()
				var m Message
				for i := 0; i < 6; i++ {
					look.Next(make([]byte, 2000), &m)
				}
			}
			if !bytes.Equal(all, before) {
				t.Fatalf("looking at a segment with %#x at %d changed it", value, off)
			}
		}
	}
}

func TestNamedFaults(t *testing.T) {
	entry, slot := uint64(128), uint64(98432)
	for _, fault := range []struct {
		what  string
		off   uint64
		value uint64
		code  *shmwire.Code
	}{
		{"capacity 3", entry + 8, 3, shmwire.ErrBadGeometry},
		{"capacity 1", entry + 8, 1, shmwire.ErrBadGeometry},
		{"capacity 2^63", entry + 8, 1 << 63, shmwire.ErrBadGeometry},
		{"capacity 0", entry + 8, 0, shmwire.ErrNotFound},
		{"band unaligned", entry + 16, 98440, shmwire.ErrBadGeometry},
		{"band in the header", entry + 16, 98304, shmwire.ErrBadGeometry},
		{"band past the end", entry + 16, 1 << 40, shmwire.ErrBadGeometry},
		{"band wraps", entry + 16, ^uint64(0) - 127, shmwire.ErrBadGeometry},
		{"bands overlap", entry + 384 + 16, 98432 + 128, shmwire.ErrBadGeometry},
		{"channel_id", entry, 7, shmwire.ErrBadGeometry},
		{"tail far ahead", entry + 128, 100, shmwire.ErrCorrupt},
		{"head ahead of tail", entry + 256, 3, shmwire.ErrCorrupt},
	} {
		segment := sampleSegment(t)
		segment.window.PutU64(fault.off, fault.value)
		_, err := segment.Attach(0)
		if shmwire.CodeOf(err) != fault.code {
			t.Errorf("%s: attach answered %v", fault.what, err)
		}
		if fault.code != shmwire.ErrNotFound && shmwire.CodeOf(segment.Validate()) != fault.code {
			t.Errorf("%s: validate answered %v", fault.what, segment.Validate())
		}
	}
	for _, fault := range []struct {
		what string
		off  uint64
		code *shmwire.Code
	}{{"sequence of slot 1", slot + 1088, shmwire.ErrCorrupt}, {"payload_len", slot + 1088 + 40, shmwire.ErrCorrupt}} {
		segment := sampleSegment(t)
		segment.window.PutU32(fault.off, 1025)
		c, err := segment.Attach(0)
		if err != nil {
			t.Fatal(err)
		}
		if err := segment.Validate(); shmwire.CodeOf(err) != fault.code {
			t.Errorf("%s: validate answered %v", fault.what, err)
		}
		if err := c.Peek().Next(nil, &Message{}); shmwire.CodeOf(err) != fault.code {
			t.Errorf("%s: peek answered %v", fault.what, err)
		}
		if _, err := c.TryReceive(); shmwire.CodeOf(err) != fault.code {
			t.Errorf("%s: receive answered %v", fault.what, err)
		}
	}
}

// An impossible length is taken and released, so that the channel goes on [dmxp.consume.payload-len].
func TestBadLengthIsReleased(t *testing.T) {
	for _, buffer := range []int{8, 2000} {
		c, err := heapSegment(4, 0).Attach(0)
		if err != nil {
			t.Fatal(err)
		}
		mustSend(t, c, "bad")
		mustSend(t, c, "good")
		c.segment.window.PutU32(HeaderSize+slotPayloadLenOffset, 1025)
		var m Message
		expectCode(t, c.TryReceiveInto(make([]byte, buffer), &m), shmwire.ErrCorrupt)
		if s := c.slot(0).sequence().Load(); s != 4 {
			t.Errorf("sequence %d, expected 4", s)
		}
		mustReceive(t, c, "good")
	}
}

func FuzzSegment(f *testing.F) {
	f.Add(int64(1), uint8(1))
	f.Add(int64(2), uint8(3))
	f.Fuzz(func(t *testing.T, seed int64, count uint8) {
		segment := sampleSegment(t)
		mutate(segment, rand.New(rand.NewSource(seed)), int(count%16)+1)
		if layout, err := checkHeader(segment.window); err == nil {
			segment.layout = layout
			useAll(t, segment)
		}
	})
}

// FuzzEntry lets the fuzzer write a channel entry and a slot as it likes.
func FuzzEntry(f *testing.F) {
	segment := sampleSegment(f)
	f.Add(segment.window.Bytes(128, 384), segment.window.Bytes(98432, 1088))
	f.Add(make([]byte, 384), []byte{})
	f.Fuzz(func(t *testing.T, entry, slot []byte) {
		segment := sampleSegment(t)
		copy(segment.window.Bytes(128, 384), entry)
		copy(segment.window.Bytes(98432, 1088), slot)
		useAll(t, segment)
	})
}
