// SPDX-License-Identifier: MIT

package slick

import (
	"context"
	"encoding/binary"
	"fmt"
	"strconv"
	"testing"
	"time"

	"shmwire"
	"shmwire/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m, play) }

// play is what a child does; its role is "role segment argument".
func play(role []string) error {
	q, err := Open(role[1])
	if err != nil {
		return err
	}
	p, err := q.NewProducer(WithStall(20 * time.Second))
	if err != nil {
		return err
	}
	number, err := strconv.Atoi(role[2])
	if err != nil {
		return err
	}
	switch role[0] {
	case "reserve": // so many elements, and dies before it publishes
		_, err = p.Reserve(number)
	case "pad": // dies before the mark over the end of the ring
		word := q.reserved.Load()
		i := word >> 16
		if room := q.room(i); !q.reserved.CompareAndSwap(word, (i+room)<<16|room) {
			err = shmwire.ErrBusy
		}
	case "produce":
		return supplyNumbers(q, p, uint64(number))
	case "steal":
		return steal(role[1], q)
	}
	if err != nil {
		return err
	}
	fmt.Println("ready")
	time.Sleep(25 * time.Second) // until killed
	return nil
}

const suppliedItems = 1500

// supplyNumbers writes items of 1 to 3 elements that hold the producer and a number.
func supplyNumbers(q *Queue, p *Producer, producer uint64) error {
	fmt.Println("ready")
	for i := uint64(0); i < suppliedItems; i++ {
		elements := 1 + int((i+producer)%3)
		item := make([]byte, elements*int(q.elementSize))
		for off := 0; off+16 <= len(item); off += 16 {
			binary.LittleEndian.PutUint64(item[off:], producer)
			binary.LittleEndian.PutUint64(item[off+8:], i)
		}
		if _, err := p.Write(item); err != nil {
			return err
		}
	}
	return nil
}

// steal prints "producer number" of each item that it gets, until none has come for a second.
func steal(name string, q *Queue) error {
	cursor, err := OpenCursor(name + "c")
	if err != nil {
		return err
	}
	r, err := q.NewReader(WithShared(cursor))
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		item, err := r.Wait(ctx)
		cancel()
		if shmwire.CodeOf(err) == shmwire.ErrTimeout {
			return nil
		}
		if err != nil {
			return err
		}
		fmt.Println(binary.LittleEndian.Uint64(item.Data), binary.LittleEndian.Uint64(item.Data[8:]))
	}
}

// Consumers in several processes get each item of several producers once.
func TestProcesses(t *testing.T) {
	const producers, consumers = 2, 3
	q, name := newRing(t, 16, 8192) // nothing is lost
	cursor, err := q.CreateCursor(name+"c", StartOldest)
	succeed(t, err)
	defer shmwire.Unlink(name + "c")
	defer cursor.Close()
	var readers, writers []*testkit.Child
	for i := 0; i < consumers; i++ {
		readers = append(readers, testkit.Spawn(t, "steal", name, "0"))
	}
	for i := 0; i < producers; i++ {
		writers = append(writers, testkit.Spawn(t, "produce", name, strconv.Itoa(i)))
	}
	for _, w := range writers {
		w.Finish()
	}
	seen := map[[2]int]bool{}
	for _, r := range readers {
		last := [producers]int{-1, -1}
		for _, line := range testkit.Lines(r.Finish()) {
			var producer, number int
			if _, err := fmt.Sscan(line, &producer, &number); err != nil {
				t.Fatal(err)
			}
			if seen[[2]int{producer, number}] || last[producer] >= number {
				t.Fatalf("item %d of %d twice, or after %d", number, producer, last[producer])
			}
			seen[[2]int{producer, number}], last[producer] = true, number
		}
	}
	if len(seen) != producers*suppliedItems {
		t.Errorf("%d items, expected %d", len(seen), producers*suppliedItems)
	}
	succeed(t, q.Validate())
}

// A producer that is killed between its reservation and its publication is waited for as long as was asked, and then given
// up [slick.reserve.settled] [slick.reserve.give-up].
func TestGiveUpTheDead(t *testing.T) {
	const stall = 50 * time.Millisecond
	q, name := newRing(t, 8, 4)
	testkit.Spawn(t, "reserve", name, "2").Die()
	p, r := produce(t, q, WithStall(stall)), follow(t, q)
	mustWrite(t, p, 2, 2)
	mustBeEmpty(t, r)
	before := bytesOf(t, name)
	began := time.Now()
	claim := mustReserve(t, p, 4, 1)
	if took := time.Since(began); took < stall {
		t.Errorf("gave up after %v", took)
	}
	after := bytesOf(t, name)
	binary.LittleEndian.PutUint64(before, 5<<16|1) // reserved
	binary.LittleEndian.PutUint64(before[32:], 2)  // settled
	binary.LittleEndian.PutUint64(before[64:], 2)  // the mark; the size stays
	if string(after) != string(before) {
		t.Errorf("%x\n%x", after, before)
	}
	mustRead(t, r, 2, 0, 2)
	copy(claim.Data, numbered(4, 8))
	succeed(t, claim.Publish())
	mustRead(t, r, 4, 0, 1)
	if info := p.Info(); info != (ProducerInfo{2, 1}) {
		t.Errorf("%+v", info)
	}
}

