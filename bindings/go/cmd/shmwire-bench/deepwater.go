// SPDX-License-Identifier: MIT

package main

import (
	"encoding/binary"
	"strconv"
	"strings"
	"time"

	"shmwire/deepwater"
	"shmwire/internal/shm"
)

// Profile deepwater. Peers are behind "deepwater-": live (a feed in shared memory alone, the writer with credit), persist (chunks
// go to files, too), scan (all of a feed that the other party has written and holds in shared memory), scan-disk (the same from
// files), seek-N (places in a persisted feed of N chunks). Feeds lie in the directory PATH.base.

const (
	feedPrefix  = "deepwater-"
	feedThere   = "there"
	feedBack    = "back"
	stepNS      = 10
	seekRecords = 4 // in each chunk
	seekChunk   = 4096
	scanChunk   = 1 << 24
	scanBytes   = 1 << 28 // far beyond the caches
	outlastStep = time.Millisecond
)

func isFeed(a *arguments) bool { return strings.HasPrefix(a.peer, feedPrefix) }

// feedPlan is what a peer's name asks for.
type feedPlan struct {
	*arguments
	base            string
	persists, scans bool
	seekChunks      uint64 // 0: nothing is sought
}

func planFeed(a *arguments) *feedPlan {
	kind := strings.TrimPrefix(a.peer, feedPrefix)
	p := &feedPlan{arguments: a, base: a.segment + ".base", scans: strings.HasPrefix(kind, "scan")}
	if number := strings.TrimPrefix(kind, "seek-"); number != kind {
		var err error
		p.seekChunks, err = strconv.ParseUint(number, 10, 32)
		fail(err)
	}
	p.persists = p.seekChunks > 0 || strings.Contains(kind, "persist") || strings.Contains(kind, "disk")
	return p
}

// scanned is how many records a scan goes over, again and again: 32 bytes of each are its index.
func (p *feedPlan) scanned() uint64 {
	if records := scanBytes / (uint64(p.size) + 32); records < p.count {
		return records
	}
	return p.count
}

func (p *feedPlan) options() *deepwater.Options {
	options := &deepwater.Options{Persist: p.persists, Feeds: 2}
	if p.scans {
		options.ChunkSize = scanChunk
		if !p.persists {
			options.LiveWindow = uint32(2*p.scanned()*(uint64(p.size)+8)/scanChunk + 2)
		}
	}
	if p.seekChunks > 0 {
		options.ChunkSize = seekChunk
	}
	if p.seekChunks > uint64(deepwater.DefaultRows) {
		options.Rows = uint32(p.seekChunks)
	}
	return options
}

func (p *feedPlan) writer(feed string) *deepwater.Writer {
	w, err := deepwater.OpenWriter(p.base, feed, p.options())
	fail(err)
	return w
}

func (p *feedPlan) reader(feed string) *deepwater.Reader {
	r, err := deepwater.OpenReader(p.base, feed, nil)
	fail(err)
	return r
}

// timeOf is the timestamp of record i.
func timeOf(i uint64) uint64 { return i * stepNS }

// append appends record i.
func (p *feedPlan) append(w *deepwater.Writer, payload []byte, i uint64) {
	fill(payload, i)
	if _, err := w.Append(timeOf(i), 0, payload); err != nil {
		fail(err)
	}
}

// writeBefore writes what is read later: the records of a scan, or chunks of a few records to seek in.
func (p *feedPlan) writeBefore(w *deepwater.Writer) {
	payload, records := make([]byte, p.size), p.scanned()
	if p.seekChunks > 0 {
		records = p.seekChunks * seekRecords
	}
	for i := uint64(0); i < records; i++ {
		p.append(w, payload, i)
		if p.seekChunks > 0 && i%seekRecords == seekRecords-1 {
			fail(w.Rotate())
		}
	}
}

func makeFeeds(a *arguments) {
	p := planFeed(a)
	for _, feed := range []string{feedThere, feedBack} {
		w := p.writer(feed)
		if feed == feedThere && (p.seekChunks > 0 || p.scans && p.persists) {
			p.writeBefore(w)
		}
		fail(w.Close())
	}
	makeCredit(a)
}

// runFeed is an actor other than make.
func runFeed(a *arguments) {
	p := planFeed(a)
	switch p.role {
	case "write":
		p.runFeedWriter(p.writer(feedThere))
	case "read":
		p.runFeedReader(p.reader(feedThere))
	case "ping":
		out := p.writer(feedThere)
		p.exchangeFeeds(out, p.reader(feedBack))
	default:
		out := p.writer(feedBack)
		p.exchangeFeeds(out, p.reader(feedThere))
	}
}

func (p *feedPlan) runFeedWriter(w *deepwater.Writer) {
	if p.scans {
		p.writeBefore(w)
	}
	all := allowanceOf(p.arguments, mapCredit(p.arguments))
	began, err := p.wait()
	fail(err)
	switch {
	case p.scans:
	case p.batch > 1:
		p.writeBatches(w, all)
	default:
		p.writeEach(w, all)
	}
	if p.persists {
		fail(w.Close()) // all of it is on the disk: this counts
	}
	p.report(monotonic()-began, 0, nil)
	p.outlast(all)
	if !p.persists {
		fail(w.Close())
	}
}

// outlast stays until all readers are through: a writer that leaves takes along what is in shared memory alone.
func (p *feedPlan) outlast(all *allowance) {
	for all.look(p.count); all.taken < p.count; all.look(p.count) {
		time.Sleep(outlastStep)
	}
}

