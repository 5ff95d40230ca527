// SPDX-License-Identifier: MIT

// Package slick is profile slick: a lossy ring in shared memory. Any number of producers write items of one or more
// elements of one size, any number of readers follow, and nobody waits for a reader; readers that share a cursor share
// the work. The bytes are those of slick-queue 1.2, 1.3 and 1.4. Specification: spec/slick.md. Rule ids in brackets name
// the rules that a piece of code implements.
//
//	queue, err := slick.Create("/ticks", 24)
//	producer, err := queue.NewProducer()
//	index, err := producer.Write(tick)
//
//	reader, err := queue.NewReader(slick.WithStart(slick.StartLatest))
//	item, err := reader.Wait(ctx)
package slick

import (
	"runtime"

	"shmwire"
	"shmwire/internal/shm"
)

// Queue is an attached queue. Its methods may be called from any number of goroutines; producers and readers are made
// from it, one for each goroutine, and cost no mapping. Close comes last.
type Queue struct {
	geometry
	mapping       *shm.Mapping // nil in tests only
	window        shm.Window
	reserved      shm.U64
	settled       shm.U64
	lastPublished shm.U64
	name          string
	mask          uint64 // size - 1
	data          uint64 // offset of element 0
	closed        shm.Flag
}

// geometry is what a header says, checked.
type geometry struct {
	generation  Generation
	size        uint64 // elements in the ring, a power of two
	elementSize uint64 // bytes
}

// Info describes a queue.
type Info struct {
	Generation  Generation
	Size        uint32 // elements
	ElementSize uint32 // bytes
	Length      uint64 // bytes that the format uses of the segment
	NextIndex   uint64 // that is reserved next
	Settled     uint64 // header.settled
}

// Header is what the first 64 bytes of a segment say.
type Header struct {
	Reserved      uint64
	Size          uint32
	ElementSize   uint32
	LastPublished uint64
	HeaderMagic   uint32
	Settled       uint64
	InitState     uint32
}

// Slot is a slot of the ring.
type Slot struct {
	DataIndex uint64
	Size      uint32
}

// Create makes a queue of elements of so many bytes, and attaches to it. shmwire.ErrExists when the name is taken, and then
// nothing is touched [slick.segment.create]; ErrInvalidArgument [slick.segment.argument], ErrInvalidName
// [slick.segment.portable-name], ErrPermission, ErrSystem. A failed call leaves nothing behind.
func Create(name string, elementSize uint32, options ...CreateOption) (*Queue, error) {
	config, err := newCreateConfig(elementSize, options)
	if err != nil {
		return nil, err
	}
	full, err := fullName(name, config.portable)
	if err != nil {
		return nil, err
	}
	length := config.length()
	mapping, err := shm.Create(name, length, length, config.mode)
	if err != nil {
		return nil, err
	}
	return newMappedQueue(mapping, full, config), nil
}

// CreateLocal makes a queue without a name, for the goroutines of this process; names and modes count for nothing.
// ErrInvalidArgument, ErrSystem.
func CreateLocal(elementSize uint32, options ...CreateOption) (*Queue, error) {
	config, err := newCreateConfig(elementSize, options)
	if err != nil {
		return nil, err
	}
	mapping, err := shm.CreateAnonymous(config.length())
	if err != nil {
		return nil, err
	}
	return newMappedQueue(mapping, "", config), nil
}

func newMappedQueue(mapping *shm.Mapping, name string, config *createConfig) *Queue {
	mapping.PrefaultAll()
	q := newQueue(mapping, mapping.Window, name, config.geometry)
	q.begin()
	return q
}

func newQueue(mapping *shm.Mapping, window shm.Window, name string, g geometry) *Queue {
	return &Queue{
		geometry: g, mapping: mapping, window: window, name: name, mask: g.size - 1, data: g.tableEnd(),
		reserved: window.Atomic64(headerReservedOffset), settled: window.Atomic64(headerSettledOffset),
		lastPublished: window.Atomic64(headerLastPublishedOffset),
	}
}

// fullName is the name that other programs open [slick.segment.name].
func fullName(name string, portable bool) (string, error) {
	full, posix, err := shmwire.FullName(name)
	if err != nil {
		return "", err
	}
	if posix && (portable || runtime.GOOS == "darwin") && len(full) > int(PortableNameMax) {
		return "", shmwire.Errorf(shmwire.ErrInvalidName, "%q has more than %d characters", full, PortableNameMax)
	}
	return full, nil
}

