// SPDX-License-Identifier: MIT

package slick

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"shmwire"
	"shmwire/internal/shm"
)

// patient: no thread of a test is stopped for that long.
var patient = WithStall(60 * time.Second)

const threadElement = 7 // bytes: elements lie unaligned

// written is an item as its producer knows it.
type written struct {
	producer, number int
	elements         uint32
}

// record is an item as a reader got it.
type record struct {
	index, lost uint64
	written
}

// fillItem makes an item that says who made it, in every byte.
func fillItem(data []byte, producer, number int) {
	for i := range data {
		data[i] = byte(31*producer + 17*number + 7*i)
	}
	binary.LittleEndian.PutUint32(data, uint32(producer)<<24|uint32(number))
}

// readItem answers what an item says, and false if it is torn.
func readItem(data []byte) (producer, number int, sound bool) {
	word := binary.LittleEndian.Uint32(data)
	producer, number = int(word>>24), int(word&0xFFFFFF)
	for i := 4; i < len(data); i++ {
		if data[i] != byte(31*producer+17*number+7*i) {
			return producer, number, false
		}
	}
	return producer, number, true
}

// lengthOf is 1 to 5 elements, as far as the ring allows.
func lengthOf(q *Queue, producer, number int) uint32 {
	n := uint32(1 + (number*number+producer)%5)
	if most := uint32(q.size); n > most {
		n = most
	}
	return n
}

// run is one queue under several goroutines.
type run struct {
	t     *testing.T
	queue *Queue
	batch int
	mutex sync.Mutex
	items map[uint64]written
	over  shm.Flag
}

// supply writes each numbered items, one by one or in batches.
func (run *run) supply(producer, each int) {
	p, err := run.queue.NewProducer(patient)
	if err != nil {
		run.t.Error(err)
		return
	}
	var items [][]byte
	indices := make([]uint64, run.batch)
	for number := 0; number < each; number++ {
		data := make([]byte, threadElement*lengthOf(run.queue, producer, number))
		fillItem(data, producer, number)
		if items = append(items, data); len(items) < run.batch && number+1 < each {
			continue
		}
		if n, err := p.WriteBatch(items, indices); err != nil || n != len(items) {
			run.t.Errorf("producer %d, item %d: %d, %v", producer, number, n, err)
			return
		}
		run.mutex.Lock()
		for i := range items {
			first := number + 1 - len(items)
			run.items[indices[i]] = written{producer, first + i, lengthOf(run.queue, producer, first+i)}
		}
		run.mutex.Unlock()
		items = items[:0]
		if number%7 < run.batch { // readers keep up now and then
			runtime.Gosched()
		}
	}
}

// drain reads until all is written and a read after that answers EMPTY.
func (run *run) drain(r *Reader) (records []record) {
	buffer, items := make([]byte, 5*threadElement*run.batch), make([]Item, run.batch)
	for {
		over := run.over.IsSet() // before the read, which then sees all
		n, err := 1, error(nil)
		if run.batch == 1 {
			err = r.NextInto(buffer, &items[0])
		} else {
			n, err = r.NextBatch(buffer, items)
		}
		switch {
		case err == shmwire.ErrEmpty && over:
			return records
		case err == shmwire.ErrEmpty, err == shmwire.ErrLapped:
			runtime.Gosched()
			continue
		case err != nil:
			run.t.Error(err)
			return records
		}
		for _, item := range items[:n] {
			producer, number, sound := readItem(item.Data)
			if !sound {
				run.t.Errorf("item %d of producer %d at %d is torn", number, producer, item.Index)
			}
			records = append(records, record{item.Index, item.Lost, written{producer, number, item.Elements}})
		}
	}
}

// start runs producers and readers, and answers what each reader got.
func (run *run) start(producers, each int, readers []*Reader) [][]record {
	var writing, reading sync.WaitGroup
	records := make([][]record, len(readers))
	for i, r := range readers {
		reading.Add(1)
		go func(i int, r *Reader) {
			defer reading.Done()
			records[i] = run.drain(r)
		}(i, r)
	}
	for i := 0; i < producers; i++ {
		writing.Add(1)
		go func(i int) {
			defer writing.Done()
			run.supply(i, each)
		}(i)
	}
	writing.Wait()
	run.over.Set()
	reading.Wait()
	return records
}

// padding is how many of the indices from one to another belong to no item.
func (run *run) padding(from, to uint64) (count uint64) {
	for index := from; index < to; {
		if item, known := run.items[index]; known {
			index += uint64(item.elements)
			continue
		}
		count, index = count+1, index+1
	}
	return count
}

