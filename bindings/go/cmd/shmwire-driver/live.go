// SPDX-License-Identifier: MIT

package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
	"os"
	"runtime"
	"time"

	"shmwire"
)

const (
	payloadMagic = 0x57524853 // "SHRW"
	payloadHead  = 24         // bytes before the pattern
	recordBytes  = 40
	kindData     = 1
	kindEnd      = 1<<32 - 1
	stutterEvery = 64
	clockEvery   = 64                    // calls between two looks at the clock
	waitSlice    = 50 * time.Millisecond // so that the limit is looked at while blocked
)

// actor is an armed actor of a live run (driver protocol, section 4).
type actor struct {
	plan     plan
	session  session
	port     port
	history  *os.File
	records  *bufio.Writer
	messages []liveMessage
	done     bool // it has run
}

// plan is the `arm` request.
type plan struct {
	Profile   string          `json:"profile"`
	Seg       string          `json:"seg"`
	Options   json.RawMessage `json:"options"`
	Role      string          `json:"role"`
	Actor     integer         `json:"actor"`
	Count     integer         `json:"count"`
	Sizes     []integer       `json:"sizes"`
	Seed      integer         `json:"seed"`
	Batch     integer         `json:"batch"`
	Wait      string          `json:"wait"`
	StutterUS integer         `json:"stutter_us"`
	SlowUS    integer         `json:"slow_us"` // sleep of a reader after each message
	History   string          `json:"history"`
	Flush     bool            `json:"flush"` // write records when they are due: the actor may be killed
	LimitMS   *integer        `json:"limit_ms"`
}

func (p *plan) check() error {
	switch {
	case p.Role != "write" && p.Role != "read":
		return bad("role %q", p.Role)
	case p.Wait != "" && p.Wait != "spin" && p.Wait != "block":
		return bad("wait %q", p.Wait)
	case p.Seg == "" || p.LimitMS == nil:
		return bad("seg or limit_ms is missing")
	case p.Actor >= 1<<32 || p.Seed >= 1<<32 || *p.LimitMS >= 1<<32 || p.Batch > mostItems,
		p.StutterUS >= 1<<32 || p.SlowUS >= 1<<32:
		return bad("actor, seed, stutter_us, slow_us, limit_ms or batch is too large")
	case p.Role == "write" && len(p.Sizes) == 0:
		return bad("sizes is missing or empty")
	}
	return nil
}

func newActor(body []byte) (*actor, error) {
	a := &actor{}
	err := decode(body, &a.plan)
	if err == nil {
		err = a.plan.check()
	}
	if err == nil {
		err = a.attach(body)
	}
	if err == nil {
		err = a.prepare()
	}
	if err != nil {
		a.end()
		return nil, err
	}
	return a, nil
}

func (a *actor) attach(body []byte) error {
	profile, err := profileNamed(a.plan.Profile)
	if err != nil {
		return err
	}
	if a.session, err = profile.join(a.plan.Seg, a.plan.Role, a.plan.Options, body); err != nil {
		return err
	}
	a.port, err = a.session.live(body)
	return err
}

// prepare makes the memory that the run needs. A batch that the channel can never take at once would be FULL for ever.
func (a *actor) prepare() error {
	batch := int(a.plan.Batch)
	if batch < 1 {
		batch = 1
	}
	if most := a.port.batchLimit(); batch > most {
		batch = most
	}
	a.messages = make([]liveMessage, batch)
	if a.plan.Role == "read" {
		return a.openHistory()
	}
	longest := 0
	for _, size := range a.plan.Sizes {
		if size < payloadHead || size > integer(a.port.payloadLimit()) {
			return bad("size %d is not %d to %d", size, payloadHead, a.port.payloadLimit())
		}
		if int(size) > longest {
			longest = int(size)
		}
	}
	for i := range a.messages {
		a.messages[i].payload = make([]byte, longest)
	}
	return nil
}

