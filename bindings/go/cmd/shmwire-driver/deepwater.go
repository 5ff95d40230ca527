// SPDX-License-Identifier: MIT

package main

import (
	"encoding/json"
	"time"

	"shmwire"
	"shmwire/deepwater"
)

var deepwaterProfile = profile{
	classes:  []string{"inspect", "read", "write", "write-exact", "live", "blocking", "hardened", "recovery"},
	features: []string{"batch"},
	create:   createDeepwater,
	open:     openDeepwater,
	join:     joinDeepwater,
	verbs: map[string]func(json.RawMessage) (object, error){
		"deepwater.feeds": deepwaterFeeds, "deepwater.validate": deepwaterValidate, "deepwater.retire": deepwaterRetire,
		"deepwater.gc": deepwaterCollect,
	},
}

const (
	deepwaterFeed  = "feed" // when the request names none
	deepwaterChunk = 4096   // bytes, when the request does not say
)

// deepwaterSession is a feed's writer, or a reader of it: the other one is nil.
type deepwaterSession struct {
	writer  *deepwater.Writer
	reader  *deepwater.Reader
	pending error // met behind items: the answer of the next read
	lost    uint64
}

// deepwaterStart is where a reader begins, or goes.
type deepwaterStart struct {
	From     string   `json:"from"`
	To       string   `json:"to"` // of seek, in place of from
	Time     *integer `json:"time"`
	Sequence *integer `json:"sequence"`
}

func (s *deepwaterStart) start() (deepwater.Start, error) {
	word := s.From
	if word == "" {
		word = s.To
	}
	switch {
	case s.Time != nil:
		return deepwater.AtTime(uint64(*s.Time)), nil
	case s.Sequence != nil:
		return deepwater.AtSequence(uint64(*s.Sequence)), nil
	case word == "" || word == "oldest":
		return deepwater.Oldest, nil
	case word == "latest":
		return deepwater.Latest, nil
	}
	return deepwater.Oldest, bad("from or to is %q", word)
}

// deepwaterOptions are the options of create and open.
type deepwaterOptions struct {
	deepwaterStart
	Feed          *string  `json:"feed"`
	Persist       bool     `json:"persist"`
	ChunkSize     *integer `json:"chunk_size"`
	LiveWindow    *integer `json:"live_window"`
	RecordSize    *integer `json:"record_size"`
	RotateNS      integer  `json:"rotate_ns"`
	Rows          *integer `json:"rows"`
	Feeds         *integer `json:"feeds"`
	Mode          string   `json:"mode"`
	Any           bool     `json:"any"`
	EndWithWriter bool     `json:"end_with_writer"`
	ReadOnly      bool     `json:"read_only"`
}

func (o *deepwaterOptions) feed() string {
	if o.Feed == nil {
		return deepwaterFeed
	}
	return *o.Feed
}

// options are those of the library.
func (o *deepwaterOptions) options(in *injection) (*deepwater.Options, error) {
	options := &deepwater.Options{Persist: o.Persist, RotateNS: uint64(o.RotateNS), ChunkSize: deepwaterChunk}
	if o.ChunkSize != nil {
		options.ChunkSize = uint64(*o.ChunkSize)
	}
	for _, field := range []struct {
		name string
		from *integer
		to   *uint32
	}{
		{"live_window", o.LiveWindow, &options.LiveWindow}, {"record_size", o.RecordSize, &options.RecordSize},
		{"rows", o.Rows, &options.Rows}, {"feeds", o.Feeds, &options.Feeds},
	} {
		value, err := field.from.within(field.name, 1<<32-1, 0)
		if err != nil {
			return nil, err
		}
		*field.to = uint32(value)
	}
	if in.PID != nil {
		options.Identity.PID = uint32(*in.PID)
	}
	if in.ClockNS != nil {
		options.Identity.ClockNS = uint64(*in.ClockNS)
	}
	if in.BootNS != nil {
		options.Identity.BootNS = uint64(*in.BootNS)
	}
	var err error
	options.Mode, err = octal(o.Mode)
	return options, err
}

