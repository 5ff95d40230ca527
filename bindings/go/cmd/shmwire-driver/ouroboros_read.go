// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"shmwire"
	"shmwire/ouroboros"
)

const (
	mostEntries   = 1024     // of one reply, so that it stays below the protocol's 4 MiB
	liveBufferMax = 64 << 20 // bytes of a live reader's buffer
)

func (s *ouroborosSession) read(body []byte) (object, error) {
	var request struct {
		Max       *integer `json:"max"`
		Mode      string   `json:"mode"`
		TimeoutMS *integer `json:"timeout_ms"`
		Buffer    *integer `json:"buffer"`
	}
	err := s.needReader()
	if err == nil {
		err = decode(body, &request)
	}
	if err != nil {
		return nil, err
	}
	most, err := request.Max.within("max", mostItems, 1)
	if err != nil || most == 0 {
		return nil, bad("max is not 1 to %d", mostItems)
	}
	limit, err := request.TimeoutMS.millis("timeout_ms")
	if err != nil {
		return nil, err
	}
	size, err := request.Buffer.within("buffer", longestPattern, s.largest())
	if err != nil {
		return nil, err
	}
	if most > mostEntries {
		most = mostEntries
	}
	return s.readMode(request.Mode, make([]byte, size), int(most), limit)
}

// largest is what a buffer for any entry has, bytes.
func (s *ouroborosSession) largest() uint64 {
	if size := s.reader.Info().Size; size < longestPattern {
		return size
	}
	return longestPattern
}

func (s *ouroborosSession) readMode(mode string, buffer []byte, most int, limit time.Duration) (object, error) {
	var read func(have int) ([]object, error)
	calls := most
	switch mode {
	case "try":
		read = func(int) ([]object, error) { return s.readOne(buffer) }
	case "block":
		read = func(have int) ([]object, error) {
			if have > 0 {
				return s.readOne(buffer)
			}
			return s.waitOne(buffer, limit)
		}
	case "batch":
		calls, read = 1, func(int) ([]object, error) { return s.readBatch(buffer, most) }
	case "view":
		calls, read = 1, func(int) ([]object, error) { return s.readView() }
	case "peek":
		return nil, shmwire.Errorf(shmwire.ErrUnsupported, "peek: readers take nothing away, reading is looking")
	default:
		return nil, bad("mode %q", mode)
	}
	if err := s.pending; err != nil {
		s.pending = nil
		return nil, err
	}
	return s.collect(calls, read)
}

// collect calls read up to so many times.
func (s *ouroborosSession) collect(calls int, read func(have int) ([]object, error)) (object, error) {
	items := []object{}
	for call := 0; call < calls; call++ {
		more, err := read(len(items))
		items = append(items, more...)
		if err == nil {
			continue
		}
		st, answer := status(err)
		switch {
		case len(items) == 0 && !answer:
			return nil, err
		case len(items) == 0:
			return object{"st": st, "items": items}, nil
		case !answer:
			s.pending = err
		}
		break
	}
	return object{"st": "ok", "items": items}, nil
}

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
	s.views = append(s.views, view)
	item := entryReply(&view.Entry)
	item["view"] = len(s.views)
	return []object{item}, nil
}

func (s *ouroborosSession) checkView(args json.RawMessage) (object, error) {
	var request struct {
		V *integer `json:"v"`
	}
	err := s.needReader()
	if err == nil {
		err = decode(args, &request)
	}
	if err != nil {
		return nil, err
	}
	v, err := request.V.need("v", ^uint64(0))
	if err != nil {
		return nil, err
	}
	if v == 0 || v > uint64(len(s.views)) {
		return nil, bad("v %d is not a view of this handle", v)
	}
	err = s.views[v-1].Check()
	if errors.Is(err, shmwire.ErrLapped) {
		return object{"st": "lapped"}, nil
	}
	return object{"st": "ok"}, err
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
	if n := int(liveBufferMax / p.session.largest()); n < mostEntries {
		return n
	}
	return mostEntries
}

func (p *ouroborosPort) payloadLimit() int { return int(p.session.writer.Info().MaxPayload) }

func (p *ouroborosPort) send(messages []liveMessage, _ time.Duration) error {
	writer := p.session.writer
	if len(messages) == 1 {
		_, err := writer.Write(messages[0].payload)
		return err
	}
	p.items = p.items[:0]
	for i := range messages {
		p.items = append(p.items, messages[i].payload)
	}
	_, err := writer.WriteBatch(p.items)
	return err
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

func (p *ouroborosPort) summary(counts object) { counts["skipped"] = p.skipped }
