// SPDX-License-Identifier: MIT

package deepwater

import (
	"path/filepath"
	"strconv"
	"strings"

	"shmwire"
	"shmwire/internal/shm"
)

// Section 8: what the next writer does about what a dead one left; sealing and expiring, which living ones do too.

// seal closes a chunk with so many records and bytes: the data's header and the row [deepwater.rotate.seal].
func (p *place) seal(c *chunk, records, bytes uint64, r *row) {
	c.writePos.StoreRelaxed(bytes)
	c.recordCount.StoreRelaxed(records)
	c.flags.StoreRelease(dataSealed) // R9: pairs with A9; entry_count, which is final
	r.state = StateSealed
	r.recordCount, r.dataBytes = records, bytes
	r.startNS = p.rowAt(r.id).Atomic64(rowStartNSOffset).Load()
	r.endNS = r.startNS
	if records > 0 {
		r.endNS = c.timestamp(records - 1)
	}
	p.storeRow(r)
}

// expire has the chunks from *from on, but the last keep below end, leave shared memory [deepwater.expire.window]. In a feed that
// persists, one whose files could not be written does not leave: it is tried again, now and whenever there is occasion. After a
// failure no other one is tried, but those that are persisted leave all the same.
func (p *place) expire(end, keep uint64, mode uint32, from *uint64) (err error) {
	for id := *from; id < end && end-id > keep; id++ {
		switch failed := p.expireOne(id, mode, err == nil); {
		case err == nil && failed == nil:
			*from = id + 1
		case err == nil:
			err = failed
		}
	}
	return err
}

// expireOne has one chunk leave; late says whether it may be persisted now, if it still has to be.
func (p *place) expireOne(id uint64, mode uint32, late bool) error {
	r, err := p.ownRow(id)
	if err != nil {
		return err
	}
	switch {
	case r.state >= StatePersisted:
	case p.persist && !late:
		return nil
	case p.persist:
		if err := p.persistLate(mode, &r); err != nil {
			return err
		}
	default: // first its row, then its name [deepwater.expire.state]
		r.state = StateExpired
		p.storeRow(&r)
	}
	p.unlinkChunk(id)
	return nil
}

// persistLate is for a sealed chunk that was not persisted when it should have been.
func (p *place) persistLate(mode uint32, r *row) error {
	c, err := p.chunkMemory(r.id, false)
	if err != nil {
		return err
	}
	defer c.close()
	if r.state != StateSealed || r.recordCount > c.indexCapacity || r.dataBytes > c.dataCapacity {
		return shmwire.Errorf(shmwire.ErrCorrupt, "row %d says %d records, %d bytes, state %d", r.id, r.recordCount, r.dataBytes,
			r.state)
	}
	return p.persistChunk(c, mode, r)
}

// checkRecords checks that every record that entry_count covers is what it should be, and answers the end of the last one.
func (c *chunk) checkRecords(firstSequence, count uint64) (bytes uint64, err error) {
	var r Record
	before := uint64(0)
	for i := uint64(0); i < count; i++ {
		if err := c.record(firstSequence, i, &r); err != nil {
			return 0, err
		}
		if r.TimestampNS < before {
			return 0, shmwire.Errorf(shmwire.ErrCorrupt, "record %d of chunk %d is earlier than the one before", i, c.id)
		}
		before = r.TimestampNS
		bytes = c.offset(i) + uint64(len(r.Data))
	}
	return bytes, nil
}

// counted is entry_count and checkRecords.
func (c *chunk) counted(firstSequence uint64) (count, bytes uint64, err error) {
	if count, err = c.count(); err == nil {
		bytes, err = c.checkRecords(firstSequence, count)
	}
	return count, bytes, err
}

// recovery is one pass over a feed whose lock is held.
type recovery struct {
	*place
	mode   uint32
	report Recovered
}

// mend brings a row, and what it stands for, into order.
func (v *recovery) mend(id uint64) error {
	r := rawRow(v.rowAt(id)) // whatever its stamp: only we may write it
	if r.id != id || r.stamp&1 == 0 && (r.state < StateLive || r.state > StateExpired) {
		return shmwire.Errorf(shmwire.ErrCorrupt, "row %d is of chunk %d in state %d", id, r.id, r.state)
	}
	if r.stamp&1 == 0 && r.state >= StatePersisted {
		return nil
	}
	c, err := v.chunkMemory(id, true)
	switch shmwire.CodeOf(err) {
	case nil:
		defer c.close()
		return v.mendInMemory(c, &r)
	case shmwire.ErrNotFound, shmwire.ErrBadMagic:
		return v.mendElsewhere(&r)
	}
	return err
}

// mendInMemory is step 1, and 4 of a feed that persists [deepwater.recover.sealed] [deepwater.recover.persist].
func (v *recovery) mendInMemory(c *chunk, r *row) error {
	count, bytes, err := c.counted(r.firstSequence)
	if err != nil {
		return err
	}
	if r.state != StateSealed || r.stamp&1 != 0 || !c.sealed() || r.recordCount != count || r.dataBytes != bytes {
		v.seal(c, count, bytes, r)
		v.report.Sealed++
	}
	if !v.persist {
		return nil
	}
	if err := v.persistChunk(c, v.mode, r); err != nil {
		return err
	}
	v.report.Persisted++
	return nil
}

