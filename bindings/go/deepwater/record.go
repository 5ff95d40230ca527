// SPDX-License-Identifier: MIT

package deepwater

// Record is a record as read.
type Record struct {
	Data        []byte // where it lies, lent until the next call on the reader; not to be written to
	Sequence    uint64
	TimestampNS uint64
	ChunkID     uint64
	Type        uint32 // the application's
	Lost        uint64 // beside ErrExpired: records that are gone
}

// Part is a record to append, in a batch.
type Part struct {
	TimestampNS uint64
	Data        []byte
	Type        uint32
}

// ChunkInfo is a row of the feed's registry.
type ChunkInfo struct {
	ChunkID       uint64
	State         uint32 // StateLive, StateSealed, StatePersisted or StateExpired
	FirstSequence uint64
	RecordCount   uint64 // of a live chunk as its index has it; 0 if that cannot be reached
	StartNS       uint64 // timestamp of the first record; before it, the feed's last timestamp
	EndNS         uint64 // timestamp of the last record
	DataBytes     uint64
	DataCapacity  uint64
	DataCRC       uint32 // CRC-32 of the records' bytes; 0 until the chunk is persisted
	IndexCRC      uint32 // CRC-32 of the records in the index; 0 until the chunk is persisted
	DataName      string // of the shared memory that has the data, while it is there
	IndexName     string
}

// FeedInfo is a feed as its entry and its registry have it.
type FeedInfo struct {
	Name            string
	Directory       string // relative to the base
	FeedID          uint32
	Flags           uint32 // FlagPersist, FlagRetired
	ChunkSize       uint64 // bytes
	LiveWindow      uint32 // chunks
	RecordSize      uint32 // bytes; 0 = they vary
	CreatedNS       uint64 // since the Unix epoch
	RotateNS        uint64
	Chunks          uint64 // rows
	Latest          uint64 // the chunk being written; None
	LastSequence    uint64 // None before the first record
	LastTimestampNS uint64
	HeartbeatNS     uint64 // CLOCK_BOOTTIME
	WriterPID       uint32
	Waiters         uint32
	WriterLives     bool
}

// Recovered is what Collect did.
type Recovered struct {
	Sealed    uint64 // chunks
	Persisted uint64
	Adopted   uint64 // found whole in files although their row did not say so
	Expired   uint64 // nowhere to be found
	Removed   uint64 // temporary files
}
