// SPDX-License-Identifier: MIT

// Command receive prints the messages of channel 0 of a segment until none has come for a second: receive /name
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

func run(name string) error {
	segment, err := dmxp.Open(name)
	if err != nil {
		return err
	}
	defer segment.Close()
	channel, err := segment.Attach(0)
	if err != nil {
		return err
	}
	for {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		message, err := channel.Receive(ctx)
		cancel()
		if errors.Is(err, shmwire.ErrTimeout) {
			return nil
		}
		if err != nil {
			return err
		}
		fmt.Printf("%d: %s\n", message.Position, message.Payload)
	}
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: receive NAME")
	}
	if err := run(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}
