// SPDX-License-Identifier: MIT

// Package examples has no code but a test that runs the examples of profiles shmcomm and deepwater as programs.
package examples

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// build makes the programs, and answers the directory that they are in.
func build(t *testing.T, names ...string) string {
	t.Helper()
	directory := t.TempDir()
	for _, name := range names {
		command := exec.Command("go", "build", "-o", filepath.Join(directory, name), "./"+name)
		if output, err := command.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, output)
		}
	}
	return directory
}

// program is one that runs; it is killed when the test ends.
type program struct {
	*exec.Cmd
	input  io.WriteCloser
	output *bufio.Reader
	seen   string
}

func start(t *testing.T, path string, arguments ...string) *program {
	t.Helper()
	p := &program{Cmd: exec.Command(path, arguments...)}
	p.Stderr = os.Stderr
	output, err := p.StdoutPipe()
	if err == nil {
		p.output = bufio.NewReader(output)
		p.input, err = p.StdinPipe()
	}
	if err == nil {
		err = p.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Process.Kill(); p.Wait() })
	return p
}

// await reads what a program prints until it has printed this.
func (p *program) await(t *testing.T, want string) {
	t.Helper()
	for p.seen != want {
		line, err := p.output.ReadString('\n')
		p.seen += line
		if err != nil || !strings.HasPrefix(want, p.seen) {
			t.Fatalf("%v: %q, %v; expected %q", p.Args[1:], p.seen, err, want)
		}
	}
}

// expect waits for the end of a program, which must have printed this by then, and no more.
func (p *program) expect(t *testing.T, want string) {
	t.Helper()
	rest, err := io.ReadAll(p.output)
	if err == nil {
		err = p.Wait()
	}
	if p.seen += string(rest); err != nil || p.seen != want {
		t.Errorf("%v: %q, %v; expected %q", p.Args[1:], p.seen, err, want)
	}
}

func TestChannels(t *testing.T) {
	bin := build(t, "channelpub", "channelsub", "service", "workqueue")
	name := fmt.Sprintf("shmw-go-examples-%d", os.Getpid())

	// Every subscriber opens the channel before its publisher leaves: it leaves when its input ends, and they print at once.
	publisher := start(t, bin+"/channelpub", name, "hello", "world")
	subscribers := []*program{start(t, bin+"/channelsub", name), start(t, bin+"/channelsub", "/shmcomm_pub_"+name)}
	for _, s := range subscribers {
		s.await(t, "0: hello\n1: world\n")
	}
	publisher.input.Close()
	for _, p := range append(subscribers, publisher) {
		p.expect(t, "0: hello\n1: world\n")
	}

	server := start(t, bin+"/service", "serve", name, "4")
	first := start(t, bin+"/service", "ask", name, "a", "b")
	second := start(t, bin+"/service", "ask", name, "c", "d")
	first.expect(t, "A\nB\n")
	second.expect(t, "C\nD\n")
	server.expect(t, "")

	start(t, bin+"/workqueue", name, "10000").expect(t, "333383335000\n")
}

// A follower that comes first, over two writers.
func TestFeeds(t *testing.T) {
	bin, base := build(t, "feedappend", "feedfollow"), filepath.Join(t.TempDir(), "base")
	follower := start(t, bin+"/feedfollow", base, "feed", "3")
	start(t, bin+"/feedappend", base, "feed", "hello", "world").expect(t, "0: hello\n1: world\n")
	follower.await(t, "0: hello\n1: world\n")
	start(t, bin+"/feedappend", base, "feed", "again").expect(t, "2: again\n")
	follower.expect(t, "0: hello\n1: world\n2: again\n")
}
