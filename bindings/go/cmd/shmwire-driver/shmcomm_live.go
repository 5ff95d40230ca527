// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"time"

	"shmwire"
	"shmwire/shmcomm"
)

// contentEnd marks the message that ends a live reader's run.
const contentEnd = 0xFFFF

// shmcommPlan is what this profile adds to the plan of an actor.
type shmcommPlan struct {
	As      string          `json:"as"`
	Open    json.RawMessage `json:"open"`
	Credit  *creditPlan     `json:"credit"`
	Ends    integer         `json:"ends"`
	View    bool            `json:"view"`
	Wait    string          `json:"wait"`
	ReplyMS *integer        `json:"reply_ms"`
	LimitMS *integer        `json:"limit_ms"`
}

// joinShmcomm opens an actor's endpoint.
func joinShmcomm(seg, role string, _ json.RawMessage, body []byte) (session, error) {
	var plan shmcommPlan
	if err := decode(body, &plan); err != nil {
		return nil, err
	}
	writes := plan.As == "publisher" || plan.As == "pusher" || plan.As == "requester"
	if writes != (role == "write") {
		return nil, bad("as %q with role %q", plan.As, role)
	}
	var request shmcommOptions
	if err := decode(plan.Open, &request); err != nil {
		return nil, err
	}
	request.Role = plan.As
	in := &injection{}
	options, err := request.options(in, 0)
	if err != nil {
		return nil, err
	}
	return request.newSession(seg, options, in)
}

// live makes the port of an actor.
func (s *shmcommSession) live(body []byte) (port, error) {
	var plan shmcommPlan
	if err := decode(body, &plan); err != nil {
		return nil, err
	}
	p := &shmcommPort{session: s, meta: shmcomm.Meta{ContentType: shmcomm.ContentRaw}, plan: plan, ends: uint64(plan.Ends)}
	if p.ends == 0 {
		p.ends = 1
	}
	reply, err := plan.LimitMS.millis("limit_ms")
	if err == nil && plan.ReplyMS != nil {
		reply, err = plan.ReplyMS.millis("reply_ms")
	}
	p.reply = reply
	if err == nil && plan.Credit != nil {
		role := "write"
		if plan.As == "subscriber" {
			role = "read"
		}
		p.credit, err = openCredit(plan.Credit, role)
	}
	if err != nil {
		return nil, err
	}
	switch end := s.end.(type) {
	case *shmcomm.Requester:
		return &shmcommAsker{shmcommPort: p, requester: end}, nil
	case *shmcomm.Replier:
		return &shmcommAnswerer{shmcommPort: p, replier: end}, nil
	}
	return p, nil
}

// shmcommPort is the port of a publisher, a subscriber, a pusher or a puller.
type shmcommPort struct {
	session  *shmcommSession
	plan     shmcommPlan
	credit   *credit
	meta     shmcomm.Meta
	reply    time.Duration // how long a requester waits for a reply
	ends     uint64        // messages END that a subscriber still waits for
	buffer   []byte
	messages []shmcomm.Message
	items    [][]byte
	full     uint64 // batches of which only the first messages found room
	lost     uint64
	owed     uint64 // lost behind the message delivered last: views that did not stay whole
}

func (p *shmcommPort) batchLimit() int {
	if _, able := p.session.end.(shmcommBatchReceiver); able {
		return liveBatch(p.session.info.MaxPayload)
	}
	return mostEntries
}

func (p *shmcommPort) payloadLimit() int { return int(p.session.info.MaxPayload) }

// within is how many of so many messages there is credit for: none of them may overtake a subscriber.
func (p *shmcommPort) within(messages []liveMessage) (int, error) {
	if p.credit == nil {
		return len(messages), nil
	}
	info, err := p.session.end.Info()
	if err != nil {
		return 0, err
	}
	slowest := p.credit.slowest()
	if slowest == creditEnded {
		return len(messages), nil
	}
	ahead := info.MessageCount - slowest
	if ahead >= p.credit.window {
		return 0, nil
	}
	if room := p.credit.window - ahead; room < uint64(len(messages)) {
		return int(room), nil
	}
	return len(messages), nil
}

// send waits for credit first: of a batch it sends what there is credit for.
func (p *shmcommPort) send(messages []liveMessage, wait time.Duration) (n int, err error) {
	if p.plan.As == "puller" { // the END of another one: the runner sends more
		return len(messages), nil
	}
	able, err := p.within(messages)
	if err != nil {
		return 0, err
	}
	if able == 0 {
		time.Sleep(creditPause)
		return 0, shmwire.ErrTimeout
	}
	n, err = p.sendSome(messages[:able], wait)
	switch {
	case n == 0:
	case errors.Is(err, shmwire.ErrFull), errors.Is(err, shmwire.ErrTimeout): // the rest is sent by the next call
		p.full++
		err = nil
	case errors.Is(err, shmwire.ErrBusy):
		err = nil
	}
	return n, err
}

const creditPause = 200 * time.Microsecond

// sendSome sends one message, or a batch of them; a lock that is held for long is asked for again.
func (p *shmcommPort) sendSome(messages []liveMessage, wait time.Duration) (n int, err error) {
	for try := 0; ; try++ {
		if len(messages) == 1 {
			_, err = p.session.end.(shmcommSender).Send(messages[0].payload, &p.meta, wait)
			n, err = allOrNone(1, err)
		} else {
			p.items = payloads(p.items[:0], messages)
			n, err = p.session.end.(shmcommBatcher).SendBatch(p.items, &p.meta, wait)
		}
		if n > 0 || !errors.Is(err, shmwire.ErrBusy) || try == busyTries {
			return n, err
		}
	}
}

const busyTries = 100

