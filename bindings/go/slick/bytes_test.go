// SPDX-License-Identifier: MIT

package slick

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// These tests read segments as bytes, with the offsets of the specification typed out: the generated numbers must not
// vouch for themselves.

// image makes the bytes of a queue of 4 elements of 3 bytes by hand.
type image []byte

func newImage(generation Generation) image {
	raw := image(make([]byte, 64+16*4+3*4))
	raw[8], raw[12] = 4, 3
	for k := 0; k < 4; k++ {
		raw.slot(k, 1<<64-1, 1)
	}
	switch generation {
	case Generation13:
		raw[48] = 1
	case Generation14:
		copy(raw[16:], "\xff\xff\xff\xff\xff\xff\xff\xff1QLS")
		raw[48] = 3
	}
	return raw
}

func (raw image) word(offset int, value uint64) { binary.LittleEndian.PutUint64(raw[offset:], value) }

// reserve is what a reservation leaves in the first word.
func (raw image) reserve(next uint64, elements byte) { raw.word(0, next<<16|uint64(elements)) }

func (raw image) slot(k int, index uint64, size uint32) {
	raw.word(64+16*k, index)
	binary.LittleEndian.PutUint32(raw[72+16*k:], size)
}

// publish is what an item leaves.
func (raw image) publish(index uint64, elements int) {
	k := int(index % 4)
	raw.slot(k, index, uint32(elements))
	copy(raw[128+3*k:], numbered(index, 3*elements))
	if raw[48] == 3 {
		raw.word(16, index)
	}
}

func (raw image) compare(t *testing.T, what, name string) {
	t.Helper()
	if found := bytesOf(t, name); !bytes.Equal(found, raw) {
		t.Fatalf("%s:\n%x\nexpected\n%x", what, found, []byte(raw))
	}
}

// Two laps byte for byte in each generation, by one producer, which leaves settled alone [slick.reserve.alone].
func TestRingBytes(t *testing.T) {
	for _, generation := range []Generation{Generation12, Generation13, Generation14} {
		q, name := newRing(t, 3, 4, WithGeneration(generation))
		p, raw := produce(t, q), newImage(generation)
		raw.compare(t, "a new queue", name)
		mustWrite(t, p, 0, 2)
		raw.reserve(2, 2)
		raw.publish(0, 2)
		raw.compare(t, "an item of two elements", name)
		claim := mustReserve(t, p, 4, 3) // 2 and 3 are left: a mark
		raw.reserve(7, 3)
		raw.slot(2, 4, 3)
		raw.compare(t, "a mark over the end of the ring", name)
		copy(claim.Data, numbered(4, 9))
		succeed(t, claim.Publish())
		raw.publish(4, 3)
		raw.compare(t, "an item in the second lap", name)
		claim = mustReserve(t, p, 7, 1)
		raw.reserve(8, 1)
		raw.compare(t, "a reservation", name)
		succeed(t, claim.Abandon())
		raw.slot(3, 8, 1)
		raw.compare(t, "an abandoned claim", name)
		n, err := p.WriteBatch([][]byte{numbered(8, 3), numbered(9, 3), numbered(10, 3)}, nil)
		if err != nil || n != 3 {
			t.Fatal(n, err)
		}
		raw.reserve(11, 3)
		for index := uint64(8); index < 11; index++ {
			raw.publish(index, 1)
		}
		raw.compare(t, "a batch", name)
		succeed(t, q.Validate())
		succeed(t, q.Reset())
		for k := 0; k < 4; k++ {
			raw.slot(k, 1<<64-1, 1)
		}
		raw.reserve(0, 0)
		if generation == Generation14 {
			raw.word(16, 1<<64-1)
		}
		raw.compare(t, "a reset", name)
		succeed(t, q.Close())
		q, err = Open(name)
		succeed(t, err)
		if q.generation != generation {
			t.Errorf("generation %s, found %s", generation, q.generation)
		}
		succeed(t, q.Close())
	}
}

// Producers that meet tell each other how far all is settled [slick.reserve.told].
func TestSettledBytes(t *testing.T) {
	q, name := newRing(t, 3, 4)
	first, second, raw := produce(t, q), produce(t, q), newImage(Generation14)
	for index, p := range []*Producer{first, second, first, second} {
		mustWrite(t, p, uint64(index), 1)
		raw.publish(uint64(index), 1)
	}
	raw.reserve(4, 1)
	raw.compare(t, "the first lap", name) // fits into the ring: nobody has to look
	mustWrite(t, first, 4, 1)
	raw.publish(4, 1)
	raw.reserve(5, 1)
	raw.word(32, 4)
	raw.compare(t, "the second lap", name)
	mustWrite(t, second, 5, 2)
	raw.publish(5, 2)
	raw.reserve(7, 2)
	raw.compare(t, "as far as was told", name)
}

// A shared cursor is a word.
func TestCursorBytes(t *testing.T) {
	q, _ := newRing(t, 3, 4)
	p := produce(t, q)
	mustWrite(t, p, 0, 2)
	name := uniqueName(t)
	cursor, err := q.CreateCursor(name, StartAt(0))
	succeed(t, err)
	defer cursor.Close()
	r := follow(t, q, WithShared(cursor))
	mustRead(t, r, 0, 0, 2)
	mustBeEmpty(t, r)
	if raw := bytesOf(t, name); string(raw) != "\x02\x00\x00\x00\x00\x00\x00\x00" {
		t.Errorf("%x", raw)
	}
}

// Reading changes no byte [slick.segment.readonly].
func TestReadersLeaveBytes(t *testing.T) {
	q, name := newRing(t, 3, 4)
	p := produce(t, q)
	for i := uint64(0); i < 9; i++ {
		mustWrite(t, p, i, 1)
	}
	before := bytesOf(t, name)
	shut, err := Open(name, ReadOnly())
	succeed(t, err)
	defer shut.Close()
	for _, start := range []Start{StartOldest, StartLatest, StartAt(1)} {
		r := follow(t, shut, WithStart(start))
		for err := error(nil); err == nil; _, err = r.Next() {
		}
		_, err := r.Last()
		succeed(t, err)
		succeed(t, shut.Validate())
	}
	if !bytes.Equal(bytesOf(t, name), before) {
		t.Error("a reader changed the segment")
	}
}
