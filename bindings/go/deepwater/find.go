// SPDX-License-Identifier: MIT

package deepwater

import (
	"context"
	"time"

	"shmwire"
	"shmwire/internal/shm"
)

// Finding feeds by their names, and what is asked of a base as a whole.

// find opens a feed that is there, with its registry. While its maker may be at work, it waits.
func find(path, feed string, writable bool, wait time.Duration) (*place, error) {
	if !goodName(feed) {
		return nil, shmwire.Errorf(shmwire.ErrInvalidName, "feed %q", feed)
	}
	l := shm.Within(wait)
	var backoff shm.Backoff
	for {
		last := l.Done() != nil // before the look
		p, err := findOnce(path, feed, writable)
		switch shmwire.CodeOf(err) {
		case shmwire.ErrNotFound, shmwire.ErrNotReady, shmwire.ErrTruncated:
			if !last {
				backoff.Pause(context.Background())
				continue
			}
		}
		return p, err
	}
}

func findOnce(path, feed string, writable bool) (*place, error) {
	p := &place{}
	var err error
	if p.base, err = openBase(path, 0); err == nil {
		p.registry, err = openRegistry(p.base.directory, writable)
	}
	if err == nil {
		err = p.lookUp(feed)
	}
	return p.enter(writable, err)
}

// enter opens the registry of the feed that p is at, unless there was an error before.
func (p *place) enter(writable bool, err error) (*place, error) {
	if err == nil {
		p.directory, err = openBelow(p.base.directory, p.directoryName, 0)
	}
	if err == nil {
		err = p.openFeed(writable)
	}
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// findOrMake opens a feed for its writer, and makes base, registry and feed as the options say.
func findOrMake(path, feed string, options *Options) (*place, error) {
	if !goodName(feed) {
		return nil, shmwire.Errorf(shmwire.ErrInvalidName, "feed %q", feed) // [deepwater.feed.name]
	}
	if options.Making == OpenOnly {
		return find(path, feed, true, 0)
	}
	p := &place{}
	var err error
	if p.base, err = openBase(path, options.Mode); err == nil {
		p.registry, err = lockRegistry(p.base.directory, options.Mode, options.Feeds)
	}
	if err == nil {
		err = p.lookUpOrAdd(feed, options)
		p.registry.unlock()
	}
	return p.enter(true, err)
}

// Feeds describes the feeds of a base, in the order in which they were made. ErrNotFound when there is no registry; the errors of
// OpenReader for one that cannot be used, beside the feeds before it.
func Feeds(path string) ([]FeedInfo, error) {
	for feeds := []FeedInfo{}; ; {
		info, more, err := feedAt(path, uint32(len(feeds)))
		if err != nil || !more {
			return feeds, err
		}
		feeds = append(feeds, info)
	}
}

// feedAt describes one feed, and says false behind the last one.
func feedAt(path string, id uint32) (info FeedInfo, more bool, err error) {
	p := &place{}
	if p.base, err = openBase(path, 0); err == nil {
		p.registry, err = openRegistry(p.base.directory, false)
	}
	if err == nil && uint64(id) >= p.registry.count() {
		p.close()
		return info, false, nil
	}
	if err == nil {
		err = p.takeEntry(id)
	}
	if p, err = p.enter(false, err); err != nil {
		return info, false, err
	}
	defer p.close()
	return p.describe(), true, nil
}

// Retire says that nothing more will be written to a feed [deepwater.feed.retire]: its readers answer ErrClosed at the end, and
// OpenWriter does at once. ErrBusy while a writer lives; otherwise the errors of OpenReader.
func Retire(path, feed string) error {
	p, err := find(path, feed, true, 0)
	if err != nil {
		return err
	}
	defer p.close()
	if err := p.lock(); err != nil {
		return err
	}
	if err := p.registry.file.LockByteWaiting(lockByte); err != nil {
		return err
	}
	flags := p.flags()
	p.entry.Atomic32(feedFlagsOffset).StoreRelease(flags | FlagRetired)
	p.registry.changed()
	p.registry.unlock()
	p.wakeAll()
	return nil
}
