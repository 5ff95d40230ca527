// SPDX-License-Identifier: MIT

package shmcomm

import (
	"encoding/binary"
	"errors"
	"math/rand"
	"os"
	"testing"
	"time"

	"shmwire"
	"shmwire/internal/testkit"
)

// image is the bytes of a channel of a pattern with messages in it, whose keepers have left without a word.
func image(t testing.TB, pattern uint32, lengths ...int) []byte {
	t.Helper()
	name := uniqueName(t)
	w, err := writerOf(pattern, name, &Options{Capacity: MinCapacity, Making: CreateOnly})
	succeed(t, err)
	mustSend(t, &w, 0, lengths...)
	raw := bytesOf(t, name)
	leaveDead(w.endpoint)
	succeed(t, shmwire.Unlink(name))
	return raw
}

// writerOf is a keeper that writes to a channel of any pattern, by its locator.
func writerOf(pattern uint32, locator string, options *Options) (w writer, err error) {
	o, err := options.withDefaults(true)
	if err != nil {
		return w, err
	}
	d, err := o.door(locator, pattern, DefaultCapacity)
	if err != nil {
		return w, err
	}
	d.keeper, d.making = true, o.Making
	w.endpoint, err = d.join()
	return w, err
}

// place writes a segment's file.
func place(t testing.TB, raw []byte) string {
	t.Helper()
	name := uniqueName(t)
	succeed(t, os.WriteFile("/dev/shm"+name, raw, 0o600))
	return name
}

func put64(raw []byte, off, value uint64) { binary.LittleEndian.PutUint64(raw[off:], value) }

func put32(raw []byte, off uint64, value uint32) { binary.LittleEndian.PutUint32(raw[off:], value) }

// Headers that section 3 refuses, by everybody, and without a change.
func TestHostileHeaders(t *testing.T) {
	good := image(t, PatternPubsub, 100, 200)
	for what, one := range map[string]struct {
		spoil func(raw []byte) []byte
		code  *shmwire.Code
	}{
		"magic":               {func(r []byte) []byte { put64(r, 0, 0x53484D434F4D4D32); return r }, shmwire.ErrBadMagic},
		"magic 0":             {func(r []byte) []byte { put64(r, 0, 0); return r }, shmwire.ErrNotReady},
		"version 1":           {func(r []byte) []byte { put64(r, 8, 1); return r }, shmwire.ErrBadVersion},
		"version high":        {func(r []byte) []byte { put64(r, 8, 1<<32|2); return r }, shmwire.ErrBadVersion},
		"capacity 0":          {func(r []byte) []byte { put64(r, 56, 0); return r }, shmwire.ErrBadGeometry},
		"capacity odd":        {func(r []byte) []byte { put64(r, 56, 4095); return r }, shmwire.ErrBadGeometry},
		"capacity small":      {func(r []byte) []byte { put64(r, 56, 2048); return r }, shmwire.ErrBadGeometry},
		"capacity huge":       {func(r []byte) []byte { put64(r, 56, 1<<63); return r }, shmwire.ErrBadGeometry},
		"capacity above file": {func(r []byte) []byte { put64(r, 56, 8192); return r }, shmwire.ErrTruncated},
		"file short":          {func(r []byte) []byte { return r[:len(r)-1] }, shmwire.ErrTruncated},
		"file very short":     {func(r []byte) []byte { return r[:100] }, shmwire.ErrTruncated},
		"pattern 0":           {func(r []byte) []byte { put32(r, 64, 0); return r }, shmwire.ErrBadGeometry},
		"pattern 5":           {func(r []byte) []byte { put32(r, 64, 5); return r }, shmwire.ErrBadGeometry},
		"state 0":             {func(r []byte) []byte { put32(r, 68, 0); return r }, shmwire.ErrBadGeometry},
		"state 3":             {func(r []byte) []byte { put32(r, 68, 3); return r }, shmwire.ErrBadGeometry},
		"serializer":          {func(r []byte) []byte { put32(r, 92, 1<<16); return r }, shmwire.ErrBadGeometry},
		"head odd":            {func(r []byte) []byte { put64(r, 16, 383); return r }, shmwire.ErrCorrupt},
		"tail odd":            {func(r []byte) []byte { put64(r, 24, 4); return r }, shmwire.ErrCorrupt},
		"tail above head":     {func(r []byte) []byte { put64(r, 24, 4096*2); return r }, shmwire.ErrCorrupt},
		"head far":            {func(r []byte) []byte { put64(r, 16, 4096+8); return r }, shmwire.ErrCorrupt},
	} {
		spoilt := one.spoil(append([]byte{}, good...))
		name := place(t, spoilt)
		joining := &Options{NoWait: true, Making: JoinOnly}
		_, err := NewPublisher(name, joining)
		_, sErr := NewSubscriber(name, joining)
		_, oErr := NewObserver(name, joining)
		_, rErr := Recover(name)
		for _, err := range []error{err, sErr, oErr, rErr} {
			if shmwire.CodeOf(err) != one.code {
				t.Errorf("%s: %v, expected %v", what, err, one.code)
			}
		}
		if string(bytesOf(t, name)) != string(spoilt) {
			t.Errorf("%s: somebody changed it", what)
		}
	}
}

