// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"shmwire"
	"shmwire/dmxp"
)

var dmxpProfile = profile{
	classes:  []string{"inspect", "read", "write", "write-exact", "live", "blocking", "hardened", "recovery"},
	features: []string{"batch", "split", "inject", "sleep-hook"},
	create:   plainCreate(createDmxp),
	open:     plainOpen(openDmxp),
	join: func(seg, _ string, options json.RawMessage, _ []byte) (session, error) {
		return openDmxp(seg, false, 0, options)
	},
}

// dmxpSession is a segment and the channels of it that have been used.
type dmxpSession struct {
	segment  *dmxp.Segment
	channels map[uint32]*dmxp.Channel
	pending  map[uint32]error // met after some items had been read: the answer of the next read
	onSleep  func()           // run once, before the next sleep
}

func newDmxpSession(segment *dmxp.Segment, err error) (session, error) {
	if err != nil {
		return nil, err
	}
	return &dmxpSession{segment: segment, channels: map[uint32]*dmxp.Channel{}, pending: map[uint32]error{}}, nil
}

func createDmxp(seg string, raw json.RawMessage) (session, error) {
	var options struct {
		Size   integer  `json:"size"`
		Layout *integer `json:"payload_layout"`
		Mode   string   `json:"mode"`
	}
	if err := decode(raw, &options); err != nil {
		return nil, err
	}
	layout, err := options.Layout.within("payload_layout", 1<<32-1, uint64(dmxp.LayoutCrate))
	if err != nil {
		return nil, err
	}
	mode, err := octal(options.Mode)
	if err != nil {
		return nil, err
	}
	return newDmxpSession(dmxp.Create(seg, dmxp.WithSize(uint64(options.Size)), dmxp.WithPayloadLayout(uint32(layout)),
		dmxp.WithMode(mode)))
}

func openDmxp(seg string, readOnly bool, limit time.Duration, raw json.RawMessage) (session, error) {
	var request struct {
		Payload string `json:"payload"`
	}
	if err := decode(raw, &request); err != nil {
		return nil, err
	}
	choices := map[string]dmxp.PayloadChoice{
		"": dmxp.ChooseCrate, "crate": dmxp.ChooseCrate, "document": dmxp.ChooseDocument, "auto": dmxp.ChooseAuto,
	}
	choice, known := choices[request.Payload]
	if !known {
		return nil, bad("payload %q", request.Payload)
	}
	options := []dmxp.OpenOption{dmxp.WithPayloadChoice(choice), dmxp.WithReadyTimeout(limit)}
	if readOnly {
		options = append(options, dmxp.ReadOnly())
	}
	return newDmxpSession(dmxp.Open(seg, options...))
}

func (s *dmxpSession) close() { s.segment.Close() }

func (s *dmxpSession) seek([]byte) (object, error) {
	return nil, shmwire.Errorf(shmwire.ErrUnsupported, "dmxp has no private cursor")
}

// channel attaches at the first use.
func (s *dmxpSession) channel(number *integer) (*dmxp.Channel, error) {
	id, err := number.need("channel", 1<<32-1)
	if err != nil {
		return nil, err
	}
	if c, attached := s.channels[uint32(id)]; attached {
		return c, nil
	}
	c, err := s.segment.Attach(uint32(id), dmxp.WithSleepHook(func() {
		if hook := s.onSleep; hook != nil {
			s.onSleep = nil
			hook()
		}
	}))
	if err != nil {
		return nil, err
	}
	s.channels[uint32(id)] = c
	return c, nil
}

func (s *dmxpSession) inspect() (map[string]string, error) {
	info, err := s.segment.Info()
	if err != nil {
		return nil, err
	}
	fields := map[string]string{
		"header.magic":          decimal(info.Magic),
		"header.version":        decimal(uint64(info.Version)),
		"header.max_channels":   decimal(uint64(info.MaxChannels)),
		"header.channel_count":  decimal(uint64(info.ChannelCount)),
		"header.payload_layout": decimal(uint64(info.PayloadLayout)),
	}
	for id := uint32(0); id < dmxp.MaxChannels; id++ {
		channel, err := s.segment.ChannelInfo(id)
		if err != nil {
			return nil, err
		}
		if channel.Capacity != 0 {
			inspectChannel(fields, id, channel)
		}
	}
	return fields, nil
}

