// SPDX-License-Identifier: MIT

package shmcomm

import (
	"encoding/binary"
	"fmt"
	"math/rand"
	"strconv"
	"testing"
	"time"

	"shmwire"
	"shmwire/internal/shm"
	"shmwire/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m, play) }

// play is what a child does; its role is "role segment number".
func play(role []string) error {
	number, err := strconv.Atoi(role[2])
	if err != nil {
		return err
	}
	o := &Options{Making: JoinOnly, Identity: Identity{Endpoint: uint32(number)}}
	switch role[0] {
	case "push":
		return pushNumbers(role[1], o, uint64(number))
	case "pull":
		return pullNumbers(role[1])
	case "ask":
		if _, err = NewRequester(role[1], o); err != nil {
			return err
		}
	default:
		if err := holdLock(role[0], role[1], o); err != nil {
			return err
		}
	}
	fmt.Println("ready")
	time.Sleep(25 * time.Second) // until killed
	return nil
}

// holdLock stops while it holds the writers' lock of a channel: "lock" with half a frame written, "head" with a message
// published and not yet counted, "tail" with a message evicted and not yet counted, "plain" without the lock.
func holdLock(where, name string, o *Options) error {
	w, err := writerOf(0, name, o)
	if err != nil || where == "plain" {
		return err
	}
	l := shm.Within(-1)
	if err := w.begin(&l); err != nil {
		return err
	}
	h := w.heading(nil)
	need, at := w.need(w.next, extentOf(messageHeaderSize+24))
	switch where {
	case "tail":
		w.tail.Store(w.floor + extentOf(messageHeaderSize+1000))
	case "lock":
		w.write(w.next, at, numbered(99, 24), &h, w.upcoming)
	case "head":
		w.write(w.next, at, numbered(w.upcoming, 24), &h, w.upcoming)
		w.head.Store(w.next + need)
	}
	return nil
}

// pushNumbers pushes messages that hold the pusher and a number, until it is killed.
func pushNumbers(name string, o *Options, pusher uint64) error {
	q, err := NewPusher(name, o)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for i := uint64(0); ; i++ {
		data := make([]byte, 16+i%300)
		binary.LittleEndian.PutUint64(data, pusher)
		binary.LittleEndian.PutUint64(data[8:], i)
		if _, err := q.Send(data, nil, patience); err != nil {
			return err
		}
	}
}

// pullNumbers prints "pusher number" of each message that it takes, until the pipeline is closed.
func pullNumbers(name string) error {
	r, err := NewPuller(name, &Options{NoWait: true})
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for {
		m, err := r.Receive(nil, patience)
		if shmwire.CodeOf(err) == shmwire.ErrClosed {
			return nil
		}
		if err != nil {
			return err
		}
		fmt.Println(binary.LittleEndian.Uint64(m.Payload), binary.LittleEndian.Uint64(m.Payload[8:]))
	}
}

// A writer that dies while it holds the lock is replaced, and nothing that was visible is lost [shmcomm.lock.dead]
// [shmcomm.recover.count] [shmcomm.recover.dropped] [shmcomm.recover.held].
func TestTakeOverTheLock(t *testing.T) {
	for pattern := PatternPubsub; pattern <= PatternPipeline; pattern++ {
		for where, more := range map[string]uint64{"lock": 0, "head": 1, "tail": 0} {
			if where == "tail" && pattern != PatternPubsub {
				continue
			}
			name := uniqueName(t)
			w, err := writerOf(pattern, name, small())
			succeed(t, err)
			mustSend(t, &w, 0, 1000, 1000)
			child := testkit.Spawn(t, where, name, "4321")
			began := time.Now()
			_, err = w.Send(nil, nil, 0)
			expectCode(t, err, shmwire.ErrBusy) // [shmcomm.lock.alive]
			if time.Since(began) < time.Duration(LockPatienceNS) {
				t.Errorf("%s: BUSY too early", where)
			}
			child.Die()
			sequence, err := w.Send(numbered(2+more, 8), nil, 0)
			if err != nil || sequence != 2+more {
				t.Fatalf("%s: %d, %v", where, sequence, err)
			}
			info, err := w.Info()
			if err != nil || info.LockEpoch != 1 || info.Takeovers != 1 || info.WriterLock != 0 || info.MessageCount != 3+more {
				t.Errorf("%s: %+v, %v", where, info, err)
			}
			mustBeSound(t, name)
			look, first := observer(t, name), uint64(0)
			if where == "tail" {
				first = 1
			}
			for i := first; i < 3+more; i++ {
				length := []int{1000, 1000, 24, 8}[i]
				if i == 2+more {
					length = 8
				}
				mustReceive(t, look, i, 0, length)
			}
			succeed(t, w.close())
		}
	}
}

// The sleepers of a channel are woken when its dead writer did not come to it [shmcomm.recover.wake], and Recover does all of
// that on demand.
func TestRecover(t *testing.T) {
	name := uniqueName(t)
	p, s := publisher(t, name, small()), subscriber(t, name, small())
	report, err := Recover(name)
	if err != nil || report != (Recovery{}) {
		t.Errorf("%+v, %v", report, err)
	}
	got := make(chan error, 1)
	var asleep bool
	s.waiting.hook = func() { asleep = true }
	go func() {
		m, err := s.Receive(nil, Forever)
		if err == nil && (m.Sequence != 0 || !asleep) {
			err = shmwire.ErrCorrupt
		}
		got <- err
	}()
	eventually(t, "a sleeper", func() bool { return p.dataWaiters.Load() != 0 })
	child := testkit.Spawn(t, "head", name, "4321")
	_, err = Recover(name)
	expectCode(t, err, shmwire.ErrBusy)
	child.Die()
	report, err = Recover(name)
	if err != nil || report != (Recovery{LockTaken: true, CountRepaired: true}) {
		t.Errorf("%+v, %v", report, err)
	}
	succeed(t, <-got)
	mustSend(t, p, 1, 8)
	mustReceive(t, s, 1, 0, 8)
}

// A channel whose keepers are dead is stale: it can be read, taken over and removed [shmcomm.join.takeover]
// [shmcomm.join.owner] [shmcomm.remove.alive].
func TestStale(t *testing.T) {
	name := uniqueName(t)
	q := pusher(t, name, small())
	child := testkit.Spawn(t, "plain", name, "50")
	child.Die()
	child = testkit.Spawn(t, "push", name, "51")
	eventually(t, "messages", func() bool { return q.count.Load() > 2 })
	owner := q.ownerEndpoint.Load()
	succeed(t, q.Close())
	look := observer(t, name)
	if info, err := look.Info(); err != nil || !info.KeeperLives || info.State != StateOpen || info.OwnerEndpoint != owner {
		t.Errorf("%+v, %v", info, err)
	}
	expectCode(t, Remove(name, true), shmwire.ErrBusy)
	child.Die()
	info, err := look.Info()
	if err != nil || info.KeeperLives || info.State != StateOpen {
		t.Errorf("%+v, %v", info, err)
	}
	expectCode(t, Remove(name, false), shmwire.ErrFull)
	r := puller(t, name, small())
	if m, err := r.Receive(nil, 0); err != nil || m.Sequence != 0 {
		t.Errorf("%+v, %v", m, err)
	}
	next := pusher(t, name, &Options{Making: JoinOnly, Identity: Identity{Endpoint: 52}})
	if next.ownerEndpoint.Load() != 52 || next.state.Load() != StateOpen || next.instance != q.instance {
		t.Errorf("owner %d", next.ownerEndpoint.Load())
	}
	leaveDead(next.endpoint)
	next.closed = true
	succeed(t, Remove(name, true)) // [shmcomm.remove.state]
	mustBeGone(t, name)
	for {
		if _, err := r.Receive(nil, 0); err != nil {
			expectCode(t, err, shmwire.ErrClosed)
			break
		}
	}
}

// A requester that is killed leaves no channel behind.
func TestKilledRequester(t *testing.T) {
	name := uniqueName(t)
	s := replier(t, name, small())
	child := testkit.Spawn(t, "ask", name, "77")
	reply, err := SegmentName(PatternReply, name, 77)
	succeed(t, err)
	s.sweep()
	observer(t, reply) // it lives
	child.Die()
	s.sweep()
	mustBeGone(t, reply)
}

// Pushers that are killed at any moment: what a puller is given of each is 0, 1, 2 … without a gap, and nothing comes twice.
func TestKilledPushers(t *testing.T) {
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewSource(seed))
	name := uniqueName(t)
	keep, r := pusher(t, name, small()), puller(t, name, small())
	next := map[uint64]uint64{}
	take := func(m Message) {
		pusher, i := binary.LittleEndian.Uint64(m.Payload), binary.LittleEndian.Uint64(m.Payload[8:])
		if next[pusher] != i || m.Sender != uint32(pusher) {
			t.Fatalf("message %d of %d by %d, expected %d", i, pusher, m.Sender, next[pusher])
		}
		next[pusher]++
	}
	sequence := uint64(0)
	for round := 0; round < 6; round++ {
		first := testkit.Spawn(t, "push", name, strconv.Itoa(1000+2*round))
		second := testkit.Spawn(t, "push", name, strconv.Itoa(1001+2*round))
		for n := random.Intn(3000); n >= 0; n-- {
			m, err := r.Receive(nil, patience)
			succeed(t, err)
			if m.Sequence != sequence {
				t.Fatalf("sequence %d, expected %d", m.Sequence, sequence)
			}
			sequence++
			take(m)
		}
		first.Die()
		second.Die()
	}
	if _, err := keep.Send(make([]byte, 16), nil, 10*time.Millisecond); err != nil { // takes the lock, if a dead one has it
		expectCode(t, err, shmwire.ErrTimeout)
	}
	mustBeSound(t, name)
}