func (o *deepwaterOptions) openWriter(seg string, making deepwater.Making, in *injection) (session, error) {
	options, err := o.options(in)
	if err != nil {
		return nil, err
	}
	options.Making = making
	writer, err := deepwater.OpenWriter(seg, o.feed(), options)
	if err != nil {
		return nil, err
	}
	return &deepwaterSession{writer: writer}, nil
}

func (o *deepwaterOptions) openReader(seg string, limit time.Duration) (session, error) {
	start, err := o.start()
	if err != nil {
		return nil, err
	}
	reader, err := deepwater.OpenReader(seg, o.feed(), &deepwater.ReaderOptions{
		Start: start, EndWithWriter: o.EndWithWriter, ReadOnly: o.ReadOnly, ReadyTimeout: limit,
	})
	if err != nil {
		return nil, err
	}
	return &deepwaterSession{reader: reader}, nil
}

func createDeepwater(seg string, raw json.RawMessage, in *injection) (session, error) {
	var request deepwaterOptions
	if err := decode(raw, &request); err != nil {
		return nil, err
	}
	return request.openWriter(seg, deepwater.CreateOnly, in)
}

func openDeepwater(seg string, readOnly bool, limit time.Duration, raw json.RawMessage, in *injection) (session, error) {
	var request deepwaterOptions
	if err := decode(raw, &request); err != nil {
		return nil, err
	}
	switch {
	case readOnly:
		return request.openReader(seg, limit)
	case request.Any:
		return request.openWriter(seg, deepwater.OpenOrCreate, in)
	}
	return request.openWriter(seg, deepwater.OpenOnly, in)
}

func (s *deepwaterSession) close() {
	if s.writer != nil {
		s.writer.Close()
	} else {
		s.reader.Close()
	}
}

func (s *deepwaterSession) inspect() (map[string]string, error) {
	look := s.reader.Look
	if s.writer != nil {
		look = s.writer.Look
	}
	found, err := look()
	if err != nil {
		return nil, err
	}
	info, err := s.feedInfo()
	fields := map[string]string{"feed.name": info.Name, "feed.directory": info.Directory}
	for name, value := range found {
		fields[name] = decimal(value)
	}
	return fields, err
}

// feedInfo describes the feed.
func (s *deepwaterSession) feedInfo() (deepwater.FeedInfo, error) {
	if s.writer != nil {
		return s.writer.Feed()
	}
	return s.reader.Feed()
}

func (s *deepwaterSession) claim([]byte) (object, claim, error) {
	return nil, nil, shmwire.Errorf(shmwire.ErrUnsupported, "profile deepwater has no claims")
}

var (
	errWriterReads  = shmwire.Errorf(shmwire.ErrUnsupported, "a writer does not read")
	errReaderWrites = shmwire.Errorf(shmwire.ErrUnsupported, "a reader does not write")
)

// Verbs of a handle.
func (s *deepwaterSession) call(verb string, args json.RawMessage) (object, error) {
	if verb == "deepwater.rotate" {
		if s.writer == nil {
			return nil, errReaderWrites
		}
		return object{}, s.writer.Rotate()
	}
	ask := map[string]func(json.RawMessage) (object, error){
		"deepwater.latest_chunk": s.latestChunk, "deepwater.has_data_since": s.hasDataSince, "deepwater.range": s.rangeOf,
		"deepwater.cursor": s.cursor, "deepwater.restore": s.restore,
	}[verb]
	switch {
	case verb == "":
		return nil, bad("verb is missing")
	case ask == nil:
		return nil, shmwire.Errorf(shmwire.ErrUnsupported, "verb %q", verb)
	case s.reader == nil:
		return nil, errWriterReads
	}
	return ask(args)
}

