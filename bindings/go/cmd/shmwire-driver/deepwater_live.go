// SPDX-License-Identifier: MIT

package main

import (
	"encoding/json"
	"errors"
	"time"

	"shmwire"
	"shmwire/deepwater"
)

const (
	deepwaterStepNS  = 1000    // between the timestamps of two messages
	deepwaterLongest = 1 << 20 // bytes of a message
)

// deepwaterPlan is what this profile adds to the plan of an actor.
type deepwaterPlan struct {
	deepwaterStart
	Open        json.RawMessage `json:"open"`
	RotateEvery integer         `json:"rotate_every"`
	Count       integer         `json:"count"`
	LimitMS     *integer        `json:"limit_ms"`
}

// joinDeepwater opens an actor's handle. A writer makes the feed if it is not there; a reader waits for it.
func joinDeepwater(seg, role string, _ json.RawMessage, body []byte) (session, error) {
	var plan deepwaterPlan
	if err := decode(body, &plan); err != nil {
		return nil, err
	}
	var request deepwaterOptions
	if err := decode(plan.Open, &request); err != nil {
		return nil, err
	}
	if role == "write" {
		return request.openWriter(seg, deepwater.OpenOrCreate, &injection{})
	}
	limit, err := plan.LimitMS.millis("limit_ms")
	if err != nil {
		return nil, err
	}
	if plan.From != "" || plan.Sequence != nil {
		request.deepwaterStart = plan.deepwaterStart
	}
	return request.openReader(seg, limit)
}

// live makes the port of an actor.
func (s *deepwaterSession) live(body []byte) (port, error) {
	var plan deepwaterPlan
	if err := decode(body, &plan); err != nil {
		return nil, err
	}
	p := &deepwaterPort{session: s, rotateEvery: uint64(plan.RotateEvery), last: uint64(plan.Count) - 1}
	info, err := s.feedInfo()
	if err != nil {
		return nil, err
	}
	p.longest = deepwaterLongest
	if info.ChunkSize < uint64(p.longest) {
		p.longest = int(info.ChunkSize)
	}
	// Timestamps are those of the feed's sequences: a writer that takes over goes on behind the one before.
	p.next = info.LastSequence + 1 // of None: 0
	return p, nil
}

// deepwaterPort is the port of a live writer or reader.
type deepwaterPort struct {
	session     *deepwaterSession
	longest     int
	next        uint64 // of a writer: sequence of its next record
	sent        uint64
	rotateEvery uint64 // 0: never on purpose
	last        uint64 // of a reader: the sequence that ends it
	parts       []deepwater.Part
	records     []deepwater.Record
	owed        uint64 // lost before the record delivered next
	lost        uint64
}

func (p *deepwaterPort) batchLimit() int   { return mostEntries }
func (p *deepwaterPort) payloadLimit() int { return p.longest }

// stays says that a writer keeps its feed, and what is in shared memory, when its run is over: readers may still be on their way.
func (p *deepwaterPort) stays() bool { return p.session.writer != nil }

// send stops the run at the first error, with what was sent.
func (p *deepwaterPort) send(messages []liveMessage, _ time.Duration) (n int, err error) {
	p.parts = p.parts[:0]
	for i := range messages {
		p.parts = append(p.parts, deepwater.Part{
			TimestampNS: deepwaterStepNS * (p.next + uint64(i)), Type: messages[i].kind, Data: messages[i].payload,
		})
	}
	writer := p.session.writer
	if len(p.parts) == 1 {
		_, err = writer.Append(p.parts[0].TimestampNS, p.parts[0].Type, p.parts[0].Data)
		n, err = allOrNone(1, err)
	} else {
		n, err = writer.AppendBatch(p.parts)
	}
	before := p.sent
	p.next += uint64(n)
	p.sent += uint64(n)
	if err == nil && p.rotateEvery > 0 && before/p.rotateEvery != p.sent/p.rotateEvery {
		err = writer.Rotate()
	}
	if err != nil {
		return n, shmwire.ErrClosed
	}
	return n, nil
}

func (p *deepwaterPort) receive(messages []liveMessage, wait time.Duration) (int, error) {
	if len(p.records) < len(messages) {
		p.records = make([]deepwater.Record, len(messages))
	}
	n, err := p.take(p.records[:len(messages)], wait)
	if errors.Is(err, shmwire.ErrExpired) { // counted with the record that comes next
		p.owed += p.records[0].Lost
		p.lost += p.records[0].Lost
		return 0, shmwire.ErrEmpty
	}
	for i := range p.records[:n] {
		record := &p.records[i]
		messages[i] = liveMessage{
			payload: record.Data, kind: record.Type, position: record.Sequence, senderPID: uint32(record.ChunkID),
			skipped: p.owed, last: record.Sequence == p.last,
		}
		p.owed = 0
	}
	return n, err
}

// take reads what is there, or waits for one.
func (p *deepwaterPort) take(records []deepwater.Record, wait time.Duration) (n int, err error) {
	reader := p.session.reader
	if len(records) > 1 {
		if n, err = reader.NextBatch(records); !errors.Is(err, shmwire.ErrEmpty) || wait == 0 {
			return n, err
		}
	}
	if records[0], err = reader.WaitNext(wait); err != nil {
		return 0, err
	}
	return 1, nil
}

func (p *deepwaterPort) summary(counts object) {
	if p.session.reader != nil {
		counts["lost"] = p.lost
	}
}

func (p *deepwaterPort) end() {}
