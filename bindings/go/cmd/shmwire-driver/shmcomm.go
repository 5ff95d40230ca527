// SPDX-License-Identifier: MIT

package main

import (
	"encoding/json"
	"time"

	"shmwire"
	"shmwire/shmcomm"
)

var shmcommProfile = profile{
	classes:  []string{"inspect", "read", "write", "write-exact", "live", "blocking", "hardened", "recovery"},
	features: []string{"batch", "split", "view", "lapped"},
	create:   createShmcomm,
	open:     openShmcomm,
	join:     joinShmcomm,
	verbs: map[string]func(json.RawMessage) (object, error){
		"shmcomm.recover": recoverShmcomm, "shmcomm.remove": removeShmcomm,
	},
}

// What endpoints can do, each as much of it as its role allows.
type (
	shmcommEnd interface {
		Info() (shmcomm.Info, error)
		Look() (shmcomm.Header, []shmcomm.Message, error)
		SegmentName() string
		Close() error
	}
	shmcommSender interface {
		Send(data []byte, meta *shmcomm.Meta, timeout time.Duration) (uint64, error)
	}
	shmcommBatcher interface {
		SendBatch(items [][]byte, meta *shmcomm.Meta, timeout time.Duration) (int, error)
		Claim(length int, meta *shmcomm.Meta, timeout time.Duration) (*shmcomm.Claim, error)
	}
	shmcommReceiver interface {
		ReceiveInto(buffer []byte, timeout time.Duration, m *shmcomm.Message) error
	}
	shmcommBatchReceiver interface {
		ReceiveBatch(buffer []byte, messages []shmcomm.Message, timeout time.Duration) (int, error)
	}
	shmcommFollower interface {
		View(timeout time.Duration) (shmcomm.View, error)
		Seek(oldest bool) error
	}
)

// shmcommSession is an endpoint.
type shmcommSession struct {
	end      shmcommEnd
	info     shmcomm.Info // as it was at first
	in       *injection
	pending  pendingError
	views    views
	requests []shmcomm.Message // of a replier; the first one is number 1
	single   bool              // a requester, which has no more than one reply to wait for
	has      bool              // a single reply was read in this call
	owed     bool              // a loss is to be told: the answer of the next read
	lost     uint64
}

// shmcommOptions are the options of create and open.
type shmcommOptions struct {
	Role       string   `json:"role"`
	Name       string   `json:"name"`
	Capacity   integer  `json:"capacity"`
	Serializer *integer `json:"serializer"`
	Mode       string   `json:"mode"`
	Making     string   `json:"making"`
	Sole       bool     `json:"sole"`
	From       string   `json:"from"`
	TellLost   bool     `json:"tell_lost"`
	ReadOnly   bool     `json:"read_only"`
	Identity   struct {
		Endpoint      *integer `json:"endpoint"`
		Instance      integer  `json:"instance"`
		CorrelationID integer  `json:"correlation_id"`
	} `json:"identity"`
}

// options are those of the library.
func (o *shmcommOptions) options(in *injection, limit time.Duration) (*shmcomm.Options, error) {
	options := &shmcomm.Options{
		Capacity: uint64(o.Capacity), Sole: o.Sole, TellLost: o.TellLost, ReadOnly: o.ReadOnly, Oldest: o.From == "oldest",
		Making: shmcomm.JoinOnly, NoWait: limit == 0, ReadyTimeout: limit,
	}
	switch o.Making {
	case "", "join":
	case "any":
		options.Making = shmcomm.JoinOrCreate
	default:
		return nil, bad("making %q", o.Making)
	}
	if o.From != "" && o.From != "oldest" && o.From != "latest" {
		return nil, bad("from %q", o.From)
	}
	serializer, err := o.Serializer.within("serializer", 1<<16-1, 0)
	if err != nil {
		return nil, err
	}
	endpoint, err := o.Identity.Endpoint.within("identity.endpoint", 1<<32-1, 0)
	if err != nil {
		return nil, err
	}
	options.Serializer = uint16(serializer)
	options.Identity = shmcomm.Identity{
		Endpoint: uint32(endpoint), Instance: uint64(o.Identity.Instance), CorrelationID: uint64(o.Identity.CorrelationID),
	}
	if in.PID != nil {
		options.Identity.PID = uint32(*in.PID)
	}
	if in.BootNS != nil {
		options.Identity.BootNS = uint64(*in.BootNS)
	}
	options.Mode, err = octal(o.Mode)
	return options, err
}

func createShmcomm(seg string, raw json.RawMessage, in *injection) (session, error) {
	var request shmcommOptions
	if err := decode(raw, &request); err != nil {
		return nil, err
	}
	if request.Role != "publisher" && request.Role != "pusher" && request.Role != "replier" {
		return nil, bad("role %q", request.Role)
	}
	options, err := request.options(in, 0)
	if err != nil {
		return nil, err
	}
	options.Making = shmcomm.CreateOnly
	return request.newSession(seg, options, in)
}

