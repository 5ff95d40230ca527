// SPDX-License-Identifier: MIT

// Package shmcomm is profile shmcomm: named channels in shared memory. Publishers and subscribers, pushers and pullers,
// requesters and repliers, any number of each, in any process and language. Specification: spec/shmcomm.md. Rule ids in
// brackets name the rules that a piece of code implements.
//
//	publisher, err := shmcomm.NewPublisher("robot_commands", nil)
//	sequence, err := publisher.Send([]byte("move"), nil, 0)
//
//	subscriber, err := shmcomm.NewSubscriber("robot_commands", nil)
//	message, err := subscriber.Receive(nil, shmcomm.Forever)
//
//	pusher, err := shmcomm.NewPusher("frames", nil)
//	sequence, err := pusher.Send(frame, nil, time.Second) // waits for room
//
//	puller, err := shmcomm.NewPuller("frames", nil)
//	message, err := puller.ReceiveContext(ctx, nil)
//
//	replier, err := shmcomm.NewReplier("adder", nil)
//	request, err := replier.Receive(nil, shmcomm.Forever)
//	err = replier.Reply(&request, sum, nil, time.Second)
//
//	requester, err := shmcomm.NewRequester("adder", nil)
//	reply, err := requester.Request([]byte("1 2"), nil, time.Second)
//
// # Time limits
//
// A timeout of 0 never waits, Forever always. What is not there answers shmwire.ErrEmpty or ErrFull at 0, and ErrTimeout
// otherwise. The calls whose names end in Context wait until a context is done: its deadline gives an error that is both
// ErrTimeout and context.DeadlineExceeded, and a cancellation ends the wait within 5 ms. Who waits sleeps on a word of the
// segment, holds an operating-system thread, and is woken by a message or by the end of the channel.
//
// # Goroutines, processes and death
//
// An endpoint is for one goroutine at a time; open one for each, which costs two descriptors, a few locks in the kernel and a
// mapping. When a process dies, the kernel drops the locks that said that its endpoints live, and others go on: a writer that
// dies with the writers' lock is replaced, and nothing that was visible is lost. Process ids are never asked.
//
// A Go process cannot fork without exec, so a child never shares an endpoint with its parent; all descriptors are
// close-on-exec, and a child between fork and exec keeps an endpoint of a dead parent alive for that moment at most.
//
// # Buffers
//
// Receive copies a message to the buffer that it is given, or to new memory for a nil one. The calls whose names end in Into
// allocate nothing. View shows a message where it lies; another publisher may overwrite it, so call Check after its use.
// Subscribers that find many short messages read ahead up to 16 KiB into memory of their own, so that a message may be
// delivered that the ring has lost meanwhile; it is whole all the same.
package shmcomm
