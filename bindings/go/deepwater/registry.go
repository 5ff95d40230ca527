// SPDX-License-Identifier: MIT

package deepwater

import (
	"bytes"
	"time"

	"shmwire"
	"shmwire/internal/shm"
)

// The global registry, which says what feeds there are.

const (
	registryFile = "registry.bin"
	lockByte     = 0 // of a registry's file, on which its lock is held
)

// registry is that file, mapped.
type registry struct {
	file     *shm.File
	mapping  *shm.Mapping
	capacity uint32
}

func (r *registry) close() {
	if r.mapping != nil {
		r.mapping.Close()
	}
	r.file.Close()
	*r = registry{}
}

// count is the number of feeds.
func (r *registry) count() uint64 {
	return r.mapping.Atomic64(registryCountOffset).Load() // A1: pairs with R1; entries below it
}

// entry is the entry of a feed below capacity.
func (r *registry) entry(id uint32) shm.Window {
	return r.mapping.Part(registrySize+uint64(id)*feedSize, feedSize)
}

// changed tells that a feed was made or retired; under the lock.
func (r *registry) changed() { r.mapping.Atomic64(registryGenerationOffset).Add(1) }

// attach maps the file, which is open, and checks it.
func (r *registry) attach(readOnly bool) error {
	state, err := r.file.State()
	if err != nil {
		return err
	}
	if state.Size < registrySize {
		return shmwire.Errorf(shmwire.ErrTruncated, "%s has %d bytes", registryFile, state.Size) // [deepwater.open.size]
	}
	if r.mapping, err = mapLockable(r.file, state.Size, readOnly); err != nil {
		return err
	}
	return r.check()
}

// mapLockable maps a file that its lock may be taken on: then through a description of its own, since a mapping that a child
// inherits keeps its description, and with it the lock of a writer that died.
func mapLockable(file *shm.File, size uint64, readOnly bool) (*shm.Mapping, error) {
	if readOnly {
		return file.Map(size, true)
	}
	again, err := file.Reopen()
	if err != nil {
		return nil, err
	}
	defer again.Close()
	return again.Map(size, false)
}

func (r *registry) check() error {
	w := r.mapping.Window
	// A0: pairs with R0; the header after it
	if err := checkMagic(w.Atomic64(registryMagicOffset).Load(), registryMagic, registryFile); err != nil {
		return err
	}
	if v := w.U32(registryVersionOffset); v != version {
		return shmwire.Errorf(shmwire.ErrBadVersion, "%s has version %d", registryFile, v) // [deepwater.open.version]
	}
	r.capacity = w.U32(registryCapacityOffset)
	if size := uint64(w.U32(registryEntrySizeOffset)); size != feedSize || r.capacity == 0 || r.capacity > maxFeeds {
		return shmwire.Errorf(shmwire.ErrBadGeometry, "%d entries of %d bytes", r.capacity, size) // [deepwater.open.geometry]
	}
	if need := registryExtent(r.capacity); need > w.Size() {
		return shmwire.Errorf(shmwire.ErrTruncated, "%s needs %d bytes and has %d", registryFile, need, w.Size())
	}
	if count := r.count(); count > uint64(r.capacity) {
		return shmwire.Errorf(shmwire.ErrCorrupt, "%d feeds, room for %d", count, r.capacity) // [deepwater.open.count]
	}
	return nil
}

// checkMagic is [deepwater.open.not-ready] and [deepwater.open.magic] of a registry.
func checkMagic(found, want uint64, what string) error {
	switch found {
	case want:
		return nil
	case 0:
		return shmwire.Errorf(shmwire.ErrNotReady, "%s", what)
	}
	return shmwire.Errorf(shmwire.ErrBadMagic, "%s: %#x", what, found)
}

func registryExtent(capacity uint32) uint64 { return registrySize + uint64(capacity)*feedSize }

