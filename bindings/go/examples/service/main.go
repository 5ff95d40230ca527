// SPDX-License-Identifier: MIT

// Command service answers requests and sends them: "service serve NAME COUNT" answers so many requests with their letters
// in upper case, "service ask NAME WORD..." asks for each word and prints the reply.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"log"
	"os"
	"strconv"
	"time"

	"shmwire"
	"shmwire/shmcomm"
)

const patience = 10 * time.Second

func serve(name string, count int) error {
	replier, err := shmcomm.NewReplier(name, nil)
	if err != nil {
		return err
	}
	defer replier.Close()
	for ; count > 0; count-- {
		request, err := replier.Receive(nil, shmcomm.Forever)
		if err != nil {
			return err
		}
		err = replier.Reply(&request, bytes.ToUpper(request.Payload), nil, patience)
		if err != nil && !errors.Is(err, shmwire.ErrClosed) { // closed: the requester has gone
			return err
		}
	}
	return nil
}

func ask(name string, words []string) error {
	requester, err := shmcomm.NewRequester(name, &shmcomm.Options{ReadyTimeout: patience})
	if err != nil {
		return err
	}
	defer requester.Close()
	for _, word := range words {
		reply, err := requester.Request([]byte(word), nil, patience)
		if err != nil {
			return err
		}
		fmt.Println(string(reply.Payload))
	}
	return nil
}

func run(arguments []string) error {
	if len(arguments) == 3 && arguments[0] == "serve" {
		count, err := strconv.Atoi(arguments[2])
		if err != nil {
			return err
		}
		return serve(arguments[1], count)
	}
	if len(arguments) >= 3 && arguments[0] == "ask" {
		return ask(arguments[1], arguments[2:])
	}
	return errors.New("usage: service serve NAME COUNT | service ask NAME WORD...")
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}
