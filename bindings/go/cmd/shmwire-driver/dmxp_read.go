// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"time"

	"shmwire"
	"shmwire/dmxp"
)

// dmxpRead is a `read` request.
type dmxpRead struct {
	Channel   *integer   `json:"channel"`
	Max       *integer   `json:"max"`
	Mode      string     `json:"mode"`
	TimeoutMS *integer   `json:"timeout_ms"`
	Buffer    *integer   `json:"buffer"`
	OnSleep   *dmxpSleep `json:"on_sleep"`
}

// dmxpSleep is its `on_sleep`: a message to be sent before the first sleep.
type dmxpSleep struct {
	Seg     string   `json:"seg"`
	Channel *integer `json:"channel"`
	Data    *data    `json:"data"`
}

func (s *dmxpSession) read(body []byte) (object, error) {
	var request dmxpRead
	if err := decode(body, &request); err != nil {
		return nil, err
	}
	most, limit, err := readBounds(request.Max, request.TimeoutMS)
	if err != nil {
		return nil, err
	}
	c, err := s.channel(request.Channel)
	if err != nil {
		return nil, err
	}
	if err := s.pending[c.ID()]; err != nil {
		delete(s.pending, c.ID())
		return nil, err
	}
	size, err := request.Buffer.within("buffer", longestPattern, uint64(c.MaxPayload())*most)
	if err != nil {
		return nil, err
	}
	return s.readMode(c, &request, make([]byte, size), int(most), limit)
}

// readMode reads in one of the four modes. Only batch can use a buffer for more than one message.
func (s *dmxpSession) readMode(c *dmxp.Channel, request *dmxpRead, buffer []byte, most int,
	limit time.Duration) (object, error) {
	switch request.Mode {
	case "try":
		return s.collect(c, most, func(m *dmxp.Message, _ int) error { return c.TryReceiveInto(buffer, m) })
	case "peek":
		look := c.Peek()
		return s.collect(c, most, func(m *dmxp.Message, _ int) error { return look.Next(buffer, m) })
	case "batch":
		return readBatch(c, buffer, most)
	case "block":
		return s.readBlocking(c, buffer, most, limit, request.OnSleep)
	}
	return nil, bad("mode %q", request.Mode)
}

// collect calls next for up to most items.
func (s *dmxpSession) collect(c *dmxp.Channel, most int, next func(m *dmxp.Message, have int) error) (object, error) {
	items := []object{}
	for len(items) < most {
		var message dmxp.Message
		err := next(&message, len(items))
		if err == nil {
			items = append(items, dmxpReply(&message))
			continue
		}
		st, answer := status(err)
		switch {
		case len(items) == 0 && !answer:
			return nil, err
		case len(items) == 0:
			return object{"st": st, "items": items}, nil
		case !answer:
			s.pending[c.ID()] = err
		}
		break
	}
	return object{"st": "ok", "items": items}, nil
}

