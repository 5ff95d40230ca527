// SPDX-License-Identifier: MIT

package deepwater

import (
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"shmwire"
	"shmwire/internal/testkit"
)

// places are the files of a sample base: a persisting feed with chunk 0 in files, and chunk 1 live.
type places struct{ base, registry, feed, data, index, liveData, liveIndex string }

func sampleBase(t testing.TB) (places, *Writer) {
	t.Helper()
	base := newBase(t)
	options := small(true)
	options.LiveWindow = 1
	w := mustWriter(t, base, options)
	fill(t, w, 0, 6, 4)
	directory, memory := filepath.Join(base, testFeed), memoryOf(t, base)
	if len(memory) != 2 {
		t.Fatalf("%v", memory)
	}
	return places{
		base: base, registry: filepath.Join(base, registryFile), feed: filepath.Join(directory, feedFile),
		data: filepath.Join(directory, "chunk_00000000.data"), index: filepath.Join(directory, "chunk_00000000.idx"),
		liveData: memory[0], liveIndex: memory[1],
	}, w
}

// readAllOf opens a reader and reads to the end: the first error, or nil.
func readAllOf(base string) error {
	r, err := OpenReader(base, testFeed, nil)
	if err != nil {
		return err
	}
	defer r.Close()
	for {
		if _, err := r.Next(); err != nil {
			if shmwire.CodeOf(err) == shmwire.ErrEmpty {
				return nil
			}
			return err
		}
	}
}