// openRegistry opens one that is there.
func openRegistry(directory *shm.Directory, writable bool) (registry, error) {
	how := shm.ToRead
	if writable {
		how = shm.ToWrite
	}
	file, err := directory.OpenFile(registryFile, how, 0)
	if err != nil {
		return registry{}, err
	}
	r := registry{file: file}
	if err := r.attach(!writable); err != nil {
		r.close()
		return registry{}, err
	}
	return r, nil
}

// lockRegistry opens the registry with its lock held, and makes it if it is not there or its maker died.
func lockRegistry(directory *shm.Directory, mode, capacity uint32) (registry, error) {
	file, err := directory.OpenFile(registryFile, shm.ToMake, mode)
	if err != nil {
		return registry{}, err
	}
	r := registry{file: file}
	if err = file.LockByteWaiting(lockByte); err == nil {
		err = r.attach(false)
	}
	if r.unmade(err) {
		err = r.make(capacity)
	}
	if err != nil {
		r.unlock()
		r.close()
		return registry{}, err
	}
	return r, nil
}

// unlock gives the lock back at once, even while a child between fork and exec has the descriptor.
func (r *registry) unlock() { r.file.UnlockByte(lockByte) }

// unmade says whether an error of attach means that the file was never published: not that one was cut off.
func (r *registry) unmade(err error) bool {
	switch shmwire.CodeOf(err) {
	case shmwire.ErrNotReady:
		return true
	case shmwire.ErrTruncated:
		return r.mapping == nil
	}
	return false
}

// make writes a new registry, its magic last; under the lock.
func (r *registry) make(capacity uint32) error {
	if r.mapping != nil {
		r.mapping.Close()
		r.mapping = nil
	}
	size := registryExtent(capacity)
	if err := r.file.Clear(size); err != nil {
		return err
	}
	if err := r.file.Reserve(0, registrySize); err != nil {
		return err
	}
	var err error
	if r.mapping, err = mapLockable(r.file, size, false); err != nil {
		return err
	}
	r.mapping.PutU32(registryVersionOffset, version)
	r.mapping.PutU32(registryEntrySizeOffset, uint32(feedSize))
	r.mapping.PutU32(registryCapacityOffset, capacity)
	r.mapping.Atomic64(registryMagicOffset).StoreRelease(registryMagic) // R0: pairs with A0; the header
	return r.check()
}

// text is what a field of text holds up to its first zero, and false if it has none.
func text(field []byte) (string, bool) {
	end := bytes.IndexByte(field, 0)
	if end < 0 {
		return "", false
	}
	return string(field[:end]), true
}

// takeEntry copies and checks an entry: from here on its copy counts [deepwater.open.entry].
func (p *place) takeEntry(id uint32) error {
	entry := p.registry.entry(id)
	var named, placed bool
	p.entry, p.id = entry, id
	p.name, named = text(entry.Bytes(feedNameOffset, uint64(NameMax)+1))
	p.directoryName, placed = text(entry.Bytes(feedDirectoryOffset, uint64(directoryMax)+1))
	p.chunkSize = entry.U64(feedChunkSizeOffset)
	p.liveWindow = entry.U32(feedLiveWindowOffset)
	p.recordSize = entry.U32(feedRecordSizeOffset)
	p.rotateNS = entry.U64(feedRotateNSOffset)
	p.persist = p.flags()&FlagPersist != 0
	switch {
	case !named || !placed || !goodName(p.name):
		return shmwire.Errorf(shmwire.ErrCorrupt, "the entry of feed %d has no good name or directory", id)
	case entry.U32(feedFeedIDOffset) != id:
		return shmwire.Errorf(shmwire.ErrCorrupt, "the entry of feed %d has another number", id)
	case !goodChunkSize(p.chunkSize), p.liveWindow == 0, uint64(p.recordSize) > p.chunkSize:
		return shmwire.Errorf(shmwire.ErrCorrupt, "feed %q: chunks of %d bytes, %d live, records of %d", p.name, p.chunkSize,
			p.liveWindow, p.recordSize)
	}
	return nil
}

