// SPDX-License-Identifier: MIT

// Command follow prints the entries of a log until none has come for a second: follow /name
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"shmwire"
	"shmwire/ouroboros"
)

func run(name string) error {
	reader, err := ouroboros.Open(name, ouroboros.WithReadyTimeout(time.Second))
	if err != nil {
		return err
	}
	defer reader.Close()
	for {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		entry, err := reader.Wait(ctx)
		cancel()
		if errors.Is(err, shmwire.ErrTimeout) {
			return nil
		}
		if err != nil {
			return err
		}
		if entry.Skipped > 0 {
			fmt.Printf("(%d overwritten unread)\n", entry.Skipped)
		}
		fmt.Printf("%d: %s\n", entry.Sequence, entry.Payload)
	}
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: follow NAME")
	}
	if err := run(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}