func (s *dmxpSession) readBlocking(c *dmxp.Channel, buffer []byte, most int, limit time.Duration,
	sleep *dmxpSleep) (object, error) {
	var sendErr error
	if sleep != nil {
		end, err := s.sendOnSleep(sleep, &sendErr)
		if err != nil {
			return nil, err
		}
		defer end()
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	reply, err := s.collect(c, most, func(m *dmxp.Message, have int) error {
		if have > 0 {
			return c.TryReceiveInto(buffer, m)
		}
		return c.ReceiveInto(ctx, buffer, m)
	})
	if sendErr != nil {
		return nil, sendErr
	}
	return reply, err
}

// sendOnSleep prepares the message through a handle of its own. end must be called.
func (s *dmxpSession) sendOnSleep(sleep *dmxpSleep, sendErr *error) (end func(), err error) {
	raw, err := sleep.Data.bytes()
	if err != nil {
		return nil, err
	}
	opened, err := openDmxp(sleep.Seg, false, 0, nil)
	if err != nil {
		return nil, err
	}
	second := opened.(*dmxpSession)
	c, err := second.channel(sleep.Channel)
	if err != nil {
		second.close()
		return nil, err
	}
	s.onSleep = func() { _, *sendErr = c.TrySend(raw, nil) }
	return func() { s.onSleep = nil; second.close() }, nil
}

func readBatch(c *dmxp.Channel, buffer []byte, most int) (object, error) {
	messages := make([]dmxp.Message, most)
	n, err := c.ReceiveBatch(buffer, messages)
	st, answer := status(err)
	if !answer {
		return nil, err
	}
	items := []object{}
	for i := range messages[:n] {
		items = append(items, dmxpReply(&messages[i]))
	}
	return object{"st": st, "items": items}, nil
}

func dmxpReply(m *dmxp.Message) object {
	return object{
		"data": bytesReply(m.Payload),
		"pos":  decimal(m.Position),
		"meta": object{
			"message_id": decimal(m.Meta.MessageID), "timestamp_ns": decimal(m.Meta.TimestampNS),
			"message_type": m.Meta.MessageType, "sender_pid": m.Meta.SenderPID,
			"sender_runtime": m.Meta.SenderRuntime, "flags": m.Meta.Flags,
		},
	}
}

// dmxpPort is the port of a live actor.
type dmxpPort struct {
	channel  *dmxp.Channel
	buffer   []byte
	items    []dmxp.Item
	meta     []dmxp.Meta
	messages []dmxp.Message
}

func (s *dmxpSession) live(body []byte) (port, error) {
	var request struct {
		Channel *integer `json:"channel"`
	}
	if err := decode(body, &request); err != nil {
		return nil, err
	}
	c, err := s.channel(request.Channel)
	if err != nil {
		return nil, err
	}
	c.Prefault()
	return &dmxpPort{channel: c}, nil
}

func (p *dmxpPort) batchLimit() int {
	if p.channel.Capacity() > mostItems {
		return mostItems
	}
	return int(p.channel.Capacity())
}

func (p *dmxpPort) payloadLimit() int { return p.channel.PayloadCapacity() }

func (p *dmxpPort) end() {}

func (p *dmxpPort) summary(object) {}

func (p *dmxpPort) send(messages []liveMessage, wait time.Duration) (int, error) {
	if len(messages) == 1 {
		meta := dmxp.Meta{MessageType: messages[0].kind}
		_, err := p.channel.TrySend(messages[0].payload, &meta)
		if wait > 0 && errors.Is(err, shmwire.ErrFull) {
			ctx, cancel := context.WithTimeout(context.Background(), wait)
			defer cancel()
			_, err = p.channel.Send(ctx, messages[0].payload, &meta)
		}
		return allOrNone(1, err)
	}
	if len(p.items) < len(messages) {
		p.items, p.meta = make([]dmxp.Item, len(messages)), make([]dmxp.Meta, len(messages))
	}
	for i := range messages {
		p.meta[i] = dmxp.Meta{MessageType: messages[i].kind}
		p.items[i] = dmxp.Item{Data: messages[i].payload, Meta: &p.meta[i]}
	}
	_, err := p.channel.SendBatch(p.items[:len(messages)])
	return allOrNone(len(messages), err)
}

func (p *dmxpPort) receive(messages []liveMessage, wait time.Duration) (int, error) {
	if len(p.messages) < len(messages) {
		p.messages = make([]dmxp.Message, len(messages))
		p.buffer = make([]byte, len(messages)*p.channel.MaxPayload())
	}
	n, err := p.receiveSome(len(messages), wait)
	for i := range p.messages[:n] {
		m := &p.messages[i]
		messages[i] = liveMessage{payload: m.Payload, kind: m.Meta.MessageType, position: m.Position, senderPID: m.Meta.SenderPID}
	}
	return n, err
}

// receiveSome takes what is there, or waits for one.
func (p *dmxpPort) receiveSome(most int, wait time.Duration) (int, error) {
	if most > 1 {
		n, err := p.channel.ReceiveBatch(p.buffer, p.messages[:most])
		if wait == 0 || !errors.Is(err, shmwire.ErrEmpty) {
			return n, err
		}
	}
	err := p.channel.TryReceiveInto(p.buffer, &p.messages[0])
	if wait > 0 && errors.Is(err, shmwire.ErrEmpty) {
		ctx, cancel := context.WithTimeout(context.Background(), wait)
		defer cancel()
		err = p.channel.ReceiveInto(ctx, p.buffer, &p.messages[0])
	}
	if err != nil {
		return 0, err
	}
	return 1, nil
}
