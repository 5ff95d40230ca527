// SPDX-License-Identifier: MIT

// Command subscribe prints the items of a ring until none has come for a second: subscribe /name [/cursor]. Those who
// name a cursor share the items.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"shmwire"
	"shmwire/slick"
)

func sharedCursor(queue *slick.Queue, name string) (*slick.Cursor, error) {
	cursor, err := queue.CreateCursor(name, slick.StartOldest)
	if errors.Is(err, shmwire.ErrExists) {
		return slick.OpenCursor(name)
	}
	return cursor, err
}

func follow(reader *slick.Reader) error {
	for {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		item, err := reader.Wait(ctx)
		cancel()
		switch {
		case errors.Is(err, shmwire.ErrTimeout):
			return nil
		case errors.Is(err, shmwire.ErrLapped): // again and again; ask again
			continue
		case err != nil:
			return err
		}
		if item.Lost > 0 {
			fmt.Printf("(%d lost)\n", item.Lost)
		}
		fmt.Printf("%d: %s\n", item.Index, item.Data)
	}
}

func run(name, cursorName string) error {
	queue, err := slick.Open(name, slick.ReadOnly())
	if err != nil {
		return err
	}
	defer queue.Close()
	var options []slick.ReaderOption
	if cursorName != "" {
		cursor, err := sharedCursor(queue, cursorName)
		if err != nil {
			return err
		}
		defer cursor.Close()
		options = append(options, slick.WithShared(cursor))
	}
	reader, err := queue.NewReader(options...)
	if err != nil {
		return err
	}
	return follow(reader)
}

func main() {
	if len(os.Args) != 2 && len(os.Args) != 3 {
		log.Fatal("usage: subscribe NAME [CURSOR]")
	}
	cursor := ""
	if len(os.Args) == 3 {
		cursor = os.Args[2]
	}
	if err := run(os.Args[1], cursor); err != nil {
		log.Fatal(err)
	}
}