func (p *feedPlan) writeEach(w *deepwater.Writer, all *allowance) {
	payload := make([]byte, p.size)
	for i := uint64(0); i < p.count; i++ {
		all.wait(p.arguments, i)
		p.append(w, payload, i)
	}
}

func (p *feedPlan) writeBatches(w *deepwater.Writer, all *allowance) {
	parts := make([]deepwater.Part, p.batch)
	for k := range parts {
		parts[k].Data = make([]byte, p.size)
	}
	for i := uint64(0); i < p.count; i += uint64(p.batch) {
		all.wait(p.arguments, i+uint64(p.batch)-1)
		for k := range parts {
			fill(parts[k].Data, i+uint64(k))
			parts[k].TimestampNS = timeOf(i + uint64(k))
		}
		if _, err := w.AppendBatch(parts); err != nil {
			fail(err)
		}
	}
}

func (p *feedPlan) runFeedReader(r *deepwater.Reader) {
	credit := mapCredit(p.arguments).Atomic64(creditSize * uint64(p.party))
	var bad uint64
	var samples []uint64
	began, err := p.wait()
	fail(err)
	switch {
	case p.seekChunks > 0:
		bad, samples = p.seek(r)
	case p.scans:
		bad = p.scan(r)
	default:
		bad = p.follow(r, credit)
	}
	credit.StoreRelease(p.count)
	p.report(monotonic()-began, bad, samples)
	fail(r.Close())
}

// next reads up to len(records) records, where they lie; without batches by the call for one.
func (p *feedPlan) next(r *deepwater.Reader, records []deepwater.Record) (n int, err error) {
	if p.batch > 1 {
		return r.NextBatch(records)
	}
	if records[0], err = r.Next(); err != nil {
		return 0, err
	}
	return 1, nil
}

// countBad judges records of which the first should be number first.
func (p *feedPlan) countBad(records []deepwater.Record, first uint64) (bad uint64) {
	for k := range records {
		record, i := &records[k], first+uint64(k)
		if record.Sequence != i || len(record.Data) != p.size || !check(record.Data, i) {
			bad++
		}
	}
	return bad
}

// follow looks at each record where it lies: there is no lap, so nothing has to be checked again.
func (p *feedPlan) follow(r *deepwater.Reader, credit shm.U64) (bad uint64) {
	records := make([]deepwater.Record, p.batch)
	given := uint64(0)
	for i := uint64(0); i < p.count; {
		n, err := p.next(r, records)
		bad += p.countBad(records[:n], i)
		i += uint64(n)
		if err != nil || i-given >= inFlight/8 {
			credit.StoreRelease(i)
			given = i
		}
		if err != nil {
			failUnlessEmpty(err)
			p.standBack()
		}
	}
	return bad
}

// scan reads all of the feed, again from its beginning until count records are read, and every byte of them.
func (p *feedPlan) scan(r *deepwater.Reader) (bad uint64) {
	records, scanned := make([]deepwater.Record, p.batch), p.scanned()
	for i, at := uint64(0), uint64(0); i < p.count; {
		if at == scanned {
			fail(r.Seek(deepwater.Oldest))
			at = 0
		}
		want := records
		if left := p.count - i; left < uint64(len(want)) {
			want = want[:left]
		}
		n, err := p.next(r, want)
		fail(err)
		for k := range want[:n] {
			p.sum += sumOf(want[k].Data)
		}
		bad += p.countBad(want[:n], at)
		i, at = i+uint64(n), at+uint64(n)
	}
	return bad
}

// sumOf is the sum of all words of a payload, and of the bytes behind the last four of them: each byte is loaded.
func sumOf(payload []byte) uint64 {
	var a, b, c, d uint64
	le := binary.LittleEndian
	for ; len(payload) >= 4*wordSize; payload = payload[4*wordSize:] {
		a += le.Uint64(payload)
		b += le.Uint64(payload[wordSize:])
		c += le.Uint64(payload[2*wordSize:])
		d += le.Uint64(payload[3*wordSize:])
	}
	for _, last := range payload {
		a += uint64(last)
	}
	return a + b + c + d
}

func (p *feedPlan) seek(r *deepwater.Reader) (bad uint64, samples []uint64) {
	records, state := p.seekChunks*seekRecords, uint64(1)
	samples = make([]uint64, 0, p.count)
	found := make([]deepwater.Record, 1)
	for i := uint64(0); i < p.count; i++ {
		state = state*6364136223846793005 + 1442695040888963407 // Knuth's generator: anywhere, not in order
		wanted := (state >> 33) % records
		began := monotonic()
		err := r.Seek(deepwater.AtTime(timeOf(wanted)))
		if err == nil {
			found[0], err = r.Next()
		}
		samples = append(samples, monotonic()-began)
		fail(err)
		bad += p.countBad(found, wanted)
	}
	return bad, samples
}

func (p *feedPlan) exchangeFeeds(out *deepwater.Writer, in *deepwater.Reader) {
	began, err := p.wait()
	fail(err)
	sent, received, misplaced := uint64(0), uint64(0), uint64(0)
	bad, samples := roundTrips(p.arguments, func(payload []byte) error {
		_, err := out.Append(timeOf(sent), 0, payload)
		sent++
		return err
	}, func() ([]byte, error) {
		record, err := in.Next()
		if err == nil {
			if record.Sequence != received {
				misplaced++
			}
			received++
		}
		return record.Data, err
	})
	p.report(monotonic()-began, bad+misplaced, samples)
	fail(in.Close())
	all := allowanceOf(p.arguments, mapCredit(p.arguments))
	if p.role == "ping" {
		all.readers[0].StoreRelease(p.count) // pong is the reader by number: it keeps the last record until ping has it
	}
	p.outlast(all)
	fail(out.Close())
}