// mendElsewhere is steps 2 and 3 [deepwater.recover.adopt]. What the system refuses to show is no reason to give up a chunk.
func (v *recovery) mendElsewhere(r *row) error {
	err := v.adopt(r)
	switch shmwire.CodeOf(err) {
	case nil:
		v.report.Adopted++
		return nil
	case shmwire.ErrSystem, shmwire.ErrPermission, shmwire.ErrUnsupported:
		return err
	}
	r.state = StateExpired
	v.storeRow(r)
	v.report.Expired++
	return nil
}

// adopt takes from two whole files what the row should have said.
func (v *recovery) adopt(r *row) error {
	c, err := v.chunkFiles(r.id)
	if err != nil {
		return err
	}
	defer c.close()
	if !c.sealed() {
		return shmwire.Errorf(shmwire.ErrCorrupt, "the files of chunk %d are not sealed", r.id)
	}
	count, bytes, err := c.counted(r.firstSequence)
	if err != nil {
		return err
	}
	r.state = StatePersisted
	r.recordCount, r.dataBytes, r.endNS = count, bytes, r.startNS
	if count > 0 { // the row may have come to the disk before its first record
		v.rowAt(r.id).Atomic64(rowStartNSOffset).StoreRelaxed(c.timestamp(0))
		r.endNS = c.timestamp(count - 1)
	}
	r.dataCRC, r.indexCRC = c.crcs(bytes, count)
	v.storeRow(r)
	return nil
}

// removeTemporary is step 5 [deepwater.recover.half-made].
func (v *recovery) removeTemporary() error {
	names, err := v.directory.Names()
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasPrefix(name, filePrefix) && strings.HasSuffix(name, temporary) && v.directory.Remove(name) == nil {
			v.report.Removed++
		}
	}
	return nil
}

// findEnd is step 6: the next record goes behind the last one that anybody can have seen [deepwater.recover.sequence].
func (v *recovery) findEnd(rows uint64) (nextSequence, lastNS uint64) {
	nextSequence, lastNS = v.lastSequence.Load()+1, v.lastTimestamp.Load() // of None: 0
	for id := rows; id > 0; id-- {
		r := rawRow(v.rowAt(id - 1))
		if end := r.end(); end > nextSequence {
			nextSequence = end
		}
		if r.endNS > lastNS {
			lastNS = r.endNS
		}
		if r.recordCount > 0 {
			break
		}
	}
	v.lastTimestamp.StoreRelaxed(lastNS)
	v.lastSequence.Store(nextSequence - 1) // of 0: None
	return nextSequence, lastNS
}

// sweep has chunks leave shared memory: those before the keep last ones of so many rows, and what a writer made that died
// before its row counted. What is there it looks up once: a feed can have a great many rows.
func (v *recovery) sweep(rows, keep uint64) error {
	ids, err := v.inMemory()
	if err != nil {
		return err
	}
	for _, id := range ids {
		switch {
		case id >= rows:
			v.unlinkChunk(id)
		case rows-id > keep:
			if err := v.expireOne(id, v.mode, true); err != nil {
				return err
			}
		}
	}
	return nil
}

// inMemory is the chunks of which something is in shared memory, in no order.
func (p *place) inMemory() ([]uint64, error) {
	path, err := shmwire.Path(p.memoryName(0, suffixData))
	if err != nil {
		return nil, err
	}
	directory, _, err := shm.OpenDirectory(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer directory.Close()
	names, err := directory.Names()
	if err != nil {
		return nil, err
	}
	prefix := strings.TrimSuffix(filepath.Base(path), "0."+suffixData)
	ids := []uint64{}
	for _, name := range names {
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		number, suffix, _ := strings.Cut(name[len(prefix):], ".")
		if id, err := strconv.ParseUint(number, 10, 64); err == nil && (suffix == suffixData || suffix == suffixIndex) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// recover does all of section 8 but taking the lock; keep is how many chunks stay in shared memory.
func (p *place) recover(mode uint32, keep uint64) (report Recovered, nextSequence, lastNS uint64, err error) {
	v := &recovery{place: p, mode: mode}
	rows, err := p.rows()
	if err != nil {
		return report, 0, 0, err
	}
	if err := v.removeTemporary(); err != nil {
		return report, 0, 0, err
	}
	if p.persist { // the count that covers a chunk, before its files
		if err := p.flush(); err != nil {
			return report, 0, 0, err
		}
	}
	for id := uint64(0); id < rows; id++ {
		if err := v.mend(id); err != nil {
			return report, 0, 0, err
		}
	}
	nextSequence, lastNS = v.findEnd(rows)
	p.latest.Store(None) // R3: pairs with A3
	if err = v.sweep(rows, keep); err == nil {
		err = p.flush()
	}
	return v.report, nextSequence, lastNS, err
}

// Collect recovers what a dead writer left, and keeps nothing in shared memory that is persisted. ErrBusy, with nothing changed,
// while a writer lives [deepwater.recover.busy]; ErrCorrupt for a chunk that no writer can have left so; otherwise the errors of
// OpenReader.
func Collect(path, feed string) (Recovered, error) {
	p, err := find(path, feed, true, 0)
	if err != nil {
		return Recovered{}, err
	}
	defer p.close()
	if err := p.lock(); err != nil {
		return Recovered{}, err
	}
	keep := uint64(p.liveWindow)
	if p.persist {
		keep = 0
	}
	report, _, _, err := p.recover(DefaultMode, keep)
	if err == nil {
		p.writerPID.StoreRelaxed(0)
	}
	return report, err
}
