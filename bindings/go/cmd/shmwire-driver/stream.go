// SPDX-License-Identifier: MIT

package main

import (
	"encoding/json"
	"errors"
	"time"

	"shmwire"
)

// What the profiles share whose readers have a cursor of their own.

const (
	mostEntries   = 1024     // of one reply, so that it stays below the protocol's 4 MiB
	liveBufferMax = 64 << 20 // bytes of a live reader's buffer
)

// stream is a reader behind `read`.
type stream interface {
	largest() uint64 // what a buffer for any item has, bytes
	readOne(buffer []byte) ([]object, error)
	waitOne(buffer []byte, limit time.Duration) ([]object, error)
	readBatch(buffer []byte, most int) ([]object, error)
	readView() ([]object, error)
}

// pendingError was met after some items had been read: the answer of the next read.
type pendingError struct{ error }

// read answers a `read` request.
func (p *pendingError) read(from stream, body []byte) (object, error) {
	var request struct {
		Max       *integer `json:"max"`
		Mode      string   `json:"mode"`
		TimeoutMS *integer `json:"timeout_ms"`
		Buffer    *integer `json:"buffer"`
	}
	if err := decode(body, &request); err != nil {
		return nil, err
	}
	most, limit, err := readBounds(request.Max, request.TimeoutMS)
	if err != nil {
		return nil, err
	}
	size := from.largest()
	if size > longestPattern {
		size = longestPattern
	}
	if size, err = request.Buffer.within("buffer", longestPattern, size); err != nil {
		return nil, err
	}
	if most > mostEntries {
		most = mostEntries
	}
	return p.readMode(from, request.Mode, make([]byte, size), int(most), limit)
}

func (p *pendingError) readMode(from stream, mode string, buffer []byte, most int, limit time.Duration) (object, error) {
	var read func(have int) ([]object, error)
	calls := most
	switch mode {
	case "try":
		read = func(int) ([]object, error) { return from.readOne(buffer) }
	case "block":
		read = func(have int) ([]object, error) {
			if have > 0 {
				return from.readOne(buffer)
			}
			return from.waitOne(buffer, limit)
		}
	case "batch":
		calls, read = 1, func(int) ([]object, error) { return from.readBatch(buffer, most) }
	case "view":
		calls, read = 1, func(int) ([]object, error) { return from.readView() }
	case "peek":
		return nil, shmwire.Errorf(shmwire.ErrUnsupported, "peek: readers take nothing away, reading is looking")
	default:
		return nil, bad("mode %q", mode)
	}
	if err := p.error; err != nil {
		p.error = nil
		return nil, err
	}
	return p.collect(calls, read)
}

// collect calls read up to so many times.
func (p *pendingError) collect(calls int, read func(have int) ([]object, error)) (object, error) {
	items := []object{}
	for call := 0; call < calls; call++ {
		more, err := read(len(items))
		items = append(items, more...)
		if err == nil {
			continue
		}
		st, answer := status(err)
		switch {
		case len(items) == 0 && !answer:
			return nil, err
		case len(items) == 0:
			return object{"st": st, "items": items}, nil
		case !answer:
			p.error = err
		}
		break
	}
	return object{"st": "ok", "items": items}, nil
}

// view is an item that was lent.
type view interface{ Check() error }

// views are those of a handle; the first one is number 1.
type views []view

// keep gives a view the handle that its item then names.
func (v *views) keep(one view, item object) {
	*v = append(*v, one)
	item["view"] = len(*v)
}

// check is the verb view_check.
func (v views) check(args json.RawMessage) (object, error) {
	var request struct {
		V *integer `json:"v"`
	}
	if err := decode(args, &request); err != nil {
		return nil, err
	}
	number, err := request.V.need("v", ^uint64(0))
	if err != nil {
		return nil, err
	}
	if number == 0 || number > uint64(len(v)) {
		return nil, bad("v %d is not a view of this handle", number)
	}
	return answered(v[number-1].Check())
}

// answered is the reply that says no more than `st`.
func answered(err error) (object, error) {
	st, answer := status(err)
	if !answer {
		return nil, err
	}
	return object{"st": st}, nil
}

// decodeItems reads the items of a `write` request, and whether they are to be written in one call.
func decodeItems(body []byte) (items [][]byte, batch bool, err error) {
	var request struct {
		Items []struct {
			Data *data `json:"data"`
		} `json:"items"`
		Mode string `json:"mode"`
	}
	if err := decode(body, &request); err != nil {
		return nil, false, err
	}
	if request.Mode != "batch" && request.Mode != "try" && request.Mode != "block" { // a writer never waits
		return nil, false, bad("mode %q", request.Mode)
	}
	for _, item := range request.Items {
		raw, err := item.Data.bytes()
		if err != nil {
			return nil, false, err
		}
		items = append(items, raw)
	}
	return items, request.Mode == "batch", nil
}

// liveBatch is how many items of so many bytes a live reader takes at once.
func liveBatch(largest uint64) int {
	switch n := liveBufferMax / largest; {
	case n < 1:
		return 1
	case n < mostEntries:
		return int(n)
	}
	return mostEntries
}

func payloads(items [][]byte, messages []liveMessage) [][]byte {
	for i := range messages {
		items = append(items, messages[i].payload)
	}
	return items
}

// errEnded says that a live reader's run is over.
var errEnded = errors.New("the run is over")

// allOrNone is what a send answers that sends all of its messages or none.
func allOrNone(n int, err error) (int, error) {
	if err != nil {
		return 0, err
	}
	return n, nil
}