// Padding without its mark is given up like an item, and readers come past it.
func TestGiveUpPadding(t *testing.T) {
	q, name := newRing(t, 8, 4)
	p, r := produce(t, q, WithStall(10*time.Millisecond)), follow(t, q)
	mustWrite(t, p, 0, 3)
	testkit.Spawn(t, "pad", name, "0").Die()
	mustWrite(t, p, 4, 3)
	mustRead(t, follow(t, q, WithStart(StartAt(0))), 4, 4, 3) // overtaken, and the mark is not made
	mustWrite(t, p, 8, 2)                                     // gives index 3 up, and passes 7
	mustRead(t, r, 8, 8, 2)
	if info := p.Info(); info.GivenUp != 1 {
		t.Errorf("%+v", info)
	}
}

// What killed producers leave is refused while somebody may live, and repaired [slick.recover.holes]
// [slick.recover.dead].
func TestRecoverAfterDeath(t *testing.T) {
	q, name := newRing(t, 8, 16)
	p, r := produce(t, q), follow(t, q)
	mustWrite(t, p, 0, 2)
	mustRead(t, r, 0, 0, 2)
	testkit.Spawn(t, "reserve", name, "2").Die()
	mustWrite(t, p, 4, 1)
	testkit.Spawn(t, "reserve", name, "1").Die()
	living := testkit.Spawn(t, "reserve", name, "1")
	mustWrite(t, p, 7, 1)
	testkit.Spawn(t, "reserve", name, "3").Die()
	before := bytesOf(t, name)
	_, err := q.Recover(false)
	expectCode(t, err, shmwire.ErrBusy)
	if string(bytesOf(t, name)) != string(before) {
		t.Error("a recovery that was refused changed the segment")
	}
	living.Die()
	holes, err := q.Recover(true)
	if err != nil || holes != 3 { // 2 and 3; 5 and 6; 8 to 10
		t.Fatalf("%d holes, %v", holes, err)
	}
	slots, err := q.Slots()
	if err != nil || slots[2] != (Slot{4, 1}) || slots[5] != (Slot{7, 1}) || slots[8] != (Slot{11, 1}) {
		t.Errorf("%v, %v", slots, err)
	}
	for _, index := range []uint64{4, 7} {
		mustRead(t, r, index, 0, 1)
	}
	mustBeEmpty(t, r)
	if info := r.Info(); info.Cursor != 11 || info.Lost != 0 {
		t.Errorf("%+v", info)
	}
	after := bytesOf(t, name)
	holes, err = q.Recover(true)
	if err != nil || holes != 0 || string(bytesOf(t, name)) != string(after) {
		t.Errorf("a second recovery found work: %d, %v", holes, err)
	}
	succeed(t, q.Validate())
	mustWrite(t, p, 11, 3)
	mustRead(t, r, 11, 0, 3)
}

// [slick.recover.last]
func TestRecoverLast(t *testing.T) {
	for _, generation := range []Generation{Generation13, Generation14} {
		q, name := newRing(t, 8, 4, WithGeneration(generation))
		p := produce(t, q)
		for i := uint64(0); i < 7; i++ {
			mustWrite(t, p, i, 1)
		}
		if generation == Generation14 {
			q.lastPublished.Store(5) // its producer died before it raised it
		}
		before := bytesOf(t, name)
		holes, err := q.Recover(true)
		if err != nil || holes != 0 {
			t.Fatal(holes, err)
		}
		binary.LittleEndian.PutUint64(before[32:], 7)
		if generation == Generation14 {
			before[16] = 6
		}
		if after := bytesOf(t, name); string(after) != string(before) {
			t.Errorf("%s\n%x\n%x", generation, after, before)
		}
	}
}

// A ring in which nothing is published or marked.
func TestRecoverNothing(t *testing.T) {
	q, _ := newRing(t, 8, 4)
	mustReserve(t, produce(t, q), 0, 4)
	holes, err := q.Recover(true)
	if err != nil || holes != 0 { // the whole ring cannot be marked
		t.Fatal(holes, err)
	}
	p := produce(t, q)
	mustWrite(t, p, 4, 2)
	mustRead(t, follow(t, q, WithStart(StartAt(0))), 4, 4, 2)
	if info := p.Info(); info.GivenUp != 0 {
		t.Errorf("%+v", info)
	}
}