// One broken field, and its name [deepwater.open.*] [deepwater.read.bounds] [deepwater.read.sequence].
func TestHostile(t *testing.T) {
	entry, row := uint64(128), uint64(128)
	cases := map[string]struct {
		file   func(p places) string
		offset uint64
		raw    []byte
		want   *shmwire.Code
	}{
		"registry magic 0":          {registryOf, 0, word64(0), shmwire.ErrNotReady},
		"registry magic":            {registryOf, 0, word64(feedMagic), shmwire.ErrBadMagic},
		"registry version":          {registryOf, 8, word32(2), shmwire.ErrBadVersion},
		"registry entry size":       {registryOf, 12, word32(255), shmwire.ErrBadGeometry},
		"registry capacity 0":       {registryOf, 16, word32(0), shmwire.ErrBadGeometry},
		"registry capacity":         {registryOf, 16, word32(maxFeeds + 1), shmwire.ErrBadGeometry},
		"registry longer than file": {registryOf, 16, word32(5), shmwire.ErrTruncated},
		"registry count":            {registryOf, 24, word64(5), shmwire.ErrCorrupt},
		"no feed":                   {registryOf, 24, word64(0), shmwire.ErrNotFound},
		"another feed":              {registryOf, entry, []byte("f"), nil},
		"entry directory no end":    {registryOf, entry + 64, []byte(strings.Repeat("d", 96)), shmwire.ErrCorrupt},
		"entry directory empty":     {registryOf, entry + 64, make([]byte, 96), shmwire.ErrCorrupt},
		"entry directory absolute":  {registryOf, entry + 64, []byte("/tmp\x00"), shmwire.ErrCorrupt},
		"entry directory up":        {registryOf, entry + 64, []byte("a/../feed\x00"), shmwire.ErrCorrupt},
		"entry directory double":    {registryOf, entry + 64, []byte("a//b\x00"), shmwire.ErrCorrupt},
		"entry directory absent":    {registryOf, entry + 64, []byte("gone\x00"), shmwire.ErrNotFound},
		"entry number":              {registryOf, entry + 160, word32(1), shmwire.ErrCorrupt},
		"entry chunk size":          {registryOf, entry + 168, word64(4088), shmwire.ErrCorrupt},
		"entry chunk size odd":      {registryOf, entry + 168, word64(4100), shmwire.ErrCorrupt},
		"entry chunk size huge":     {registryOf, entry + 168, word64(maxChunk + 8), shmwire.ErrCorrupt},
		"entry window":              {registryOf, entry + 176, word32(0), shmwire.ErrCorrupt},
		"entry record size":         {registryOf, entry + 180, word32(4097), shmwire.ErrCorrupt},
		"feed magic 0":              {feedOf, 0, word64(0), shmwire.ErrNotReady},
		"feed magic":                {feedOf, 0, word64(1), shmwire.ErrBadMagic},
		"feed version":              {feedOf, 8, word32(0), shmwire.ErrBadVersion},
		"feed row size":             {feedOf, 12, word32(64), shmwire.ErrBadGeometry},
		"feed capacity 0":           {feedOf, 16, word32(0), shmwire.ErrBadGeometry},
		"feed capacity":             {feedOf, 16, word32(maxRows + 1), shmwire.ErrBadGeometry},
		"feed longer than file":     {feedOf, 16, word32(65), shmwire.ErrTruncated},
		"feed count":                {feedOf, 24, word64(65), shmwire.ErrCorrupt},
		"row of another chunk":      {feedOf, row, word64(1), shmwire.ErrCorrupt},
		"row state 0":               {feedOf, row + 12, word32(0), shmwire.ErrCorrupt},
		"row state 5":               {feedOf, row + 12, word32(5), shmwire.ErrCorrupt},
		"row first sequence":        {feedOf, row + 16, word64(1), shmwire.ErrCorrupt},
		"data magic 0":              {dataOf, 0, word64(0), shmwire.ErrBadMagic},
		"data magic":                {dataOf, 0, word64(indexMagic), shmwire.ErrBadMagic},
		"data version":              {dataOf, 8, word32(9), shmwire.ErrBadVersion},
		"data of another chunk":     {dataOf, 16, word64(1), shmwire.ErrCorrupt},
		"data capacity":             {dataOf, 40, word64(maxChunk + 1), shmwire.ErrBadGeometry},
		"data capacity all ones":    {dataOf, 40, word64(None), shmwire.ErrBadGeometry},
		"data longer than file":     {dataOf, 40, word64(4096), shmwire.ErrTruncated},
		"data shorter than records": {dataOf, 40, word64(8), shmwire.ErrCorrupt},
		"index magic":               {indexOf, 0, word64(dataMagic), shmwire.ErrBadMagic},
		"index version":             {indexOf, 8, word32(0), shmwire.ErrBadVersion},
		"index entry size":          {indexOf, 12, word32(31), shmwire.ErrBadGeometry},
		"index of another chunk":    {indexOf, 16, word64(7), shmwire.ErrCorrupt},
		"index count":               {indexOf, 24, word64(5), shmwire.ErrCorrupt},
		"index capacity":            {indexOf, 32, word64(None), shmwire.ErrBadGeometry},
		"index longer than file":    {indexOf, 32, word64(5), shmwire.ErrTruncated},
		"record offset":             {indexOf, 64 + 8, word64(None - 3), shmwire.ErrCorrupt},
		"record length":             {indexOf, 64 + 16, word32(^uint32(0)), shmwire.ErrCorrupt},
		"record sequence":           {indexOf, 64 + 24, word64(1), shmwire.ErrCorrupt},
		"live count":                {liveIndexOf, 24, word64(129), shmwire.ErrCorrupt},
		"live entry of zeros":       {liveIndexOf, 24, word64(3), shmwire.ErrCorrupt},
		"live data magic":           {liveDataOf, 0, word64(3), shmwire.ErrBadMagic},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p, _ := sampleBase(t)
			succeed(t, readAllOf(p.base))
			patch(t, c.file(p), c.offset, c.raw...)
			testkit.ExpectCode(t, readAllOf(p.base), c.want)
			if c.want != nil {
				testkit.ExpectCode(t, Validate(p.base, testFeed), c.want)
			}
		})
	}
}

func registryOf(p places) string  { return p.registry }
func feedOf(p places) string      { return p.feed }
func dataOf(p places) string      { return p.data }
func indexOf(p places) string     { return p.index }
func liveDataOf(p places) string  { return p.liveData }
func liveIndexOf(p places) string { return p.liveIndex }

