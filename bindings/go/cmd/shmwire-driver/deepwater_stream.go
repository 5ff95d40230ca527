// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"time"

	"shmwire"
	"shmwire/deepwater"
)

// Appending and reading.

func deepwaterItem(record *deepwater.Record) object {
	return object{
		"data": bytesReply(record.Data), "seq": decimal(record.Sequence), "ts": decimal(record.TimestampNS), "type": record.Type,
		"chunk": decimal(record.ChunkID),
	}
}

// deepwaterPart is one of the `items` of a write.
type deepwaterPart struct {
	Data *data    `json:"data"`
	TS   *integer `json:"ts"`
	Type *integer `json:"type"`
}

func (p *deepwaterPart) part() (part deepwater.Part, err error) {
	if part.Data, err = p.Data.bytes(); err != nil {
		return part, err
	}
	if part.TimestampNS, err = p.TS.need("ts", ^uint64(0)); err != nil {
		return part, err
	}
	kind, err := p.Type.within("type", 1<<32-1, 0)
	part.Type = uint32(kind)
	return part, err
}

func (s *deepwaterSession) write(body []byte, _ *injection) (object, error) {
	var request struct {
		Items []deepwaterPart `json:"items"`
		Mode  string          `json:"mode"`
	}
	if s.writer == nil {
		return nil, errReaderWrites
	}
	if err := decode(body, &request); err != nil {
		return nil, err
	}
	if request.Mode != "try" && request.Mode != "batch" {
		return nil, bad("mode %q", request.Mode)
	}
	parts := make([]deepwater.Part, len(request.Items))
	for i := range request.Items {
		var err error
		if parts[i], err = request.Items[i].part(); err != nil {
			return nil, err
		}
	}
	sequences, err := s.append(parts, request.Mode == "batch")
	if err != nil {
		return nil, &stoppedError{err, len(sequences)}
	}
	results := []object{}
	for _, sequence := range sequences {
		results = append(results, object{"st": "ok", "seq": decimal(sequence)})
	}
	return object{"results": results}, nil
}

// append answers the sequences of what was appended, also beside an error.
func (s *deepwaterSession) append(parts []deepwater.Part, batch bool) (sequences []uint64, err error) {
	if !batch {
		for i := range parts {
			sequence, err := s.writer.Append(parts[i].TimestampNS, parts[i].Type, parts[i].Data)
			if err != nil {
				return sequences, err
			}
			sequences = append(sequences, sequence)
		}
		return sequences, nil
	}
	done, err := s.writer.AppendBatch(parts)
	info, infoErr := s.writer.Feed()
	for i := 0; i < done; i++ {
		sequences = append(sequences, info.LastSequence+1-uint64(done-i))
	}
	if err == nil {
		err = infoErr
	}
	return sequences, err
}

// stoppedError is the error of an item of a write, and how many were written before it.
type stoppedError struct {
	error
	done int
}

func (e *stoppedError) Unwrap() error { return e.error }

func (s *deepwaterSession) read(body []byte) (object, error) {
	var request struct {
		Max       *integer `json:"max"`
		Mode      string   `json:"mode"`
		TimeoutMS *integer `json:"timeout_ms"`
	}
	if s.reader == nil {
		return nil, errWriterReads
	}
	if err := decode(body, &request); err != nil {
		return nil, err
	}
	most, limit, err := readBounds(request.Max, request.TimeoutMS)
	if err != nil {
		return nil, err
	}
	if most > mostEntries {
		most = mostEntries
	}
	items := []object{}
	if err, s.pending = s.pending, nil; err == nil {
		var more []object
		more, err = s.readMode(request.Mode, int(most), limit)
		items = append(items, more...)
	}
	if len(items) > 0 {
		if _, answer := status(err); !answer {
			s.pending = err
		}
		return object{"st": "ok", "items": items}, nil
	}
	if errors.Is(err, shmwire.ErrExpired) {
		return object{"st": "expired", "lost": decimal(s.lost), "items": items}, nil
	}
	st, answer := status(err)
	if !answer {
		return nil, err
	}
	return object{"st": st, "items": items}, nil
}

// readMode reads until there are enough items, or an error. Each is made into a reply at once: its bytes are lent.
func (s *deepwaterSession) readMode(mode string, most int, limit time.Duration) (items []object, err error) {
	var record deepwater.Record
	switch mode {
	case "batch":
		records := make([]deepwater.Record, most)
		n, err := s.reader.NextBatch(records)
		s.lost = records[0].Lost
		for i := range records[:n] {
			items = append(items, deepwaterItem(&records[i]))
		}
		return items, err
	case "block":
		record, err = s.reader.WaitNext(limit)
	case "try":
		record, err = s.reader.Next()
	case "peek", "view":
		return nil, shmwire.Errorf(shmwire.ErrUnsupported, "%s: readers take nothing away, and copy nothing", mode)
	default:
		return nil, bad("mode %q", mode)
	}
	for ; err == nil; record, err = s.reader.Next() {
		if items = append(items, deepwaterItem(&record)); len(items) == most {
			return items, nil
		}
	}
	s.lost = record.Lost
	return items, err
}

func (s *deepwaterSession) seek(body []byte) (object, error) {
	var request deepwaterStart
	if s.reader == nil {
		return nil, errWriterReads
	}
	if err := decode(body, &request); err != nil {
		return nil, err
	}
	start, err := request.start()
	if err != nil {
		return nil, err
	}
	s.pending = nil
	return object{}, s.reader.Seek(start)
}
