// SPDX-License-Identifier: MIT

package deepwater

import (
	"fmt"
	"hash/fnv"
	"strings"

	"shmwire"
	"shmwire/internal/shm"
)

// Names and directories. Nothing below the base directory is opened through a symbolic link.

const (
	suffixData  = "data"
	suffixIndex = "idx"
)

// base is a base directory, open.
type base struct {
	directory *shm.Directory
	hash      uint64 // of its real path
}

// openBase resolves and opens a base directory, and makes it first if mode is not 0.
func openBase(path string, mode uint32) (base, error) {
	if path == "" || strings.IndexByte(path, 0) >= 0 {
		return base{}, shmwire.Errorf(shmwire.ErrInvalidName, "base directory %q", path)
	}
	if mode != 0 {
		if err := shm.MakeDirectory(path, mode); err != nil {
			return base{}, err
		}
	}
	directory, real, err := shm.OpenDirectory(path)
	if err != nil {
		return base{}, err
	}
	hash := fnv.New64a()
	hash.Write([]byte(real))
	return base{directory, hash.Sum64()}, nil
}

// goodName is [deepwater.feed.name].
func goodName(name string) bool {
	if name == "" || len(name) > int(NameMax) || name == "." || name == ".." {
		return false
	}
	for i := 0; i < len(name); i++ {
		c := name[i]
		if !(c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-') {
			return false
		}
	}
	return true
}

// openBelow opens a directory below another one, component by component [deepwater.open.directory] [deepwater.open.symlink], and
// makes it first if mode is not 0.
func openBelow(at *shm.Directory, relative string, mode uint32) (*shm.Directory, error) {
	names := strings.Split(relative, "/")
	for _, name := range names {
		if !goodName(name) {
			return nil, shmwire.Errorf(shmwire.ErrCorrupt, "directory %q", relative)
		}
	}
	var directory *shm.Directory
	for _, name := range names {
		from := at
		if directory != nil {
			from = directory
		}
		next, err := from.Step(name, mode)
		directory.Close()
		if err != nil {
			return nil, err
		}
		directory = next
	}
	return directory, nil
}

// memoryName is the name of a chunk's data or index in shared memory.
func (p *place) memoryName(id uint64, suffix string) string {
	return fmt.Sprintf("/dw.%016x.%s.%d.%s", p.base.hash, p.name, id, suffix)
}

// fileName is that of its file.
func fileName(id uint64, suffix string) string { return fmt.Sprintf("chunk_%08d.%s", id, suffix) }
