// SPDX-License-Identifier: MIT

package shmcomm

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"shmwire"
)

// Names and the segments behind them (section 1.5) [shmcomm.name.valid].
func TestNames(t *testing.T) {
	for _, one := range []struct {
		pattern uint32
		name    string
		number  uint32
		want    string
		code    *shmwire.Code
	}{
		{PatternPubsub, "a.B_9-", 0, "/shmcomm_pub_a.B_9-", nil},
		{PatternPipeline, strings.Repeat("x", 200), 0, "/shmcomm_push_" + strings.Repeat("x", 200), nil},
		{PatternRequest, "s", 0, "/shmcomm_req_s", nil},
		{PatternReply, "s", 2147483647, "/shmcomm_rep_s_2147483647", nil},
		{PatternReply, "/loc", 12, "/loc_rep_12", nil},
		{PatternReply, "/shmcomm_req_s", 12, "/shmcomm_rep_s_12", nil},
		{PatternPubsub, "/loc", 0, "/loc", nil},
		{PatternPubsub, "", 0, "", shmwire.ErrInvalidName},
		{PatternPubsub, strings.Repeat("x", 201), 0, "", shmwire.ErrInvalidName},
		{PatternPubsub, "a b", 0, "", shmwire.ErrInvalidName},
		{PatternPubsub, "ä", 0, "", shmwire.ErrInvalidName},
		{PatternReply, "s", 0, "", shmwire.ErrInvalidArgument},
		{PatternReply, "s", 1 << 31, "", shmwire.ErrInvalidArgument},
		{5, "s", 0, "", shmwire.ErrInvalidArgument},
	} {
		found, err := SegmentName(one.pattern, one.name, one.number)
		if found != one.want || shmwire.CodeOf(err) != one.code {
			t.Errorf("%d %q %d: %q, %v", one.pattern, one.name, one.number, found, err)
		}
	}
	for requests, want := range map[string]string{
		"/shmcomm_req_s": "/shmcomm_rep_s_", "/shmw-x": "/shmw-x_rep_", "/tmp/a/b": "/tmp/a/b_rep_",
		"/shmcomm_req_": "/shmcomm_req__rep_",
	} {
		if found := replyPrefix(requests); found != want {
			t.Errorf("%q: %q, expected %q", requests, found, want)
		}
	}
}

// Bad options are refused before anything is made.
func TestOptions(t *testing.T) {
	name := uniqueName(t)
	for _, o := range []Options{
		{Capacity: 4095}, {Capacity: 2048}, {Capacity: 6000}, {Capacity: 1 << 39}, {Mode: 0o1000}, {Making: 3},
		{Identity: Identity{Endpoint: 1 << 31}},
	} {
		o := o
		_, err := NewPublisher(name, &o)
		expectCode(t, err, shmwire.ErrInvalidArgument)
	}
	mustBeGone(t, name)
	sole := &Options{NoWait: true, Sole: true}
	_, err := NewSubscriber(name, sole)
	expectCode(t, err, shmwire.ErrInvalidArgument)
	_, err = NewPuller(name, sole)
	expectCode(t, err, shmwire.ErrInvalidArgument)
	_, err = NewReplier(name, sole)
	expectCode(t, err, shmwire.ErrInvalidArgument)
	_, err = NewRequester(name, sole)
	expectCode(t, err, shmwire.ErrInvalidArgument)
	_, err = NewObserver("name", small())
	expectCode(t, err, shmwire.ErrInvalidName)
	p := publisher(t, name, &Options{Capacity: MinCapacity, Mode: 0o640})
	path, err := shmwire.Path(name)
	succeed(t, err)
	stat, err := os.Stat(path)
	if err != nil || stat.Mode().Perm()&^0o640 != 0 {
		t.Errorf("%v, %v", stat, err)
	}
	if p.SegmentName() != name {
		t.Errorf("segment %q", p.SegmentName())
	}
}

// Who makes, who joins, and who is refused [shmcomm.segment.exists] [shmcomm.segment.pattern].
func TestMaking(t *testing.T) {
	name := uniqueName(t)
	absent := &Options{NoWait: true, Making: JoinOnly}
	_, err := NewPublisher(name, absent)
	expectCode(t, err, shmwire.ErrNotFound)
	_, err = NewSubscriber(name, small())
	expectCode(t, err, shmwire.ErrNotFound)
	_, err = NewPuller(name, small())
	expectCode(t, err, shmwire.ErrNotFound)
	_, err = NewRequester(name, small())
	expectCode(t, err, shmwire.ErrNotFound)
	publisher(t, name, &Options{Capacity: MinCapacity, Making: CreateOnly})
	before := bytesOf(t, name)
	_, err = NewPublisher(name, &Options{Making: CreateOnly})
	expectCode(t, err, shmwire.ErrExists)
	_, err = NewPusher(name, small())
	expectCode(t, err, shmwire.ErrUnsupported)
	_, err = NewPuller(name, small())
	expectCode(t, err, shmwire.ErrUnsupported)
	_, err = NewReplier(name, small())
	expectCode(t, err, shmwire.ErrUnsupported)
	_, err = NewRequester(name, small())
	expectCode(t, err, shmwire.ErrUnsupported)
	if string(bytesOf(t, name)) != string(before) {
		t.Error("who was refused changed something")
	}
	publisher(t, name, absent)
	observer(t, name)
	pipe := uniqueName(t)
	pusher(t, pipe, small())
	_, err = NewSubscriber(pipe, small())
	expectCode(t, err, shmwire.ErrUnsupported)
}

