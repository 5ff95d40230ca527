// SPDX-License-Identifier: MIT

// Command feedappend appends the words of its command line to a feed that persists, with the time of day: feedappend BASE FEED
// WORD...
package main

import (
	"fmt"
	"log"
	"os"
	"time"

	"shmwire/deepwater"
)

func run(base, feed string, words []string) (err error) {
	writer, err := deepwater.OpenWriter(base, feed, &deepwater.Options{Persist: true})
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := writer.Close(); err == nil { // which writes what is not in files yet
			err = closeErr
		}
	}()
	for _, word := range words {
		sequence, err := writer.Append(uint64(time.Now().UnixNano()), 0, []byte(word))
		if err != nil {
			return err
		}
		fmt.Printf("%d: %s\n", sequence, word)
	}
	return nil
}

func main() {
	if len(os.Args) < 4 {
		log.Fatal("usage: feedappend BASE FEED WORD...")
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		log.Fatal(err)
	}
}
