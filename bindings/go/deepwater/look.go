// SPDX-License-Identifier: MIT

package deepwater

import (
	"fmt"

	"shmwire"
	"shmwire/internal/shm"
)

// lookMost is how many rows Look tells of.
const lookMost = 4096

// field is one of a structure, by its layout name.
type field struct {
	name   string
	offset uint64
	wide   bool // 64 bits, not 32
}

var (
	registryFields = []field{
		{"magic", registryMagicOffset, true}, {"version", registryVersionOffset, false},
		{"entry_size", registryEntrySizeOffset, false}, {"capacity", registryCapacityOffset, false},
		{"count", registryCountOffset, true}, {"generation", registryGenerationOffset, true},
	}
	entryFields = []field{
		{"feed_id", feedFeedIDOffset, false}, {"flags", feedFlagsOffset, false}, {"chunk_size", feedChunkSizeOffset, true},
		{"live_window", feedLiveWindowOffset, false}, {"record_size", feedRecordSizeOffset, false},
		{"created_ns", feedCreatedNSOffset, true}, {"rotate_ns", feedRotateNSOffset, true},
	}
	feedFields = []field{
		{"magic", feedRegistryMagicOffset, true}, {"version", feedRegistryVersionOffset, false},
		{"row_size", feedRegistryRowSizeOffset, false}, {"capacity", feedRegistryCapacityOffset, false},
		{"writer_pid", feedRegistryWriterPidOffset, false}, {"count", feedRegistryCountOffset, true},
		{"latest", feedRegistryLatestOffset, true}, {"last_timestamp_ns", feedRegistryLastTimestampNSOffset, true},
		{"last_sequence", feedRegistryLastSequenceOffset, true}, {"heartbeat_ns", feedRegistryHeartbeatNSOffset, true},
		{"signal", feedRegistrySignalOffset, false}, {"waiters", feedRegistryWaitersOffset, false},
		{"feed_id", feedRegistryFeedIDOffset, true},
	}
	rowFields = []field{
		{"chunk_id", rowChunkIDOffset, true}, {"stamp", rowStampOffset, false}, {"state", rowStateOffset, false},
		{"first_sequence", rowFirstSequenceOffset, true}, {"record_count", rowRecordCountOffset, true},
		{"start_ns", rowStartNSOffset, true}, {"end_ns", rowEndNSOffset, true}, {"data_bytes", rowDataBytesOffset, true},
		{"data_capacity", rowDataCapacityOffset, true}, {"data_crc", rowDataCrcOffset, false},
		{"index_crc", rowIndexCrcOffset, false},
	}
)

// lookAt adds the fields of a structure.
func lookAt(found map[string]uint64, prefix string, w shm.Window, fields []field) {
	for _, f := range fields {
		if f.wide {
			found[prefix+f.name] = w.Atomic64(f.offset).Load()
		} else {
			found[prefix+f.name] = uint64(w.Atomic32(f.offset).Load())
		}
	}
}

// look tells the registries as they stand, whatever is to be thought of them: what is not zero by definition, by its layout name.
func (p *place) look() (map[string]uint64, error) {
	if p == nil {
		return nil, shmwire.ErrClosed
	}
	found := map[string]uint64{}
	lookAt(found, "registry.", p.registry.mapping.Window, registryFields)
	lookAt(found, "feed.", p.entry, entryFields)
	lookAt(found, "feed_registry.", p.mapping.Window, feedFields)
	for id, rows := uint64(0), p.count.Load(); id < rows && id < uint64(p.capacity) && id < lookMost; id++ {
		lookAt(found, fmt.Sprintf("row[%d].", id), p.rowAt(id), rowFields)
	}
	return found, nil
}

// Look answers every numeric field of the base's registry, the feed's entry, its registry and its first 4,096 rows as they
// stand, by names such as "row[3].state". For people and tests. ErrClosed.
func (w *Writer) Look() (map[string]uint64, error) { return w.place.look() }

// Look is that of a Writer.
func (r *Reader) Look() (map[string]uint64, error) { return r.place.look() }
