// SPDX-License-Identifier: MIT

// Package testkit is what the tests of all profiles share. No package but tests imports it.
package testkit

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"shmwire"
)

var (
	mutex sync.Mutex
	names int
)

// Name is a segment name that nobody else uses; it is unlinked when the test ends.
func Name(t testing.TB, profile string) string {
	t.Helper()
	mutex.Lock()
	names++
	name := fmt.Sprintf("/shmw-go-%s-%d-%d", profile, os.Getpid(), names)
	mutex.Unlock()
	t.Cleanup(func() { shmwire.Unlink(name) })
	return name
}

// Bytes reads the file behind a segment, not the mapping.
func Bytes(t testing.TB, name string) []byte {
	t.Helper()
	path, err := shmwire.Path(name)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// ExpectCode fails unless err carries code; nil stands for no error.
func ExpectCode(t testing.TB, err error, code *shmwire.Code) {
	t.Helper()
	if shmwire.CodeOf(err) != code {
		t.Fatalf("error %v, expected %v", err, code)
	}
}

// HasCode fails for an error without a code.
func HasCode(t testing.TB, err error) {
	t.Helper()
	var detailed *shmwire.Error
	var code *shmwire.Code
	if err != nil && !errors.As(err, &detailed) && !errors.As(err, &code) {
		t.Fatalf("error without a code: %v", err)
	}
}

// NoAllocations fails for calls that allocate, or do not answer as they should.
func NoAllocations(t *testing.T, want error, calls map[string]func() error) {
	t.Helper()
	for what, call := range calls {
		failures := 0
		n := testing.AllocsPerRun(200, func() {
			if call() != want {
				failures++
			}
		})
		if n != 0 || failures != 0 {
			t.Errorf("%s: %v allocations, %d failures", what, n, failures)
		}
	}
}