// begin fills a window of zeros and publishes it [slick.segment.init].
func (q *Queue) begin() {
	w := q.window
	state := w.Atomic32(headerInitStateOffset)
	if q.generation != Generation12 {
		state.Store(stateBegun)
	}
	w.PutU32(headerElementSizeOffset, uint32(q.elementSize))
	q.clearSlots()
	if q.generation == Generation14 {
		w.PutU64(headerLastPublishedOffset, noIndex)
		w.PutU32(headerHeaderMagicOffset, magic)
	}
	size := w.Atomic32(headerSizeOffset)
	size.Store(uint32(q.size)) // R0: pairs with A0; in generation 1.2 the word that publishes all above
	switch q.generation {
	case Generation13:
		state.Store(stateReady13) // R0: pairs with A0
	case Generation14:
		state.Store(stateReady14) // R0: pairs with A0
	}
}

func (q *Queue) clearSlots() {
	for k := uint64(0); k < q.size; k++ {
		index, size := q.slot(k)
		size.StoreRelaxed(1)
		index.StoreRelease(noIndex) // R2: pairs with A2
	}
}

// Open attaches to a queue: read-write, and waiting DefaultReadyTimeoutNS for a creator that is at work, unless the options say
// otherwise. shmwire.ErrNotFound, ErrTruncated, ErrNotReady, ErrBadMagic, ErrBadVersion, ErrBadGeometry, ErrPermission,
// ErrInvalidName, ErrSystem.
func Open(name string, options ...OpenOption) (*Queue, error) {
	config := newOpenConfig(options)
	full, err := fullName(name, false)
	if err != nil {
		return nil, err
	}
	var g geometry
	mapping, err := shm.OpenReady(name, config.readOnly, headerSize, config.ready, func(w shm.Window) (err error) {
		g, err = checkHeader(w)
		return err
	})
	if err != nil {
		return nil, err
	}
	mapping.PrefaultAll()
	return newQueue(mapping, mapping.Window, full, g), nil
}

// checkHeader answers the geometry of a header that is sound.
func checkHeader(w shm.Window) (geometry, error) {
	var g geometry
	var err error
	if g.generation, err = findGeneration(w); err != nil {
		return g, err
	}
	g.size = uint64(w.Atomic32(headerSizeOffset).Load()) // A0: pairs with R0, in generation 1.2
	g.elementSize = uint64(w.U32(headerElementSizeOffset))
	switch { // [slick.segment.geometry]
	case !shm.IsPowerOfTwo(g.size) || g.size > uint64(MaxSize):
		return g, shmwire.Errorf(shmwire.ErrBadGeometry, "size is %d", g.size)
	case g.elementSize == 0:
		return g, shmwire.Errorf(shmwire.ErrBadGeometry, "element_size is 0")
	}
	if length := g.length(); length > w.Size() { // [slick.segment.size]
		return g, shmwire.Errorf(shmwire.ErrTruncated, "%d bytes, %d expected", w.Size(), length)
	}
	return g, nil
}

// findGeneration waits for nothing [slick.segment.generation]. It loads the size before the state: creators of 1.3 and 1.4
// have left state 0 before they store it, so that theirs is never taken for a segment of generation 1.2.
func findGeneration(w shm.Window) (Generation, error) {
	size := w.Atomic32(headerSizeOffset).Load()                       // A0: pairs with R0
	switch state := w.Atomic32(headerInitStateOffset).Load(); state { // A0: pairs with R0; all of the header after it
	case stateReady14:
		if found := w.U32(headerHeaderMagicOffset); found != magic {
			return 0, shmwire.Errorf(shmwire.ErrBadMagic, "header_magic is %#x", found) // [slick.segment.magic]
		}
		return Generation14, nil
	case stateReady13:
		return Generation13, nil
	case stateNone:
		if size != 0 {
			return Generation12, nil
		}
		return 0, shmwire.Errorf(shmwire.ErrNotReady, "init_state and size are 0") // [slick.segment.not-ready]
	case stateBegun:
		return 0, shmwire.Errorf(shmwire.ErrNotReady, "its creator is at work")
	default:
		return 0, shmwire.Errorf(shmwire.ErrBadVersion, "init_state is %d", state) // [slick.segment.state]
	}
}

// tableEnd is where elements begin.
func (g geometry) tableEnd() uint64 { return slotTableOffset + slotSize*g.size }

// length is what the format uses, bytes. Neither it nor tableEnd can overflow: the size is 2^31 at most.
func (g geometry) length() uint64 { return g.tableEnd() + g.elementSize*g.size }

