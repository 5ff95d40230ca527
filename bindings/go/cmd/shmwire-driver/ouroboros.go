// SPDX-License-Identifier: MIT

package main

import (
	"encoding/json"
	"fmt"
	"time"

	"shmwire"
	"shmwire/ouroboros"
)

var ouroborosProfile = profile{
	classes:  []string{"inspect", "read", "write", "write-exact", "live", "blocking", "hardened", "recovery"},
	features: []string{"batch", "view"},
	create:   plainCreate(createOuroboros),
	open:     plainOpen(openOuroboros),
	join:     joinOuroboros,
}

// rowCommitted is row.offset bit 63, which the library shows apart.
const rowCommitted = uint64(1) << 63

// ouroborosSession is a writer or a reader: the other one is nil.
type ouroborosSession struct {
	seg     string
	writer  *ouroboros.Writer
	reader  *ouroboros.Reader
	pending pendingError
	views   views
}

func newWriterSession(seg string, writer *ouroboros.Writer, err error) (session, error) {
	if err != nil {
		return nil, err
	}
	return &ouroborosSession{seg: seg, writer: writer}, nil
}

func createOuroboros(seg string, raw json.RawMessage) (session, error) {
	var options struct {
		ChunkCount *integer `json:"chunk_count"`
		Target     integer  `json:"chunk_target_size"`
		Size       integer  `json:"size"`
	}
	if err := decode(raw, &options); err != nil {
		return nil, err
	}
	count, err := options.ChunkCount.within("chunk_count", 1<<32-1, 0)
	if err != nil {
		return nil, err
	}
	writer, err := ouroboros.Create(seg, ouroboros.WithChunkCount(uint32(count)),
		ouroboros.WithChunkTarget(uint64(options.Target)), ouroboros.WithSize(uint64(options.Size)))
	return newWriterSession(seg, writer, err)
}

func openOuroboros(seg string, readOnly bool, limit time.Duration, raw json.RawMessage) (session, error) {
	if readOnly {
		return openLogReader(seg, limit, raw)
	}
	var options struct {
		Resume *bool   `json:"resume"`
		Target integer `json:"chunk_target_size"`
	}
	if err := decode(raw, &options); err != nil {
		return nil, err
	}
	if options.Resume != nil && !*options.Resume {
		return nil, shmwire.Errorf(shmwire.ErrUnsupported, "a log is opened read-write to take it over: resume is false")
	}
	writer, err := ouroboros.Resume(seg, ouroboros.WithChunkTarget(uint64(options.Target)))
	return newWriterSession(seg, writer, err)
}

func openLogReader(seg string, limit time.Duration, raw json.RawMessage) (session, error) {
	var options struct {
		From string `json:"from"`
	}
	if err := decode(raw, &options); err != nil {
		return nil, err
	}
	start, err := startNamed("from", options.From)
	if err != nil {
		return nil, err
	}
	reader, err := ouroboros.Open(seg, ouroboros.WithStart(start), ouroboros.WithReadyTimeout(limit))
	if err != nil {
		return nil, err
	}
	return &ouroborosSession{seg: seg, reader: reader}, nil
}

// joinOuroboros opens a log for an actor of a live run, whose plan has the options of a reader itself.
func joinOuroboros(seg, role string, options json.RawMessage, body []byte) (session, error) {
	if role == "read" {
		return openLogReader(seg, 0, body)
	}
	return openOuroboros(seg, false, 0, options)
}

func startNamed(field, name string) (ouroboros.Start, error) {
	switch name {
	case "", "auto":
		return ouroboros.StartAuto, nil
	case "latest":
		return ouroboros.StartLatest, nil
	case "oldest":
		return ouroboros.StartOldest, nil
	}
	return 0, bad("%s %q", field, name)
}

func (s *ouroborosSession) close() {
	if s.writer != nil {
		s.writer.Close()
		return
	}
	s.reader.Close()
}

