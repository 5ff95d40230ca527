// SPDX-License-Identifier: MIT

package slick_test

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

// exampleRing makes a ring for an example; programs choose a name that all of them know.
func exampleRing() (*slick.Queue, *slick.Producer, *slick.Reader, func()) {
	name := fmt.Sprintf("/shmw-go-slick-example-%d", os.Getpid())
	queue, err := slick.Create(name, 8, slick.WithSize(4))
	if err != nil {
		log.Fatal(err)
	}
	producer, err := queue.NewProducer()
	if err != nil {
		log.Fatal(err)
	}
	reader, err := queue.NewReader()
	if err != nil {
		log.Fatal(err)
	}
	return queue, producer, reader, func() { queue.Close(); shmwire.Unlink(name) }
}

func mustWrite(producer *slick.Producer, text string) {
	if _, err := producer.Write([]byte(text)); err != nil {
		log.Fatal(err)
	}
}

func Example() {
	_, producer, reader, done := exampleRing()
	defer done()
	go mustWrite(producer, "three elements of eight.")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	item, err := reader.Wait(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d: %s\n", item.Index, item.Data)
	_, err = reader.Next()
	fmt.Println(errors.Is(err, shmwire.ErrEmpty))
	// Output:
	// 0: three elements of eight.
	// true
}

// A reader that was overtaken goes on at the oldest item that is whole, and says how much it lost.
func ExampleReader_Next() {
	_, producer, reader, done := exampleRing()
	defer done()
	for i := 1; i <= 6; i++ {
		mustWrite(producer, fmt.Sprintf("number %d", i))
	}
	for {
		item, err := reader.Next()
		if errors.Is(err, shmwire.ErrEmpty) {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%d, %d lost: %s\n", item.Index, item.Lost, item.Data)
	}
	// Output:
	// 4, 4 lost: number 5
	// 5, 0 lost: number 6
}

// Buffers of the caller's keep the hot path free of allocation.
func ExampleReader_NextBatch() {
	_, producer, reader, done := exampleRing()
	defer done()
	if _, err := producer.WriteBatch([][]byte{[]byte("item one"), []byte("item two")}, nil); err != nil {
		log.Fatal(err)
	}
	buffer, items := make([]byte, 4096), make([]slick.Item, 8)
	n, err := reader.NextBatch(buffer, items)
	if err != nil {
		log.Fatal(err)
	}
	for _, item := range items[:n] {
		fmt.Printf("%s\n", item.Data)
	}
	// Output:
	// item one
	// item two
}

// An item can be made where it goes.
func ExampleProducer_Reserve() {
	_, producer, reader, done := exampleRing()
	defer done()
	claim, err := producer.Reserve(2)
	if err != nil {
		log.Fatal(err)
	}
	copy(claim.Data, "made in the ring")
	if err := claim.Publish(); err != nil {
		log.Fatal(err)
	}
	item, err := reader.Next()
	fmt.Printf("%s, %v\n", item.Data, err)
	// Output:
	// made in the ring, <nil>
}

// What a view shows counts once Check has said that it was not overwritten meanwhile.
func ExampleReader_View() {
	_, producer, reader, done := exampleRing()
	defer done()
	mustWrite(producer, "read in place, 3 words..")
	view, err := reader.View()
	if err != nil {
		log.Fatal(err)
	}
	dots := 0
	for _, c := range view.Data {
		if c == '.' {
			dots++
		}
	}
	if err := view.Check(); err != nil {
		log.Fatal(err)
	}
	fmt.Println(dots, "dots")
	// Output:
	// 2 dots
}

// Readers that share a cursor share the work.
func ExampleQueue_NewCursor() {
	queue, producer, _, done := exampleRing()
	defer done()
	mustWrite(producer, "item one")
	mustWrite(producer, "item two")
	cursor, err := queue.NewCursor(slick.StartOldest)
	if err != nil {
		log.Fatal(err)
	}
	for worker := 1; worker <= 2; worker++ {
		reader, err := queue.NewReader(slick.WithShared(cursor))
		if err != nil {
			log.Fatal(err)
		}
		item, err := reader.Next()
		fmt.Printf("worker %d: %s, %v\n", worker, item.Data, err)
	}
	// Output:
	// worker 1: item one, <nil>
	// worker 2: item two, <nil>
}
