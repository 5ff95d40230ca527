// SPDX-License-Identifier: MIT

package shmcomm

import (
	"errors"
	"time"

	"shmwire"
	"shmwire/internal/shm"
)

// Section 5: writer_lock, which writers of this process and of others store to, and its repair (section 10).

const (
	everySleeper = 1<<31 - 1
	lockSpins    = 200 // pauses, some microseconds: many times what a short message takes
)

// acquire takes the writers' lock, unless it is held already. ErrBusy once the limit and LockPatienceNS have passed
// [shmcomm.lock.busy], without a limit errHeld at once; ErrCorrupt when it was a dead owner's and the channel cannot be repaired.
func (e *endpoint) acquire(l *shm.Limit) error {
	if e.holding {
		return nil
	}
	// A1: pairs with R1; head, message_count and, in a pubsub channel, tail of the writer before.
	if e.lock.Load() == lockFree && e.lock.CompareAndSwap(lockFree, e.number) { // [shmcomm.lock.owner]
		e.holding = true
		return nil
	}
	if l == nil {
		return errHeld
	}
	return e.acquireSlowly(l)
}

// errHeld says inside of this package: another one holds the lock, and nobody waited for it.
var errHeld = errors.New("shmcomm: the lock is held")

func (e *endpoint) acquireSlowly(l *shm.Limit) error {
	mine := e.number
	began := time.Now()
	for {
		v := e.lock.Load()
		if v&^lockWaiters == lockFree {
			// A1: pairs with R1.
			if e.lock.CompareAndSwap(v, mine|v&lockWaiters) {
				e.holding = true
				return nil
			}
			continue
		}
		if e.spin(v) {
			continue
		}
		if v&lockWaiters == 0 {
			if !e.lock.CompareAndSwap(v, v|lockWaiters) {
				continue
			}
			v |= lockWaiters
		}
		mine = e.number | lockWaiters // whether others wait cannot be known from now on
		shm.Wait(e.lock, v, time.Duration(LockSliceNS))
		if e.lock.Load() == v {
			if taken, err := e.takeFromDead(v); taken || err != nil {
				return err
			}
		}
		if time.Since(began) >= time.Duration(LockPatienceNS) {
			if err := l.Done(); err != nil && e.lock.Load()&^lockWaiters != lockFree {
				return e.busy(l, err)
			}
		}
	}
}

// busy is the answer of who did not get the lock: a cancelled context gives its own error.
func (e *endpoint) busy(l *shm.Limit, err error) error {
	if l.Ctx != nil && shmwire.CodeOf(err) != shmwire.ErrTimeout {
		return err
	}
	return shmwire.Errorf(shmwire.ErrBusy, "endpoint %d holds the writers' lock", e.lock.Load()&^lockWaiters)
}

// spin watches the lock for a little while, and says whether it changed.
func (e *endpoint) spin(v uint32) bool {
	for i := 0; i < lockSpins; i++ {
		shm.Pause()
		if e.lock.Load() != v {
			return true
		}
	}
	return false
}

// takeFromDead takes the lock if the owner in v does not live [shmcomm.lock.dead] [shmcomm.lock.alive], and repairs the
// channel; false when somebody else was faster, too.
func (e *endpoint) takeFromDead(v uint32) (bool, error) {
	owner := v &^ lockWaiters
	if owner != e.number { // a word that we did not write names nobody: our byte stays where it is
		dead, err := e.file.LockByte(uint64(owner)) // held over the swap: nobody draws that number meanwhile
		if !dead || err != nil {
			return false, err
		}
		defer e.file.UnlockByte(uint64(owner))
	}
	// A1: the kernel has ordered what the dead one did before its file locks went, and that before ours.
	if !e.lock.CompareAndSwap(v, e.number|lockWaiters) {
		return false, nil
	}
	e.holding = true
	e.takeovers++
	e.epoch.StoreRelaxed(e.epoch.Load() + 1)
	if _, err := e.repair(); err != nil {
		e.free()
		return false, err
	}
	return true, nil
}

// free gives the lock back [shmcomm.lock.owner] [shmcomm.lock.wake].
func (e *endpoint) free() {
	e.holding = false
	// R1: pairs with A1; head, message_count and tail before the lock.
	if e.lock.Swap(lockFree)&lockWaiters != 0 {
		shm.Wake(e.lock, 1)
	}
}

// repair is section 10, by who has just taken the lock from a dead owner; it says whether a count was wrong
// [shmcomm.recover.held].
func (e *endpoint) repair() (bool, error) {
	t := e.tail.Load() // A3: pairs with R3
	h := e.head.Load() // A2: pairs with R2
	err := checkPositions(h, t, e.capacity)
	if err != nil {
		return false, err
	}
	// Pullers may take frames meanwhile: their bytes stay, since only the lock's holder overwrites them.
	frames, first, next, err := e.sequences(t, h)
	if err != nil {
		return false, err
	}
	repaired := frames && e.raiseCount(next) // [shmcomm.recover.count]
	if e.pattern == PatternPubsub {          // [shmcomm.recover.dropped]
		if !frames {
			first = e.count.Load()
		}
		if e.dropped.Load() != first {
			e.dropped.StoreRelaxed(first)
			repaired = true
		}
	}
	shm.FullFence()   // S6: between head, which the dead one may have stored, and the waiters
	e.wakeReceivers() // [shmcomm.recover.wake]
	return repaired, nil
}

// sequences walks the frames of [t, h), which stay: it answers the first sequence and the one behind the last, and false when
// there is no frame.
func (s *segment) sequences(t, h uint64) (frames bool, first, next uint64, err error) {
	for t != h {
		at, size, extent, possible := s.look(t, h)
		if !possible {
			return false, 0, 0, badFrame(at, size)
		}
		sequence := s.headAt(at).sequence()
		if !frames {
			frames, first = true, sequence
		}
		next, t = sequence+1, at+extent
	}
	return frames, first, next, nil
}

// raiseCount raises message_count to at least n, and says whether it was lower. Writers under the lock and pullers do so.
func (s *segment) raiseCount(n uint64) bool {
	for {
		v := s.count.Load()
		if v >= n {
			return false
		}
		if s.count.CompareAndSwap(v, n) {
			return true
		}
	}
}

// wakeReceivers wakes who sleeps on data_signal, if anybody does [shmcomm.wait.wake] [shmcomm.wait.no-call]. A sequentially
// consistent operation (S6) stands between the caller's store of head and this.
func (s *segment) wakeReceivers() {
	if s.dataWaiters.Load() != 0 { // S6: pairs with S6
		wakeAll(s.dataSignal, s.dataWaiters)
	}
}

// wakeWriters is the same for who waits for room, after a store of tail.
func (s *segment) wakeWriters() {
	if s.spaceWaiters.Load() != 0 { // S6: pairs with S6
		wakeAll(s.spaceSignal, s.spaceWaiters)
	}
}

func wakeAll(signal, waiters shm.U32) {
	waiters.StoreRelaxed(0)
	signal.Add(1) // R4: pairs with A4; the waiters wiped out, and what was published or taken, before the signal
	shm.Wake(signal, everySleeper)
}

// announce is what a sleeper does before its last look [shmcomm.wait.load-first] [shmcomm.wait.count]: it answers the
// signal to sleep on.
func announce(signal, waiters shm.U32) uint32 {
	value := signal.Load() // A4: pairs with R4; before the count and the look
	if waiters.Load() == 0 {
		waiters.Add(1)
	}
	shm.FullFence() // S6: pairs with S6; the count before the look
	return value
}
