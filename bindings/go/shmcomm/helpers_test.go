// SPDX-License-Identifier: MIT

package shmcomm

import (
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"shmwire"
	"shmwire/internal/testkit"
)

var bytesOf, expectCode = testkit.Bytes, testkit.ExpectCode

const patience = 20 * time.Second // of a test for what must come

// uniqueName is a locator that nobody else uses; it is unlinked when the test ends.
func uniqueName(t testing.TB) string {
	t.Helper()
	return testkit.Name(t, "shmcomm")
}

func succeed(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// small are options of a channel of the least capacity.
func small() *Options { return &Options{Capacity: MinCapacity, NoWait: true} }

// opened is an endpoint that is closed when the test ends.
func opened[E interface{ Close() error }](t testing.TB) func(end E, err error) E {
	return func(end E, err error) E {
		t.Helper()
		succeed(t, err)
		t.Cleanup(func() { end.Close() })
		return end
	}
}

func publisher(t testing.TB, name string, o *Options) *Publisher {
	t.Helper()
	return opened[*Publisher](t)(NewPublisher(name, o))
}

func subscriber(t testing.TB, name string, o *Options) *Subscriber {
	t.Helper()
	return opened[*Subscriber](t)(NewSubscriber(name, o))
}

func pusher(t testing.TB, name string, o *Options) *Pusher {
	t.Helper()
	return opened[*Pusher](t)(NewPusher(name, o))
}

func puller(t testing.TB, name string, o *Options) *Puller {
	t.Helper()
	return opened[*Puller](t)(NewPuller(name, o))
}

func replier(t testing.TB, name string, o *Options) *Replier {
	t.Helper()
	return opened[*Replier](t)(NewReplier(name, o))
}

func requester(t testing.TB, name string, o *Options) *Requester {
	t.Helper()
	return opened[*Requester](t)(NewRequester(name, o))
}

func observer(t testing.TB, name string) *Observer {
	t.Helper()
	return opened[*Observer](t)(NewObserver(name, &Options{NoWait: true}))
}

// numbered is a payload of a length that names its message.
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

// sender is what publishers and pushers have in common.
type sender interface {
	Send(data []byte, meta *Meta, timeout time.Duration) (uint64, error)
}

// mustSend sends messages numbered by the sequences that they are to get.
func mustSend(t testing.TB, s sender, first uint64, lengths ...int) {
	t.Helper()
	for i, length := range lengths {
		want := first + uint64(i)
		if sequence, err := s.Send(numbered(want, length), nil, 0); err != nil || sequence != want {
			t.Fatalf("message %d: %d, %v", want, sequence, err)
		}
	}
}

// receiver is what has Receive.
type receiver interface {
	Receive(buffer []byte, timeout time.Duration) (Message, error)
}

// mustReceive receives the message of a sequence that mustSend sent.
func mustReceive(t testing.TB, r receiver, sequence, lost uint64, length int) Message {
	t.Helper()
	m, err := r.Receive(nil, 0)
	if err != nil {
		t.Fatalf("message %d: %v", sequence, err)
	}
	if m.Sequence != sequence || m.Lost != lost || string(m.Payload) != string(numbered(sequence, length)) {
		t.Fatalf("message %d after %d lost, %d bytes; expected %d after %d, %d bytes", m.Sequence, m.Lost, len(m.Payload),
			sequence, lost, length)
	}
	return m
}

func mustBeEmpty(t testing.TB, r receiver) {
	t.Helper()
	_, err := r.Receive(nil, 0)
	expectCode(t, err, shmwire.ErrEmpty)
}

// mustBeGone checks that a name leads nowhere.
func mustBeGone(t testing.TB, name string) {
	t.Helper()
	if _, err := NewObserver(name, &Options{NoWait: true}); !errors.Is(err, shmwire.ErrNotFound) {
		t.Fatalf("%s: %v, expected it to be gone", name, err)
	}
}

// mustBeSound validates a channel by its name.
func mustBeSound(t testing.TB, name string) {
	t.Helper()
	o, err := NewObserver(name, &Options{NoWait: true})
	succeed(t, err)
	defer o.Close()
	succeed(t, o.Validate())
}

// eventually waits until a condition holds, which must come to pass.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for limit := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}
