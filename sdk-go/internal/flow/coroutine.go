package flow

import (
	"bytes"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"durably.dev/sdk/internal/failure"
)

// coroutine is a goroutine of its own that runs only while the run's dispatcher waits for it.
type coroutine struct {
	run    *Run
	name   string
	body   func(*coroutine)
	resume chan bool
	// abandoned is closed when it didn't hand over in time: nobody waits for it any more.
	abandoned chan struct{}
	// ready tells whether it can go on; nil: it can.
	ready   func() bool
	started bool
	done    bool
	leaving bool
	// id is the goroutine's, by which its stack is found.
	id atomic.Value
}

// spawn makes a coroutine that runs when its turn comes, in the order in which coroutines were made.
func (r *Run) spawn(name string, body func(*coroutine)) {
	r.coroutines = append(r.coroutines, &coroutine{run: r, name: name, body: body, resume: make(chan bool), abandoned: make(chan struct{})})
}

func (c *coroutine) main() {
	defer func() {
		value := recover()
		if c.run.broken.Load() && !c.leaving {
			return
		}
		if value != nil && !c.leaving {
			c.run.fail(&failure.PanicError{Value: value, Stack: string(debug.Stack())})
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
}

// handOver lets the dispatcher go on, if it still waits.
func (c *coroutine) handOver() {
	select {
	case c.run.yielded <- struct{}{}:
	case <-c.abandoned:
		runtime.Goexit()
	}
}

// mayWait returns if whoever calls may wait.
func (r *Run) mayWait() {
	r.leaveIfBroken()
	if r.reading {
		panic("a query handler only reads: it can't wait, start activities or timers, or change the workflow's course")
	}
	if r.current == nil {
		panic("a workflow waits only in its own coroutines: start them by workflow.Go, not by go, and wait by what package workflow has")
	}
	if r.current.leaving {
		runtime.Goexit()
	}
}

// wait lets the others go on until ready says so. It must be called by the coroutine that is running.
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
	c.handOver()
	if !<-c.resume {
		c.leaving = true
		runtime.Goexit()
	}
}

// step lets a coroutine run until it waits or ends. It returns false when that takes too long.
func (r *Run) step(c *coroutine, limit *time.Timer) bool {
	limit.Reset(r.env.DeadlockTimeout)
	r.current = c
	c.ready = nil
	if c.started {
		c.resume <- true
	} else {
		c.started = true
		go c.main()
	}
	defer func() { r.current = nil }()
	select {
	case <-r.yielded:
		return true
	case <-limit.C:
		return false
	}
}

// dispatch runs what is ready, in the order in which it was made, until nothing can go on. The run's end, if it has come,
// is the last that the others hear of.
func (r *Run) dispatch() {
	if r.ended {
		return
	}
	limit := time.NewTimer(r.env.DeadlockTimeout)
	defer limit.Stop()
	for progress := true; progress && r.failed == nil; {
		progress = false
		for i := 0; i < len(r.coroutines) && r.failed == nil; i++ {
			c := r.coroutines[i]
			if c.done || c.ready != nil && !r.isReady(c) {
				continue
			}
			progress = true
			if !r.step(c, limit) {
				r.deadlocked(c)
				return
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
	}
	if r.result != nil && r.failed == nil {
		r.ended = true
		r.end(r.result.value, r.result.err)
	}
}

// isReady asks a condition of the user's, whose panic is the workflow's.
func (r *Run) isReady(c *coroutine) (ready bool) {
	defer func() {
		if value := recover(); value != nil {
			r.fail(&failure.PanicError{Value: value, Stack: string(debug.Stack())})
		}
	}()
	return c.ready()
}

// deadlocked fails the task: the coroutine didn't hand over, so nothing else of the run can go on.
func (r *Run) deadlocked(c *coroutine) {
	stack := stackOf(c)
	r.stuck = c
	r.broken.Store(true)
	close(c.abandoned)
	r.fail(&failure.PanicError{
		Value: fmt.Sprintf("[TMPRL1101] Potential deadlock detected: workflow goroutine %q didn't yield for over %v, at %s. "+
			"Workflow code waits only by what package workflow has; locks, channels, input and output and long computations "+
			"belong into activities.", c.name, r.env.DeadlockTimeout, userLine(stack)),
		Stack: stack,
	})
}

// exit ends all coroutines without letting them do anything more: their deferred functions run, their waits don't.
func (r *Run) exit() {
	r.closed = true
	for _, c := range r.coroutines {
		switch {
		// The stuck one leaves when it comes round, if ever.
		case c == r.stuck || c.done || !c.started:
		default:
			r.leave(c)
		}
	}
	r.coroutines = nil
}

func (r *Run) leave(c *coroutine) {
	if !c.done {
		r.current = c
		c.resume <- false
		<-r.yielded
		r.current = nil
	}
}

// leaveIfBroken ends a coroutine that didn't hand over in time and now comes round.
func (r *Run) leaveIfBroken() {
	if r.broken.Load() {
		runtime.Goexit()
	}
}

// stackOf is the stack of a coroutine, as the runtime prints it.
func stackOf(c *coroutine) string {
	id, _ := c.id.Load().(string)
	all := make([]byte, 1<<20)
	all = all[:runtime.Stack(all, true)]
	for _, stack := range strings.Split(string(all), "\n\n") {
		if strings.HasPrefix(stack, "goroutine "+id+" ") {
			return stack
		}
	}
	return ""
}

// isOurs tells the SDK's own functions from the user's.
func isOurs(function string) bool {
	return strings.HasPrefix(function, "durably.dev/sdk/internal/") || strings.HasPrefix(function, "durably.dev/sdk/workflow.")
}

// userLine is the first "file:line" of a stack that is neither Go's nor this module's.
func userLine(stack string) string {
	lines := strings.Split(stack, "\n")
	for i := 1; i+1 < len(lines); i += 2 {
		at, _, _ := strings.Cut(strings.TrimSpace(lines[i+1]), " ")
		if !isOurs(lines[i]) && !strings.HasPrefix(at, runtime.GOROOT()+"/") {
			return at
		}
	}
	return "an unknown line"
}

// location is the user's line that called into the SDK; only asked for while replaying, where it may be needed.
func (r *Run) location() string {
	if !r.replaying {
		return ""
	}
	var callers [32]uintptr
	frames := runtime.CallersFrames(callers[:runtime.Callers(2, callers[:])])
	for {
		frame, more := frames.Next()
		if !isOurs(frame.Function) && !strings.HasPrefix(frame.Function, "runtime.") {
			return fmt.Sprintf("%s:%d", frame.File, frame.Line)
		}
		if !more {
			return ""
		}
	}
}

// Go runs f in a coroutine of its own.
func Go(ctx Context, f func(Context)) { GoNamed(ctx, "", f) }

// GoNamed is Go with a name that stacks and errors show.
func GoNamed(ctx Context, name string, f func(Context)) {
	r := runOf(ctx)
	if r.reading {
		panic("a query handler only reads: it can't start a coroutine")
	}
	if name == "" {
		r.unnamed++
		name = fmt.Sprint(r.unnamed)
	}
	r.spawn(name, func(*coroutine) { f(ctx) })
}

// Await waits until condition holds. It returns a CanceledError if ctx is cancelled before.
func Await(ctx Context, condition func() bool) error {
	held := false
	runOf(ctx).wait(func() bool {
		held = condition()
		return held || ctx.Err() != nil
	})
	if !held && ctx.Err() != nil {
		return &failure.CanceledError{Msg: "Await context canceled"}
	}
	return nil
}

// AwaitWithTimeout is Await for at most timeout; ok tells whether the condition held. The timer runs on when it did, as it
// does in histories of the official SDK that don't say otherwise.
func AwaitWithTimeout(ctx Context, timeout time.Duration, condition func() bool) (ok bool, err error) {
	r := runOf(ctx)
	timerCtx := ctx
	if r.available[flagCancelAwaitTimer] {
		if condition() {
			return true, nil
		}
		inner, cancel := WithCancel(ctx)
		defer cancel()
		timerCtx = inner
	}
	timer := NewTimer(timerCtx, timeout)
	over := func() bool { return ctx.Err() != nil || timer.IsReady() }
	if !over() {
		r.pause(func() bool {
			ok = condition()
			return ok || over()
		})
	}
	if !ok && ctx.Err() != nil {
		return false, &failure.CanceledError{Msg: "AwaitWithTimeout context canceled"}
	}
	return ok, nil
}