func inspectChannel(fields map[string]string, id uint32, channel dmxp.ChannelInfo) {
	for name, value := range map[string]uint64{
		"channel_id": uint64(channel.ID), "flags": uint64(channel.Flags), "capacity": channel.Capacity,
		"band_offset": channel.BandOffset, "signal": uint64(channel.Signal), "waiters": uint64(channel.Waiters),
		"retired_capacity": channel.RetiredCapacity, "removals": channel.Removals, "tail": channel.Tail, "head": channel.Head,
	} {
		fields[fmt.Sprintf("channel[%d].%s", id, name)] = decimal(value)
	}
}

// dmxpMeta is the `meta` of a request.
type dmxpMeta struct {
	MessageID     *integer `json:"message_id"`
	TimestampNS   *integer `json:"timestamp_ns"`
	MessageType   *integer `json:"message_type"`
	SenderPID     *integer `json:"sender_pid"`
	SenderRuntime *integer `json:"sender_runtime"`
	Flags         *integer `json:"flags"`
}

// meta is what a message carries, and how often it takes the injected clock: 0 times or once. ahead is how many
// messages before it in the same batch take it.
func (m *dmxpMeta) meta(in *injection, ahead int) (*dmxp.Meta, int, error) {
	if m == nil {
		m = &dmxpMeta{}
	}
	ticks := 0
	timestamp := m.TimestampNS
	if timestamp == nil && in.ClockNS != nil {
		ticks = 1
		next := *in.ClockNS + in.ClockStepNS*integer(ahead)
		timestamp = &next
	}
	var meta dmxp.Meta
	var errs [6]error
	meta.MessageID, errs[0] = m.MessageID.within("message_id", ^uint64(0), 0)
	meta.ExplicitID = m.MessageID != nil
	meta.TimestampNS, errs[1] = timestamp.within("timestamp_ns", ^uint64(0), 0)
	kind, err := m.MessageType.within("message_type", 1<<32-1, 0)
	meta.MessageType, errs[2] = uint32(kind), err
	pid, err := firstOf(m.SenderPID, in.PID).within("sender_pid", 1<<32-1, 0)
	meta.SenderPID, errs[3] = uint32(pid), err
	runtime, err := firstOf(m.SenderRuntime, in.Runtime).within("sender_runtime", 1<<16-1, 0)
	meta.SenderRuntime, errs[4] = uint16(runtime), err
	flags, err := m.Flags.within("flags", 1<<16-1, 0)
	meta.Flags, errs[5] = uint16(flags), err
	for _, err := range errs {
		if err != nil {
			return nil, 0, err
		}
	}
	return &meta, ticks, nil
}

func firstOf(own, injected *integer) *integer {
	if own != nil {
		return own
	}
	return injected
}

// dmxpItem is one of the `items` of a write.
type dmxpItem struct {
	Data *data     `json:"data"`
	Meta *dmxpMeta `json:"meta"`
}

func (s *dmxpSession) write(body []byte, in *injection) (object, error) {
	var request struct {
		Channel   *integer   `json:"channel"`
		Items     []dmxpItem `json:"items"`
		Mode      string     `json:"mode"`
		TimeoutMS *integer   `json:"timeout_ms"`
	}
	if err := decode(body, &request); err != nil {
		return nil, err
	}
	limit, err := request.TimeoutMS.millis("timeout_ms")
	if err != nil {
		return nil, err
	}
	if request.Mode != "try" && request.Mode != "block" && request.Mode != "batch" {
		return nil, bad("mode %q", request.Mode)
	}
	c, err := s.channel(request.Channel)
	if err != nil {
		return nil, err
	}
	if request.Mode == "batch" {
		return writeBatch(c, request.Items, in)
	}
	return writeEach(c, request.Items, in, request.Mode == "block", limit)
}

// result is one of the `results` of a write.
func result(position uint64, err error) (object, error) {
	st, answer := status(err)
	switch {
	case !answer:
		return nil, err
	case st == "ok":
		return object{"st": st, "pos": decimal(position)}, nil
	}
	return object{"st": st}, nil
}

func writeEach(c *dmxp.Channel, items []dmxpItem, in *injection, block bool, limit time.Duration) (object, error) {
	results := []object{}
	for _, item := range items {
		raw, err := item.Data.bytes()
		if err != nil {
			return nil, err
		}
		meta, ticks, err := item.Meta.meta(in, 0)
		if err != nil {
			return nil, err
		}
		position, sendErr := sendOne(c, raw, meta, block, limit)
		one, err := result(position, sendErr)
		if err != nil {
			return nil, err
		}
		results = append(results, one)
		if sendErr != nil {
			break
		}
		in.tick(ticks)
	}
	return object{"results": results}, nil
}

