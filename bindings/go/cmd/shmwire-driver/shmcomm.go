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
	Name       *string  `json:"name"`
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
	if o.Name != nil {
		name = *o.Name
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
