// SPDX-License-Identifier: MIT

package shm

import (
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"shmwire"
)

// Exclusive answers ErrBusy when another process maps the file, or when the maps of one cannot be seen. Processes in
// other pid namespaces cannot be seen from here.
func (m *Mapping) Exclusive() error { return m.exclusiveIn("/proc") }

// exclusiveIn looks into a process table at another place.
func (m *Mapping) exclusiveIn(proc string) error {
	self, err := os.Readlink(proc + "/self") // another number than Getpid in the table of an outer namespace
	if err != nil {
		return busy("the process table cannot be seen: %v", err)
	}
	file, err := m.identity(proc + "/" + self + "/maps")
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(proc)
	if err != nil {
		return busy("the process table cannot be seen: %v", err)
	}
	sawFirst := false // process 1 is absent where those of others are hidden
	for _, entry := range entries {
		name := entry.Name()
		sawFirst = sawFirst || name == "1"
		if _, err := strconv.ParseUint(name, 10, 32); err != nil || name == self {
			continue
		}
		if err := checkProcess(proc+"/"+name+"/maps", file); err != nil {
			return err
		}
	}
	if !sawFirst {
		return busy("other processes are hidden")
	}
	return nil
}

func busy(format string, args ...any) error { return shmwire.Errorf(shmwire.ErrBusy, format, args...) }

// checkProcess passes over processes that end meanwhile.
func checkProcess(path, file string) error {
	maps, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return busy("%v", err)
	}
	for _, line := range strings.Split(string(maps), "\n") {
		if mapsIdentity(line) == file {
			return busy("%s has the segment", path)
		}
	}
	return nil
}

// identity is the file's device and inode as the process table shows them for this very mapping: on some file systems
// stat has another device for the same file.
func (m *Mapping) identity(path string) (string, error) {
	maps, err := os.ReadFile(path)
	if err != nil {
		return "", busy("this process's own maps cannot be seen: %v", err)
	}
	for _, line := range strings.Split(string(maps), "\n") {
		if mapsContain(line, uint64(m.base())) {
			return mapsIdentity(line), nil
		}
	}
	return "", busy("this process's own maps do not show the segment")
}

// mapsContain says whether a line of /proc/PID/maps, start-end perms offset device inode path, covers an address.
func mapsContain(line string, address uint64) bool {
	limits, _, _ := strings.Cut(line, " ")
	from, to, _ := strings.Cut(limits, "-")
	start, startErr := strconv.ParseUint(from, 16, 64)
	end, endErr := strconv.ParseUint(to, 16, 64)
	return startErr == nil && endErr == nil && start <= address && address < end
}

func mapsIdentity(line string) string {
	fields := strings.Fields(line)
	if len(fields) < 5 {
		return ""
	}
	return fields[3] + " " + fields[4]
}
