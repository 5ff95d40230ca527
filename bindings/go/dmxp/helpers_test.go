// SPDX-License-Identifier: MIT

package dmxp

import (
	"testing"

	"shmwire/internal/shm"
	"shmwire/internal/testkit"
)

var bytesOf, expectCode = testkit.Bytes, testkit.ExpectCode

// uniqueName is a segment name that nobody else uses; it is unlinked when the test ends.
func uniqueName(t testing.TB) string {
	t.Helper()
	return testkit.Name(t, "dmxp")
}

// testSegment makes a segment of its own for a test.
func testSegment(t testing.TB, options ...CreateOption) (*Segment, string) {
	t.Helper()
	name := uniqueName(t)
	segment, err := Create(name, append([]CreateOption{WithSize(1 << 18)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { segment.Close() })
	return segment, name
}

// newQueue makes a segment with channel 0 and attaches to it.
func newQueue(t testing.TB, capacity uint64, options ...AttachOption) (*Channel, string) {
	t.Helper()
	segment, name := testSegment(t)
	return addChannel(t, segment, 0, WithCapacity(capacity), options...), name
}

func addChannel(t testing.TB, segment *Segment, id uint32, how ChannelOption, options ...AttachOption) *Channel {
	t.Helper()
	if err := segment.CreateChannel(id, how); err != nil {
		t.Fatal(err)
	}
	channel, err := segment.Attach(id, options...)
	if err != nil {
		t.Fatal(err)
	}
	return channel
}

// reopen attaches once more, as another process would.
func reopen(t testing.TB, name string, options ...OpenOption) *Segment {
	t.Helper()
	segment, err := Open(name, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { segment.Close() })
	return segment
}

// heapSegment is a segment in ordinary memory, which the race detector can see. Its channel table is made without the
// lock.
func heapSegment(capacity uint64, flags uint32) *Segment {
	window := shm.WindowOf(int(HeaderSize + capacity*slotSize))
	writeHeader(window, LayoutCrate)
	segment := &Segment{window: window, layout: LayoutCrate, runtime: RuntimeGo}
	segment.writeEntry(0, HeaderSize, capacity, flags, 0)
	return segment
}

func mustSend(t testing.TB, c *Channel, text string) uint64 {
	t.Helper()
	position, err := c.TrySend([]byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	return position
}

func mustReceive(t testing.TB, c *Channel, text string) Message {
	t.Helper()
	message, err := c.TryReceive()
	if err != nil {
		t.Fatal(err)
	}
	if string(message.Payload) != text {
		t.Fatalf("payload %q, expected %q", message.Payload, text)
	}
	return message
}
