// Package flow runs workflow code deterministically: coroutines that hand over to one another, and the contexts,
// futures, channels and selectors through which they wait. Package workflow shows it to users.
package flow

import (
	"time"

	"durably.dev/sdk/internal/failure"
)

// Context carries a workflow's cancellation, options and values, as context.Context does elsewhere.
type Context interface {
	// Deadline is always absent: time-outs are the server's affair.
	Deadline() (deadline time.Time, ok bool)
	// Done is closed when the context is cancelled.
	Done() Channel
	// Err is nil until the context is cancelled, and then a CanceledError.
	Err() error
	// Value is what WithValue stored for the key.
	Value(key any) any
}

// CancelFunc cancels a context.
type CancelFunc func()

// ErrCanceled is the error of a cancelled context.
var ErrCanceled error = &failure.CanceledError{}

type keyOf int

const (
	runKey keyOf = iota
	cancelKey
	activityKey
	childKey
	converterKey
	updateKey
)

// rootContext is what every context of a run begins with.
type rootContext struct{ run *Run }

func (*rootContext) Deadline() (time.Time, bool) { return time.Time{}, false }
func (*rootContext) Done() Channel               { return nil }
func (*rootContext) Err() error                  { return nil }
func (c *rootContext) Value(key any) any {
	if key == runKey {
		return c.run
	}
	return nil
}

type valueContext struct {
	Context
	key, value any
}

func (c *valueContext) Value(key any) any {
	if c.key == key {
		return c.value
	}
	return c.Context.Value(key)
}

// WithValue is parent with a value.
func WithValue(parent Context, key, value any) Context { return &valueContext{parent, key, value} }

type cancelContext struct {
	Context
	done  *channel
	err   error
	hooks []*hook
	dead  int
}

// hook is called once when its context is cancelled, unless it was dropped before.
type hook struct {
	of *cancelContext
	f  func()
	// isChild: it cancels a context that was made of this one.
	isChild bool
}

func (h *hook) drop() {
	if h == nil || h.f == nil {
		return
	}
	h.f = nil
	c := h.of
	if c.dead++; c.dead > 16 && c.dead > len(c.hooks)/2 {
		alive := c.hooks[:0:0]
		for _, other := range c.hooks {
			if other.f != nil {
				alive = append(alive, other)
			}
		}
		c.hooks, c.dead = alive, 0
	}
}

func (c *cancelContext) Done() Channel { return c.done }
func (c *cancelContext) Err() error    { return c.err }
func (c *cancelContext) Value(key any) any {
	if key == cancelKey {
		return c
	}
	return c.Context.Value(key)
}

func (c *cancelContext) cancel() {
	if c.err != nil {
		return
	}
	c.err = ErrCanceled
	hooks := c.hooks
	c.hooks = nil
	run := func(children bool) {
		for _, h := range hooks {
			if f := h.f; f != nil && h.isChild == children {
				h.f = nil
				f()
			}
		}
	}
	// What runs under this context itself is cancelled first, then whoever waits for Done, then the contexts made of it.
	run(false)
	c.done.Close()
	run(true)
}

// onCancel calls f when ctx is cancelled; nil if that can't happen.
func onCancel(ctx Context, f func()) *hook {
	c, ok := ctx.Value(cancelKey).(*cancelContext)
	if !ok || c.err != nil {
		return nil
	}
	h := &hook{of: c, f: f}
	c.hooks = append(c.hooks, h)
	return h
}

// stopWith calls stop when ctx is cancelled: now, if it is.
func stopWith(ctx Context, stop func()) *hook {
	if ctx.Err() != nil {
		stop()
		return nil
	}
	return onCancel(ctx, stop)
}

// WithCancel is parent with a cancellation of its own. Cancelling parent cancels it too.
func WithCancel(parent Context) (Context, CancelFunc) {
	c := &cancelContext{Context: parent, done: newChannel(runOf(parent), "done", 0)}
	if parent.Err() != nil {
		c.cancel()
		return c, func() {}
	}
	h := onCancel(parent, c.cancel)
	if h != nil {
		h.isChild = true
	}
	return c, func() { h.drop(); c.cancel() }
}

// detached hides its parent's cancellation.
type detached struct{ Context }

func (detached) Done() Channel { return nil }
func (detached) Err() error    { return nil }
func (c detached) Value(key any) any {
	if key == cancelKey {
		return nil
	}
	return c.Context.Value(key)
}

// NewDisconnectedContext is parent without its cancellation, for cleaning up after it.
func NewDisconnectedContext(parent Context) (Context, CancelFunc) {
	return WithCancel(detached{parent})
}

func runOf(ctx Context) *Run {
	run, ok := ctx.Value(runKey).(*Run)
	if !ok {
		panic("this context is not a workflow's: pass on the one that the workflow function got")
	}
	run.leaveIfBroken()
	return run
}
