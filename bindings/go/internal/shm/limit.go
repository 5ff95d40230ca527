// SPDX-License-Identifier: MIT

package shm

import (
	"context"
	"time"

	"shmwire"
)

// cancelSlice bounds a single sleep under a context that can be cancelled: nothing wakes a futex when that happens.
const cancelSlice = 5 * time.Millisecond

// Limit is how long a call may wait: for a time, or as long as a context lasts.
type Limit struct {
	None     bool            // do not wait at all
	Ctx      context.Context // nil: none
	deadline time.Time
	endless  bool
}

// Within is a limit by time: 0 does not wait, a negative one waits for ever.
func Within(timeout time.Duration) Limit {
	switch {
	case timeout == 0:
		return Limit{None: true}
	case timeout < 0:
		return Limit{endless: true}
	}
	return Limit{deadline: time.Now().Add(timeout)}
}

// While is the limit of a context.
func While(ctx context.Context) Limit {
	deadline, bounded := ctx.Deadline()
	return Limit{Ctx: ctx, deadline: deadline, endless: !bounded}
}

// Done is the answer once the waiting is over, nil before: ErrTimeout, or the context's.
func (l *Limit) Done() error {
	switch {
	case l.Ctx != nil:
		return ContextDone(l.Ctx)
	case l.None, !l.endless && !time.Now().Before(l.deadline):
		return shmwire.ErrTimeout
	}
	return nil
}

// Slice is how long a single sleep may be, at most longest.
func (l *Limit) Slice(longest time.Duration) time.Duration {
	if l.Ctx != nil && l.Ctx.Done() != nil && longest > cancelSlice {
		longest = cancelSlice
	}
	if !l.endless {
		if left := time.Until(l.deadline); left < longest {
			return left
		}
	}
	return longest
}
