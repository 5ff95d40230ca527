// SPDX-License-Identifier: MIT

// Command send sends each word of its command line as a message on channel 0 of a segment: send /name word... It makes the
// segment and the channel when they are not there.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"shmwire"
	"shmwire/dmxp"
)

func openOrCreate(name string) (*dmxp.Segment, error) {
	segment, err := dmxp.Create(name, dmxp.WithSize(4<<20))
	if errors.Is(err, shmwire.ErrExists) {
		return dmxp.Open(name, dmxp.WithReadyTimeout(time.Second))
	}
	return segment, err
}

func run(name string, words []string) error {
	segment, err := openOrCreate(name)
	if err != nil {
		return err
	}
	defer segment.Close()
	err = segment.CreateChannel(0, dmxp.WithCapacity(64), dmxp.WithCountedWaiters())
	if err != nil && !errors.Is(err, shmwire.ErrExists) {
		return err
	}
	channel, err := segment.Attach(0)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, word := range words {
		position, err := channel.Send(ctx, []byte(word), nil)
		if err != nil {
			return err
		}
		fmt.Printf("%d: %s\n", position, word)
	}
	return nil
}

func main() {
	if len(os.Args) < 3 {
		log.Fatal("usage: send NAME WORD...")
	}
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		log.Fatal(err)
	}
}
