// SPDX-License-Identifier: MIT

package main

import (
	"encoding/json"
	"time"

	"shmwire"
)

// profile is what a profile's file gives to the driver. Adding a profile is adding a file and a line below.
type profile struct {
	classes  []string
	features []string
	create   func(seg string, options json.RawMessage, in *injection) (session, error)
	open     func(seg string, readOnly bool, limit time.Duration, options json.RawMessage, in *injection) (session, error)
	// join opens a segment for an actor of section 4; body is its whole plan.
	join func(seg, role string, options json.RawMessage, body []byte) (session, error)
	// verbs are those of call that have no handle.
	verbs map[string]func(args json.RawMessage) (object, error)
}

var profiles = map[string]profile{
	"dmxp": dmxpProfile, "ouroboros": ouroborosProfile, "slick": slickProfile, "shmcomm": shmcommProfile,
	"deepwater": deepwaterProfile,
}

// plainCreate is create of a profile that has nothing injected into it.
func plainCreate(create func(string, json.RawMessage) (session, error)) func(string, json.RawMessage,
	*injection) (session, error) {
	return func(seg string, options json.RawMessage, _ *injection) (session, error) { return create(seg, options) }
}

// plainOpen likewise.
func plainOpen(open func(string, bool, time.Duration, json.RawMessage) (session, error)) func(string, bool, time.Duration,
	json.RawMessage, *injection) (session, error) {
	return func(seg string, readOnly bool, limit time.Duration, options json.RawMessage, _ *injection) (session, error) {
		return open(seg, readOnly, limit, options)
	}
}

func profileNamed(name string) (profile, error) {
	p, known := profiles[name]
	switch {
	case name == "":
		return p, bad("profile is missing")
	case !known:
		return p, shmwire.Errorf(shmwire.ErrUnsupported, "profile %q", name)
	}
	return p, nil
}

// session is a segment that a handle stands for. body is the whole request; each profile decodes what it knows of it.
type session interface {
	inspect() (map[string]string, error)
	write(body []byte, in *injection) (object, error)
	read(body []byte) (object, error)
	seek(body []byte) (object, error)
	call(verb string, args json.RawMessage) (object, error)
	claim(body []byte) (object, claim, error) // no claim unless `st` is "ok"
	live(body []byte) (port, error)           // for an actor of section 4
	close()
}

// claim is a slot between claim and commit or abandon.
type claim interface {
	commit(body []byte, in *injection) (object, error)
	abandon() (object, error)
}

// port is what an actor of a live run sends and receives through.
type port interface {
	batchLimit() int                                                 // the most messages that one send can ever take
	payloadLimit() int                                               // the longest payload, bytes
	send(messages []liveMessage, wait time.Duration) (int, error)    // how many, also beside ErrLapped and ErrClosed
	receive(messages []liveMessage, wait time.Duration) (int, error) // payloads stay good until the next call; errEnded
	summary(counts object)                                           // completes the actor's summary
	end()                                                            // of the run, before the session is closed
}

// concluder is a port that has something to do once messages were recorded.
type concluder interface{ conclude() error }

// stayer is a port that can outlast its run: until the next arm, or reset.
type stayer interface{ stays() bool }

// liveMessage is a message of a live run.
type liveMessage struct {
	payload   []byte
	kind      uint32 // message_type; what else a profile has in its place in a record
	position  uint64 // of a received one
	senderPID uint32 // of a received one
	skipped   uint64 // lost before a received one
	last      bool   // a reader's run ends with this one
}

// injection is what messages carry that do not say otherwise themselves. A nil field is not injected.
type injection struct {
	ClockNS     *integer `json:"clock_ns"` // of the next message
	ClockStepNS integer  `json:"clock_step_ns"`
	PID         *integer `json:"pid"`
	BootNS      *integer `json:"boot_ns"`
	Runtime     *integer `json:"runtime"`
}

// merge takes the fields of a request, and none of them if one is wrong.
func (in *injection) merge(body []byte) error {
	next := *in
	for _, field := range []**integer{&next.ClockNS, &next.PID, &next.BootNS, &next.Runtime} {
		if *field != nil { // decoding writes through pointers that are there
			value := **field
			*field = &value
		}
	}
	if err := decode(body, &next); err != nil {
		return err
	}
	if _, err := next.PID.within("pid", 1<<32-1, 0); err != nil {
		return err
	}
	if _, err := next.Runtime.within("runtime", 1<<16-1, 0); err != nil {
		return err
	}
	*in = next
	return nil
}

// tick says that messages took the injected time: the next one gets a later one.
func (in *injection) tick(messages int) {
	if in.ClockNS != nil {
		*in.ClockNS += in.ClockStepNS * integer(messages)
	}
}