// Pullers that are killed at any moment: each message goes to one of them or stays, but for one for each that died, which it
// may have taken and not yet printed.
func TestKilledPullers(t *testing.T) {
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewSource(seed))
	name := uniqueName(t)
	const many, rounds = 3000, 4
	q := pusher(t, name, small())
	seen, next := map[string]bool{}, 0
	push := func(n int) {
		for ; n > 0 && next < many; n-- {
			data := make([]byte, 16)
			binary.LittleEndian.PutUint64(data[8:], uint64(next))
			_, err := q.Send(data, nil, patience)
			succeed(t, err)
			next++
		}
	}
	var children []*testkit.Child
	for round := 0; round < rounds; round++ {
		doomed, other := testkit.Spawn(t, "pull", name, "1"), testkit.Spawn(t, "pull", name, "1")
		push(random.Intn(many / rounds))
		doomed.Kill()
		children = append(children, doomed, other)
		push(50)
	}
	push(many)
	succeed(t, q.Close())
	for _, child := range children {
		for _, line := range testkit.Lines(child.Rest()) {
			if seen[line] {
				t.Fatalf("%s came twice", line)
			}
			seen[line] = true
		}
	}
	if len(seen) > many || len(seen) < many-rounds {
		t.Errorf("%d of %d messages, %d pullers were killed", len(seen), many, rounds)
	}
	mustBeGone(t, name)
}
