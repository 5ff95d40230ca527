// SPDX-License-Identifier: MIT

// Command publish publishes each word of its command line to a ring: publish /name word... It makes the ring when it is
// not there. A word is an item of as many elements of 8 bytes as it needs, filled up with spaces.
package main

import (
	"errors"
	"fmt"
	"log"
	"os"

	"shmwire"
	"shmwire/slick"
)

const elementSize = 8

func createOrOpen(name string) (*slick.Queue, error) {
	queue, err := slick.Create(name, elementSize, slick.WithSize(64))
	if errors.Is(err, shmwire.ErrExists) {
		return slick.Open(name)
	}
	return queue, err
}

func publish(producer *slick.Producer, word string) (uint64, error) {
	claim, err := producer.Reserve((len(word) + elementSize - 1) / elementSize)
	if err != nil {
		return 0, err
	}
	for i := copy(claim.Data, word); i < len(claim.Data); i++ {
		claim.Data[i] = ' '
	}
	return claim.Index, claim.Publish()
}

func run(name string, words []string) error {
	queue, err := createOrOpen(name)
	if err != nil {
		return err
	}
	defer queue.Close()
	producer, err := queue.NewProducer()
	if err != nil {
		return err
	}
	defer producer.Close()
	for _, word := range words {
		index, err := publish(producer, word)
		if err != nil {
			return err
		}
		fmt.Printf("%d: %s\n", index, word)
	}
	return nil
}

func main() {
	if len(os.Args) < 3 {
		log.Fatal("usage: publish NAME WORD...")
	}
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		log.Fatal(err)
	}
}
