// SPDX-License-Identifier: MIT

// Command channelsub prints what is published in a channel, from the oldest message that is held, until the channel is
// closed: channelsub NAME. An interrupt ends it, too.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"time"

	"shmwire"
	"shmwire/shmcomm"
)

func run(ctx context.Context, name string) error {
	subscriber, err := shmcomm.NewSubscriber(name, &shmcomm.Options{Oldest: true, ReadyTimeout: 10 * time.Second})
	if err != nil {
		return err
	}
	defer subscriber.Close()
	for {
		message, err := subscriber.ReceiveContext(ctx, nil)
		switch {
		case errors.Is(err, shmwire.ErrClosed), errors.Is(err, context.Canceled):
			return nil
		case errors.Is(err, shmwire.ErrLapped): // again and again; ask again
			continue
		case err != nil:
			return err
		}
		if message.Lost > 0 {
			fmt.Printf("(%d lost)\n", message.Lost)
		}
		fmt.Printf("%d: %s\n", message.Sequence, message.Payload)
	}
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: channelsub NAME")
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	if err := run(ctx, os.Args[1]); err != nil {
		log.Fatal(err)
	}
}
