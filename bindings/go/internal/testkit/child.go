// SPDX-License-Identifier: MIT

package testkit

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Tests with several processes run their test binary again, with its role in the environment.
const roleVariable = "SHMW_GO_TEST_ROLE"

// Main is TestMain of a package whose children play a role: they print the line "ready" when they are, and their
// results after that.
func Main(m *testing.M, play func(role []string) error) {
	role := os.Getenv(roleVariable)
	if role == "" {
		os.Exit(m.Run())
	}
	if err := play(strings.Fields(role)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Child is a process that has printed "ready".
type Child struct {
	t       *testing.T
	command *exec.Cmd
	output  *bufio.Reader
}

// Spawn starts a child; it is killed when the test ends.
func Spawn(t *testing.T, role ...string) *Child {
	t.Helper()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), roleVariable+"="+strings.Join(role, " "))
	command.Stderr = os.Stderr
	pipe, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { command.Process.Kill(); command.Wait() })
	child := &Child{t, command, bufio.NewReader(pipe)}
	child.Expect("ready")
	return child
}

// Expect reads a line, which must be this one.
func (c *Child) Expect(want string) {
	c.t.Helper()
	if line, err := c.output.ReadString('\n'); err != nil || line != want+"\n" {
		c.t.Fatalf("%q, %v, expected %q", line, err, want)
	}
}

// Finish reads what is left and expects status 0.
func (c *Child) Finish() string {
	c.t.Helper()
	rest, err := io.ReadAll(c.output)
	if err == nil {
		err = c.command.Wait()
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return string(rest)
}

// Die kills the child and waits for its end.
func (c *Child) Die() {
	c.command.Process.Kill()
	c.command.Wait()
}

// Kill kills the child, whose output Rest still has.
func (c *Child) Kill() { c.command.Process.Kill() }

// Rest is what is left of the output, however the child ends.
func (c *Child) Rest() string {
	c.t.Helper()
	rest, err := io.ReadAll(c.output)
	if err != nil {
		c.t.Fatal(err)
	}
	c.command.Wait()
	return string(rest)
}

// Lines are those of a child's output, without empty ones.
func Lines(output string) []string {
	return strings.FieldsFunc(output, func(r rune) bool { return r == '\n' })
}