// The name of an entry makes names of shared memory: one that is none is refused, by who goes through the registry.
func TestHostileName(t *testing.T) {
	for _, name := range []string{"../x\x00", "\x00\x00\x00\x00", "a/b\x00", strings.Repeat("n", 64)} {
		p, _ := sampleBase(t)
		patch(t, p.registry, 128, []byte(name)...)
		feeds, err := Feeds(p.base)
		if len(feeds) != 0 || shmwire.CodeOf(err) != shmwire.ErrCorrupt {
			t.Errorf("%q: %v, %v", name, feeds, err)
		}
	}
}

// A count that is raised once the feed is open [deepwater.open.count].
func TestHostileCountLater(t *testing.T) {
	p, _ := sampleBase(t)
	r := mustReader(t, p.base, nil)
	expectRecords(t, r, 0, 6, shmwire.ErrEmpty)
	patch(t, p.liveData, 12, word32(dataSealed)...) // so that the next row is looked for
	patch(t, p.feed, 24, word64(65)...)
	for _, err := range []error{
		second(r.Next()), r.Seek(Oldest), r.Seek(Latest), r.Seek(AtTime(3)), r.Restore(Cursor{}), second(r.Chunks()),
		second(r.Chunk(64)), second(r.LatestChunk()),
	} {
		testkit.ExpectCode(t, err, shmwire.ErrCorrupt)
	}
	if found, err := r.Look(); err != nil || found["feed_registry.count"] != 65 || found["row[63].state"] != 0 {
		t.Errorf("%v, %v", found, err)
	}
}

// Files that end early [deepwater.open.size], at every length of a header and a few more.
func TestTruncated(t *testing.T) {
	for _, file := range []func(places) string{registryOf, feedOf, dataOf, indexOf} {
		p, w := sampleBase(t)
		path := file(p)
		succeed(t, w.Close()) // nobody maps what is cut
		whole := readAll(t, path)
		for _, size := range []int{0, 1, 8, 63, 64, 65, 127, 128, len(whole) - 1} {
			if size >= len(whole) {
				continue
			}
			succeed(t, os.Truncate(path, int64(size)))
			testkit.ExpectCode(t, readAllOf(p.base), shmwire.ErrTruncated)
			succeed(t, os.WriteFile(path, whole, 0o600))
		}
		succeed(t, readAllOf(p.base))
	}
}

// Nothing below the base is opened through a link [deepwater.open.symlink]; the base itself may be one.
func TestSymbolicLinks(t *testing.T) {
	for _, file := range []func(places) string{
		registryOf, feedOf, dataOf, indexOf, func(p places) string { return filepath.Join(p.base, testFeed) },
	} {
		p, w := sampleBase(t)
		succeed(t, w.Close())
		path := file(p)
		succeed(t, os.Rename(path, path+".moved"))
		succeed(t, os.Symlink(path+".moved", path))
		testkit.ExpectCode(t, readAllOf(p.base), shmwire.ErrPermission)
	}
	p, _ := sampleBase(t)
	link := p.base + ".link"
	succeed(t, os.Symlink(p.base, link))
	succeed(t, readAllOf(link)) // and the names of shared memory are those of the real path
	made := filepath.Join(p.base, "made")
	succeed(t, os.Symlink(t.TempDir(), made))
	_, err := OpenWriter(p.base, "made", small(false))
	testkit.ExpectCode(t, err, shmwire.ErrPermission)
	// By way of another directory: relative, and back up.
	here, err := os.Getwd()
	succeed(t, err)
	succeed(t, os.Chdir(filepath.Dir(p.base)))
	defer func() { succeed(t, os.Chdir(here)) }()
	succeed(t, readAllOf("base"))
	succeed(t, readAllOf("base/feed/../../base.link"))
}

