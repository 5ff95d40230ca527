// SPDX-License-Identifier: MIT

package slick

import (
	"encoding/binary"
	"testing"

	"shmwire"
	"shmwire/internal/shm"
	"shmwire/internal/testkit"
)

var bytesOf, expectCode = testkit.Bytes, testkit.ExpectCode

// uniqueName is a segment name that nobody else uses; it is unlinked when the test ends.
func uniqueName(t testing.TB) string {
	t.Helper()
	return testkit.Name(t, "slick")
}

// newRing makes a queue of a test's own, of elements of so many bytes.
func newRing(t testing.TB, elementSize, size uint32, options ...CreateOption) (*Queue, string) {
	t.Helper()
	name := uniqueName(t)
	q, err := Create(name, elementSize, append([]CreateOption{WithSize(size)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	return q, name
}

// heapRing is a queue in ordinary memory: for tests that change its bytes, and for the race detector.
func heapRing(t testing.TB, elementSize, size uint32, options ...CreateOption) *Queue {
	t.Helper()
	config, err := newCreateConfig(elementSize, append([]CreateOption{WithSize(size)}, options...))
	if err != nil {
		t.Fatal(err)
	}
	q := newQueue(nil, shm.WindowOf(int(config.length())), "", config.geometry)
	q.begin()
	return q
}

func produce(t testing.TB, q *Queue, options ...ProducerOption) *Producer {
	t.Helper()
	p, err := q.NewProducer(options...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func follow(t testing.TB, q *Queue, options ...ReaderOption) *Reader {
	t.Helper()
	r, err := q.NewReader(options...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// numbered is a payload of a length that names its item.
func numbered(number uint64, length int) []byte {
	payload := make([]byte, length)
	for i := range payload {
		payload[i] = byte(31*number + 17*uint64(i) + 101*(uint64(i)>>8))
	}
	if length >= 8 {
		binary.LittleEndian.PutUint64(payload, number)
	}
	return payload
}

// mustWrite writes an item of so many elements that is numbered by the index that it is to get.
func mustWrite(t testing.TB, p *Producer, index uint64, elements int) {
	t.Helper()
	found, err := p.Write(numbered(index, elements*int(p.queue.elementSize)))
	if err != nil || found != index {
		t.Fatalf("item %d: %d, %v", index, found, err)
	}
}

func mustReserve(t testing.TB, p *Producer, index uint64, elements int) Claim {
	t.Helper()
	claim, err := p.Reserve(elements)
	if err != nil || claim.Index != index || int(claim.Elements) != elements ||
		len(claim.Data) != elements*int(p.queue.elementSize) || cap(claim.Data) != len(claim.Data) {
		t.Fatalf("%+v, %v; expected %d elements at %d", claim, err, elements, index)
	}
	return claim
}

func succeed(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// checkItem compares an item with the one that mustWrite wrote.
func checkItem(t testing.TB, r *Reader, item *Item, err error, index, lost uint64, elements int) {
	t.Helper()
	if err != nil {
		t.Fatalf("item %d: %v", index, err)
	}
	if item.Index != index || item.Lost != lost || int(item.Elements) != elements ||
		string(item.Data) != string(numbered(index, elements*int(r.queue.elementSize))) {
		t.Fatalf("item %d of %d elements after %d lost, %x; expected %d of %d after %d", item.Index, item.Elements, item.Lost,
			item.Data, index, elements, lost)
	}
}

func mustRead(t testing.TB, r *Reader, index, lost uint64, elements int) {
	t.Helper()
	item, err := r.Next()
	checkItem(t, r, &item, err, index, lost, elements)
}

func mustBeEmpty(t testing.TB, r *Reader) {
	t.Helper()
	_, err := r.Next()
	expectCode(t, err, shmwire.ErrEmpty)
}
