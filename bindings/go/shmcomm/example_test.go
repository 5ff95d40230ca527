// SPDX-License-Identifier: MIT

package shmcomm_test

import (
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"shmwire"
	"shmwire/shmcomm"
)

// exampleName is a channel of an example's own; programs choose a name that all of them know.
func exampleName(what string) string { return fmt.Sprintf("shmw-go-%s-%d", what, os.Getpid()) }

const patience = 10 * time.Second

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func Example() {
	name := exampleName("commands")
	publisher, err := shmcomm.NewPublisher(name, nil)
	must(err)
	defer publisher.Close()
	subscriber, err := shmcomm.NewSubscriber(name, nil)
	must(err)
	defer subscriber.Close()
	_, err = publisher.Send([]byte("move"), nil, 0)
	must(err)
	message, err := subscriber.Receive(nil, patience)
	must(err)
	fmt.Printf("%d: %s\n", message.Sequence, message.Payload)
	// Output: 0: move
}

// A pipeline keeps what nobody has taken, and tells its pullers when nothing will come any more.
func ExamplePuller() {
	name := exampleName("work")
	pusher, err := shmcomm.NewPusher(name, &shmcomm.Options{Capacity: shmcomm.MinCapacity})
	must(err)
	puller, err := shmcomm.NewPuller(name, nil)
	must(err)
	defer puller.Close()
	sent, err := pusher.SendBatch([][]byte{[]byte("one"), make([]byte, 2000), make([]byte, 2000), []byte("four")}, nil, 0)
	fmt.Println(sent, errors.Is(err, shmwire.ErrFull))
	must(pusher.Close())
	for {
		message, err := puller.Receive(nil, patience)
		if errors.Is(err, shmwire.ErrClosed) {
			fmt.Println("closed")
			return
		}
		must(err)
		fmt.Println(message.Sequence, len(message.Payload))
	}
	// Output:
	// 2 true
	// 0 3
	// 1 2000
	// closed
}

func ExampleRequester_Request() {
	name := exampleName("echo")
	replier, err := shmcomm.NewReplier(name, nil)
	must(err)
	defer replier.Close()
	served := make(chan struct{})
	go func() {
		defer close(served)
		request, err := replier.Receive(nil, patience)
		must(err)
		must(replier.Reply(&request, append([]byte("you said "), request.Payload...), nil, patience))
	}()
	requester, err := shmcomm.NewRequester(name, nil)
	must(err)
	defer requester.Close()
	reply, err := requester.Request([]byte("hello"), nil, patience)
	must(err)
	fmt.Printf("%s\n", reply.Payload)
	<-served // an endpoint is for one goroutine at a time, Close included
	// Output: you said hello
}

// A message that is filled in place is not copied by its sender, and a view not by its receiver.
func ExampleView() {
	name := exampleName("frames")
	publisher, err := shmcomm.NewPublisher(name, nil)
	must(err)
	defer publisher.Close()
	subscriber, err := shmcomm.NewSubscriber(name, nil)
	must(err)
	defer subscriber.Close()
	claim, err := publisher.Claim(1<<20, nil, 0)
	must(err)
	for i := range claim.Data {
		claim.Data[i] = byte(i)
	}
	_, err = claim.Commit()
	must(err)
	view, err := subscriber.View(patience)
	must(err)
	sum := 0
	for _, b := range view.Payload {
		sum += int(b)
	}
	must(view.Check()) // else the sum means nothing
	fmt.Println(sum)
	// Output: 133693440
}
