// SPDX-License-Identifier: MIT

// Command append appends each word of its command line to a log: append /name word... It makes the log when it is not
// there, and takes it over when its last writer has gone.
package main

import (
	"errors"
	"fmt"
	"log"
	"os"

	"shmwire"
	"shmwire/ouroboros"
)

func createOrResume(name string) (*ouroboros.Writer, error) {
	writer, err := ouroboros.Create(name)
	if errors.Is(err, shmwire.ErrExists) {
		return ouroboros.Resume(name)
	}
	return writer, err
}

func run(name string, words []string) error {
	writer, err := createOrResume(name)
	if err != nil {
		return err
	}
	defer writer.Close()
	for _, word := range words {
		sequence, err := writer.Write([]byte(word))
		if err != nil {
			return err
		}
		fmt.Printf("%d: %s\n", sequence, word)
	}
	return nil
}

func main() {
	if len(os.Args) < 3 {
		log.Fatal("usage: append NAME WORD...")
	}
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		log.Fatal(err)
	}
}
