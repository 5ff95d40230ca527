// SPDX-License-Identifier: MIT

package shmcomm

import (
	"encoding/binary"
	"fmt"
	"sync"
	"testing"
	"time"

	"shmwire"
)

// tagged is a message of a sender: who, which one, and bytes that follow from both.
func tagged(who, number uint64) []byte {
	data := numbered(number, 16+int((31*who+7*number)%500))
	binary.LittleEndian.PutUint64(data, number)
	binary.LittleEndian.PutUint64(data[8:], who)
	return data
}

// readTag answers who sent a message and which one, and false if it is not whole.
func readTag(data []byte) (who, number uint64, whole bool) {
	if len(data) < 16 {
		return 0, 0, false
	}
	number, who = binary.LittleEndian.Uint64(data), binary.LittleEndian.Uint64(data[8:])
	return who, number, string(data) == string(tagged(who, number))
}

// together runs functions side by side, and fails with what they answer.
func together(t *testing.T, all ...func() error) {
	t.Helper()
	var group sync.WaitGroup
	for _, one := range all {
		one := one
		group.Add(1)
		go func() {
			defer group.Done()
			if err := one(); err != nil {
				t.Error(err)
			}
		}()
	}
	group.Wait()
}

// sendTagged sends so many messages, one by one or in batches.
func sendTagged(w *writer, who, count, batch uint64) error {
	for i := uint64(0); i < count; {
		var items [][]byte
		for j := i; j < count && j < i+batch; j++ {
			items = append(items, tagged(who, j))
		}
		if batch == 1 {
			if _, err := w.Send(items[0], nil, patience); err != nil {
				return err
			}
		} else if n, err := w.SendBatch(items, nil, patience); err != nil || n != len(items) {
			return fmt.Errorf("%d of %d: %v", n, len(items), err)
		}
		i += uint64(len(items))
	}
	return nil
}

// Publishers and subscribers, in a ring that overtakes them: every message is whole, sequences rise, and what is missing is
// what was said to be lost. Each subscriber reads in another way.
func TestThreadsPubsub(t *testing.T) {
	const writers, count = 3, 4000
	name := uniqueName(t)
	keep := publisher(t, name, &Options{Capacity: 1 << 14})
	var all []func() error
	var publishing sync.WaitGroup
	for who := uint64(0); who < writers; who++ {
		p, who := publisher(t, name, small()), who
		publishing.Add(1)
		all = append(all, func() error {
			defer publishing.Done()
			defer p.Close()
			return sendTagged(&p.writer, who, count, 1+3*who)
		})
	}
	for kind := 0; kind < 4; kind++ {
		s, kind := subscriber(t, name, &Options{NoWait: true, ReadOnly: kind == 3, TellLost: kind == 2}), kind
		all = append(all, func() error { return followTagged(s, kind, writers*count) })
	}
	all = append(all, func() error { publishing.Wait(); return keep.Close() })
	together(t, all...)
}

// followTagged reads until the channel is closed.
func followTagged(s *Subscriber, kind int, total uint64) error {
	next, received, views := uint64(0), uint64(0), uint64(0)
	var buffer [1 << 13]byte
	messages := make([]Message, 9)
	for {
		n, err := 1, error(nil)
		switch kind {
		case 1:
			n, err = s.ReceiveBatch(buffer[:], messages, patience)
		case 2:
			var v View
			if v, err = s.View(patience); err == nil {
				_, _, whole := readTag(v.Payload)
				if v.Check() == nil && !whole {
					return fmt.Errorf("view of %d is torn", v.Sequence)
				}
				messages[0], views = v.Message, views+1
			}
		default:
			err = s.ReceiveInto(buffer[:], patience, &messages[0])
		}
		switch shmwire.CodeOf(err) {
		case nil:
		case shmwire.ErrLapped:
			continue
		case shmwire.ErrClosed:
			info, err := s.Info()
			if err != nil || received+info.Lost != next || info.Received != received || next > total {
				return fmt.Errorf("kind %d: %d received, %d lost, up to %d of %d: %v", kind, received, info.Lost, next, total, err)
			}
			return nil
		default:
			return err
		}
		for _, m := range messages[:n] {
			if _, _, whole := readTag(m.Payload); views == 0 && !whole {
				return fmt.Errorf("kind %d: message %d is torn", kind, m.Sequence)
			}
			if m.Sequence != next+m.Lost {
				return fmt.Errorf("kind %d: %d after %d and %d lost", kind, m.Sequence, next, m.Lost)
			}
			next = m.Sequence + 1
			received++
		}
	}
}

