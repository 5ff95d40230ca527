// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"time"

	"shmwire"
	"shmwire/shmcomm"
)

func (s *shmcommSession) read(body []byte) (object, error) {
	if _, able := s.end.(shmcommReceiver); !able {
		return nil, unsupported("read")
	}
	s.has = false
	if s.owed {
		s.owed = false
		return object{"st": "lapped", "lost": decimal(s.lost), "items": []object{}}, nil
	}
	reply, err := s.pending.read(s, body)
	if err == nil && reply["st"] == "lapped" {
		reply["lost"], s.owed = decimal(s.lost), false
	}
	return reply, err
}

// largest is as much as a ring holds, for a batch; a requester's replies come from a channel that it does not tell of.
func (s *shmcommSession) largest() uint64 {
	if s.single && s.info.Capacity < longestReply {
		return longestReply
	}
	return s.info.Capacity
}

const longestReply = 1 << 20

// receive reads one message, and remembers a loss that is told.
func (s *shmcommSession) receive(buffer []byte, limit time.Duration) ([]object, error) {
	var m shmcomm.Message
	if s.has {
		return nil, shmwire.ErrEmpty
	}
	err := s.end.(shmcommReceiver).ReceiveInto(buffer, limit, &m)
	if errors.Is(err, shmwire.ErrLapped) {
		s.owed, s.lost = true, m.Lost
	}
	if err != nil {
		return nil, err
	}
	s.has = s.single
	return []object{s.item(&m)}, nil
}

func (s *shmcommSession) readOne(buffer []byte) ([]object, error) { return s.receive(buffer, 0) }

func (s *shmcommSession) waitOne(buffer []byte, limit time.Duration) ([]object, error) {
	items, err := s.receive(buffer, limit)
	if limit == 0 && errors.Is(err, shmwire.ErrEmpty) {
		err = shmwire.ErrTimeout
	}
	return items, err
}

func (s *shmcommSession) readBatch(buffer []byte, most int) ([]object, error) {
	receiver, able := s.end.(shmcommBatchReceiver)
	if !able {
		return nil, unsupported("read a batch")
	}
	messages := make([]shmcomm.Message, most)
	n, err := receiver.ReceiveBatch(buffer, messages, 0)
	if errors.Is(err, shmwire.ErrLapped) {
		s.owed, s.lost = true, messages[0].Lost
	}
	var items []object
	for i := range messages[:n] {
		items = append(items, s.item(&messages[i]))
	}
	return items, err
}

func (s *shmcommSession) readView() ([]object, error) {
	follower, able := s.end.(shmcommFollower)
	if !able {
		return nil, unsupported("view")
	}
	view, err := follower.View(0)
	if errors.Is(err, shmwire.ErrLapped) {
		s.owed, s.lost = true, view.Lost
	}
	if err != nil {
		return nil, err
	}
	item := s.item(&view.Message)
	s.views.keep(&view, item)
	return []object{item}, nil
}

// item is a message in a reply. A replier's gets a handle.
func (s *shmcommSession) item(m *shmcomm.Message) object {
	item := object{
		"data": bytesReply(m.Payload), "seq": decimal(m.Sequence), "lost": decimal(m.Lost),
		"meta": object{
			"timestamp_ns": decimal(m.TimestampNS), "correlation_id": decimal(m.CorrelationID), "sender": m.Sender,
			"content_type": m.ContentType, "flags": m.Flags,
		},
	}
	if _, replies := s.end.(*shmcomm.Replier); replies {
		request := *m
		request.Payload = nil
		s.requests = append(s.requests, request)
		item["request"] = len(s.requests)
	}
	return item
}

func (s *shmcommSession) seek(body []byte) (object, error) {
	var request struct {
		To string `json:"to"`
	}
	if err := decode(body, &request); err != nil {
		return nil, err
	}
	follower, able := s.end.(shmcommFollower)
	if !able {
		return nil, unsupported("seek")
	}
	if request.To != "oldest" && request.To != "latest" {
		return nil, bad("to %q", request.To)
	}
	s.pending.error, s.owed = nil, false
	return object{}, follower.Seek(request.To == "oldest")
}
