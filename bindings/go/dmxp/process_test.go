// SPDX-License-Identifier: MIT

package dmxp

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"shmwire"
	"shmwire/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m, play) }

// play is what a child does; its role is "role segment argument".
func play(role []string) error {
	segment, err := Open(role[1])
	if err != nil {
		return err
	}
	c, err := segment.Attach(0)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 25*time.Second)
	defer cancel()
	switch role[0] {
	case "produce":
		return produce(ctx, c, role[2])
	case "consume":
		return consume(ctx, c)
	case "wait":
		fmt.Println("ready")
		_, err = c.Receive(ctx)
		fmt.Println("woken")
		return err
	case "claim":
		_, err = c.Claim()
	case "take": // dies between claim and release
		c.entry.head.CompareAndSwap(c.entry.head.Load(), c.entry.head.Load()+1)
	case "sleep":
		go c.Receive(ctx)
		for c.entry.waiters.Load() == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	if err != nil {
		return err
	}
	fmt.Println("ready")
	<-ctx.Done() // until killed
	return ctx.Err()
}

const endMark = ^uint64(0)

// produce sends count numbered messages of this actor.
func produce(ctx context.Context, c *Channel, argument string) error {
	actor, count, _ := strings.Cut(argument, ":")
	n, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	number, err := strconv.Atoi(actor)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	message := make([]byte, 16)
	binary.LittleEndian.PutUint64(message, uint64(number))
	for i := 0; i < n; i++ {
		binary.LittleEndian.PutUint64(message[8:], uint64(i))
		if _, err := c.Send(ctx, message, nil); err != nil {
			return err
		}
	}
	return nil
}

// consume prints "actor number position" for each message until one of actor endMark comes.
func consume(ctx context.Context, c *Channel) error {
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	fmt.Fprintln(out, "ready")
	if err := out.Flush(); err != nil {
		return err
	}
	var m Message
	buffer := make([]byte, c.MaxPayload())
	for {
		if err := c.ReceiveInto(ctx, buffer, &m); err != nil {
			return err
		}
		actor := binary.LittleEndian.Uint64(m.Payload)
		if actor == endMark {
			return nil
		}
		fmt.Fprintln(out, actor, binary.LittleEndian.Uint64(m.Payload[8:]), m.Position)
	}
}

// Each message is delivered once, those of one producer to one consumer in order, over a queue of four slots
// [dmxp.consume.order].
func TestProcesses(t *testing.T) {
	const producers, consumers, each = 3, 2, 3000
	c, name := newQueue(t, 4)
	var readers, writers []*testkit.Child
	for i := 0; i < consumers; i++ {
		readers = append(readers, testkit.Spawn(t, "consume", name))
	}
	for i := 0; i < producers; i++ {
		writers = append(writers, testkit.Spawn(t, "produce", name, fmt.Sprintf("%d:%d", i, each)))
	}
	for _, w := range writers {
		w.Finish()
	}
	end := binary.LittleEndian.AppendUint64(nil, endMark)
	for range readers {
		if _, err := c.Send(context.Background(), end, nil); err != nil {
			t.Fatal(err)
		}
	}
	seen, positions := map[[2]int]bool{}, map[int]bool{}
	for _, r := range readers {
		last := map[int]int{}
		for _, line := range strings.Split(strings.TrimSpace(r.Finish()), "\n") {
			var actor, number, position int
			if line == "" {
				continue
			}
			if _, err := fmt.Sscan(line, &actor, &number, &position); err != nil {
				t.Fatal(err)
			}
			if seen[[2]int{actor, number}] || positions[position] {
				t.Fatalf("message %d of %d twice, or position %d", number, actor, position)
			}
			if before, any := last[actor]; any && before >= number {
				t.Fatalf("message %d of %d after %d", number, actor, before)
			}
			seen[[2]int{actor, number}], positions[position], last[actor] = true, true, number
		}
	}
	if len(seen) != producers*each {
		t.Errorf("%d messages, expected %d", len(seen), producers*each)
	}
	if err := c.segment.Validate(); err != nil {
		t.Error(err)
	}
}

// A sleeper in another process is woken.
func TestWakeOtherProcess(t *testing.T) {
	c, name := newQueue(t, 4)
	reader := testkit.Spawn(t, "wait", name)
	waitersOf(t, c, 1)
	began := time.Now()
	mustSend(t, c, "wake up")
	reader.Expect("woken")
	if took := time.Since(began); took > 700*time.Millisecond { // a lost wake-up would cost the slice of 1 s
		t.Errorf("woke after %v", took)
	}
}

// What killed processes leave is detected, refused while somebody lives, and repaired.
func TestRecoverAfterDeath(t *testing.T) {
	c, name := newQueue(t, 4)
	mustSend(t, c, "taken")
	testkit.Spawn(t, "take", name).Die()
	testkit.Spawn(t, "claim", name).Die()
	mustSend(t, c, "whole")
	_, err := c.TryReceive()
	expectCode(t, err, shmwire.ErrEmpty) // stalled by the claim
	sleeper := testkit.Spawn(t, "sleep", name)
	before := bytesOf(t, name)
	_, err = c.segment.Recover(false)
	expectCode(t, err, shmwire.ErrBusy)
	if string(bytesOf(t, name)) != string(before) {
		t.Error("a recovery that was refused changed the segment")
	}
	sleeper.Die()
	report, err := c.segment.Recover(true)
	if expected := (Recovery{Tombstones: 1, PossiblyLost: 1, WaitersReset: 1}); err != nil || report != expected {
		t.Fatalf("%+v, %v", report, err)
	}
	mustReceive(t, c, "whole")
	after := bytesOf(t, name)
	report, err = c.segment.Recover(true)
	if err != nil || report != (Recovery{}) || string(bytesOf(t, name)) != string(after) {
		t.Errorf("a second recovery found work: %+v, %v", report, err) // [dmxp.recover.idle]
	}
	for lap := 0; lap < 3; lap++ {
		for i := 0; i < 4; i++ {
			mustSend(t, c, "again")
		}
		for i := 0; i < 4; i++ {
			mustReceive(t, c, "again")
		}
	}
}

func TestRecoverCount(t *testing.T) {
	segment, name := testSegment(t)
	addChannel(t, segment, 3, WithCapacity(2))
	segment.storeCount(200)
	report, err := segment.Recover(true)
	if err != nil || report != (Recovery{CountRepaired: true}) || segment.liveCount() != 1 {
		t.Errorf("%+v, %v", report, err)
	}
	segment.window.Atomic64(channelTableOffset + 3*channelSize + channelTailOffset).Store(77)
	segment.storeCount(9)
	_, err = segment.Recover(true)
	expectCode(t, err, shmwire.ErrCorrupt)
	if segment.window.Atomic32(headerChannelCountOffset).Load() != 9 {
		t.Error("a segment that is unsound was changed")
	}
	_, err = reopen(t, name, ReadOnly()).Recover(true)
	expectCode(t, err, shmwire.ErrPermission)
}
