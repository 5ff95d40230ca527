// SPDX-License-Identifier: MIT

// Command shmwire-driver puts the Go implementation behind the driver protocol (spec/driver-protocol.md): one JSON
// object per line on standard input, one per line on standard output. Each profile is a file; see profile.go for what
// it provides.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"shmwire"
)

const (
	protocol    = 1
	longestLine = 1 << 20
)

func main() {
	if err := serve(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "shmwire-driver:", err)
		os.Exit(2)
	}
}

// serve answers requests until bye or the end of the input.
func serve(in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 0, 64<<10), longestLine+2)
	replies := bufio.NewWriter(out)
	encoder := json.NewEncoder(replies)
	encoder.SetEscapeHTML(false)
	driver := newDriver()
	defer driver.reset()
	for !driver.leaving && lines.Scan() {
		if err := encoder.Encode(driver.answer(lines.Bytes())); err != nil {
			return err
		}
		if err := replies.Flush(); err != nil {
			return err
		}
	}
	return lines.Err()
}

// driver is the state of a run: handles and injections.
type driver struct {
	sessions map[uint64]session
	claims   map[uint64]openClaim
	last     uint64 // handle given out
	injected injection
	armed    *actor
	leaving  bool
}

// openClaim is a claim and the handle of the segment that it belongs to.
type openClaim struct {
	claim
	owner uint64
}

func newDriver() *driver {
	return &driver{sessions: map[uint64]session{}, claims: map[uint64]openClaim{}}
}

// envelope is what every request has.
type envelope struct {
	ID  json.RawMessage `json:"id"`
	Cmd string          `json:"cmd"`
}

// answer handles one request. A fault in it, from a segment that was truncated under its mapping, is an error like
// any other.
func (d *driver) answer(line []byte) object {
	var head envelope
	if err := decode(line, &head); err != nil {
		return object{"id": nil, "err": errorReply(err)}
	}
	var reply object
	err := shmwire.Guard(func() (err error) {
		reply, err = d.run(head.Cmd, line)
		return err
	})
	if err != nil {
		return object{"id": head.ID, "err": errorReply(err)}
	}
	return object{"id": head.ID, "ok": reply}
}

func (d *driver) run(command string, body []byte) (object, error) {
	commands := map[string]func([]byte) (object, error){
		"hello": d.hello, "reset": d.cmdReset, "inject": d.inject, "create": d.create, "open": d.open, "inspect": d.inspect,
		"write": d.write, "claim": d.claim, "commit": d.commit, "abandon": d.abandon, "read": d.read, "seek": d.seek,
		"call": d.call, "arm": d.arm, "go": d.cmdGo, "close": d.close, "bye": d.bye,
	}
	run, known := commands[command]
	if !known {
		return nil, &requestError{unknownCommand, command}
	}
	return run(body)
}

func (d *driver) hello(body []byte) (object, error) {
	var request struct {
		Proto []int `json:"proto"`
	}
	if err := decode(body, &request); err != nil {
		return nil, err
	}
	understood := len(request.Proto) == 0
	for _, version := range request.Proto {
		understood = understood || version == protocol
	}
	if !understood {
		return nil, shmwire.Errorf(shmwire.ErrUnsupported, "this driver speaks protocol %d", protocol)
	}
	offers := object{}
	for name, profile := range profiles {
		offers[name] = object{"classes": profile.classes, "features": profile.features}
	}
	return object{
		"proto":    protocol,
		"driver":   object{"name": "shmwire-driver-go", "version": shmwire.Version},
		"impl":     object{"name": "shmwire-go", "version": shmwire.Version, "language": "go"},
		"profiles": offers,
	}, nil
}

func (d *driver) cmdReset([]byte) (object, error) {
	d.reset()
	return object{}, nil
}

// reset drops everything. A claim goes with its segment: its slot stays claimed.
func (d *driver) reset() {
	d.disarm()
	for _, s := range d.sessions {
		s.close()
	}
	leaving, last := d.leaving, d.last
	*d = *newDriver()
	d.leaving, d.last = leaving, last
}

func (d *driver) inject(body []byte) (object, error) { return object{}, d.injected.merge(body) }

func (d *driver) create(body []byte) (object, error) {
	var request struct {
		Profile string          `json:"profile"`
		Seg     string          `json:"seg"`
		Options json.RawMessage `json:"options"`
	}
	if err := decode(body, &request); err != nil {
		return nil, err
	}
	profile, err := profileNamed(request.Profile)
	if err != nil {
		return nil, err
	}
	if request.Seg == "" {
		return nil, bad("seg is missing")
	}
	return d.keep(profile.create(request.Seg, request.Options, &d.injected))
}