// What a CRC tells and reading does not [deepwater.validate.crc].
func TestValidateCRC(t *testing.T) {
	for name, change := range map[string]func(p places){
		"bytes":     func(p places) { patch(t, p.data, 64, 0xFF) },
		"type":      func(p places) { patch(t, p.index, 64+20, 0xFF) },
		"row's CRC": func(p places) { patch(t, p.feed, 128+64, 1, 2, 3, 4) },
	} {
		p, _ := sampleBase(t)
		succeed(t, Validate(p.base, testFeed))
		change(p)
		succeed(t, readAllOf(p.base))
		if err := Validate(p.base, testFeed); shmwire.CodeOf(err) != shmwire.ErrCorrupt || !strings.Contains(err.Error(), "CRC") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, change := range map[string]func(p places){
		"time falls":         func(p places) { patch(t, p.index, 64+32, word64(1)...) },
		"record count":       func(p places) { patch(t, p.feed, 128+24, word64(3)...) },
		"data bytes":         func(p places) { patch(t, p.feed, 128+48, word64(5000)...) },
		"start falls":        func(p places) { patch(t, p.feed, 256+32, word64(1)...) },
		"sequences overlap":  func(p places) { patch(t, p.feed, 256+16, word64(3)...) },
		"a row of zeros":     func(p places) { patch(t, p.feed, 24, word64(3)...) },
		"files are not here": func(p places) { succeed(t, os.Remove(p.index)) },
	} {
		p, _ := sampleBase(t)
		change(p)
		if err := Validate(p.base, testFeed); shmwire.CodeOf(err) != shmwire.ErrCorrupt {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Damage at random: an answer with a code, no fault and no hang, whatever is asked.
func TestHostileRandom(t *testing.T) {
	seed := int64(20260412)
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewSource(seed))
	p, w := sampleBase(t)
	succeed(t, w.Close())
	files := []string{p.registry, p.feed, p.data, p.index}
	whole := make([][]byte, len(files))
	for i, path := range files {
		whole[i] = readAll(t, path)
	}
	for round := 0; round < 150; round++ {
		i := random.Intn(len(files))
		reach := len(whole[i])
		if reach > 512 {
			reach = 512
		}
		at := random.Intn(reach) &^ 3
		value := []uint32{0, 1, 0x80000000, ^uint32(0), random.Uint32()}[random.Intn(5)]
		succeed(t, os.WriteFile(files[i], append([]byte(nil), whole[i]...), 0o600))
		patch(t, files[i], uint64(at), word32(value)...)
		lookAtAll(t, p.base, fmt.Sprintf("%s at %d: %#x", filepath.Base(files[i]), at, value))
		if _, err := Collect(p.base, testFeed); err != nil {
			testkit.HasCode(t, err)
		}
		for j, path := range files {
			succeed(t, os.WriteFile(path, whole[j], 0o600))
		}
	}
	expectRecords(t, mustReader(t, p.base, nil), 0, 6, shmwire.ErrEmpty)
}

// lookAtAll asks everything; each answer must come, and errors have codes.
func lookAtAll(t *testing.T, base, what string) {
	t.Helper()
	testkit.HasCode(t, Validate(base, testFeed))
	_, err := Feeds(base)
	testkit.HasCode(t, err)
	for _, start := range []Start{Oldest, Latest, AtTime(timeOf(3)), AtTime(None), AtSequence(2), AtSequence(None)} {
		r, err := OpenReader(base, testFeed, &ReaderOptions{Start: start, ReadOnly: true})
		testkit.HasCode(t, err)
		if err != nil {
			continue
		}
		for i := 0; ; i++ {
			if _, err = r.Next(); err != nil {
				testkit.HasCode(t, err)
				break
			}
			if i > 6 {
				t.Fatalf("%s: more records than there are", what)
			}
		}
		for _, err := range []error{
			second(r.LatestChunk()), second(r.Chunks()), second(r.HasDataSince(3)), r.Range(0, None, func(*Record) bool { return true }),
			r.Restore(Cursor{ChunkID: 0, Sequence: 3}), second(r.WaitNext(time.Microsecond)), second(r.Look()),
		} {
			testkit.HasCode(t, err)
		}
		succeed(t, r.Close())
	}
}