func (s *deepwaterSession) latestChunk(json.RawMessage) (object, error) {
	chunk, err := s.reader.LatestChunk()
	if err != nil {
		return nil, err
	}
	return object{
		"chunk": decimal(chunk.ChunkID), "state": chunk.State, "first_sequence": decimal(chunk.FirstSequence),
		"start_ns": decimal(chunk.StartNS), "data_name": chunk.DataName, "index_name": chunk.IndexName,
	}, nil
}

func (s *deepwaterSession) hasDataSince(raw json.RawMessage) (object, error) {
	var args struct {
		Time *integer `json:"time"`
	}
	if err := decode(raw, &args); err != nil {
		return nil, err
	}
	since, err := args.Time.need("time", ^uint64(0))
	if err != nil {
		return nil, err
	}
	has, err := s.reader.HasDataSince(since)
	return object{"has": has}, err
}

// rangeOf answers at most as many items as a reply has room for.
func (s *deepwaterSession) rangeOf(raw json.RawMessage) (object, error) {
	var args struct {
		From *integer `json:"from"`
		To   *integer `json:"to"`
	}
	if err := decode(raw, &args); err != nil {
		return nil, err
	}
	from, err := args.From.need("from", ^uint64(0))
	if err != nil {
		return nil, err
	}
	to, err := args.To.need("to", ^uint64(0))
	if err != nil {
		return nil, err
	}
	items := []object{}
	err = s.reader.Range(from, to, func(record *deepwater.Record) bool {
		items = append(items, deepwaterItem(record))
		return len(items) < mostEntries
	})
	if _, answer := status(err); !answer {
		return nil, err
	}
	return object{"items": items}, nil
}

func (s *deepwaterSession) cursor(json.RawMessage) (object, error) {
	cursor, err := s.reader.Save()
	return object{"chunk": decimal(cursor.ChunkID), "sequence": decimal(cursor.Sequence)}, err
}

func (s *deepwaterSession) restore(raw json.RawMessage) (object, error) {
	var args struct {
		Chunk    *integer `json:"chunk"`
		Sequence *integer `json:"sequence"`
	}
	if err := decode(raw, &args); err != nil {
		return nil, err
	}
	chunk, err := args.Chunk.need("chunk", ^uint64(0))
	if err != nil {
		return nil, err
	}
	sequence, err := args.Sequence.need("sequence", ^uint64(0))
	if err != nil {
		return nil, err
	}
	s.pending = nil
	return object{}, s.reader.Restore(deepwater.Cursor{ChunkID: chunk, Sequence: sequence})
}

// Verbs of a base.

func deepwaterPlace(raw json.RawMessage) (seg, feed string, err error) {
	args := struct {
		Seg  string `json:"seg"`
		Feed string `json:"feed"`
	}{Feed: deepwaterFeed}
	if err = decode(raw, &args); err == nil && args.Seg == "" {
		err = bad("seg is missing")
	}
	return args.Seg, args.Feed, err
}

func deepwaterFeeds(raw json.RawMessage) (object, error) {
	seg, _, err := deepwaterPlace(raw)
	if err != nil {
		return nil, err
	}
	feeds, err := deepwater.Feeds(seg)
	names := []string{}
	for _, feed := range feeds {
		names = append(names, feed.Name)
	}
	return object{"feeds": names}, err
}

func deepwaterValidate(raw json.RawMessage) (object, error) {
	seg, feed, err := deepwaterPlace(raw)
	if err != nil {
		return nil, err
	}
	return object{}, deepwater.Validate(seg, feed)
}

func deepwaterRetire(raw json.RawMessage) (object, error) {
	seg, feed, err := deepwaterPlace(raw)
	if err != nil {
		return nil, err
	}
	return object{}, deepwater.Retire(seg, feed)
}

func deepwaterCollect(raw json.RawMessage) (object, error) {
	seg, feed, err := deepwaterPlace(raw)
	if err != nil {
		return nil, err
	}
	found, err := deepwater.Collect(seg, feed)
	return object{
		"sealed": decimal(found.Sealed), "persisted": decimal(found.Persisted), "adopted": decimal(found.Adopted),
		"expired": decimal(found.Expired), "removed": decimal(found.Removed),
	}, err
}