// Openers wait for a channel that comes, and for one that is being made.
func TestWaitForChannel(t *testing.T) {
	name := uniqueName(t)
	made := make(chan error, 1)
	go func() {
		time.Sleep(20 * time.Millisecond)
		p, err := NewPusher(name, small())
		if err == nil {
			t.Cleanup(func() { p.Close() })
		}
		made <- err
	}()
	r := puller(t, name, &Options{ReadyTimeout: patience})
	succeed(t, <-made)
	mustBeEmpty(t, r)
	began := time.Now()
	_, err := NewSubscriber(uniqueName(t), &Options{ReadyTimeout: 30 * time.Millisecond})
	expectCode(t, err, shmwire.ErrNotFound)
	if time.Since(began) < 30*time.Millisecond {
		t.Error("it did not wait")
	}
}

// Endpoint numbers: locks on bytes [shmcomm.endpoint.lock] [shmcomm.endpoint.number].
func TestNumbers(t *testing.T) {
	name := uniqueName(t)
	p := publisher(t, name, fixed())
	locked := func(at uint64) bool {
		file, err := unix.Open("/dev/shm"+name, unix.O_RDWR, 0)
		succeed(t, err)
		defer unix.Close(file)
		lock := unix.Flock_t{Type: unix.F_RDLCK, Start: int64(at), Len: 1}
		succeed(t, unix.FcntlFlock(uintptr(file), unix.F_OFD_GETLK, &lock))
		return lock.Type == unix.F_WRLCK
	}
	if !locked(7) || !locked(1<<31+7) || locked(8) {
		t.Error("the bytes of the keeper are not locked")
	}
	_, err := NewPublisher(name, &Options{NoWait: true, Identity: Identity{Endpoint: 7}})
	expectCode(t, err, shmwire.ErrBusy)
	p.lock.Store(9) // of a dead owner
	_, err = NewPublisher(name, &Options{NoWait: true, Identity: Identity{Endpoint: 9}})
	expectCode(t, err, shmwire.ErrBusy)
	p.lock.Store(0)
	other := publisher(t, name, &Options{NoWait: true, Identity: Identity{Endpoint: 9}})
	succeed(t, p.Close())
	if locked(7) || locked(1<<31+7) || !locked(9) {
		t.Error("the bytes of who left are locked")
	}
	mustSend(t, other, 0, 4)
	pipe := uniqueName(t)
	pusher(t, pipe, small())
	q := puller(t, pipe, &Options{NoWait: true, Identity: Identity{Endpoint: 11}})
	name = pipe
	if !locked(11) || locked(1<<31+11) {
		t.Error("a puller is an endpoint, and no keeper")
	}
	for _, file := range []uintptr{q.file.Descriptor(), q.members.Descriptor()} { // [shmcomm.endpoint.exec]
		if flags, err := unix.FcntlInt(file, unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("descriptor flags %#x, %v", flags, err)
		}
	}
}

// The last keeper closes the channel and removes its name; others leave it open [shmcomm.leave.last] [shmcomm.leave.others].
func TestLeave(t *testing.T) {
	name := uniqueName(t)
	first, second := publisher(t, name, small()), publisher(t, name, small())
	s := subscriber(t, name, small())
	mustSend(t, first, 0, 8)
	succeed(t, first.Close())
	expectCode(t, first.Close(), shmwire.ErrClosed)
	_, err := first.Send(nil, nil, 0)
	expectCode(t, err, shmwire.ErrClosed)
	mustSend(t, second, 1, 8)
	succeed(t, second.Close())
	mustBeGone(t, name)
	mustReceive(t, s, 0, 0, 8) // what was published before the close is still there
	mustReceive(t, s, 1, 0, 8)
	_, err = s.Receive(nil, Forever)
	expectCode(t, err, shmwire.ErrClosed)
	_, err = s.ReceiveContext(context.Background(), nil)
	expectCode(t, err, shmwire.ErrClosed)
	info, err := s.Info()
	if err != nil || info.State != StateClosed || info.KeeperLives {
		t.Errorf("%+v, %v", info, err)
	}
	succeed(t, s.Close())
	_, err = s.Info()
	expectCode(t, err, shmwire.ErrClosed)
}