func (p *place) flags() uint32   { return p.entry.Atomic32(feedFlagsOffset).Load() }
func (p *place) isRetired() bool { return p.flags()&FlagRetired != 0 }

// lookUp finds the entry of a name [deepwater.base.registry].
func (p *place) lookUp(feed string) error {
	r := &p.registry
	name := append([]byte(feed), 0)
	for id, count := uint32(0), r.count(); id < r.capacity && uint64(id) < count; id++ {
		if bytes.Equal(r.entry(id).Bytes(feedNameOffset, uint64(len(name))), name) {
			return p.takeEntry(id)
		}
	}
	return shmwire.Errorf(shmwire.ErrNotFound, "feed %q", feed)
}

// lookUpOrAdd is [deepwater.feed.existing]; under the global lock.
func (p *place) lookUpOrAdd(feed string, options *Options) error {
	err := p.lookUp(feed)
	switch {
	case err == nil && options.Making == CreateOnly:
		return shmwire.Errorf(shmwire.ErrExists, "feed %q", feed)
	case shmwire.CodeOf(err) != shmwire.ErrNotFound:
		return err
	}
	return p.addEntry(feed, options)
}

// addEntry is [deepwater.feed.entry]: the directory and the feed's registry first, the entry, and then the count. p is at it.
func (p *place) addEntry(feed string, options *Options) error {
	r := &p.registry
	count := r.count()
	if count >= uint64(r.capacity) {
		return shmwire.Errorf(shmwire.ErrFull, "%d feeds", count) // [deepwater.feed.full]
	}
	id := uint32(count)
	directory, err := openBelow(p.base.directory, feed, options.Mode)
	if err != nil {
		return err
	}
	err = makeFeed(directory, id, options)
	directory.Close()
	if err == nil && options.Persist {
		err = p.base.directory.Sync()
	}
	if err == nil {
		err = r.file.Reserve(registrySize+uint64(id)*feedSize, feedSize) // a full disk answers here and not by a fault
	}
	if err != nil {
		return err
	}
	created := options.Identity.ClockNS
	if created == 0 {
		created = uint64(time.Now().UnixNano())
	}
	fillEntry(r.entry(id), feed, id, created, options)
	if err := p.keep(options); err != nil { // a count on the disk must not cover an entry that is not there
		return err
	}
	r.mapping.Atomic64(registryCountOffset).StoreRelease(count + 1) // R1: pairs with A1; the entry
	r.changed()
	if err := p.keep(options); err != nil {
		return err
	}
	return p.takeEntry(id)
}

// keep writes the registry to the disk, for a feed that persists: a chunk in files that no registry names would be lost.
func (p *place) keep(options *Options) error {
	if !options.Persist {
		return nil
	}
	return p.registry.file.SyncData()
}

// fillEntry writes an entry beyond count: nobody reads it yet.
func fillEntry(entry shm.Window, feed string, id uint32, created uint64, options *Options) {
	raw := entry.Bytes(0, feedSize)
	for i := range raw {
		raw[i] = 0
	}
	copy(raw[feedNameOffset:], feed)
	copy(raw[feedDirectoryOffset:], feed)
	flags := uint32(0)
	if options.Persist {
		flags = FlagPersist
	}
	entry.PutU32(feedFeedIDOffset, id)
	entry.Atomic32(feedFlagsOffset).StoreRelaxed(flags) // published by R1, as all of this
	entry.PutU64(feedChunkSizeOffset, options.ChunkSize)
	entry.PutU32(feedLiveWindowOffset, options.LiveWindow)
	entry.PutU32(feedRecordSizeOffset, options.RecordSize)
	entry.PutU64(feedCreatedNSOffset, created)
	entry.PutU64(feedRotateNSOffset, options.RotateNS)
}
