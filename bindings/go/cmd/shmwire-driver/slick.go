// SPDX-License-Identifier: MIT

package main

import (
	"encoding/json"
	"fmt"
	"time"

	"shmwire"
	"shmwire/slick"
)

var slickProfile = profile{
	classes:  []string{"inspect", "read", "write", "write-exact", "live", "blocking", "hardened", "recovery"},
	features: []string{"batch", "split", "view", "share"},
	create:   plainCreate(createSlick),
	open:     plainOpen(openSlick),
	join:     joinSlick,
}

// slickSession is a queue, and the producer and the reader that were made of it at their first use.
type slickSession struct {
	queue    *slick.Queue
	cursor   *slick.Cursor // nil: the reader has its own
	options  slickOptions
	producer *slick.Producer
	reader   *slick.Reader
	pending  pendingError
	views    views
}

// slickOptions are the options of open.
type slickOptions struct {
	slickStart
	Cursor  string   `json:"cursor"`
	StallMS *integer `json:"stall_ms"`
}

// slickStart says where a reader or a cursor begins.
type slickStart struct {
	From  string   `json:"from"`
	Index *integer `json:"index"`
}

func (s *slickStart) start() (slick.Start, error) {
	switch {
	case s.Index != nil:
		return slick.StartAt(uint64(*s.Index)), nil
	case s.From == "" || s.From == "oldest":
		return slick.StartOldest, nil
	case s.From == "latest":
		return slick.StartLatest, nil
	}
	return slick.Start{}, bad("from %q", s.From)
}

var slickGenerations = map[string]slick.Generation{
	"": 0, "1.2": slick.Generation12, "1.3": slick.Generation13, "1.4": slick.Generation14,
}

func createSlick(seg string, raw json.RawMessage) (session, error) {
	var request struct {
		Size         integer `json:"size"`
		ElementSize  integer `json:"element_size"`
		Generation   string  `json:"generation"`
		PortableName bool    `json:"portable_name"`
		Mode         string  `json:"mode"`
	}
	if err := decode(raw, &request); err != nil {
		return nil, err
	}
	generation, known := slickGenerations[request.Generation]
	if !known {
		return nil, bad("generation %q", request.Generation)
	}
	if request.Size >= 1<<32 || request.ElementSize >= 1<<32 {
		return nil, shmwire.Errorf(shmwire.ErrInvalidArgument, "size or element_size is above 2^32")
	}
	mode, err := octal(request.Mode)
	if err != nil {
		return nil, err
	}
	options := []slick.CreateOption{
		slick.WithSize(uint32(request.Size)), slick.WithGeneration(generation), slick.WithMode(mode),
	}
	if request.PortableName {
		options = append(options, slick.WithPortableName())
	}
	queue, err := slick.Create(seg, uint32(request.ElementSize), options...)
	return newSlickSession(queue, err, raw)
}

func openSlick(seg string, readOnly bool, limit time.Duration, raw json.RawMessage) (session, error) {
	options := []slick.OpenOption{slick.WithReadyTimeout(limit)}
	if readOnly {
		options = append(options, slick.ReadOnly())
	}
	queue, err := slick.Open(seg, options...)
	return newSlickSession(queue, err, raw)
}

// joinSlick opens a queue for an actor of a live run. A reader's plan has its options itself.
func joinSlick(seg, role string, _ json.RawMessage, body []byte) (session, error) {
	var plan struct {
		Open json.RawMessage `json:"open"`
	}
	if err := decode(body, &plan); err != nil {
		return nil, err
	}
	if role == "read" {
		return openSlick(seg, true, 0, body)
	}
	return openSlick(seg, false, 0, plan.Open)
}

func newSlickSession(queue *slick.Queue, err error, raw json.RawMessage) (session, error) {
	if err != nil {
		return nil, err
	}
	s := &slickSession{queue: queue}
	if err = decode(raw, &s.options); err == nil {
		_, err = s.options.start()
	}
	if err == nil && s.options.Cursor != "" {
		s.cursor, err = slick.OpenCursor(s.options.Cursor)
	}
	if err != nil {
		queue.Close()
		return nil, err
	}
	return s, nil
}

func (s *slickSession) close() {
	if s.producer != nil {
		s.producer.Close()
	}
	if s.cursor != nil {
		s.cursor.Close()
	}
	s.queue.Close()
}

func (s *slickSession) needProducer() (*slick.Producer, error) {
	if s.producer == nil {
		stall, err := s.options.StallMS.millis("stall_ms")
		if err != nil {
			return nil, err
		}
		if s.producer, err = s.queue.NewProducer(slick.WithStall(stall)); err != nil {
			return nil, err
		}
	}
	return s.producer, nil
}

