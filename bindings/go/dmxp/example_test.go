// SPDX-License-Identifier: MIT

package dmxp_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"shmwire"
	"shmwire/dmxp"
)

// exampleChannel makes a segment for an example; programs choose a name that all of them know.
func exampleChannel() (*dmxp.Segment, *dmxp.Channel, func()) {
	name := fmt.Sprintf("/shmw-go-example-%d", os.Getpid())
	segment, err := dmxp.Create(name, dmxp.WithSize(1<<20))
	if err != nil {
		log.Fatal(err)
	}
	if err := segment.CreateChannel(0, dmxp.WithCapacity(16)); err != nil {
		log.Fatal(err)
	}
	channel, err := segment.Attach(0)
	if err != nil {
		log.Fatal(err)
	}
	return segment, channel, func() { segment.Close(); shmwire.Unlink(name) }
}

func Example() {
	_, channel, done := exampleChannel()
	defer done()
	go func() {
		if _, err := channel.Send(context.Background(), []byte("hello"), nil); err != nil {
			log.Fatal(err)
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	message, err := channel.Receive(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d: %s\n", message.Position, message.Payload)
	_, err = channel.TryReceive()
	fmt.Println(errors.Is(err, shmwire.ErrEmpty))
	// Output:
	// 0: hello
	// true
}

// Batches cost one claim and one wake for all of their messages, and buffers of the caller's keep the hot path free
// of allocation.
func ExampleChannel_SendBatch() {
	_, channel, done := exampleChannel()
	defer done()
	if _, err := channel.SendBatch([]dmxp.Item{{Data: []byte("one")}, {Data: []byte("two")}}); err != nil {
		log.Fatal(err)
	}
	buffer, messages := make([]byte, 4096), make([]dmxp.Message, 8)
	n, err := channel.ReceiveBatch(buffer, messages)
	if err != nil {
		log.Fatal(err)
	}
	for _, message := range messages[:n] {
		fmt.Printf("%s\n", message.Payload)
	}
	// Output:
	// one
	// two
}

func ExampleChannel_Claim() {
	_, channel, done := exampleChannel()
	defer done()
	claim, err := channel.Claim()
	if err != nil {
		log.Fatal(err)
	}
	length := copy(claim.Payload, "written in place")
	if err := claim.Commit(length, &dmxp.Meta{MessageType: 7}); err != nil {
		log.Fatal(err)
	}
	message, err := channel.TryReceive()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d %s\n", message.Meta.MessageType, message.Payload)
	// Output:
	// 7 written in place
}

// Peek lists what stands in a channel without taking it, also on a segment that was opened with ReadOnly.
func ExampleChannel_Peek() {
	_, channel, done := exampleChannel()
	defer done()
	if _, err := channel.TrySend([]byte("still there"), nil); err != nil {
		log.Fatal(err)
	}
	look := channel.Peek()
	buffer := make([]byte, channel.MaxPayload())
	var message dmxp.Message
	for look.Next(buffer, &message) == nil {
		fmt.Printf("%s\n", message.Payload)
	}
	// Output:
	// still there
}
