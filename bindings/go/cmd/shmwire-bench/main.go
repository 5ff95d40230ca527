// SPDX-License-Identifier: MIT

// Command shmwire-bench is the benchmark actor of the Go implementation; bench/README.md describes the protocol. Peers:
// "counted" (the channel counts its waiters: no wake while nobody sleeps) and "wake" (a wake per send) of profile dmxp;
// "credit", "credit-view", "free" and "free-view" of profile ouroboros; "slick-KIND" of profile slick; "shmcomm-KIND" of profile
// shmcomm; "deepwater-KIND" of profile deepwater.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"

	"shmwire"
	"shmwire/dmxp"
)

const (
	slots    = 256
	channels = 2
)

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
}

func parse() *arguments {
	if len(os.Args) < 3 {
		fail(errors.New("usage: PEER make|write|read|ping|pong --seg PATH ..."))
	}
	a := &arguments{peer: os.Args[1], role: os.Args[2]}
	flags := flag.NewFlagSet("shmwire-bench", flag.ExitOnError)
	flags.StringVar(&a.segment, "seg", "", "path of the segment")
	flags.StringVar(&a.barrier, "barrier", "", "path of the barrier file")
	flags.Uint64Var(&a.count, "count", 1, "messages of this actor")
	flags.IntVar(&a.size, "size", 64, "payload bytes")
	flags.IntVar(&a.batch, "batch", 1, "messages per call")
	flags.IntVar(&a.cpu, "cpu", -1, "CPU to pin to")
	flags.IntVar(&a.parties, "parties", 1, "actors at the barrier")
	flags.IntVar(&a.party, "party", 0, "which of them this is; the readers come first")
	flags.IntVar(&a.readers, "readers", 1, "how many of them read")
	flags.Uint64Var(&a.room, "room", 0, "bytes of the segment where the peer can choose, 0 as it likes")
	fail(flags.Parse(os.Args[3:]))
	a.crowded = a.parties > runtime.NumCPU()
	return a
}

func makeSegment(a *arguments) {
	segment, err := dmxp.Create(a.segment, dmxp.WithSize(dmxp.HeaderSize+channels*slots*1100))
	fail(err)
	for id := uint32(0); id < channels; id++ {
		options := []dmxp.ChannelOption{dmxp.WithCapacity(slots)}
		if a.peer == "counted" {
			options = append(options, dmxp.WithCountedWaiters())
		}
		fail(segment.CreateChannel(id, options...))
	}
	fail(segment.Close())
}

func writeSingle(a *arguments, channel *dmxp.Channel, payload []byte) {
	meta := &dmxp.Meta{TimestampNS: 1}
	for i := uint64(0); i < a.count; i++ {
		fill(payload, i)
		for {
			_, err := channel.TrySend(payload, meta)
			if err == nil {
				break
			}
			if !errors.Is(err, shmwire.ErrFull) {
				fail(err)
			}
			a.relax()
		}
	}
}

func writeBatch(a *arguments, channel *dmxp.Channel) {
	meta := &dmxp.Meta{TimestampNS: 1}
	items := make([]dmxp.Item, a.batch)
	for k := range items {
		items[k] = dmxp.Item{Data: make([]byte, a.size), Meta: meta}
	}
	for i := uint64(0); i < a.count; i += uint64(a.batch) {
		for k := range items {
			fill(items[k].Data, i+uint64(k))
		}
		for {
			_, err := channel.SendBatch(items)
			if err == nil {
				break
			}
			if !errors.Is(err, shmwire.ErrFull) {
				fail(err)
			}
			a.relax()
		}
	}
}

// With several writers the order between them is free, so only the content's own consistency is checked then.
func (a *arguments) good(payload []byte, i uint64) bool {
	if a.parties > 2 {
		i = firstWord(payload, i)
	}
	return len(payload) == a.size && check(payload, i)
}