func (d *driver) open(body []byte) (object, error) {
	var request struct {
		Profile   string          `json:"profile"`
		Seg       string          `json:"seg"`
		Mode      string          `json:"mode"`
		Options   json.RawMessage `json:"options"`
		TimeoutMS *integer        `json:"timeout_ms"`
	}
	if err := decode(body, &request); err != nil {
		return nil, err
	}
	profile, err := profileNamed(request.Profile)
	if err != nil {
		return nil, err
	}
	if request.Seg == "" || request.Mode != "ro" && request.Mode != "rw" {
		return nil, bad("seg is missing, or mode is neither ro nor rw")
	}
	limit, err := request.TimeoutMS.millis("timeout_ms")
	if err != nil {
		return nil, err
	}
	return d.keep(profile.open(request.Seg, request.Mode == "ro", limit, request.Options, &d.injected))
}

func (d *driver) keep(s session, err error) (object, error) {
	if err != nil {
		return nil, err
	}
	d.last++
	d.sessions[d.last] = s
	return object{"h": d.last}, nil
}

// session finds the handle h of a request.
func (d *driver) session(body []byte) (session, uint64, error) {
	var request struct {
		H *integer `json:"h"`
	}
	if err := decode(body, &request); err != nil {
		return nil, 0, err
	}
	handle, err := request.H.need("h", ^uint64(0))
	if err != nil {
		return nil, 0, err
	}
	s, known := d.sessions[handle]
	if !known {
		return nil, 0, bad("h %d is not a handle", handle)
	}
	return s, handle, nil
}

func (d *driver) inspect(body []byte) (object, error) {
	s, _, err := d.session(body)
	if err != nil {
		return nil, err
	}
	fields, err := s.inspect()
	return object{"fields": fields}, err
}

func (d *driver) write(body []byte) (object, error) {
	s, _, err := d.session(body)
	if err != nil {
		return nil, err
	}
	return s.write(body, &d.injected)
}

func (d *driver) read(body []byte) (object, error) {
	s, _, err := d.session(body)
	if err != nil {
		return nil, err
	}
	return s.read(body)
}

func (d *driver) seek(body []byte) (object, error) {
	s, _, err := d.session(body)
	if err != nil {
		return nil, err
	}
	return s.seek(body)
}

func (d *driver) call(body []byte) (object, error) {
	var request struct {
		Verb string          `json:"verb"`
		Args json.RawMessage `json:"args"`
	}
	if err := decode(body, &request); err != nil {
		return nil, err
	}
	for _, profile := range profiles {
		if run, known := profile.verbs[request.Verb]; known {
			return run(request.Args)
		}
	}
	s, _, err := d.session(body)
	if err != nil {
		return nil, err
	}
	return s.call(request.Verb, request.Args)
}

func (d *driver) claim(body []byte) (object, error) {
	s, handle, err := d.session(body)
	if err != nil {
		return nil, err
	}
	reply, claimed, err := s.claim(body)
	if err == nil && claimed != nil {
		d.last++
		d.claims[d.last] = openClaim{claimed, handle}
		reply["c"] = d.last
	}
	return reply, err
}

// claimed finds the claim handle c of a request.
func (d *driver) claimed(body []byte) (claim, uint64, error) {
	var request struct {
		C *integer `json:"c"`
	}
	if err := decode(body, &request); err != nil {
		return nil, 0, err
	}
	handle, err := request.C.need("c", ^uint64(0))
	if err != nil {
		return nil, 0, err
	}
	c, known := d.claims[handle]
	if !known {
		return nil, 0, bad("c %d is not a claim", handle)
	}
	return c, handle, nil
}

func (d *driver) commit(body []byte) (object, error) {
	c, handle, err := d.claimed(body)
	if err != nil {
		return nil, err
	}
	return d.conclude(handle)(c.commit(body, &d.injected))
}

func (d *driver) abandon(body []byte) (object, error) {
	c, handle, err := d.claimed(body)
	if err != nil {
		return nil, err
	}
	return d.conclude(handle)(c.abandon())
}

// conclude forgets a claim, unless it failed: then it is still open.
func (d *driver) conclude(handle uint64) func(object, error) (object, error) {
	return func(reply object, err error) (object, error) {
		if err != nil {
			return nil, err
		}
		delete(d.claims, handle)
		return reply, nil
	}
}

func (d *driver) close(body []byte) (object, error) {
	s, handle, err := d.session(body)
	if err != nil {
		return nil, err
	}
	for c, open := range d.claims {
		if open.owner == handle {
			delete(d.claims, c)
		}
	}
	delete(d.sessions, handle)
	s.close()
	return object{}, nil
}

func (d *driver) arm(body []byte) (object, error) {
	d.disarm()
	a, err := newActor(body)
	if err != nil {
		return nil, err
	}
	d.armed = a
	return object{}, nil
}

func (d *driver) cmdGo([]byte) (object, error) {
	if d.armed == nil || d.armed.done {
		return nil, bad("go without arm")
	}
	d.armed.done = true
	if port, able := d.armed.port.(stayer); !able || !port.stays() {
		defer d.disarm()
	}
	return d.armed.run()
}

func (d *driver) disarm() {
	if d.armed != nil {
		d.armed.end()
		d.armed = nil
	}
}

func (d *driver) bye([]byte) (object, error) {
	d.leaving = true
	return object{}, nil
}
