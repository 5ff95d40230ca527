// SPDX-License-Identifier: MIT

package ouroboros_test

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

// exampleLog makes a log for an example; programs choose a name that all of them know.
func exampleLog() (*ouroboros.Writer, *ouroboros.Reader, func()) {
	name := fmt.Sprintf("/shmw-go-ouro-example-%d", os.Getpid())
	writer, err := ouroboros.Create(name, ouroboros.WithChunkCount(3), ouroboros.WithChunkTarget(64))
	if err != nil {
		log.Fatal(err)
	}
	reader, err := ouroboros.Open(name)
	if err != nil {
		log.Fatal(err)
	}
	return writer, reader, func() { reader.Close(); writer.Close(); shmwire.Unlink(name) }
}

func Example() {
	writer, reader, done := exampleLog()
	defer done()
	go func() {
		if _, err := writer.Write([]byte("hello")); err != nil {
			log.Fatal(err)
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	entry, err := reader.Wait(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d: %s\n", entry.Sequence, entry.Payload)
	_, err = reader.Next()
	fmt.Println(errors.Is(err, shmwire.ErrEmpty))
	// Output:
	// 1: hello
	// true
}

// A reader that the writer has overtaken goes on at the newest chunk and says how much it missed.
func ExampleReader_Next() {
	writer, reader, done := exampleLog()
	defer done()
	for i := 1; i <= 20; i++ {
		if _, err := writer.Write([]byte(fmt.Sprintf("entry number %02d of twenty", i))); err != nil {
			log.Fatal(err)
		}
	}
	for {
		entry, err := reader.Next()
		if errors.Is(err, shmwire.ErrEmpty) {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%d, %d skipped: %s\n", entry.Sequence, entry.Skipped, entry.Payload)
	}
	// Output:
	// 19, 18 skipped: entry number 19 of twenty
	// 20, 0 skipped: entry number 20 of twenty
}

// Buffers of the caller's keep the hot path free of allocation.
func ExampleReader_NextBatch() {
	writer, reader, done := exampleLog()
	defer done()
	if _, err := writer.WriteBatch([][]byte{[]byte("one"), []byte("two")}); err != nil {
		log.Fatal(err)
	}
	buffer, entries := make([]byte, 4096), make([]ouroboros.Entry, 8)
	n, err := reader.NextBatch(buffer, entries)
	if err != nil {
		log.Fatal(err)
	}
	for _, entry := range entries[:n] {
		fmt.Printf("%s\n", entry.Payload)
	}
	// Output:
	// one
	// two
}

// What a view shows counts once Check has said that it was not overwritten meanwhile.
func ExampleReader_View() {
	writer, reader, done := exampleLog()
	defer done()
	if _, err := writer.Write([]byte("read in place")); err != nil {
		log.Fatal(err)
	}
	view, err := reader.View()
	if err != nil {
		log.Fatal(err)
	}
	words := 1
	for _, c := range view.Payload {
		if c == ' ' {
			words++
		}
	}
	if err := view.Check(); err != nil {
		log.Fatal(err)
	}
	fmt.Println(words, "words")
	// Output:
	// 3 words
}

// A log outlives its writer; the next one goes on behind the last entry.
func ExampleResume() {
	name := fmt.Sprintf("/shmw-go-ouro-example-resume-%d", os.Getpid())
	defer shmwire.Unlink(name)
	writer, err := ouroboros.Create(name)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := writer.Write([]byte("before")); err != nil {
		log.Fatal(err)
	}
	_, err = ouroboros.Resume(name)
	fmt.Println(errors.Is(err, shmwire.ErrBusy))
	if err := writer.Close(); err != nil {
		log.Fatal(err)
	}
	writer, err = ouroboros.Resume(name)
	if err != nil {
		log.Fatal(err)
	}
	defer writer.Close()
	sequence, err := writer.Write([]byte("after"))
	fmt.Println(sequence, err)
	// Output:
	// true
	// 2 <nil>
}