// Frames that no rule can produce: CORRUPT, the receiver stays, and nothing is changed [shmcomm.receive.size]
// [shmcomm.send.corrupt].
func TestHostileFrames(t *testing.T) {
	for what, one := range map[string]struct {
		at   uint64 // of the frame, after one of 144 bytes
		size uint64
	}{
		"0": {0, 0}, "31": {0, 31}, "above half": {0, 2041}, "huge": {0, 1 << 63}, "all but SKIP": {0, ^uint64(0) - 1},
		"SKIP at the start": {0, skip}, "SKIP up to head": {144, skip}, "past head": {144, 200}, "second: 0": {144, 0},
	} {
		for pattern := PatternPubsub; pattern <= PatternPipeline; pattern++ {
			raw := image(t, pattern, 100, 100)
			put64(raw, 128+one.at, one.size)
			name := place(t, raw)
			o := &Options{NoWait: true, Oldest: true, Making: JoinOnly}
			check := func(who string, r receiver) {
				for i := 0; i < 3; i++ {
					_, err := r.Receive(nil, 0)
					if i == 0 && one.at != 0 && err == nil {
						continue
					}
					if !errors.Is(err, shmwire.ErrCorrupt) {
						t.Errorf("%s, pattern %d, %s: %v", what, pattern, who, err)
					}
				}
			}
			look := observer(t, name)
			expectCode(t, look.Validate(), shmwire.ErrCorrupt)
			check("observer", look)
			if pattern == PatternPubsub {
				check("subscriber", subscriber(t, name, o))
				p := publisher(t, name, o)
				before := bytesOf(t, name)
				for i := 0; i < 3; i++ { // the third message would evict
					_, err := p.Send(make([]byte, 2008), nil, 0)
					if err != nil && !errors.Is(err, shmwire.ErrCorrupt) || i == 2 && err == nil {
						t.Errorf("%s: %v", what, err)
					}
					if err != nil && string(bytesOf(t, name)) != string(before) {
						t.Errorf("%s: CORRUPT, and changed", what)
					}
					before = bytesOf(t, name)
				}
			} else {
				check("puller", puller(t, name, o))
			}
			w, err := writerOf(pattern, name, o)
			succeed(t, err)
			w.lock.Store(4242) // of a dead owner
			_, err = w.Send(nil, nil, 0)
			expectCode(t, err, shmwire.ErrCorrupt)
			if w.lock.Load() != 0 {
				t.Errorf("%s: the lock is kept", what)
			}
			succeed(t, w.close())
		}
	}
}

