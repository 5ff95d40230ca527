// SPDX-License-Identifier: MIT

package deepwater

import "shmwire"

// Validate checks a feed: registries, rows, and every chunk that can be reached, CRCs included [deepwater.validate.crc]. A
// writer may be at work: what is live is checked as far as its entry_count goes. The first finding is the error: ErrCorrupt,
// or what opening would answer. ErrNotReady: nothing is damaged, but a writer died while it changed a row.
func Validate(base, feed string) error {
	p, err := find(base, feed, false, 0)
	if err != nil {
		return err
	}
	defer p.close()
	rows, err := p.rows()
	if err != nil {
		return err
	}
	var before row
	for id := uint64(0); id < rows; id++ {
		if err := p.validateOrder(id, &before); err != nil {
			return err
		}
		if err := p.validateChunk(id); err != nil {
			return err
		}
	}
	return nil
}

// validateOrder looks at rows in their order: sequences and times never fall.
func (p *place) validateOrder(id uint64, before *row) error {
	r, err := p.loadRow(id)
	if err != nil {
		return err
	}
	if id > 0 && (r.firstSequence < before.end() || r.startNS < before.startNS) { // I1
		return shmwire.Errorf(shmwire.ErrCorrupt, "chunk %d: first_sequence or start_ns is below that of the row before", id)
	}
	*before = r
	return nil
}

func (p *place) validateChunk(id uint64) error {
	r, c, err := p.attach(id)
	if err == shmwire.ErrExpired {
		return nil
	}
	if err != nil {
		return err
	}
	defer c.close()
	count, _, err := c.counted(r.firstSequence)
	if err != nil || r.state == StateLive {
		return err
	}
	return c.validateSealed(&r, count)
}

func (c *chunk) validateSealed(r *row, count uint64) error {
	switch {
	case r.recordCount != count:
		return shmwire.Errorf(shmwire.ErrCorrupt, "chunk %d: the row has %d records, the index %d", r.id, r.recordCount, count)
	case r.dataBytes > c.dataCapacity:
		return shmwire.Errorf(shmwire.ErrCorrupt, "chunk %d: the row has %d bytes, the data %d", r.id, r.dataBytes, c.dataCapacity)
	case r.state != StatePersisted:
		return nil
	}
	if data, index := c.crcs(r.dataBytes, count); data != r.dataCRC || index != r.indexCRC {
		return shmwire.Errorf(shmwire.ErrCorrupt, "chunk %d: CRCs %#x, %#x, the row has %#x, %#x", r.id, data, index, r.dataCRC,
			r.indexCRC)
	}
	return nil
}
