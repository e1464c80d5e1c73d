package flow

import (
	"bytes"
	"runtime"
	"sync/atomic"

	"durably.dev/sdk/internal/failure"
)

// coroutine is a goroutine of its own that runs only while the run's dispatcher waits for it.
type coroutine struct {
	run    *Run
	name   string
	body   func(*coroutine)
	resume chan bool
	// abandoned is closed when it didn't hand over in time: nobody waits for it any more. gone is closed when its goroutine ends.
	abandoned, gone chan struct{}
	// ready tells whether it can go on; nil: it can, or has to ask a condition of the user's.
	ready func() bool
	// idle: it asked, and still can't go on.
	idle    bool
	started bool
	done    bool
	leaving bool
	// reads: it is a query handler's, whose failure is the query's.
	reads bool
	// id is the goroutine's, by which its stack is found.
	id atomic.Value
}

func newCoroutine(r *Run, name string, body func(*coroutine)) *coroutine {
	return &coroutine{run: r, name: name, body: body, resume: make(chan bool), abandoned: make(chan struct{}), gone: make(chan struct{})}
}

// spawn makes a coroutine that runs when its turn comes, in the order in which coroutines were made.
func (r *Run) spawn(name string, body func(*coroutine)) {
	r.coroutines = append(r.coroutines, newCoroutine(r, name, body))
}

func (c *coroutine) main() {
	defer close(c.gone)
	returned := false
	defer func() {
		value := recover()
		switch {
		case c.run.broken.Load() && !c.leaving:
			// Nobody waits for it any more.
			return
		case c.leaving || c.reads:
		case value != nil:
			c.run.panicked(failure.Caught(value))
		case !returned:
			c.run.panicked(failure.Exited("the coroutine's goroutine"))
		}
		c.done = true
		c.handOver()
	}()
	header := make([]byte, 64)
	// "goroutine 12 [running]:"
	if words := bytes.Fields(header[:runtime.Stack(header, false)]); len(words) > 1 {
		c.id.Store(string(words[1]))
	}
	c.body(c)
	returned = true
}

// handOver lets the dispatcher go on, if it still waits.
func (c *coroutine) handOver() {
	select {
	case c.run.yielded <- struct{}{}:
	case <-c.abandoned:
		runtime.Goexit()
	}
}

// violation is the panic of code that only reads and tries more.
type violation string

// mayChange returns if whoever calls may do more than read.
func (r *Run) mayChange() {
	if r.reading != "" {
		panic(violation(r.reading + " only reads: it can't wait, start activities, children, timers or coroutines, or change the workflow's course"))
	}
}

// mayWait returns if whoever calls may wait.
func (r *Run) mayWait() {
	r.leaveIfBroken()
	r.mayChange()
	if r.current == nil {
		panic("a workflow waits only in its own coroutines: start them by workflow.Go, not by go, and wait by what package workflow has")
	}
	if r.current.leaving {
		runtime.Goexit()
	}
}

// wait lets the others go on until ready says so. It must be called by the coroutine that is running, and ready, which the
// dispatcher asks, must not be the user's.
func (r *Run) wait(ready func() bool) {
	r.mayWait()
	if !ready() {
		r.pause(ready)
	}
}

// pause is wait that lets the others go on at least once.
func (r *Run) pause(ready func() bool) {
	r.mayWait()
	c := r.current
	c.ready = ready
	c.giveWay()
	c.idle = false
}

func (c *coroutine) giveWay() {
	c.handOver()
	if !<-c.resume {
		c.leaving = true
		runtime.Goexit()
	}
}

// waitFor waits until condition, which is the user's, holds or over says that it's enough, and returns whether it held. The
// coroutine asks itself, each time that its turn comes: so a panic is the coroutine's, and so is time.
func (r *Run) waitFor(condition, over func() bool) (held bool) {
	r.mayWait()
	c := r.current
	for held = condition(); !held && !over(); held = condition() {
		r.giveTurn(c)
	}
	c.idle = false
	return held
}

// giveTurn lets the others go on once. Unless something comes of it, the coroutine doesn't count as one that went on.
func (r *Run) giveTurn(c *coroutine) {
	r.mayWait()
	c.giveWay()
	c.idle = true
}

// leaveIfBroken ends a coroutine that didn't hand over in time and now comes round.
func (r *Run) leaveIfBroken() {
	if r.broken.Load() {
		runtime.Goexit()
	}
}
