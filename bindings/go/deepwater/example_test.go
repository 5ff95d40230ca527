// SPDX-License-Identifier: MIT

package deepwater_test

import (
	"errors"
	"fmt"
	"log"
	"os"

	"shmwire"
	"shmwire/deepwater"
)

// exampleBase is a directory for an example.
func exampleBase() (base string, remove func()) {
	base, err := os.MkdirTemp("", "deepwater")
	if err != nil {
		log.Fatal(err)
	}
	return base, func() { os.RemoveAll(base) }
}

// A feed that persists, read when its writer has long gone.
func Example() {
	base, remove := exampleBase()
	defer remove()
	writer, err := deepwater.OpenWriter(base, "trades", &deepwater.Options{Persist: true})
	if err != nil {
		log.Fatal(err)
	}
	for i, price := range []string{"41.20", "41.25", "41.10"} {
		if _, err := writer.Append(uint64(1000+i), 0, []byte(price)); err != nil {
			log.Fatal(err)
		}
	}
	if err := writer.Close(); err != nil { // which writes what is not in files yet
		log.Fatal(err)
	}

	reader, err := deepwater.OpenReader(base, "trades", &deepwater.ReaderOptions{EndWithWriter: true})
	if err != nil {
		log.Fatal(err)
	}
	defer reader.Close()
	for {
		record, err := reader.WaitNext(deepwater.Forever)
		if errors.Is(err, shmwire.ErrClosed) {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%d at %d: %s\n", record.Sequence, record.TimestampNS, record.Data)
	}
	// Output:
	// 0 at 1000: 41.20
	// 1 at 1001: 41.25
	// 2 at 1002: 41.10
}

// A feed that does not persist: who comes late learns how much is gone.
func ExampleReader_Next_expired() {
	base, remove := exampleBase()
	defer remove()
	writer, err := deepwater.OpenWriter(base, "ticks", &deepwater.Options{LiveWindow: 1})
	if err != nil {
		log.Fatal(err)
	}
	defer writer.Close()
	reader, err := deepwater.OpenReader(base, "ticks", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer reader.Close()
	for i := 0; i < 3; i++ {
		if _, err := writer.Append(uint64(i), 0, []byte("tick")); err != nil {
			log.Fatal(err)
		}
		if err := writer.Rotate(); err != nil { // the chunk leaves the window of one
			log.Fatal(err)
		}
	}
	record, err := reader.Next()
	fmt.Println(errors.Is(err, shmwire.ErrExpired), record.Lost)
	// Output: true 3
}

// All records of a time span.
func ExampleReader_Range() {
	base, remove := exampleBase()
	defer remove()
	writer, err := deepwater.OpenWriter(base, "sensor", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer writer.Close()
	parts := []deepwater.Part{}
	for i := uint64(0); i < 10; i++ {
		parts = append(parts, deepwater.Part{TimestampNS: 100 * i, Data: []byte{byte(i)}})
	}
	if _, err := writer.AppendBatch(parts); err != nil {
		log.Fatal(err)
	}
	reader, err := deepwater.OpenReader(base, "sensor", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer reader.Close()
	err = reader.Range(250, 500, func(record *deepwater.Record) bool {
		fmt.Println(record.TimestampNS, record.Data)
		return true
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// 300 [3]
	// 400 [4]
	// 500 [5]
}
