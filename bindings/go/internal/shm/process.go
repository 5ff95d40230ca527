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

// Exclusive answers ErrBusy when another process maps the file, or when the maps of one cannot be seen.
func (m *Mapping) Exclusive() error {
	file, err := m.identity()
	if err != nil {
		return err
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return busy("the processes cannot be seen: %v", err)
	}
	self := os.Getpid()
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == self {
			continue
		}
		if err := checkProcess(pid, file); err != nil {
			return err
		}
	}
	return nil
}

func busy(format string, args ...any) error { return shmwire.Errorf(shmwire.ErrBusy, format, args...) }

// checkProcess passes over processes that end meanwhile.
func checkProcess(pid int, file string) error {
	maps, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/maps")
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return busy("the maps of process %d cannot be seen", pid)
	}
	for _, line := range strings.Split(string(maps), "\n") {
		if mapsIdentity(line) == file {
			return busy("process %d maps the segment", pid)
		}
	}
	return nil
}

// identity is the file's device and inode as /proc shows them for this very mapping: on some file systems stat has another
// device for the same file.
func (m *Mapping) identity() (string, error) {
	maps, err := os.ReadFile("/proc/self/maps")
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
