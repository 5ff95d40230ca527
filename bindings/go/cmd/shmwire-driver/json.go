// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"shmwire"
)

// Codes that only drivers use.
const (
	unknownCommand = "UNKNOWN_COMMAND"
	badRequest     = "BAD_REQUEST"
)

// requestError is an error of the request and not of the implementation.
type requestError struct{ code, detail string }

func (e *requestError) Error() string { return e.code + ": " + e.detail }

func bad(format string, args ...any) error {
	return &requestError{badRequest, fmt.Sprintf(format, args...)}
}

// object is a reply, or a part of one.
type object map[string]any

// errorReply is what stands under "err".
func errorReply(err error) object {
	var request *requestError
	if errors.As(err, &request) {
		return object{"code": request.code, "detail": request.detail}
	}
	reply := object{"code": shmwire.CodeOf(err).Name(), "detail": err.Error()}
	var detailed *shmwire.Error
	if errors.As(err, &detailed) && detailed.Code == shmwire.ErrTooSmall {
		reply["needed"] = strconv.Itoa(detailed.Needed)
	}
	var stopped *stoppedError
	if errors.As(err, &stopped) {
		reply["done"] = stopped.done
	}
	return reply
}

// decode reads the fields of a request, or of a part of one, that a command knows.
func decode(body []byte, into any) error {
	if len(body) == 0 {
		return nil
	}
	if err := json.Unmarshal(body, into); err != nil {
		return bad("%v", err)
	}
	return nil
}

// integer is an unsigned number in either form: a JSON number or a decimal string.
type integer uint64

func (n *integer) UnmarshalJSON(text []byte) error {
	value, err := strconv.ParseUint(string(bytes.Trim(text, `"`)), 10, 64)
	if err != nil {
		return fmt.Errorf("%s is not an unsigned integer", text)
	}
	*n = integer(value)
	return nil
}

// within answers the number if it is at most most, and fallback if it is absent.
func (n *integer) within(name string, most, fallback uint64) (uint64, error) {
	if n == nil {
		return fallback, nil
	}
	if uint64(*n) > most {
		return 0, bad("%s is above %d", name, most)
	}
	return uint64(*n), nil
}

// need is within for a number that must be there.
func (n *integer) need(name string, most uint64) (uint64, error) {
	if n == nil {
		return 0, bad("%s is missing", name)
	}
	return n.within(name, most, 0)
}

func decimal(value uint64) string { return strconv.FormatUint(value, 10) }

// millis is a time limit; absent, it is 0.
func (n *integer) millis(name string) (time.Duration, error) {
	value, err := n.within(name, 1<<32, 0)
	return time.Duration(value) * time.Millisecond, err
}

// octal is a mode; absent, it is 0.
func octal(text string) (uint32, error) {
	if text == "" {
		return 0, nil
	}
	mode, err := strconv.ParseUint(text, 8, 32)
	if err != nil {
		return 0, bad("mode: %v", err)
	}
	return uint32(mode), nil
}

// mostItems bounds `max`, and with it the memory of one read.
const mostItems = 1 << 16

// readBounds are `max` and `timeout_ms` of a read.
func readBounds(max, timeout *integer) (most uint64, limit time.Duration, err error) {
	if most, err = max.within("max", mostItems, 1); err != nil || most == 0 {
		return 0, 0, bad("max is not 1 to %d", mostItems)
	}
	limit, err = timeout.millis("timeout_ms")
	return most, limit, err
}

const (
	longestPattern = 64 << 20
	longestHex     = 4096
	headBytes      = 32
)

// data is bytes in a request: hex digits or a pattern.
type data struct {
	Hex  *string  `json:"hex"`
	Pat  *integer `json:"pat"`
	Seed integer  `json:"seed"`
	Len  *integer `json:"len"`
}

func (d *data) bytes() ([]byte, error) {
	switch {
	case d == nil:
		return nil, bad("data is missing")
	case d.Hex != nil:
		raw, err := hex.DecodeString(*d.Hex)
		if err != nil {
			return nil, bad("hex: %v", err)
		}
		return raw, nil
	case d.Pat != nil && *d.Pat == 1:
		length, err := d.Len.need("len", longestPattern)
		if err != nil {
			return nil, err
		}
		return pattern(uint64(d.Seed), length), nil
	}
	return nil, bad("data has neither hex nor a known pat")
}

func pattern(seed, length uint64) []byte {
	raw := make([]byte, length)
	for i := range raw {
		raw[i] = byte(31*seed + 17*uint64(i) + 101*(uint64(i)>>8))
	}
	return raw
}

// bytesReply is bytes in a reply.
func bytesReply(raw []byte) object {
	if len(raw) <= longestHex {
		return object{"hex": hex.EncodeToString(raw)}
	}
	sum := sha256.Sum256(raw)
	return object{
		"len": strconv.Itoa(len(raw)), "sha256": hex.EncodeToString(sum[:]), "head": hex.EncodeToString(raw[:headBytes]),
	}
}

// status is the `st` of an answer that is not an error, and false for errors.
func status(err error) (string, bool) {
	switch {
	case err == nil:
		return "ok", true
	case errors.Is(err, shmwire.ErrEmpty):
		return "empty", true
	case errors.Is(err, shmwire.ErrFull):
		return "full", true
	case errors.Is(err, shmwire.ErrLapped):
		return "lapped", true
	case errors.Is(err, shmwire.ErrTimeout):
		return "timeout", true
	case errors.Is(err, shmwire.ErrClosed):
		return "closed", true
	}
	return "", false
}