func (p *shmcommPort) receive(messages []liveMessage, wait time.Duration) (int, error) {
	n, err := p.take(len(messages), wait)
	kept := 0
	for i := range p.messages[:n] {
		m := &p.messages[i]
		m.Lost, p.owed = m.Lost+p.owed, 0
		p.lost += m.Lost
		messages[kept] = liveMessage{payload: m.Payload, kind: m.Sender, position: m.Sequence, skipped: m.Lost}
		if m.ContentType == contentEnd {
			if p.ends--; p.ends > 0 {
				continue // it waits for another one
			}
			p.ends = 1
			messages[kept].kind = kindEnd
		}
		kept++
	}
	if n > 0 && p.credit != nil {
		p.credit.report(p.messages[n-1].Sequence + 1)
	}
	return kept, err
}

// take receives what is there, or waits for one.
func (p *shmcommPort) take(most int, wait time.Duration) (int, error) {
	if len(p.messages) < most {
		p.messages = make([]shmcomm.Message, most)
		p.buffer = make([]byte, most*(int(p.session.info.MaxPayload)+int(shmcomm.FrameOverhead)))
	}
	if p.plan.View {
		return p.takeView(wait)
	}
	if most == 1 {
		return allOrNone(1, p.session.end.(shmcommReceiver).ReceiveInto(p.buffer, wait, &p.messages[0]))
	}
	return p.session.end.(shmcommBatchReceiver).ReceiveBatch(p.buffer, p.messages[:most], wait)
}

// takeView copies a view, and counts it if it was whole until then.
func (p *shmcommPort) takeView(wait time.Duration) (int, error) {
	view, err := p.session.end.(shmcommFollower).View(wait)
	if err != nil {
		return 0, err
	}
	view.Payload = p.buffer[:copy(p.buffer, view.Payload)]
	if err := view.Check(); err != nil {
		p.owed += view.Lost + 1
		return 0, err
	}
	p.messages[0] = view.Message
	return 1, nil
}

func (p *shmcommPort) summary(counts object) {
	full, writes := counts["full"].(uint64)
	switch {
	case !writes:
		counts["lost"] = p.lost
	case p.plan.As == "publisher": // which was never refused, but for want of credit
		counts["full"] = 0
	default:
		counts["full"] = full + p.full
	}
}

func (p *shmcommPort) end() {
	if p.credit != nil {
		p.credit.close()
	}
}

// shmcommAsker is the port of a requester: each message that it sends is one whose reply has come, or did not.
type shmcommAsker struct {
	*shmcommPort
	requester                     *shmcomm.Requester
	replied, timeouts, mismatched uint64
}

func (p *shmcommAsker) batchLimit() int { return 1 }

func (p *shmcommAsker) send(messages []liveMessage, wait time.Duration) (int, error) {
	request := messages[0].payload
	if n, err := p.shmcommPort.send(messages[:1], wait); n == 0 || err != nil {
		return n, err
	}
	if p.buffer == nil {
		p.buffer = make([]byte, p.payloadLimit())
	}
	var m shmcomm.Message
	err := p.await(&m)
	switch {
	case errors.Is(err, shmwire.ErrTimeout):
		p.timeouts++
	case err == nil && bytes.Equal(m.Payload, request):
		p.replied++
	case err == nil, errors.Is(err, shmwire.ErrTooSmall):
		p.mismatched++
	default:
		return 1, err
	}
	return 1, nil
}

// await waits for the reply, asleep or awake as the plan says.
func (p *shmcommAsker) await(m *shmcomm.Message) error {
	if p.plan.Wait == "block" {
		return p.requester.ReceiveInto(p.buffer, p.reply, m)
	}
	for limit := time.Now().Add(p.reply); ; {
		err := p.requester.ReceiveInto(p.buffer, 0, m)
		if !errors.Is(err, shmwire.ErrEmpty) {
			return err
		}
		if time.Now().After(limit) {
			return shmwire.ErrTimeout
		}
		time.Sleep(spinPause)
	}
}

// spinPause is short of a sleep: it lets others run, on one processor too.
const spinPause = time.Microsecond

func (p *shmcommAsker) summary(counts object) {
	counts["replied"], counts["timeouts"], counts["mismatched"] = p.replied, p.timeouts, p.mismatched
}

// shmcommAnswerer is the port of a replier: it answers every request with its payload.
type shmcommAnswerer struct {
	*shmcommPort
	replier *shmcomm.Replier
	open    []shmcomm.Message
}

func (p *shmcommAnswerer) send(messages []liveMessage, _ time.Duration) (int, error) {
	return len(messages), nil // the END of another one: the runner sends more
}

func (p *shmcommAnswerer) receive(messages []liveMessage, wait time.Duration) (int, error) {
	n, err := p.shmcommPort.receive(messages, wait)
	p.open = p.messages[:n]
	return n, err
}

// conclude answers what was received by the last call.
func (p *shmcommAnswerer) conclude() error {
	for i := range p.open {
		if m := &p.open[i]; m.ContentType != contentEnd {
			if err := p.answer(m); err != nil {
				return err
			}
		}
	}
	p.open = nil
	return nil
}

// answer insists while the ring of a requester that lives is full, or its lock held.
func (p *shmcommAnswerer) answer(m *shmcomm.Message) error {
	for try := 0; ; try++ {
		err := p.replier.Reply(m, m.Payload, &p.meta, waitSlice)
		switch {
		case errors.Is(err, shmwire.ErrClosed), errors.Is(err, shmwire.ErrTooLarge):
			return nil // dropped, and counted
		case try < replyTries && (errors.Is(err, shmwire.ErrTimeout) || errors.Is(err, shmwire.ErrBusy)):
		default:
			return err
		}
	}
}

const replyTries = 100