// Pushers and pullers, asleep most of the time, in the smallest ring: each message comes once, in its pusher's order.
func TestThreadsPipeline(t *testing.T) {
	const writers, readers, count = 3, 3, 3000
	name := uniqueName(t)
	keep := pusher(t, name, small())
	var all []func() error
	var pushing sync.WaitGroup
	for who := uint64(0); who < writers; who++ {
		q, who := pusher(t, name, small()), who
		pushing.Add(1)
		all = append(all, func() error {
			defer pushing.Done()
			defer q.Close()
			return sendTagged(&q.writer, who, count, 1+2*who)
		})
	}
	var mutex sync.Mutex
	seen := map[[2]uint64]bool{}
	for kind := 0; kind < readers; kind++ {
		r, kind := puller(t, name, small()), kind
		all = append(all, func() error {
			return pullTagged(r, 1+3*kind, func(who, number uint64) error {
				mutex.Lock()
				defer mutex.Unlock()
				if seen[[2]uint64{who, number}] {
					return fmt.Errorf("message %d of %d came twice", number, who)
				}
				seen[[2]uint64{who, number}] = true
				return nil
			})
		})
	}
	all = append(all, func() error { pushing.Wait(); return keep.Close() })
	together(t, all...)
	if len(seen) != writers*count {
		t.Errorf("%d messages, expected %d", len(seen), writers*count)
	}
}

func pullTagged(r *Puller, batch int, visit func(who, number uint64) error) error {
	last := map[uint64]uint64{}
	var buffer [1 << 13]byte
	messages := make([]Message, batch)
	for {
		n, err := 1, error(nil)
		if batch == 1 {
			err = r.ReceiveInto(buffer[:], patience, &messages[0])
		} else {
			n, err = r.ReceiveBatch(buffer[:], messages, patience)
		}
		if shmwire.CodeOf(err) == shmwire.ErrClosed {
			return nil
		}
		if err != nil {
			return err
		}
		for _, m := range messages[:n] {
			who, number, whole := readTag(m.Payload)
			if !whole || number+1 <= last[who] {
				return fmt.Errorf("message %d of %d is torn, or comes after %d", number, who, last[who])
			}
			last[who] = number + 1
			if err := visit(who, number); err != nil {
				return err
			}
		}
	}
}

// Requesters and repliers: each reply belongs to its request.
func TestThreadsRequests(t *testing.T) {
	const requesters, repliers, count = 4, 2, 500
	name := uniqueName(t)
	var serving, asking []func() error
	for i := 0; i < repliers; i++ {
		s := replier(t, name, small())
		serving = append(serving, func() error {
			for {
				m, err := s.Receive(nil, patience)
				if err != nil || m.ContentType == 99 {
					return err
				}
				if err := s.Reply(&m, append([]byte("re: "), m.Payload...), nil, patience); err != nil {
					return err
				}
			}
		})
	}
	for i := uint64(0); i < requesters; i++ {
		r, who := requester(t, name, small()), i
		asking = append(asking, func() error {
			for n := uint64(0); n < count; n++ {
				request := tagged(who, n)
				m, err := r.Request(request, nil, patience)
				if err != nil || string(m.Payload) != "re: "+string(request) {
					return fmt.Errorf("request %d of %d: %q, %v", n, who, m.Payload, err)
				}
			}
			return nil
		})
	}
	last := requester(t, name, small())
	together(t, func() error { together(t, serving...); return nil }, func() error {
		together(t, asking...)
		for i := 0; i < repliers; i++ {
			if _, err := last.Send(nil, &Meta{ContentType: 99}, patience); err != nil {
				return err
			}
			time.Sleep(time.Millisecond)
		}
		return nil
	})
}