// A pipeline with messages keeps its name; its last puller removes it [shmcomm.leave.drained], or a new pusher opens it again
// [shmcomm.join.takeover].
func TestLeavePipeline(t *testing.T) {
	name := uniqueName(t)
	q := pusher(t, name, small())
	mustSend(t, q, 0, 8, 8)
	succeed(t, q.Close())
	expectCode(t, Remove(name, false), shmwire.ErrFull)
	r := puller(t, name, small())
	mustReceive(t, r, 0, 0, 8)
	again := pusher(t, name, small())
	mustSend(t, again, 2, 8)
	mustReceive(t, r, 1, 0, 8)
	succeed(t, again.Close())
	mustReceive(t, r, 2, 0, 8)
	other := puller(t, name, small())
	_, err := r.Receive(nil, 0)
	expectCode(t, err, shmwire.ErrClosed)
	mustBeGone(t, name)
	fresh := pusher(t, name, small()) // another segment of the name: who has the old one leaves it alone
	succeed(t, other.Close())
	_, err = r.Receive(nil, 0)
	expectCode(t, err, shmwire.ErrClosed)
	expectCode(t, Remove(name, true), shmwire.ErrBusy)
	mustSend(t, fresh, 0, 8)
	mustBeSound(t, name)
}

// A keeper replaces what was never finished, and nobody replaces what is something else [shmcomm.join.unfinished]
// [shmcomm.join.foreign].
func TestUnfinished(t *testing.T) {
	for what, content := range map[string][]byte{"short": make([]byte, 127), "empty": {}, "magic 0": make([]byte, 128+4096)} {
		name := uniqueName(t)
		write := func(raw []byte) { succeed(t, os.WriteFile("/dev/shm"+name, raw, 0o600)) }
		write(content)
		_, err := NewPublisher(name, &Options{NoWait: true, Making: JoinOnly})
		if code := shmwire.CodeOf(err); code != shmwire.ErrNotReady && code != shmwire.ErrTruncated {
			t.Errorf("%s: %v", what, err)
		}
		began := time.Now()
		p := publisher(t, name, &Options{Capacity: MinCapacity, ReadyTimeout: 20 * time.Millisecond})
		if time.Since(began) < 20*time.Millisecond {
			t.Errorf("%s: replaced without a wait", what)
		}
		mustSend(t, p, 0, 8)
		succeed(t, p.Close())
		write(content)
		succeed(t, Remove(name, false))
		mustBeGone(t, name)
		foreign := make([]byte, 8192)
		copy(foreign, "something else, 8 bytes at least")
		write(foreign)
		_, err = NewPublisher(name, small())
		expectCode(t, err, shmwire.ErrBadMagic)
		expectCode(t, Remove(name, true), shmwire.ErrBadMagic)
		if string(bytesOf(t, name)) != string(foreign) {
			t.Errorf("%s: a foreign file was changed", what)
		}
	}
}

// A sole writer holds the lock from open to close.
func TestSole(t *testing.T) {
	name := uniqueName(t)
	s := &Options{Capacity: MinCapacity, Sole: true}
	p := publisher(t, name, s)
	other := publisher(t, name, small())
	began := time.Now()
	_, err := other.Send(nil, nil, 0)
	expectCode(t, err, shmwire.ErrBusy)
	if passed := time.Since(began); passed < time.Duration(LockPatienceNS) {
		t.Errorf("BUSY after %v", passed)
	}
	_, err = NewPublisher(name, s)
	expectCode(t, err, shmwire.ErrBusy)
	_, err = Recover(name)
	expectCode(t, err, shmwire.ErrBusy)
	reader := subscriber(t, name, small())
	for i := uint64(0); i < 50; i++ {
		mustSend(t, p, i, int(i*77%2000))
		mustReceive(t, reader, i, 0, int(i*77%2000))
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := other.SendContext(ctx, nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	succeed(t, p.Close())
	mustSend(t, other, 50, 8)
	mustReceive(t, reader, 50, 0, 8)
}

// A subscriber changes nothing, and works where it may only read [shmcomm.segment.readonly].
func TestReadOnly(t *testing.T) {
	name := uniqueName(t)
	p := publisher(t, name, small())
	mustSend(t, p, 0, 100)
	before := bytesOf(t, name)
	s := subscriber(t, name, &Options{NoWait: true, ReadOnly: true, Oldest: true})
	if s.signals != nil {
		t.Error("a page is mapped writable")
	}
	mustReceive(t, s, 0, 0, 100)
	mustBeEmpty(t, s)
	_, err := s.Receive(nil, 5*time.Millisecond)
	expectCode(t, err, shmwire.ErrTimeout)
	o := observer(t, name)
	mustReceive(t, o, 0, 0, 100)
	succeed(t, s.Close())
	if string(bytesOf(t, name)) != string(before) {
		t.Error("a subscriber changed the segment")
	}
}