func openShmcomm(seg string, readOnly bool, limit time.Duration, raw json.RawMessage, in *injection) (session, error) {
	var request shmcommOptions
	if err := decode(raw, &request); err != nil {
		return nil, err
	}
	if readOnly {
		if request.Role == "" {
			request.Role = "observer"
		}
		if request.Role != "observer" && request.Role != "subscriber" {
			return nil, bad("role %q of a handle that only reads", request.Role)
		}
		request.ReadOnly = true
	}
	options, err := request.options(in, limit)
	if err != nil {
		return nil, err
	}
	return request.newSession(seg, options, in)
}

func (o *shmcommOptions) newSession(seg string, options *shmcomm.Options, in *injection) (session, error) {
	name := seg
	if o.Name != "" {
		name = o.Name
	}
	end, err := openEnd(o.Role, name, options)
	if err != nil {
		return nil, err
	}
	s := &shmcommSession{end: end, in: in, single: o.Role == "requester"}
	if s.info, err = end.Info(); err != nil {
		end.Close()
		return nil, err
	}
	return s, nil
}

// openEnd opens an endpoint of a role. Each constructor is called apart: a nil pointer in an interface is not nil.
func openEnd(role, name string, options *shmcomm.Options) (end shmcommEnd, err error) {
	switch role {
	case "publisher":
		end, err = shmcomm.NewPublisher(name, options)
	case "subscriber":
		end, err = shmcomm.NewSubscriber(name, options)
	case "pusher":
		end, err = shmcomm.NewPusher(name, options)
	case "puller":
		end, err = shmcomm.NewPuller(name, options)
	case "requester":
		end, err = shmcomm.NewRequester(name, options)
	case "replier":
		end, err = shmcomm.NewReplier(name, options)
	case "observer":
		end, err = shmcomm.NewObserver(name, options)
	default:
		err = bad("role %q", role)
	}
	return end, err
}

func (s *shmcommSession) close() { s.end.Close() }

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

// call is the profile's verbs that have a handle.
func (s *shmcommSession) call(verb string, raw json.RawMessage) (object, error) {
	switch verb {
	case "shmcomm.info":
		return s.infoReply()
	case "shmcomm.validate":
		observer, able := s.end.(*shmcomm.Observer)
		if !able {
			return nil, unsupported("validate")
		}
		return object{}, observer.Validate()
	case "shmcomm.reply":
		return s.reply(raw)
	case "shmcomm.view_check":
		return s.views.check(raw)
	case "":
		return nil, bad("verb is missing")
	}
	return nil, shmwire.Errorf(shmwire.ErrUnsupported, "verb %q", verb)
}

func (s *shmcommSession) reply(raw json.RawMessage) (object, error) {
	replier, able := s.end.(*shmcomm.Replier)
	if !able {
		return nil, unsupported("reply")
	}
	var args struct {
		shmcommItem
		Request   *integer `json:"request"`
		TimeoutMS *integer `json:"timeout_ms"`
	}
	if err := decode(raw, &args); err != nil {
		return nil, err
	}
	number, err := args.Request.need("request", ^uint64(0))
	if err != nil {
		return nil, err
	}
	if number == 0 || number > uint64(len(s.requests)) {
		return nil, bad("request %d is not one of this handle", number)
	}
	limit, err := args.TimeoutMS.millis("timeout_ms")
	if err != nil {
		return nil, err
	}
	payload, err := args.Data.bytes()
	if err != nil {
		return nil, err
	}
	var meta *shmcomm.Meta // nil: the reply channel has a serializer of its own
	ticks := 0
	if args.Meta != nil || s.in.ClockNS != nil {
		if meta, ticks, err = s.meta(args.Meta); err != nil {
			return nil, err
		}
	}
	reply, err := answered(replier.Reply(&s.requests[number-1], payload, meta, limit))
	if err == nil && reply["st"] == "ok" {
		s.in.tick(ticks)
	}
	return reply, err
}

func recoverShmcomm(raw json.RawMessage) (object, error) {
	seg, _, err := segArgs(raw)
	if err != nil {
		return nil, err
	}
	report, err := shmcomm.Recover(seg)
	return object{"lock_taken": report.LockTaken, "count_repaired": report.CountRepaired, "swept": report.Swept}, err
}

func removeShmcomm(raw json.RawMessage) (object, error) {
	seg, insist, err := segArgs(raw)
	if err != nil {
		return nil, err
	}
	return answered(shmcomm.Remove(seg, insist))
}

func segArgs(raw json.RawMessage) (seg string, insist bool, err error) {
	var args struct {
		Seg    string `json:"seg"`
		Insist bool   `json:"insist"`
	}
	if err = decode(raw, &args); err == nil && args.Seg == "" {
		err = bad("seg is missing")
	}
	return args.Seg, args.Insist, err
}