func (s *slickSession) inspect() (map[string]string, error) {
	header, err := s.queue.Header()
	if err != nil {
		return nil, err
	}
	slots, err := s.queue.Slots()
	if err != nil {
		return nil, err
	}
	fields := map[string]string{
		"header.reserved":       decimal(header.Reserved),
		"header.size":           decimal(uint64(header.Size)),
		"header.element_size":   decimal(uint64(header.ElementSize)),
		"header.last_published": decimal(header.LastPublished),
		"header.header_magic":   decimal(uint64(header.HeaderMagic)),
		"header.settled":        decimal(header.Settled),
		"header.init_state":     decimal(uint64(header.InitState)),
	}
	for i, slot := range slots {
		fields[fmt.Sprintf("slot[%d].data_index", i)] = decimal(slot.DataIndex)
		fields[fmt.Sprintf("slot[%d].size", i)] = decimal(uint64(slot.Size))
	}
	return fields, nil
}

func (s *slickSession) write(body []byte, _ *injection) (object, error) {
	producer, err := s.needProducer()
	if err != nil {
		return nil, err
	}
	items, batch, err := decodeItems(body)
	if err != nil {
		return nil, err
	}
	indices, n := make([]uint64, len(items)), 0
	if batch {
		n, err = producer.WriteBatch(items, indices)
	} else {
		for ; n < len(items); n++ {
			if indices[n], err = producer.Write(items[n]); err != nil {
				break
			}
		}
	}
	st, answer := status(err)
	if !answer {
		return nil, err
	}
	results := []object{}
	for _, index := range indices[:n] {
		results = append(results, object{"st": "ok", "pos": decimal(index)})
	}
	if err != nil {
		results = append(results, object{"st": st})
	}
	return object{"results": results}, nil
}

// slickClaim is a reservation.
type slickClaim struct{ slick.Claim }

func (s *slickSession) claim(body []byte) (object, claim, error) {
	var request struct {
		Elements *integer `json:"elements"`
	}
	producer, err := s.needProducer()
	if err == nil {
		err = decode(body, &request)
	}
	if err != nil {
		return nil, nil, err
	}
	elements, err := request.Elements.need("elements", 1<<62)
	if err != nil {
		return nil, nil, err
	}
	one, err := producer.Reserve(int(elements))
	if err != nil {
		reply, err := answered(err)
		return reply, nil, err
	}
	reply := object{"st": "ok", "pos": decimal(one.Index), "capacity": decimal(uint64(len(one.Data)))}
	return reply, &slickClaim{one}, nil
}

func (k *slickClaim) commit(body []byte, _ *injection) (object, error) {
	var request struct {
		Data *data `json:"data"`
	}
	if err := decode(body, &request); err != nil {
		return nil, err
	}
	raw, err := request.Data.bytes()
	if err != nil {
		return nil, err
	}
	if len(raw) != len(k.Data) {
		return nil, bad("%d bytes of data, capacity %d", len(raw), len(k.Data))
	}
	copy(k.Data, raw)
	return answered(k.Publish())
}

func (k *slickClaim) abandon() (object, error) { return answered(k.Abandon()) }

// call is the profile's verbs.
func (s *slickSession) call(verb string, raw json.RawMessage) (object, error) {
	switch verb {
	case "slick.info":
		return s.info()
	case "slick.validate":
		return object{}, s.queue.Validate()
	case "slick.last":
		return s.last()
	case "slick.reset":
		return object{}, s.queue.Reset()
	case "slick.recover":
		return s.recover(raw)
	case "slick.view_check":
		return s.views.check(raw)
	case "slick.cursor_create":
		return s.createCursor(raw)
	}
	return nil, shmwire.Errorf(shmwire.ErrUnsupported, "verb %q", verb)
}

func (s *slickSession) info() (object, error) {
	info, err := s.queue.Info()
	if err != nil {
		return nil, err
	}
	var written slick.ProducerInfo
	var read slick.ReaderInfo
	if s.producer != nil {
		written = s.producer.Info()
	}
	if s.reader != nil {
		read = s.reader.Info()
	}
	return object{
		"generation": info.Generation.String(), "shm_name": s.queue.ShmName(), "size": info.Size,
		"element_size": info.ElementSize, "next_index": decimal(info.NextIndex), "settled": decimal(info.Settled),
		"items_written": decimal(written.ItemsWritten), "given_up": decimal(written.GivenUp), "cursor": decimal(read.Cursor),
		"items_read": decimal(read.ItemsRead), "lost": decimal(read.Lost), "resets": decimal(read.Resets),
	}, nil
}

func (s *slickSession) recover(raw json.RawMessage) (object, error) {
	var args struct {
		AllDead bool `json:"all_dead"`
	}
	if err := decode(raw, &args); err != nil {
		return nil, err
	}
	holes, err := s.queue.Recover(args.AllDead)
	return object{"holes": decimal(holes)}, err
}

func (s *slickSession) createCursor(raw json.RawMessage) (object, error) {
	var args slickOptions
	if err := decode(raw, &args); err != nil {
		return nil, err
	}
	start, err := args.start()
	if err != nil {
		return nil, err
	}
	if args.Cursor == "" {
		return nil, bad("cursor is missing")
	}
	cursor, err := s.queue.CreateCursor(args.Cursor, start)
	if err != nil {
		return nil, err
	}
	return object{}, cursor.Close()
}