func (s *ouroborosSession) needReader() error {
	if s.reader == nil {
		return shmwire.Errorf(shmwire.ErrUnsupported, "this handle is a writer")
	}
	return nil
}

func (s *ouroborosSession) seek(body []byte) (object, error) {
	var request struct {
		To string `json:"to"`
	}
	err := s.needReader()
	if err == nil {
		err = decode(body, &request)
	}
	if err != nil {
		return nil, err
	}
	if request.To == "" {
		return nil, bad("to is missing")
	}
	start, err := startNamed("to", request.To)
	if err != nil {
		return nil, err
	}
	s.pending.error = nil
	return object{}, s.reader.Seek(start)
}

// ouroborosLog is what writers and readers share.
type ouroborosLog interface {
	Header() (ouroboros.Header, error)
	Rows() ([]ouroboros.Row, error)
	Validate() error
}

func (s *ouroborosSession) log() ouroborosLog {
	if s.writer != nil {
		return s.writer
	}
	return s.reader
}

func (s *ouroborosSession) inspect() (map[string]string, error) {
	header, err := s.log().Header()
	if err != nil {
		return nil, err
	}
	rows, err := s.log().Rows()
	if err != nil {
		return nil, err
	}
	fields := map[string]string{
		"header.magic":       decimal(header.Magic),
		"header.version":     decimal(uint64(header.Version)),
		"header.chunk_count": decimal(uint64(header.ChunkCount)),
	}
	for i, row := range rows {
		offset := row.Offset
		if row.Committed {
			offset |= rowCommitted
		}
		fields[fmt.Sprintf("row[%d].offset", i)] = decimal(offset)
		fields[fmt.Sprintf("row[%d].token", i)] = decimal(row.Token)
	}
	return fields, nil
}

func (s *ouroborosSession) write(body []byte, _ *injection) (object, error) {
	if s.writer == nil {
		return nil, shmwire.Errorf(shmwire.ErrUnsupported, "this handle is a reader")
	}
	items, batch, err := decodeItems(body)
	switch {
	case err != nil:
		return nil, err
	case batch:
		return s.writeBatch(items)
	}
	return s.writeEach(items)
}

func (s *ouroborosSession) writeBatch(items [][]byte) (object, error) {
	first, err := s.writer.WriteBatch(items)
	if err != nil {
		return nil, err
	}
	results := []object{}
	for i := range items {
		results = append(results, written(first+uint64(i)))
	}
	return object{"results": results}, nil
}

func (s *ouroborosSession) writeEach(items [][]byte) (object, error) {
	results := []object{}
	for _, data := range items {
		sequence, err := s.writer.Write(data)
		if err != nil {
			return nil, err
		}
		results = append(results, written(sequence))
	}
	return object{"results": results}, nil
}

func written(sequence uint64) object { return object{"st": "ok", "seq": decimal(sequence)} }

func (s *ouroborosSession) call(verb string, args json.RawMessage) (object, error) {
	switch verb {
	case "ouroboros.info":
		return s.info(), nil
	case "ouroboros.validate":
		return object{}, s.log().Validate()
	case "ouroboros.view_check":
		return s.views.check(args)
	}
	return nil, shmwire.Errorf(shmwire.ErrUnsupported, "verb %q", verb)
}

func (s *ouroborosSession) info() object {
	if s.writer != nil {
		info := s.writer.Info()
		return object{
			"entries_written": decimal(info.EntriesWritten), "max_payload": decimal(info.MaxPayload),
			"chunk_target_size": decimal(info.ChunkTarget), "chunk_count": info.ChunkCount,
		}
	}
	info := s.reader.Info()
	return object{
		"total_entries_read": decimal(info.TotalEntriesRead), "total_skipped": decimal(info.TotalSkipped),
		"next_sequence": decimal(info.NextSequence), "chunk_count": info.ChunkCount,
	}
}

func (s *ouroborosSession) claim([]byte) (object, claim, error) {
	return nil, nil, shmwire.Errorf(shmwire.ErrUnsupported, "ouroboros has no claims")
}