// Random damage to a segment, in its header and in its ring, leads to an error with a code, or to an answer; to no panic, no
// fault and no endless call.
func TestHostileRandom(t *testing.T) {
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewSource(seed))
	good := map[uint32][]byte{}
	for pattern := PatternPubsub; pattern <= PatternReply; pattern++ {
		good[pattern] = image(t, pattern, 100, 8, 0, 1500, 600)
	}
	values := []uint64{
		0, 1, 7, 8, 31, 32, 33, 40, 2040, 2048, 4088, 4096, 1 << 31, 1 << 32, 1 << 62, 1 << 63, skip, skip - 7, skip - 8,
	}
	for round := 0; round < 400; round++ {
		pattern := uint32(1 + random.Intn(4))
		raw := append([]byte{}, good[pattern]...)
		for n := random.Intn(4); n >= 0; n-- {
			off := uint64(random.Intn(len(raw)/8)) * 8
			if random.Intn(2) == 0 {
				off = []uint64{16, 24, 40, 48, 72, 80, 128, 128 + 144, 128 + 192}[random.Intn(9)]
			}
			put64(raw, off, values[random.Intn(len(values))])
		}
		raw[32], raw[33], raw[34], raw[35] = 0, 0, 0, 0 // a lock that is held costs patience
		name := place(t, raw)
		testkit.HasCode(t, shmwire.Guard(func() error { return handle(t, pattern, name) }))
		_ = shmwire.Unlink(name) // the last keeper may have done so
	}
}

// handle does what can be done with a damaged channel.
func handle(t *testing.T, pattern uint32, name string) error {
	o := &Options{NoWait: true, Oldest: true, Making: JoinOnly}
	look, err := NewObserver(name, o)
	if err != nil {
		return err
	}
	defer look.Close()
	testkit.HasCode(t, look.Validate())
	_, _, err = look.Look()
	testkit.HasCode(t, err)
	receive := func(r receiver) {
		for i := 0; i < 12; i++ {
			_, err := r.Receive(nil, 0)
			testkit.HasCode(t, err)
		}
	}
	receive(look)
	w, err := writerOf(pattern, name, o)
	if err != nil {
		return err
	}
	defer w.close()
	send := func() {
		for _, length := range []int{0, 700, 2008, 2008, 9} {
			_, err := w.Send(make([]byte, length), nil, 0)
			testkit.HasCode(t, err)
		}
		_, err := w.SendBatch([][]byte{nil, make([]byte, 2008), make([]byte, 2008), nil}, nil, 0)
		testkit.HasCode(t, err)
	}
	send()
	switch pattern {
	case PatternPubsub:
		s, err := NewSubscriber(name, o)
		if err != nil {
			return err
		}
		defer s.Close()
		receive(s)
		_, err = s.View(0)
		testkit.HasCode(t, err)
	default:
		e, err := (&door{path: "/dev/shm" + name, pattern: pattern, making: JoinOnly}).join()
		if err != nil {
			return err
		}
		r := newTaker(e, 0)
		defer r.close()
		receive(&r)
		_, err = r.ReceiveBatch(make([]byte, 4096), make([]Message, 5), 0)
		testkit.HasCode(t, err)
	}
	send()
	w.lock.Store(77777) // of a dead owner
	_, err = Recover(name)
	return err
}

// A segment that is made shorter under a mapping faults; Guard turns that into an error.
func TestTruncatedUnderMapping(t *testing.T) {
	name := uniqueName(t)
	p := publisher(t, name, &Options{Capacity: 1 << 16, NoWait: true})
	s := subscriber(t, name, small())
	mustSend(t, p, 0, 8)
	succeed(t, os.Truncate("/dev/shm"+name, 0))
	expectCode(t, shmwire.Guard(func() error { _, err := s.Receive(nil, 0); return err }), shmwire.ErrTruncated)
	succeed(t, os.Truncate("/dev/shm"+name, 128+1<<16)) // so that leaving faults no more
}
