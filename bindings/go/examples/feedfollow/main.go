// SPDX-License-Identifier: MIT

// Command feedfollow prints so many records of a feed, from the oldest that is left, and waits for those that are not there
// yet, for the feed itself, too: feedfollow BASE FEED COUNT
package main

import (
	"errors"
	"fmt"
	"log"
	"os"
	"strconv"

	"shmwire"
	"shmwire/deepwater"
)

func run(base, feed string, count uint64) error {
	reader, err := deepwater.OpenReader(base, feed, &deepwater.ReaderOptions{ReadyTimeout: deepwater.Forever})
	if err != nil {
		return err
	}
	defer reader.Close()
	for count > 0 {
		record, err := reader.WaitNext(deepwater.Forever)
		if errors.Is(err, shmwire.ErrExpired) { // we were too slow: how much is gone?
			fmt.Printf("(%d expired unread)\n", record.Lost)
			continue
		}
		if err != nil {
			return err
		}
		fmt.Printf("%d: %s\n", record.Sequence, record.Data)
		count--
	}
	return nil
}

func main() {
	if len(os.Args) != 4 {
		log.Fatal("usage: feedfollow BASE FEED COUNT")
	}
	count, err := strconv.ParseUint(os.Args[3], 10, 64)
	if err == nil {
		err = run(os.Args[1], os.Args[2], count)
	}
	if err != nil {
		log.Fatal(err)
	}
}