func (a *actor) openHistory() error {
	if a.plan.History == "" {
		return nil
	}
	file, err := os.Create(a.plan.History)
	if err != nil {
		return &shmwire.Error{Code: shmwire.ErrSystem, Detail: "history", Cause: err}
	}
	a.history, a.records = file, bufio.NewWriterSize(file, 1<<16)
	return nil
}

func (a *actor) end() {
	if a.port != nil {
		a.port.end()
	}
	if a.session != nil {
		a.session.close()
	}
	if a.history != nil {
		a.history.Close()
	}
}

func (a *actor) run() (object, error) {
	deadline := time.Now().Add(time.Duration(*a.plan.LimitMS) * time.Millisecond)
	wait := time.Duration(0)
	if a.plan.Wait == "block" {
		wait = waitSlice
	}
	if a.plan.Role == "write" {
		return a.writeAll(deadline, wait)
	}
	return a.readAll(deadline, wait)
}

// stutter sleeps when a run has passed a multiple of 64 messages.
func (a *actor) stutter(before, after uint64) {
	if a.plan.StutterUS != 0 && before/stutterEvery != after/stutterEvery {
		time.Sleep(time.Duration(a.plan.StutterUS) * time.Microsecond)
	}
}

func (a *actor) writeAll(deadline time.Time, wait time.Duration) (object, error) {
	var sent, full uint64
	for count := uint64(a.plan.Count); sent < count; {
		n := uint64(len(a.messages))
		if n > count-sent {
			n = count - sent
		}
		for i := uint64(0); i < n; i++ {
			a.fill(&a.messages[i], sent+i)
		}
		done, refused, err := a.sendUntil(a.messages[:n], deadline, wait)
		full += refused
		if _, answer := status(err); !answer {
			return nil, err
		}
		a.stutter(sent, sent+done)
		sent += done
		if err != nil {
			break
		}
	}
	counts := object{"sent": sent, "full": full}
	a.port.summary(counts)
	return counts, nil
}

// sendUntil retries while the channel is full and the limit has not passed, and counts what it sent and the calls that
// were refused.
func (a *actor) sendUntil(messages []liveMessage, deadline time.Time, wait time.Duration) (sent, full uint64, err error) {
	for {
		n, err := a.port.send(messages, wait)
		if !errors.Is(err, shmwire.ErrFull) && !errors.Is(err, shmwire.ErrTimeout) {
			return uint64(n), full, err
		}
		full++
		if time.Now().After(deadline) {
			return 0, full, err
		}
		runtime.Gosched()
	}
}

// fill makes message i of this writer.
func (a *actor) fill(m *liveMessage, i uint64) {
	length := uint64(a.plan.Sizes[i%uint64(len(a.plan.Sizes))])
	m.kind = kindData
	m.payload = m.payload[:length]
	le := binary.LittleEndian
	le.PutUint32(m.payload[0:], payloadMagic)
	le.PutUint32(m.payload[4:], uint32(a.plan.Actor))
	le.PutUint64(m.payload[8:], i)
	le.PutUint32(m.payload[16:], uint32(length))
	le.PutUint32(m.payload[20:], uint32(a.plan.Seed))
	base := uint64(a.plan.Actor) + i + uint64(a.plan.Seed)
	for j := uint64(payloadHead); j < length; j++ {
		m.payload[j] = livePattern(base, j)
	}
}

func livePattern(base, j uint64) byte { return byte(31*base + 17*j + 101*(j>>8)) }

// whole says whether a payload is what its head says.
func whole(payload []byte) bool {
	le := binary.LittleEndian
	if len(payload) < payloadHead || le.Uint32(payload) != payloadMagic ||
		uint64(le.Uint32(payload[16:])) != uint64(len(payload)) {
		return false
	}
	base := uint64(le.Uint32(payload[4:])) + le.Uint64(payload[8:]) + uint64(le.Uint32(payload[20:]))
	for j := payloadHead; j < len(payload); j++ {
		if payload[j] != livePattern(base, uint64(j)) {
			return false
		}
	}
	return true
}

