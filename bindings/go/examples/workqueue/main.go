// SPDX-License-Identifier: MIT

// Command workqueue has workers share the work of a pipeline: workqueue NAME JOBS [WORKERS]. It pushes the numbers 1 to JOBS,
// has WORKERS goroutines (4) square them, and prints the sum of the squares. Workers of other processes, in other languages too,
// may pull from the same pipeline.
package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log"
	"os"
	"strconv"

	"shmwire"
	"shmwire/shmcomm"
)

// work squares numbers until the pipeline is closed and empty, and answers their sum.
func work(puller *shmcomm.Puller) (sum uint64, err error) {
	defer puller.Close()
	var buffer [8]byte
	var message shmcomm.Message
	for {
		err := puller.ReceiveInto(buffer[:], shmcomm.Forever, &message)
		if errors.Is(err, shmwire.ErrClosed) {
			return sum, nil
		}
		if err != nil {
			return sum, err
		}
		number := binary.LittleEndian.Uint64(message.Payload)
		sum += number * number
	}
}

// push sends the jobs, and closes the pipeline behind them.
func push(pusher *shmcomm.Pusher, jobs uint64) error {
	defer pusher.Close()
	for job := uint64(1); job <= jobs; job++ {
		var data [8]byte
		binary.LittleEndian.PutUint64(data[:], job)
		if _, err := pusher.Send(data[:], nil, shmcomm.Forever); err != nil {
			return err
		}
	}
	return nil
}

func run(name string, jobs uint64, workers int) error {
	pusher, err := shmcomm.NewPusher(name, &shmcomm.Options{Capacity: 1 << 16})
	if err != nil {
		return err
	}
	type result struct {
		sum uint64
		err error
	}
	results := make(chan result, workers)
	for i := 0; i < workers; i++ {
		puller, err := shmcomm.NewPuller(name, nil) // one for each goroutine
		if err != nil {
			return err
		}
		go func() {
			sum, err := work(puller)
			results <- result{sum, err}
		}()
	}
	if err := push(pusher, jobs); err != nil {
		return err
	}
	total := uint64(0)
	for i := 0; i < workers; i++ {
		one := <-results
		if one.err != nil {
			return one.err
		}
		total += one.sum
	}
	fmt.Println(total)
	return nil
}

func main() {
	if len(os.Args) != 3 && len(os.Args) != 4 {
		log.Fatal("usage: workqueue NAME JOBS [WORKERS]")
	}
	workers := 4
	jobs, err := strconv.ParseUint(os.Args[2], 10, 32)
	if err == nil && len(os.Args) == 4 {
		workers, err = strconv.Atoi(os.Args[3])
	}
	if err == nil {
		err = run(os.Args[1], jobs, workers)
	}
	if err != nil {
		log.Fatal(err)
	}
}
