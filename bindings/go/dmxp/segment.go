// SPDX-License-Identifier: MIT

// Package dmxp is profile dmxp: up to 256 bounded multi-producer multi-consumer queues in one segment, with each
// message delivered once. Specification: spec/dmxp.md. Rule ids in brackets name the rules that a piece of code
// implements.
package dmxp

import (
	"shmwire"
	"shmwire/internal/shm"
)

// Segment is an attached segment. Its methods may be called from any number of goroutines; Close comes last.
type Segment struct {
	mapping  *shm.Mapping
	window   shm.Window
	readOnly bool
	layout   uint32 // header.payload_layout, checked
	choice   PayloadChoice
	runtime  uint16
	closed   shm.Flag
}

// SegmentInfo describes a segment. Sizes are in bytes.
type SegmentInfo struct {
	Size            uint64 // mapped
	Version         uint32
	MaxChannels     uint32
	ChannelCount    uint32 // as the header says; a hint
	PayloadLayout   uint32 // as the header says
	PayloadCapacity uint32 // the largest payload that can be sent through this handle
	Magic           uint64
}

// Create makes a segment and attaches to it. shmwire.ErrExists when the name is taken, and then nothing is touched
// [dmxp.segment.create]; ErrInvalidArgument, ErrInvalidName, ErrPermission, ErrSystem. A failed call leaves nothing
// behind.
func Create(name string, options ...CreateOption) (*Segment, error) {
	config := createConfig{}
	for _, option := range options {
		option.applyCreate(&config)
	}
	if err := config.complete(); err != nil {
		return nil, err
	}
	mapping, err := shm.Create(name, config.size, HeaderSize, config.mode)
	if err != nil {
		return nil, err
	}
	writeHeader(mapping.Window, config.layout)
	return newSegment(mapping, config.layout, ChooseCrate, config.runtime), nil
}

func (c *createConfig) complete() error {
	if c.size == 0 {
		c.size = DefaultSize
	}
	if c.layout == 0 {
		c.layout = LayoutCrate
	}
	if c.mode == 0 {
		c.mode = DefaultMode
	}
	switch {
	case c.size < HeaderSize:
		return shmwire.Errorf(shmwire.ErrInvalidArgument, "size %d is below %d", c.size, HeaderSize)
	case c.layout != LayoutCrate && c.layout != LayoutDocument:
		return shmwire.Errorf(shmwire.ErrInvalidArgument, "payload layout %d", c.layout)
	case c.mode&^0o777 != 0:
		return shmwire.Errorf(shmwire.ErrInvalidArgument, "mode %#o", c.mode)
	}
	return nil
}

// writeHeader fills a window of zeros and publishes it.
func writeHeader(w shm.Window, layout uint32) {
	w.PutU32(headerVersionOffset, version)
	w.PutU32(headerMaxChannelsOffset, MaxChannels)
	w.PutU32(headerPayloadLayoutOffset, layout)
	// R0: pairs with A0; the whole header before the magic [dmxp.segment.magic-last].
	w.Atomic64(headerMagicOffset).Store(magic)
}

// Open attaches to a segment [dmxp.segment.*]: read-write, crate layout, no waiting, unless the options say otherwise.
// shmwire.ErrNotFound, ErrTruncated, ErrNotReady, ErrBadMagic, ErrBadVersion, ErrBadGeometry, ErrPermission.
func Open(name string, options ...OpenOption) (*Segment, error) {
	config := openConfig{}
	for _, option := range options {
		option.applyOpen(&config)
	}
	if config.choice < ChooseCrate || config.choice > ChooseAuto {
		return nil, shmwire.Errorf(shmwire.ErrInvalidArgument, "payload choice %d", config.choice)
	}
	var layout uint32
	mapping, err := shm.OpenReady(name, config.readOnly, HeaderSize, config.ready, func(w shm.Window) (err error) {
		layout, err = checkHeader(w) // [dmxp.segment.size]: HeaderSize above
		return err
	})
	if err != nil {
		return nil, err
	}
	return newSegment(mapping, layout, config.choice, config.runtime), nil
}

