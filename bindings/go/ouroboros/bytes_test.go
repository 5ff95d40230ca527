// SPDX-License-Identifier: MIT

package ouroboros

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// These tests read segments as bytes, with the offsets of the specification typed out: the generated numbers must not
// vouch for themselves.

const committed64, committed32 = uint64(1) << 63, uint32(1) << 31

// image makes the bytes of a segment of three chunks of 64 bytes by hand.
type image []byte

func newImage() image {
	raw := image(make([]byte, 64+3*64))
	copy(raw, "GOLBORUO")
	raw[8], raw[12] = 1, 3
	raw.row(0, 64|committed64, 0)
	return raw
}

func (raw image) row(i int, offset, token uint64) {
	binary.LittleEndian.PutUint64(raw[16+16*i:], offset)
	binary.LittleEndian.PutUint64(raw[24+16*i:], token)
}

func (raw image) entry(offset int, sequence uint64, length int) {
	binary.LittleEndian.PutUint32(raw[offset:], uint32(4+length)|committed32)
	copy(raw[offset+4:], numbered(sequence, length))
}

func (raw image) word(offset int, value uint32) { binary.LittleEndian.PutUint32(raw[offset:], value) }

func (raw image) compare(t *testing.T, what, name string) {
	t.Helper()
	if found := bytesOf(t, name); !bytes.Equal(found, raw) {
		t.Fatalf("%s:\n%x\nexpected\n%x", what, found, []byte(raw))
	}
}

// A lap and what comes after it, byte for byte: chunks, an entry that is not a multiple of 4, the wrap mark, rows that
// are cleared.
func TestLogBytes(t *testing.T) {
	w, name := smallLog(t)
	raw := newImage()
	raw.compare(t, "a new log", name)
	for sequence := 1; sequence <= 4; sequence++ { // 64 and 96: chunk 0; 128 and 160: chunk 1
		mustWrite(t, w, 28)
		raw.entry(64+32*(sequence-1), uint64(sequence), 28)
	}
	raw.row(1, 128|committed64, 2)
	raw.compare(t, "two chunks", name)
	mustWrite(t, w, 13) // 192 to 209
	raw.entry(192, 5, 13)
	raw.row(2, 192|committed64, 4)
	raw.compare(t, "an odd length", name)
	mustWrite(t, w, 52) // does not fit from 212 on: wraps, and takes 64 to 120
	raw.word(212, 1|committed32)
	raw.entry(64, 6, 52)
	raw.word(120, 0) // the header behind it
	raw.row(0, 64|committed64, 5)
	raw.compare(t, "the second lap", name)
	mustWrite(t, w, 28) // 120 to 152: chunk 1 of the first lap is gone
	raw.row(1, 0, 0)
	raw.entry(120, 7, 28)
	raw.word(152, 0)
	raw.compare(t, "a row cleared", name)
	if err := w.Validate(); err != nil {
		t.Error(err)
	}
}

// An entry that ends where no header fits leaves an implicit wrap.
func TestImplicitWrapBytes(t *testing.T) {
	w, name := smallLog(t)
	raw := newImage()
	mustWrite(t, w, 188) // all of the data area
	raw.entry(64, 1, 188)
	raw.compare(t, "the largest entry", name)
	if info := w.Info(); info.MaxPayload != 188 || info.Size != 256 || info.ChunkTarget != 64 || info.ChunkCount != 3 {
		t.Errorf("%+v", info)
	}
	mustWrite(t, w, 1)
	raw[64+4] = byte(31 * 2)
	raw.word(64, 5|committed32)
	raw.word(72, 0)
	raw.row(0, 64|committed64, 1)
	raw.compare(t, "the smallest entry", name)
}

// Reading changes no byte [ouroboros.segment.readonly].
func TestReadersLeaveBytes(t *testing.T) {
	w, name := smallLog(t)
	for i := 0; i < 9; i++ {
		mustWrite(t, w, 28)
	}
	before := bytesOf(t, name)
	for _, start := range []Start{StartAuto, StartLatest, StartOldest} {
		r := follow(t, name, WithStart(start))
		for err := error(nil); err == nil; _, err = r.Next() {
		}
		if err := r.Validate(); err != nil {
			t.Error(err)
		}
	}
	if !bytes.Equal(bytesOf(t, name), before) {
		t.Error("a reader changed the segment")
	}
}
