// SPDX-License-Identifier: MIT

package shmcomm

import (
	"time"

	"shmwire"
	"shmwire/internal/shm"
)

// Claim is a message that is filled in place: Data, then Commit or Abandon, on the goroutine of its endpoint.
type Claim struct {
	Data     []byte // in the segment, 8-aligned
	writer   *writer
	heading  heading
	need, at uint64
	position uint64
	sequence uint64
	length   uint64 // of Data, whatever its owner does with that
}

// Claim begins a message of a length that is filled in place. Until it is committed or abandoned the endpoint holds the
// writers' lock: be quick. ErrBusy while another claim of this endpoint is open; the answers of Send.
func (w *writer) Claim(length int, meta *Meta, timeout time.Duration) (*Claim, error) {
	if err := w.usable(); err != nil {
		return nil, err
	}
	if length < 0 {
		return nil, shmwire.Errorf(shmwire.ErrInvalidArgument, "%d bytes", length)
	}
	if !w.fits(length) {
		return nil, w.tooLarge(length)
	}
	l := shm.Within(timeout)
	c := &Claim{writer: w, heading: w.heading(meta)}
	err := w.claim(c, uint64(length), &l)
	if err == shmwire.ErrFull {
		err = w.awaitRoom(&l, func() error { return w.claim(c, uint64(length), &l) })
	}
	if err != nil {
		return nil, err
	}
	w.claiming = true
	return c, nil
}

// claim is steps 1 to 6: nothing is stored to the ring before the caller fills the payload.
func (w *writer) claim(c *Claim, length uint64, l *shm.Limit) error {
	if err := w.begin(l); err != nil {
		return err
	}
	c.position, c.sequence, c.length = w.next, w.upcoming, length
	c.need, c.at = w.need(w.next, extentOf(messageHeaderSize+length))
	if err := w.makeRoom(c.position, c.need); err != nil {
		w.finish()
		return err
	}
	c.Data = w.ring.Bytes(c.at&w.mask+frameSize, length)
	shm.Fence() // F5: pairs with F5; tail before the first store to the ring, which is the caller's [shmcomm.send.fence]
	return nil
}

// complete is step 7 around a payload that is there already.
func (w *writer) complete(c *Claim) {
	if c.at != c.position {
		w.ring.PutU64(c.position&w.mask, skip)
	}
	frame := w.ring.Bytes(c.at&w.mask, extentOf(messageHeaderSize+c.length))
	(*frameHead)(frame).put(&c.heading, c.length, c.sequence, w.number)
	for i := frameSize + c.length; i < uint64(len(frame)); i++ {
		frame[i] = 0
	}
}

// open answers why the claim cannot be concluded.
func (c *Claim) open() error {
	switch {
	case c.writer == nil:
		return shmwire.Errorf(shmwire.ErrOutOfOrder, "the claim is not open")
	case c.writer.closed:
		return shmwire.ErrClosed
	}
	return nil
}

// Commit publishes the message and answers its sequence. ErrOutOfOrder for a claim that is not open; ErrClosed.
func (c *Claim) Commit() (uint64, error) {
	if err := c.open(); err != nil {
		return 0, err
	}
	w := c.writer
	w.complete(c)
	c.writer, c.Data, w.claiming = nil, nil, false
	w.publish(c.position+c.need, 1)
	w.beatHeart(c.heading.timestamp)
	return c.sequence, nil
}

// Abandon gives the message up; nothing was visible [shmcomm.send.claim]. The answers of Commit.
func (c *Claim) Abandon() error {
	if err := c.open(); err != nil {
		return err
	}
	w := c.writer
	c.writer, c.Data, w.claiming = nil, nil, false
	w.finish()
	return nil
}