// Close unmaps the queue; it never removes or changes it. No call on the queue, its producers or its readers may be under
// way, and views end with it; later calls answer ErrClosed, as does a second Close.
func (q *Queue) Close() error {
	if !q.closed.Set() {
		return shmwire.ErrClosed
	}
	return q.mapping.Close()
}

// usable answers ErrClosed after Close, and ErrPermission when the queue is to be changed and was opened read-only.
func (q *Queue) usable(change bool) error {
	switch {
	case q.closed.IsSet():
		return shmwire.ErrClosed
	case change && q.mapping != nil && q.mapping.ReadOnly:
		return shmwire.Errorf(shmwire.ErrPermission, "the queue was opened read-only")
	}
	return nil
}

// ShmName is the name that other programs, in other languages too, open: with the leading slash, or the path; "" for a
// queue without a name.
func (q *Queue) ShmName() string { return q.name }

// Info describes the queue.
func (q *Queue) Info() (Info, error) {
	if err := q.usable(false); err != nil {
		return Info{}, err
	}
	return Info{
		Generation: q.generation, Size: uint32(q.size), ElementSize: uint32(q.elementSize), Length: q.length(),
		NextIndex: q.next(), Settled: q.settled.Load(), // A1: pairs with R1
	}, nil
}

// Header answers the header as it stands in the segment.
func (q *Queue) Header() (Header, error) {
	if err := q.usable(false); err != nil {
		return Header{}, err
	}
	w := q.window
	return Header{
		Reserved: q.reserved.Load(), Size: w.Atomic32(headerSizeOffset).Load(), ElementSize: w.U32(headerElementSizeOffset),
		LastPublished: q.lastPublished.Load(), // A3: pairs with R3
		HeaderMagic:   w.U32(headerHeaderMagicOffset),
		Settled:       q.settled.Load(),                         // A1: pairs with R1
		InitState:     w.Atomic32(headerInitStateOffset).Load(), // A0: pairs with R0
	}, nil
}

// Slots answers the slot table. On a live segment each word is of one moment, the table is not.
func (q *Queue) Slots() ([]Slot, error) {
	if err := q.usable(false); err != nil {
		return nil, err
	}
	slots := make([]Slot, q.size)
	for k := range slots {
		index, size := q.slot(uint64(k))
		slots[k].DataIndex = index.Load() // A2: pairs with R2
		slots[k].Size = size.Load()
	}
	return slots, nil
}

// Reset forgets everything: index 0 comes next. Only for a queue at rest. ErrPermission for a read-only one
// [slick.reset.clear].
func (q *Queue) Reset() error {
	if err := q.usable(true); err != nil {
		return err
	}
	q.clearSlots()
	if q.generation == Generation14 {
		q.lastPublished.StoreRelease(noIndex) // R3: pairs with A3
	}
	q.settled.StoreRelease(0) // R1: pairs with A1
	q.reserved.StoreRelease(0)
	return nil
}

// The words of the segment: producers of this process and of others store to all of them.

// next is the index that is reserved next.
func (q *Queue) next() uint64 { return q.reserved.Load() >> reservedSizeBits }

// slot is where an index lives: its data_index, and its size. The size is relaxed: what counts is data_index, or the
// reservation afterwards.
func (q *Queue) slot(index uint64) (shm.U64, shm.U32) {
	return q.window.Atomic64And32(slotTableOffset + slotSize*(index&q.mask) + slotDataIndexOffset)
}

func (q *Queue) slotBytes(index uint64) []byte {
	return q.window.Bytes(slotTableOffset+slotSize*(index&q.mask), slotSize)
}

func (q *Queue) dataIndex(index uint64) shm.U64 {
	word, _ := q.slot(index)
	return word
}

// room is the number of elements from an index to the end of the ring.
func (q *Queue) room(index uint64) uint64 { return q.size - index&q.mask }

// elements is where an item lies that does not pass the end of the ring.
func (q *Queue) elements(index, count uint64) []byte {
	return q.window.Bytes(q.data+(index&q.mask)*q.elementSize, count*q.elementSize)
}

// isMark says whether d, below the reservation's index, is a mark made by who reserved an index: go on at d.
func (q *Queue) isMark(d, index, next uint64) bool { return d > index && d-index < q.size && d <= next }

// lowest is the first index of the ring when next comes next.
func (q *Queue) lowest(next uint64) uint64 {
	if next < q.size {
		return 0
	}
	return next - q.size
}