// checkHeader answers the payload layout of a header that is sound.
func checkHeader(w shm.Window) (uint32, error) {
	// A0: pairs with R0; the magic before the rest of the header.
	switch found := w.Atomic64(headerMagicOffset).Load(); found {
	case magic:
	case 0:
		return 0, shmwire.Errorf(shmwire.ErrNotReady, "magic is 0") // [dmxp.segment.not-ready]
	default:
		return 0, shmwire.Errorf(shmwire.ErrBadMagic, "magic is %#x", found) // [dmxp.segment.magic]
	}
	if found := w.U32(headerVersionOffset); found != version {
		return 0, shmwire.Errorf(shmwire.ErrBadVersion, "version %d", found) // [dmxp.segment.version]
	}
	if found := w.U32(headerMaxChannelsOffset); found != MaxChannels {
		return 0, shmwire.Errorf(shmwire.ErrBadGeometry, "max_channels %d", found) // [dmxp.segment.header]
	}
	layout := w.U32(headerPayloadLayoutOffset)
	if layout > LayoutCrate {
		return 0, shmwire.Errorf(shmwire.ErrBadGeometry, "payload_layout %d", layout) // [dmxp.segment.header]
	}
	return layout, nil
}

func newSegment(mapping *shm.Mapping, layout uint32, choice PayloadChoice, runtime uint16) *Segment {
	if runtime == 0 {
		runtime = RuntimeGo
	}
	return &Segment{
		mapping: mapping, window: mapping.Window, readOnly: mapping.ReadOnly,
		layout: layout, choice: choice, runtime: runtime,
	}
}

// Close unmaps the segment; it never removes or changes it. No other call on the segment or its channels may be under
// way; later ones answer ErrClosed, as does a second Close.
func (s *Segment) Close() error {
	if !s.closed.Set() {
		return shmwire.ErrClosed
	}
	return s.mapping.Close()
}

// Info describes the segment.
func (s *Segment) Info() (SegmentInfo, error) {
	if err := s.readable(); err != nil {
		return SegmentInfo{}, err
	}
	return SegmentInfo{
		Size:            s.window.Size(),
		Version:         s.window.U32(headerVersionOffset),
		MaxChannels:     s.window.U32(headerMaxChannelsOffset),
		ChannelCount:    s.window.Atomic32(headerChannelCountOffset).Load(),
		PayloadLayout:   s.window.U32(headerPayloadLayoutOffset),
		PayloadCapacity: uint32(s.writePlacement().capacity),
		Magic:           s.window.Atomic64(headerMagicOffset).Load(),
	}, nil
}

func (s *Segment) readable() error {
	if s.closed.IsSet() {
		return shmwire.ErrClosed
	}
	return nil
}

func (s *Segment) writable() error {
	if s.closed.IsSet() {
		return shmwire.ErrClosed
	}
	if s.readOnly {
		return errReadOnly
	}
	return nil
}

var errReadOnly = shmwire.Errorf(shmwire.ErrPermission, "the segment is mapped read-only")

// placement is where the payload lies in a slot, and how long it may be, in bytes.
type placement struct{ offset, capacity uint64 }

var (
	crateLayout    = placement{payloadOffsetCrate, PayloadCapacityCrate}
	documentLayout = placement{payloadOffsetDocument, PayloadCapacityDocument}
)

// writePlacement is that of the header, or of the caller's choice where the header says 0 [dmxp.layout.declared,
// .unspecified].
func (s *Segment) writePlacement() placement {
	if s.layout == LayoutDocument || s.layout == LayoutUnspecified && s.choice == ChooseDocument {
		return documentLayout
	}
	return crateLayout
}

// choosesByMessage says whether readers go by sender_runtime [dmxp.layout.auto].
func (s *Segment) choosesByMessage() bool {
	return s.layout == LayoutUnspecified && s.choice == ChooseAuto
}

// zeroRuntime says whether writers must leave sender_runtime 0 [dmxp.layout.runtime].
func (s *Segment) zeroRuntime() bool {
	return s.layout == LayoutUnspecified && s.choice == ChooseDocument
}
