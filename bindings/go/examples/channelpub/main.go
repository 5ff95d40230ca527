// SPDX-License-Identifier: MIT

// Command channelpub publishes to a channel: channelpub NAME WORD... publishes each word. It stays until its standard input
// ends, so that subscribers find the channel.
package main

import (
	"fmt"
	"io"
	"log"
	"os"

	"shmwire/shmcomm"
)

func run(name string, words []string) error {
	publisher, err := shmcomm.NewPublisher(name, &shmcomm.Options{Capacity: 1 << 16})
	if err != nil {
		return err
	}
	defer publisher.Close()
	for _, word := range words {
		sequence, err := publisher.Send([]byte(word), nil, 0)
		if err != nil {
			return err
		}
		fmt.Printf("%d: %s\n", sequence, word)
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func main() {
	if len(os.Args) < 3 {
		log.Fatal("usage: channelpub NAME WORD...")
	}
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		log.Fatal(err)
	}
}
