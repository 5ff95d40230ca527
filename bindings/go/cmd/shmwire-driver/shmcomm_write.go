// SPDX-License-Identifier: MIT

package main

import (
	"time"

	"shmwire"
	"shmwire/shmcomm"
)

// shmcommMeta is the `meta` of a request.
type shmcommMeta struct {
	TimestampNS *integer `json:"timestamp_ns"`
	ContentType *integer `json:"content_type"`
	Flags       *integer `json:"flags"`
}

// meta is what a message carries, and whether it takes the injected clock.
func (s *shmcommSession) meta(m *shmcommMeta) (meta *shmcomm.Meta, ticks int, err error) {
	if m == nil {
		m = &shmcommMeta{}
	}
	timestamp := m.TimestampNS
	if timestamp == nil && s.in.ClockNS != nil {
		timestamp, ticks = s.in.ClockNS, 1
	}
	kind, err := m.ContentType.within("content_type", 1<<16-1, uint64(s.info.Serializer))
	if err != nil {
		return nil, 0, err
	}
	flags, err := m.Flags.within("flags", 1<<16-1, 0)
	if err != nil {
		return nil, 0, err
	}
	meta = &shmcomm.Meta{ContentType: uint16(kind), Flags: uint16(flags)}
	if timestamp != nil {
		meta.TimestampNS = uint64(*timestamp)
	}
	return meta, ticks, nil
}

// shmcommItem is one of the `items` of a write, a commit or a reply.
type shmcommItem struct {
	Data *data        `json:"data"`
	Meta *shmcommMeta `json:"meta"`
}

func (s *shmcommSession) write(body []byte, _ *injection) (object, error) {
	var request struct {
		Items     []shmcommItem `json:"items"`
		Mode      string        `json:"mode"`
		TimeoutMS *integer      `json:"timeout_ms"`
	}
	if err := decode(body, &request); err != nil {
		return nil, err
	}
	limit, err := request.TimeoutMS.millis("timeout_ms")
	if err != nil {
		return nil, err
	}
	switch request.Mode {
	case "try":
		return s.writeEach(request.Items, 0)
	case "block":
		return s.writeEach(request.Items, limit)
	case "batch":
		return s.writeBatch(request.Items, limit)
	}
	return nil, bad("mode %q", request.Mode)
}

func unsupported(what string) error {
	return shmwire.Errorf(shmwire.ErrUnsupported, "an endpoint of this role cannot %s", what)
}

func (s *shmcommSession) writeEach(items []shmcommItem, limit time.Duration) (object, error) {
	sender, able := s.end.(shmcommSender)
	if !able {
		return nil, unsupported("write")
	}
	results := []object{}
	for _, item := range items {
		raw, err := item.Data.bytes()
		if err != nil {
			return nil, err
		}
		meta, ticks, err := s.meta(item.Meta)
		if err != nil {
			return nil, err
		}
		sequence, err := sender.Send(raw, meta, limit)
		st, answer := status(err)
		if !answer {
			return nil, err
		}
		if err != nil {
			results = append(results, object{"st": st})
			break
		}
		s.in.tick(ticks)
		results = append(results, object{"st": st, "seq": decimal(sequence)})
	}
	return object{"results": results}, nil
}

// writeBatch tells sequences as they are when nobody else writes meanwhile.
func (s *shmcommSession) writeBatch(items []shmcommItem, limit time.Duration) (object, error) {
	batcher, able := s.end.(shmcommBatcher)
	if !able {
		return nil, unsupported("write a batch")
	}
	batch := make([][]byte, len(items))
	for i, item := range items {
		raw, err := item.Data.bytes()
		if err != nil {
			return nil, err
		}
		batch[i] = raw
	}
	meta, ticks, err := s.meta(nil)
	if err != nil {
		return nil, err
	}
	sent, sendErr := batcher.SendBatch(batch, meta, limit)
	st, answer := status(sendErr)
	if !answer {
		return nil, sendErr
	}
	if sent > 0 {
		s.in.tick(ticks)
	}
	info, err := s.end.Info()
	if err != nil {
		return nil, err
	}
	results := []object{}
	for i := 0; i < sent; i++ {
		results = append(results, object{"st": "ok", "seq": decimal(info.MessageCount - uint64(sent-i))})
	}
	if sendErr != nil {
		results = append(results, object{"st": st})
	}
	return object{"results": results}, nil
}

// shmcommClaim is a message that is filled in place.
type shmcommClaim struct{ *shmcomm.Claim }

func (s *shmcommSession) claim(body []byte) (object, claim, error) {
	var request struct {
		Len  *integer     `json:"len"`
		Meta *shmcommMeta `json:"meta"`
	}
	if err := decode(body, &request); err != nil {
		return nil, nil, err
	}
	length, err := request.Len.need("len", 1<<40)
	if err != nil {
		return nil, nil, err
	}
	batcher, able := s.end.(shmcommBatcher)
	if !able {
		return nil, nil, unsupported("claim")
	}
	meta, ticks, err := s.meta(request.Meta)
	if err != nil {
		return nil, nil, err
	}
	one, err := batcher.Claim(int(length), meta, 0)
	if err != nil {
		reply, err := answered(err)
		return reply, nil, err
	}
	s.in.tick(ticks)
	return object{"st": "ok", "capacity": decimal(uint64(len(one.Data)))}, &shmcommClaim{one}, nil
}

func (k *shmcommClaim) commit(body []byte, _ *injection) (object, error) {
	var request shmcommItem
	if err := decode(body, &request); err != nil {
		return nil, err
	}
	raw, err := request.Data.bytes()
	if err != nil {
		return nil, err
	}
	if len(raw) != len(k.Data) {
		return nil, bad("%d bytes of data, claimed were %d", len(raw), len(k.Data))
	}
	copy(k.Data, raw)
	sequence, err := k.Commit()
	if err != nil {
		return nil, err
	}
	return object{"st": "ok", "seq": decimal(sequence)}, nil
}

func (k *shmcommClaim) abandon() (object, error) { return object{}, k.Abandon() }