func sendOne(c *dmxp.Channel, raw []byte, meta *dmxp.Meta, block bool, limit time.Duration) (uint64, error) {
	if !block {
		return c.TrySend(raw, meta)
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return c.Send(ctx, raw, meta)
}

func writeBatch(c *dmxp.Channel, items []dmxpItem, in *injection) (object, error) {
	batch := make([]dmxp.Item, len(items))
	total := 0
	for i, item := range items {
		raw, err := item.Data.bytes()
		if err != nil {
			return nil, err
		}
		meta, ticks, err := item.Meta.meta(in, total)
		if err != nil {
			return nil, err
		}
		batch[i] = dmxp.Item{Data: raw, Meta: meta}
		total += ticks
	}
	position, sendErr := c.SendBatch(batch)
	one, err := result(position, sendErr)
	if err != nil {
		return nil, err
	}
	if sendErr == nil {
		in.tick(total)
	}
	return object{"results": []object{one}}, nil
}

// dmxpClaim is a claimed slot.
type dmxpClaim struct{ slot dmxp.Claim }

func (s *dmxpSession) claim(body []byte) (object, claim, error) {
	var request struct {
		Channel *integer `json:"channel"`
	}
	if err := decode(body, &request); err != nil {
		return nil, nil, err
	}
	c, err := s.channel(request.Channel)
	if err != nil {
		return nil, nil, err
	}
	slot, err := c.Claim()
	st, answer := status(err)
	switch {
	case !answer:
		return nil, nil, err
	case st != "ok":
		return object{"st": st}, nil, nil
	}
	return object{"st": st, "pos": decimal(slot.Position), "capacity": decimal(uint64(len(slot.Payload)))}, &dmxpClaim{slot}, nil
}

func (k *dmxpClaim) commit(body []byte, in *injection) (object, error) {
	var request dmxpItem
	if err := decode(body, &request); err != nil {
		return nil, err
	}
	raw, err := request.Data.bytes()
	if err != nil {
		return nil, err
	}
	meta, ticks, err := request.Meta.meta(in, 0)
	if err != nil {
		return nil, err
	}
	if len(raw) <= len(k.slot.Payload) {
		copy(k.slot.Payload, raw)
	}
	if err := k.slot.Commit(len(raw), meta); err != nil {
		return nil, err
	}
	in.tick(ticks)
	return object{}, nil
}

func (k *dmxpClaim) abandon() (object, error) { return object{}, k.slot.Abandon() }

// call is the profile's verbs.
func (s *dmxpSession) call(verb string, raw json.RawMessage) (object, error) {
	var args struct {
		Channel  *integer `json:"channel"`
		Capacity integer  `json:"capacity"`
		Counted  bool     `json:"counted_waiters"`
		AllDead  bool     `json:"all_dead"`
	}
	if err := decode(raw, &args); err != nil {
		return nil, err
	}
	switch verb {
	case "dmxp.channel_create":
		id, err := args.Channel.need("channel", 1<<32-1)
		if err != nil {
			return nil, err
		}
		options := []dmxp.ChannelOption{dmxp.WithCapacity(uint64(args.Capacity))}
		if args.Counted {
			options = append(options, dmxp.WithCountedWaiters())
		}
		return object{}, s.segment.CreateChannel(uint32(id), options...)
	case "dmxp.channel_remove":
		id, err := args.Channel.need("channel", 1<<32-1)
		if err != nil {
			return nil, err
		}
		return object{}, s.segment.RemoveChannel(uint32(id))
	case "dmxp.channels":
		ids, err := s.segment.Channels()
		return object{"channels": ids}, err
	case "dmxp.validate":
		return object{}, s.segment.Validate()
	case "dmxp.recover":
		return recovered(s.segment.Recover(args.AllDead))
	case "":
		return nil, bad("verb is missing")
	}
	return nil, shmwire.Errorf(shmwire.ErrUnsupported, "verb %q", verb)
}

func recovered(report dmxp.Recovery, err error) (object, error) {
	return object{
		"tombstones": decimal(report.Tombstones), "possibly_lost": decimal(report.PossiblyLost),
		"waiters_reset": decimal(report.WaitersReset), "count_repaired": report.CountRepaired,
	}, err
}
