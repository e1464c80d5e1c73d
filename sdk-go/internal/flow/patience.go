package flow

import (
	"strings"
	"time"
)

// leastPause is how soon a step that lasts is looked at again, at the earliest.
const leastPause = 10 * time.Millisecond

// lost is after how long a step is given up however little of the processor it got: the server waits ten seconds for its answer.
const lost = 8 * time.Second

// gauge looks at a step that lasts: whether its coroutine waits for something else than the processor, and how much processor
// time the process has had so far. Go doesn't tell what one goroutine has used: what all have is the most that it can be.
type gauge struct {
	waits func() bool
	used  func() time.Duration
}

func (c *coroutine) gauge() gauge {
	return gauge{func() bool { return isWaiting(stackOf(c)) }, processTime}
}

// awaitTurn waits until the coroutine hands over, and returns false when that takes longer than DeadlockTimeout: time in which
// it waits, and time in which it computes. What a busy machine gives to other programs doesn't count, once half of it is over:
// before, nothing is measured, since most steps take microseconds.
func (r *Run) awaitTurn(of gauge) bool {
	half := r.env.DeadlockTimeout / 2
	if r.hasYielded(half) {
		return true
	}
	began := time.Now().Add(-half)
	for left := r.env.DeadlockTimeout - half; left > 0; {
		waits, before := of.waits(), of.used()
		if r.hasYielded(max(left, leastPause)) {
			return true
		}
		if waits && of.waits() {
			return false
		}
		left -= of.used() - before
		if time.Since(began) > max(lost, r.env.DeadlockTimeout) {
			return false
		}
	}
	return false
}

// hasYielded waits so long for the coroutine that is running.
func (r *Run) hasYielded(within time.Duration) bool {
	if r.limit == nil {
		r.limit = time.NewTimer(within)
	} else {
		r.limit.Reset(within)
	}
	defer r.limit.Stop()
	select {
	case <-r.yielded:
		return true
	case <-r.limit.C:
		return false
	}
}

// isWaiting tells by a goroutine's stack whether it waits for something else than the processor. The first line is such as
// "goroutine 12 [chan receive, 2 minutes]:".
func isWaiting(stack string) bool {
	_, state, _ := strings.Cut(stack, "[")
	state = state[:max(strings.IndexAny(state, ",]"), 0)]
	switch state {
	case "", "running", "runnable", "preempted", "copystack":
		return false
	}
	return !strings.HasPrefix(state, "GC ")
}
