// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"time"

	"shmwire"
	"shmwire/slick"
)

func (s *slickSession) needReader() (*slick.Reader, error) {
	if s.reader != nil {
		return s.reader, nil
	}
	start, err := s.options.start()
	if err != nil {
		return nil, err
	}
	options := []slick.ReaderOption{slick.WithStart(start)}
	if s.cursor != nil {
		options = append(options, slick.WithShared(s.cursor))
	}
	s.reader, err = s.queue.NewReader(options...)
	return s.reader, err
}

func (s *slickSession) read(body []byte) (object, error) {
	if _, err := s.needReader(); err != nil {
		return nil, err
	}
	return s.pending.read(s, body)
}

// largest is an item of the whole ring, bytes.
func (s *slickSession) largest() uint64 {
	info, err := s.queue.Info()
	if err != nil {
		return 0 // closed: reading says so
	}
	return uint64(info.Size) * uint64(info.ElementSize)
}

func (s *slickSession) seek(body []byte) (object, error) {
	var request struct {
		To    string   `json:"to"`
		Index *integer `json:"index"`
	}
	reader, err := s.needReader()
	if err == nil {
		err = decode(body, &request)
	}
	if err != nil {
		return nil, err
	}
	if request.To == "" && request.Index == nil {
		return nil, bad("to and index are missing")
	}
	at := slickStart{From: request.To, Index: request.Index}
	start, err := at.start()
	if err != nil {
		return nil, err
	}
	if err := reader.Seek(start); err != nil {
		return nil, err
	}
	s.pending.error = nil
	return object{"cursor": decimal(reader.Info().Cursor)}, nil
}

func (s *slickSession) readOne(buffer []byte) ([]object, error) {
	var item slick.Item
	if err := s.reader.NextInto(buffer, &item); err != nil {
		return nil, err
	}
	return []object{itemReply(&item)}, nil
}

func (s *slickSession) waitOne(buffer []byte, limit time.Duration) ([]object, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var item slick.Item
	if err := s.reader.WaitInto(ctx, buffer, &item); err != nil {
		return nil, err
	}
	return []object{itemReply(&item)}, nil
}

func (s *slickSession) readBatch(buffer []byte, most int) ([]object, error) {
	items := make([]slick.Item, most)
	n, err := s.reader.NextBatch(buffer, items)
	var replies []object
	for i := range items[:n] {
		replies = append(replies, itemReply(&items[i]))
	}
	return replies, err
}

func (s *slickSession) readView() ([]object, error) {
	view, err := s.reader.View()
	if err != nil {
		return nil, err
	}
	item := itemReply(&view.Item)
	s.views.keep(&view, item)
	return []object{item}, nil
}

func (s *slickSession) last() (object, error) {
	reader, err := s.needReader()
	if err != nil {
		return nil, err
	}
	items := []object{}
	item, err := reader.Last()
	if err == nil {
		last := itemReply(&item)
		delete(last, "lost")
		items = append(items, last)
	}
	st, answer := status(err)
	if !answer {
		return nil, err
	}
	return object{"st": st, "items": items}, nil
}

func itemReply(item *slick.Item) object {
	return object{
		"data": bytesReply(item.Data), "pos": decimal(item.Index), "elements": item.Elements, "lost": decimal(item.Lost),
	}
}

// slickPort is the port of a live actor.
type slickPort struct {
	session *slickSession
	credit  *credit
	until   *until
	items   []slick.Item
	buffer  []byte
	bytes   [][]byte
	lapped  uint64
	lost    uint64
}

func (s *slickSession) live(body []byte) (port, error) {
	var plan struct {
		Role   string      `json:"role"`
		Credit *creditPlan `json:"credit"`
		Until  string      `json:"until"`
	}
	if err := decode(body, &plan); err != nil {
		return nil, err
	}
	p := &slickPort{session: s}
	var err error
	if plan.Role == "read" {
		_, err = s.needReader()
	} else {
		_, err = s.needProducer()
	}
	if err == nil && plan.Credit != nil {
		p.credit, err = openCredit(plan.Credit, plan.Role)
	}
	if err == nil && plan.Until != "" {
		p.until, err = openUntil(plan.Until)
	}
	return p, err
}

func (p *slickPort) batchLimit() int {
	if p.session.producer != nil {
		return mostEntries
	}
	return liveBatch(p.session.largest())
}

func (p *slickPort) payloadLimit() int { return int(p.session.largest()) }

// send waits for credit first: of a batch it sends what there is credit for.
func (p *slickPort) send(messages []liveMessage, wait time.Duration) (int, error) {
	if p.credit != nil {
		if messages = messages[:p.credit.within(p.session.queue, messages)]; len(messages) == 0 {
			if wait > 0 {
				time.Sleep(time.Millisecond)
			}
			return 0, shmwire.ErrTimeout
		}
	}
	if len(messages) == 1 {
		_, err := p.session.producer.Write(messages[0].payload)
		return allOrNone(1, err)
	}
	p.bytes = payloads(p.bytes[:0], messages)
	return p.session.producer.WriteBatch(p.bytes, nil)
}

func (p *slickPort) receive(messages []liveMessage, wait time.Duration) (int, error) {
	if len(p.items) < len(messages) {
		p.items = make([]slick.Item, len(messages))
		p.buffer = make([]byte, uint64(len(messages))*p.session.largest())
	}
	n, err := p.receiveSome(len(messages), wait)
	for i := range p.items[:n] {
		item := &p.items[i]
		messages[i] = liveMessage{payload: item.Data, kind: item.Elements, position: item.Index, skipped: item.Lost}
		p.lost += item.Lost
	}
	switch {
	case err == nil && p.credit != nil:
		last := &p.items[n-1]
		p.credit.report(last.Index + uint64(last.Elements))
	case errors.Is(err, shmwire.ErrLapped):
		p.lapped++
	case (errors.Is(err, shmwire.ErrEmpty) || errors.Is(err, shmwire.ErrTimeout)) && p.until != nil && p.until.over():
		err = errEnded
	}
	return n, err
}

// receiveSome takes what is there, or waits for one.
func (p *slickPort) receiveSome(most int, wait time.Duration) (n int, err error) {
	reader := p.session.reader
	if most == 1 {
		n, err = allOrNone(1, reader.NextInto(p.buffer, &p.items[0]))
	} else {
		n, err = reader.NextBatch(p.buffer, p.items[:most])
	}
	if wait == 0 || !errors.Is(err, shmwire.ErrEmpty) {
		return n, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	return allOrNone(1, reader.WaitInto(ctx, p.buffer, &p.items[0]))
}

func (p *slickPort) summary(counts object) {
	if p.session.producer != nil {
		counts["full"], counts["given_up"] = 0, p.session.producer.Info().GivenUp // waiting for credit is not FULL
		return
	}
	counts["lapped"], counts["lost"] = p.lapped, p.lost
}

func (p *slickPort) end() {
	if p.credit != nil {
		p.credit.close()
	}
	if p.until != nil {
		p.until.file.Close()
	}
}