// tally is a reader's summary.
type tally struct {
	received, torn, empty, corrupt uint64
	ended                          bool
}

func (a *actor) readAll(deadline time.Time, wait time.Duration) (object, error) {
	var t tally
	for calls := 1; !t.ended; calls++ {
		before := t.received
		n, err := a.port.receive(a.messages, wait)
		switch {
		case err == nil:
			if err := a.takeAll(a.messages[:n], &t, deadline); err != nil {
				return nil, err
			}
			if err := a.conclude(); err != nil {
				return nil, err
			}
			a.stutter(before, t.received)
		case errors.Is(err, shmwire.ErrEmpty), errors.Is(err, shmwire.ErrTimeout):
			t.empty++
			runtime.Gosched()
		case errors.Is(err, shmwire.ErrCorrupt):
			t.corrupt++
		case errors.Is(err, errEnded):
			t.ended = true
		case errors.Is(err, shmwire.ErrLapped): // counted by who can be
		case !errors.Is(err, shmwire.ErrClosed):
			return nil, err
		}
		if errors.Is(err, shmwire.ErrClosed) || (err != nil || calls%clockEvery == 0) && time.Now().After(deadline) {
			break
		}
	}
	if err := a.flush(); err != nil {
		return nil, err
	}
	counts := object{"received": t.received, "torn": t.torn, "empty": t.empty, "corrupt": t.corrupt, "ended": t.ended}
	a.port.summary(counts)
	return counts, nil
}

// conclude ends a call that received something: its records are written, if they are due, and its requests answered.
func (a *actor) conclude() error {
	if a.plan.Flush {
		if err := a.flush(); err != nil {
			return err
		}
	}
	if c, answers := a.port.(concluder); answers {
		return c.conclude()
	}
	return nil
}

func (a *actor) flush() error {
	if a.records == nil {
		return nil
	}
	if err := a.records.Flush(); err != nil {
		return &shmwire.Error{Code: shmwire.ErrSystem, Detail: "history", Cause: err}
	}
	return nil
}

// takeAll judges and records what one call returned. A batch can hold the END of another reader too: that one goes
// back.
func (a *actor) takeAll(messages []liveMessage, t *tally, deadline time.Time) error {
	for i := range messages {
		m := &messages[i]
		if m.kind == kindEnd {
			if t.ended {
				if _, _, err := a.sendUntil(messages[i:i+1], deadline, 0); err != nil {
					return err
				}
			}
			t.ended = true
			continue
		}
		t.received++
		if !whole(m.payload) {
			t.torn++
		}
		if err := a.record(m); err != nil {
			return err
		}
		t.ended = t.ended || m.last
		if a.plan.SlowUS != 0 {
			time.Sleep(time.Duration(a.plan.SlowUS) * time.Microsecond)
		}
	}
	return nil
}

func (a *actor) record(m *liveMessage) error {
	if a.records == nil {
		return nil
	}
	var record [recordBytes]byte
	le := binary.LittleEndian
	if len(m.payload) >= payloadHead {
		copy(record[0:4], m.payload[4:8])
		copy(record[8:16], m.payload[8:16])
	}
	le.PutUint32(record[4:], m.kind)
	le.PutUint64(record[16:], m.position)
	le.PutUint32(record[24:], uint32(len(m.payload)))
	le.PutUint32(record[28:], m.senderPID)
	le.PutUint32(record[32:], crc32.ChecksumIEEE(m.payload))
	skipped := m.skipped
	if skipped > 1<<32-1 {
		skipped = 1<<32 - 1
	}
	le.PutUint32(record[36:], uint32(skipped))
	if _, err := a.records.Write(record[:]); err != nil {
		return &shmwire.Error{Code: shmwire.ErrSystem, Detail: "history", Cause: err}
	}
	return nil
}