// check compares the records of one reader with what was written, and answers how much it was given and had lost. Between
// items there is what was lost, and padding.
func (run *run) check(records []record, private bool) (given, lost uint64) {
	run.t.Helper()
	last := map[int]int{}
	at := uint64(0)
	for i, r := range records {
		if run.items[r.index] != r.written {
			run.t.Fatalf("at %d: %+v, written was %+v", r.index, r.written, run.items[r.index])
		}
		if before, any := last[r.producer]; any && before >= r.number || i > 0 && r.index < at {
			run.t.Fatalf("item %d of producer %d at %d comes again, or too late", r.number, r.producer, r.index)
		}
		if gap := r.index - at; private && (r.lost > gap || gap-r.lost > run.padding(at, r.index)) {
			run.t.Fatalf("%d lost from %d to %d, of which %d are padding", r.lost, at, r.index, run.padding(at, r.index))
		}
		last[r.producer], at = r.number, r.index+uint64(r.elements)
		given += uint64(r.elements)
		lost += r.lost
	}
	return given, lost
}

var threadPlans = []struct {
	size               uint32
	producers, readers int
	batch, each        int
}{
	{2, 1, 2, 1, 6000}, {2, 3, 2, 1, 3000}, {4, 2, 1, 1, 4000}, {4, 3, 2, 3, 3000}, {1024, 1, 2, 1, 8000}, {1024, 3, 3, 4, 3000},
}

// Readers with cursors of their own: nothing torn, and what they lost is counted.
func TestThreads(t *testing.T) {
	for _, plan := range threadPlans {
		t.Run(fmt.Sprintf("ring=%d/producers=%d/batch=%d", plan.size, plan.producers, plan.batch), func(t *testing.T) {
			q, _ := newRing(t, threadElement, plan.size)
			run := &run{t: t, queue: q, batch: plan.batch, items: map[uint64]written{}}
			var readers []*Reader
			for i := 0; i < plan.readers; i++ {
				readers = append(readers, follow(t, q, WithStart(StartAt(0))))
			}
			for i, records := range run.start(plan.producers, plan.each, readers) {
				given, lost := run.check(records, true)
				if next := q.next(); readers[i].Info().Cursor != next || readers[i].Info().Lost != lost {
					t.Errorf("ended at %+v of %d", readers[i].Info(), next)
				}
				t.Logf("%d indices given, %d lost", given, lost)
			}
			succeed(t, q.Validate())
		})
	}
}

// Readers that share a cursor get each item once, and count what none of them was given once [slick.share.once]
// [slick.share.lost].
func TestStealing(t *testing.T) {
	for _, plan := range threadPlans {
		t.Run(fmt.Sprintf("ring=%d/producers=%d/batch=%d", plan.size, plan.producers, plan.batch), func(t *testing.T) {
			q, _ := newRing(t, threadElement, plan.size)
			run := &run{t: t, queue: q, batch: plan.batch, items: map[uint64]written{}}
			cursor, err := q.NewCursor(StartAt(0))
			succeed(t, err)
			var readers []*Reader
			for i := 0; i < 4; i++ {
				readers = append(readers, follow(t, q, WithShared(cursor)))
			}
			var given, lost uint64
			seen := map[uint64]bool{}
			for _, records := range run.start(plan.producers, plan.each, readers) {
				more, gone := run.check(records, false)
				given, lost = given+more, lost+gone
				for _, r := range records {
					if seen[r.index] {
						t.Fatalf("the item at %d was taken twice", r.index)
					}
					seen[r.index] = true
				}
			}
			next := q.next()
			if at := readers[0].Info().Cursor; at != next || given+lost > next || next-given-lost > run.padding(0, next) {
				t.Errorf("at %d of %d: %d given and %d lost, %d are padding", at, next, given, lost, run.padding(0, next))
			}
			t.Logf("%d indices given, %d lost", given, lost)
		})
	}
}

// Goroutines over one ring in ordinary memory: run with -race, this checks the order of every plain access by the
// happens-before rules and not by luck (the race detector sees nothing in a mapping). Nobody reads what is overwritten:
// that is a race in the detector's eyes, which the check of the reservation makes up for.
func TestOrder(t *testing.T) {
	for _, plan := range []struct {
		size                     uint32
		producers, readers, each int
	}{{2, 3, 0, 1000}, {4, 3, 0, 2000}, {8, 2, 0, 2000}, {4096, 3, 2, 300}} {
		q := heapRing(t, threadElement, plan.size)
		run := &run{t: t, queue: q, batch: 1, items: map[uint64]written{}}
		var readers []*Reader
		for i := 0; i < plan.readers; i++ {
			readers = append(readers, follow(t, q))
		}
		for _, records := range run.start(plan.producers, plan.each, readers) {
			if _, lost := run.check(records, true); lost != 0 || len(records) != plan.producers*plan.each {
				t.Errorf("%d items, %d lost", len(records), lost)
			}
		}
		last := follow(t, q, WithStart(StartOldest))
		for item, err := last.Next(); err == nil; item, err = last.Next() {
			producer, number, sound := readItem(item.Data)
			if (written{producer, number, item.Elements}) != run.items[item.Index] || !sound {
				t.Errorf("at %d: item %d of %d, whole %v", item.Index, number, producer, sound)
			}
		}
		succeed(t, q.Validate())
	}
}
