package flow

import (
	"fmt"
	"slices"

	"durably.dev/sdk/internal/core"
	"durably.dev/sdk/internal/failure"
)

// step lets a coroutine run until it waits or ends, or makes it end if stay is false. It returns false when that takes too
// long.
func (r *Run) step(c *coroutine, stay bool) bool {
	r.current = c
	c.ready = nil
	if c.started {
		c.resume <- stay
	} else {
		c.started = true
		go c.main()
	}
	defer func() { r.current = nil }()
	return r.awaitTurn(c.gauge())
}

// dispatch runs what is ready, in the order in which it was made, until nothing can go on. The run's end, if it has come,
// is the last that the others hear of.
func (r *Run) dispatch() {
	anyUpdate := func(*core.UpdateReceived) bool { return true }
	for {
		for r.pass() {
		}
		// What still waits for its handler when all code has come to rest won't get one in this task: it is rejected.
		if r.failed != nil || !r.beginEarly(anyUpdate) {
			return
		}
	}
}

// pass gives each coroutine a turn, and tells whether something may come of another one.
func (r *Run) pass() (progress bool) {
	if len(r.eager) > 0 {
		r.coroutines, r.eager = append(r.eager, r.coroutines...), nil
	}
	for i := 0; i < len(r.coroutines) && r.failed == nil; i++ {
		c := r.coroutines[i]
		if c.done || c.ready != nil && !c.ready() {
			continue
		}
		if !r.step(c, true) {
			r.panicked(r.abandon(c))
			return false
		}
		progress = progress || c.done || !c.idle
		if len(r.eager) > 0 {
			r.coroutines, r.eager = slices.Insert(r.coroutines, i+1, r.eager...), nil
		}
	}
	alive := r.coroutines[:0]
	for _, c := range r.coroutines {
		if !c.done {
			alive = append(alive, c)
		}
	}
	clear(r.coroutines[len(alive):])
	r.coroutines = alive
	return progress && r.failed == nil
}

// abandon leaves a coroutine behind that didn't hand over in time: nothing else of the run can go on. It returns the error
// that says so.
func (r *Run) abandon(c *coroutine) *failure.PanicError {
	stack := stackOf(c)
	r.stuck = c
	r.broken.Store(true)
	close(c.abandoned)
	return &failure.PanicError{
		Value: fmt.Sprintf("[TMPRL1101] Potential deadlock detected: workflow goroutine %q didn't yield for over %v, at %s. "+
			"Workflow code waits only by what package workflow has; locks, channels, input and output and long computations "+
			"belong into activities.%s", c.name, r.env.DeadlockTimeout, userLine(stack), r.env.DeadlockAdvice),
		Stack: failure.UserStack(stack),
	}
}

// Refuse makes a run fail its tasks for as long as a coroutine of an earlier one, of the same run, is stuck: to run its code
// again would only leave one more behind.
func (r *Run) Refuse(earlier *Run) {
	stack := stackOf(earlier.stuck)
	r.info = earlier.info
	r.fail(&failure.PanicError{
		Value: fmt.Sprintf("[TMPRL1101] Potential deadlock detected: workflow goroutine %q of an earlier attempt still doesn't yield, at %s. "+
			"The run goes on when it does, or on another worker.", earlier.stuck.name, userLine(stack)),
		Stack: failure.UserStack(stack),
	})
}

// Stuck is closed when nothing of an evicted run goes on any more; nil if nothing has gone on since it was evicted.
func (r *Run) Stuck() <-chan struct{} { return r.left }

// exit ends all coroutines without letting them do anything more: their deferred functions run, their waits don't.
func (r *Run) exit() {
	r.closed = true
	if r.stuck != nil {
		r.exitLater()
		return
	}
	for _, c := range r.coroutines {
		if c.done || !c.started || r.step(c, false) {
			continue
		}
		stuck := r.abandon(c)
		r.env.Logger.Error("An evicted workflow doesn't end.", append(r.ids(), "Error", stuck, "StackTrace", stuck.Stack)...)
		r.exitLater()
		return
	}
	r.coroutines = nil
}

// exitLater is the rest of exit once the coroutine that is stuck has ended, if ever: until then it may use what the deferred
// functions of the others use.
func (r *Run) exitLater() {
	r.left = make(chan struct{})
	go func() {
		defer close(r.left)
		<-r.stuck.gone
		for _, c := range r.coroutines {
			if c == r.stuck || c.done || !c.started {
				continue
			}
			r.current = c
			c.resume <- false
			<-r.yielded
		}
	}()
}
