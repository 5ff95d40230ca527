// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"time"

	"shmwire"
	"shmwire/ouroboros"
)

func (s *ouroborosSession) read(body []byte) (object, error) {
	if err := s.needReader(); err != nil {
		return nil, err
	}
	return s.pending.read(s, body)
}

// largest is what a buffer for any entry has, bytes.
func (s *ouroborosSession) largest() uint64 { return s.reader.Info().Size }

func (s *ouroborosSession) readOne(buffer []byte) ([]object, error) {
	var entry ouroboros.Entry
	if err := s.reader.NextInto(buffer, &entry); err != nil {
		return nil, err
	}
	return []object{entryReply(&entry)}, nil
}

func (s *ouroborosSession) waitOne(buffer []byte, limit time.Duration) ([]object, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var entry ouroboros.Entry
	if err := s.reader.WaitInto(ctx, buffer, &entry); err != nil {
		return nil, err
	}
	return []object{entryReply(&entry)}, nil
}

func (s *ouroborosSession) readBatch(buffer []byte, most int) ([]object, error) {
	entries := make([]ouroboros.Entry, most)
	n, err := s.reader.NextBatch(buffer, entries)
	var items []object
	for i := range entries[:n] {
		items = append(items, entryReply(&entries[i]))
	}
	return items, err
}

func (s *ouroborosSession) readView() ([]object, error) {
	view, err := s.reader.View()
	if err != nil {
		return nil, err
	}
	item := entryReply(&view.Entry)
	s.views.keep(&view, item)
	return []object{item}, nil
}

func entryReply(entry *ouroboros.Entry) object {
	return object{
		"data": bytesReply(entry.Payload), "seq": decimal(entry.Sequence), "chunk": entry.Chunk,
		"token": decimal(entry.Token), "skipped": decimal(entry.Skipped),
	}
}

// ouroborosPort is the port of a live actor.
type ouroborosPort struct {
	session *ouroborosSession
	count   uint64 // a reader's run ends with this sequence
	items   [][]byte
	entries []ouroboros.Entry
	buffer  []byte
	skipped uint64
}

func (s *ouroborosSession) live(body []byte) (port, error) {
	var request struct {
		Count integer `json:"count"`
	}
	if err := decode(body, &request); err != nil {
		return nil, err
	}
	return &ouroborosPort{session: s, count: uint64(request.Count)}, nil
}

func (p *ouroborosPort) batchLimit() int {
	if p.session.writer != nil {
		return mostEntries
	}
	return liveBatch(p.session.largest())
}

func (p *ouroborosPort) payloadLimit() int { return int(p.session.writer.Info().MaxPayload) }

func (p *ouroborosPort) send(messages []liveMessage, _ time.Duration) (int, error) {
	writer := p.session.writer
	if len(messages) == 1 {
		_, err := writer.Write(messages[0].payload)
		return allOrNone(1, err)
	}
	p.items = payloads(p.items[:0], messages)
	_, err := writer.WriteBatch(p.items)
	return allOrNone(len(messages), err)
}

func (p *ouroborosPort) receive(messages []liveMessage, wait time.Duration) (int, error) {
	if len(p.entries) < len(messages) {
		p.entries = make([]ouroboros.Entry, len(messages))
		p.buffer = make([]byte, uint64(len(messages))*p.session.largest())
	}
	n, err := p.receiveSome(len(messages), wait)
	for i := range p.entries[:n] {
		e := &p.entries[i]
		messages[i] = liveMessage{payload: e.Payload, position: e.Sequence, skipped: e.Skipped, last: e.Sequence >= p.count}
		p.skipped += e.Skipped
	}
	return n, err
}

// receiveSome takes what is there, or waits for one.
func (p *ouroborosPort) receiveSome(most int, wait time.Duration) (int, error) {
	reader := p.session.reader
	n, err := reader.NextBatch(p.buffer, p.entries[:most])
	if wait == 0 || !errors.Is(err, shmwire.ErrEmpty) {
		return n, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	if err := reader.WaitInto(ctx, p.buffer, &p.entries[0]); err != nil {
		return 0, err
	}
	return 1, nil
}

func (p *ouroborosPort) end() {}

func (p *ouroborosPort) summary(counts object) {
	if p.session.reader != nil {
		counts["skipped"] = p.skipped
	}
}
