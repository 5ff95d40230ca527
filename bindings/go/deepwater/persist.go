// SPDX-License-Identifier: MIT

package deepwater

import (
	"fmt"
	"hash/crc32"

	"shmwire"
	"shmwire/internal/shm"
)

// Copying a sealed chunk to files, so that neither a crash nor a power failure leaves half of one under its name.

const (
	filePrefix = "chunk_"
	temporary  = ".tmp"
)

// crcs are those of what a row says that the chunk holds.
func (c *chunk) crcs(bytes, records uint64) (data, index uint32) {
	return crc32.ChecksumIEEE(c.bytes(0, bytes)), crc32.ChecksumIEEE(c.entries(records))
}

// persistChunk copies a sealed chunk to its files and says so in its row, which is filled in and stored
// [deepwater.persist.order]. ErrSystem: they could not be written; the chunk is as it was.
func (p *place) persistChunk(c *chunk, mode uint32, r *row) error {
	if err := p.writeFiles(c, mode, r); err != nil {
		return &shmwire.Error{Code: shmwire.ErrSystem, Detail: fmt.Sprintf("persisting chunk %d", r.id), Cause: err}
	}
	r.dataCRC, r.indexCRC = c.crcs(r.dataBytes, r.recordCount)
	r.state = StatePersisted
	p.storeRow(r)
	return p.flush()
}

// writeFiles makes both files whole, on the disk, before either has its name.
func (p *place) writeFiles(c *chunk, mode uint32, r *row) error {
	data, index := fileHeaders(c, r)
	dataName, indexName := fileName(r.id, suffixData), fileName(r.id, suffixIndex)
	if err := p.writeFile(dataName, mode, data, c.bytes(0, r.dataBytes)); err != nil {
		return err
	}
	if err := p.writeFile(indexName, mode, index, c.entries(r.recordCount)); err != nil {
		return err
	}
	for _, name := range []string{dataName, indexName} {
		if err := p.directory.Rename(name+temporary, name); err != nil {
			return err
		}
	}
	return p.directory.Sync()
}

// writeFile writes header and body to NAME.tmp, whole and on the disk, or leaves nothing.
func (p *place) writeFile(name string, mode uint32, header, body []byte) error {
	_ = p.directory.Remove(name + temporary) // of a writer that died
	file, err := p.directory.OpenFile(name+temporary, shm.ToMakeAnew, mode)
	if err != nil {
		return err
	}
	defer file.Close()
	if err = file.Append(header); err == nil {
		err = file.Append(body)
	}
	if err == nil {
		err = file.Sync()
	}
	if err != nil {
		_ = p.directory.Remove(name + temporary)
	}
	return err
}

// fileHeaders are those of the two files: trimmed to what there is [deepwater.persist.content]. They are written to private
// memory: what R0 is to shared memory, the rename is to files.
func fileHeaders(c *chunk, r *row) (data, index []byte) {
	w := shm.WindowOf(int(dataSize))
	w.PutU64(dataMagicOffset, dataMagic)
	w.PutU32(dataFlagsOffset, dataSealed)
	w.PutU64(dataWritePosOffset, r.dataBytes)
	w.PutU64(dataRecordCountOffset, r.recordCount)
	putDataHeader(w, r.id, r.dataBytes, c.data.U32(dataWriterPidOffset))
	i := shm.WindowOf(int(indexSize))
	i.PutU64(indexMagicOffset, indexMagic)
	i.PutU64(indexEntryCountOffset, r.recordCount)
	putIndexHeader(i, r.id, r.recordCount)
	return w.Bytes(0, dataSize), i.Bytes(0, indexSize)
}
