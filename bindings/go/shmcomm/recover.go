// SPDX-License-Identifier: MIT

package shmcomm

import (
	"golang.org/x/sys/unix"

	"shmwire"
	"shmwire/internal/shm"
)

// Repair and removal from outside (section 10).

// Recovery is what Recover found to do.
type Recovery struct {
	LockTaken     bool   // from a dead owner
	CountRepaired bool   // message_count or dropped_count
	Swept         uint32 // reply channels of dead requesters removed; of a service's request channel
}

// Recover repairs the channel at a locator if a dead writer holds its lock, and removes the reply channels of dead requesters
// of a service. ErrBusy: the holder lives. The errors of NewPublisher.
func Recover(locator string) (Recovery, error) {
	var report Recovery
	path, err := shmwire.Path(locator)
	if err != nil {
		return report, err
	}
	e, err := (&door{path: path, making: JoinOnly}).join()
	if err != nil {
		return report, err
	}
	err = e.recover(&report)
	if err == nil && e.pattern == PatternRequest {
		report.Swept = sweep(replyPrefix(locator))
	}
	e.leave(false)
	return report, err
}

// recover takes the lock from a dead owner, repairs and frees it.
func (e *endpoint) recover(report *Recovery) error {
	v := e.lock.Load()
	if v&^lockWaiters == lockFree {
		return nil
	}
	lives, err := e.file.Locked(uint64(v&^lockWaiters), 1)
	if err != nil {
		return err
	}
	// A1: the kernel has ordered what the dead one did before its file locks went.
	if lives || !e.lock.CompareAndSwap(v, e.number|lockWaiters) {
		return shmwire.Errorf(shmwire.ErrBusy, "endpoint %d holds the writers' lock", v&^lockWaiters)
	}
	e.holding = true
	e.epoch.StoreRelaxed(e.epoch.Load() + 1)
	report.LockTaken = true
	report.CountRepaired, err = e.repair()
	e.free()
	return err
}

// Remove removes a stale channel by its locator [shmcomm.remove.state]. ErrBusy: a keeper lives. ErrFull: a pipeline that holds
// messages, unless insist. An unfinished segment is removed, too. The errors of NewPublisher for what is no channel.
func Remove(locator string, insist bool) error {
	path, err := shmwire.Path(locator)
	if err != nil {
		return err
	}
	return remove(path, insist, 0)
}

// remove is Remove of a channel of a pattern, or of any if that is 0.
func remove(path string, insist bool, pattern uint32) error {
	for {
		members, err := shm.OpenFile(path, false)
		if err != nil {
			return err
		}
		if err = members.Lock(); err == nil { // the membership lock
			err = removeLocked(members, path, insist, pattern)
		}
		members.Close()
		if err != errAgain {
			return err
		}
	}
}

func removeLocked(members *shm.File, path string, insist bool, pattern uint32) error {
	state, err := members.State()
	if err != nil {
		return err
	}
	if !state.Named || !state.Identity.Names(path) {
		return errAgain
	}
	s, err := mapSegment(members, path, false)
	if err != nil {
		if !unfinished(members, err) {
			return err
		}
		return unlinkFile(path) // whoever makes it looks for its name once it has the membership lock
	}
	defer s.unmap()
	if pattern != 0 && s.pattern != pattern {
		return wrongPattern(s.pattern, pattern)
	}
	lives, err := s.keeperLives()
	switch {
	case err != nil:
		return err
	case lives: // [shmcomm.remove.alive]
		return shmwire.Errorf(shmwire.ErrBusy, "a keeper of %s lives", path)
	case s.pattern == PatternPipeline && !insist && s.head.Load() != s.tail.Load(): // A2, A3: pair with R2, R3
		return shmwire.ErrFull // [shmcomm.remove.undelivered]
	}
	s.announceClosed()
	return unlinkFile(path)
}

func unlinkFile(path string) error {
	if err := unix.Unlink(path); err != nil {
		return shmwire.FromErrno("unlink "+path, err)
	}
	return nil
}