// receive polls until there is a message.
func receive(a *arguments, channel *dmxp.Channel, buffer []byte, message *dmxp.Message) {
	for {
		err := channel.TryReceiveInto(buffer, message)
		if err == nil {
			return
		}
		if !errors.Is(err, shmwire.ErrEmpty) {
			fail(err)
		}
		a.relax()
	}
}

func readSingle(a *arguments, channel *dmxp.Channel) (bad uint64) {
	buffer := make([]byte, channel.MaxPayload())
	var message dmxp.Message
	for i := uint64(0); i < a.count; i++ {
		receive(a, channel, buffer, &message)
		if !a.good(message.Payload, i) {
			bad++
		}
	}
	return bad
}

func readBatch(a *arguments, channel *dmxp.Channel) (bad uint64) {
	buffer := make([]byte, channel.MaxPayload()*a.batch)
	messages := make([]dmxp.Message, a.batch)
	for i := uint64(0); i < a.count; {
		want := messages
		if left := a.count - i; left < uint64(a.batch) {
			want = messages[:left]
		}
		got, err := channel.ReceiveBatch(buffer, want)
		if errors.Is(err, shmwire.ErrEmpty) {
			a.relax()
			continue
		}
		fail(err)
		for k := 0; k < got; k++ {
			if !a.good(want[k].Payload, i) {
				bad++
			}
			i++
		}
	}
	return bad
}

func exchange(a *arguments, out, in *dmxp.Channel, payload []byte) (bad uint64, samples []uint64) {
	meta := &dmxp.Meta{TimestampNS: 1}
	buffer := make([]byte, in.MaxPayload())
	samples = make([]uint64, 0, a.count)
	var message dmxp.Message
	pings := a.role == "ping"
	for i := uint64(0); i < a.count; i++ {
		began := monotonic()
		if pings {
			fill(payload, i)
			_, err := out.TrySend(payload, meta)
			fail(err)
		}
		receive(a, in, buffer, &message)
		if !a.good(message.Payload, i) {
			bad++
		}
		if !pings {
			_, err := out.TrySend(message.Payload, meta)
			fail(err)
		} else {
			samples = append(samples, monotonic()-began)
		}
	}
	return bad, samples
}

func run(a *arguments, forth, back *dmxp.Channel, payload []byte) (bad uint64, samples []uint64) {
	switch {
	case a.role == "ping":
		return exchange(a, forth, back, payload)
	case a.role == "pong":
		return exchange(a, back, forth, payload)
	case a.role == "write" && a.batch > 1:
		writeBatch(a, forth)
	case a.role == "write":
		writeSingle(a, forth, payload)
	case a.batch > 1:
		return readBatch(a, forth), nil
	default:
		return readSingle(a, forth), nil
	}
	return 0, nil
}

func main() {
	a := parse()
	switch {
	case a.role == "make" && logPeers[a.peer]:
		makeLogs(a)
		return
	case a.role == "make" && isRing(a):
		makeRings(a)
		return
	case a.role == "make" && isChannel(a):
		makeCredit(a) // a channel is made by who keeps it
		return
	case a.role == "make" && isFeed(a):
		makeFeeds(a)
		return
	case a.role == "make":
		makeSegment(a)
		return
	}
	runtime.LockOSThread()
	fail(a.pin())
	switch {
	case logPeers[a.peer]:
		runLog(a)
	case isRing(a):
		runRing(a)
	case isChannel(a):
		runChannel(a)
	case isFeed(a):
		runFeed(a)
	default:
		runQueue(a)
	}
}

// runQueue is an actor of profile dmxp other than make.
func runQueue(a *arguments) {
	segment, err := dmxp.Open(a.segment)
	fail(err)
	var channel [channels]*dmxp.Channel
	for id := range channel {
		channel[id], err = segment.Attach(uint32(id))
		fail(err)
		channel[id].Prefault()
	}
	began, err := a.wait()
	fail(err)
	bad, samples := run(a, channel[0], channel[1], make([]byte, a.size))
	a.report(monotonic()-began, bad, samples)
	fail(segment.Close())
}
