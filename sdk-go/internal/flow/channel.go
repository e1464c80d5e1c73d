package flow

import (
	"slices"
	"time"
)

// ReceiveChannel is a channel's receiving end.
type ReceiveChannel interface {
	Name() string
	// Receive waits for a value and stores it; more is false when the channel is closed and empty.
	Receive(ctx Context, valuePtr any) (more bool)
	// ReceiveWithTimeout is Receive for at most timeout; ok tells whether a value came.
	ReceiveWithTimeout(ctx Context, timeout time.Duration, valuePtr any) (ok, more bool)
	// ReceiveAsync takes a value if there is one.
	ReceiveAsync(valuePtr any) (ok bool)
	ReceiveAsyncWithMoreFlag(valuePtr any) (ok, more bool)
	// Len is the number of values that wait.
	Len() int
}

// SendChannel is a channel's sending end.
type SendChannel interface {
	Name() string
	// Send waits until the value is taken or has room.
	Send(ctx Context, value any)
	// SendAsync sends if that needs no waiting.
	SendAsync(value any) (ok bool)
	Close()
}

// Channel replaces Go's channels in workflows.
type Channel interface {
	SendChannel
	ReceiveChannel
}

// channel hands a value to whoever has waited for it the longest, at the moment when it comes: which coroutine goes on with
// which value, and in what order, is part of a workflow's history.
type channel struct {
	run      *Run
	name     string
	capacity int
	closed   bool
	values   []any
	// kept is a value that a selector has taken for the receive that follows it.
	kept *any
	// receivers and senders wait, first come, first served.
	receivers []*receiver
	senders   []*sender
}

// receiver waits for a value, or for the end of them. offer tells whether it takes what it is offered.
type receiver struct {
	offer func(value any, more bool) bool
}

// sender waits for room. take tells whether its value still is to be had.
type sender struct {
	value any
	take  func() bool
}

func newChannel(r *Run, name string, capacity int) *channel {
	return &channel{run: r, name: name, capacity: capacity}
}

// NewChannel makes a channel without room.
func NewChannel(ctx Context) Channel { return newChannel(runOf(ctx), "", 0) }

// NewNamedChannel makes a channel without room.
func NewNamedChannel(ctx Context, name string) Channel { return newChannel(runOf(ctx), name, 0) }

// NewBufferedChannel makes a channel with room for size values.
func NewBufferedChannel(ctx Context, size int) Channel { return newChannel(runOf(ctx), "", size) }

// NewNamedBufferedChannel makes a channel with room for size values.
func NewNamedBufferedChannel(ctx Context, name string, size int) Channel {
	return newChannel(runOf(ctx), name, size)
}

func (c *channel) Name() string { return c.name }

func (c *channel) Len() int {
	waiting := len(c.values) + len(c.senders)
	if c.kept != nil {
		waiting++
	}
	return waiting
}

func (c *channel) receivable() bool { return c.Len() > 0 || c.closed }
func (c *channel) sendable() bool   { return len(c.values) < c.capacity || len(c.receivers) > 0 }

// receive takes a value if there is one. If there is none and none is excluded, the receiver (if any) waits for it.
func (c *channel) receive(waiting *receiver) (value any, ok, more bool) {
	switch {
	case c.kept != nil:
		value, c.kept = *c.kept, nil
		return value, true, true
	case len(c.values) > 0:
		value, c.values[0] = c.values[0], nil
		c.values = c.values[1:]
		if next, ok := c.nextSender(); ok {
			c.values = append(c.values, next)
		}
		return value, true, true
	case c.closed:
		return nil, false, false
	}
	if value, ok := c.nextSender(); ok {
		return value, true, true
	}
	if waiting != nil {
		c.receivers = append(c.receivers, waiting)
	}
	return nil, false, true
}

// nextSender takes the value of the sender that has waited the longest.
func (c *channel) nextSender() (value any, ok bool) {
	for len(c.senders) > 0 {
		first := c.senders[0]
		c.senders = c.senders[1:]
		if first.take() {
			return first.value, true
		}
	}
	return nil, false
}

// send hands a value over or keeps it, if that is possible at once; otherwise the sender (if any) waits.
func (c *channel) send(value any, waiting *sender) bool {
	if c.closed {
		panic("send on a closed channel")
	}
	for len(c.receivers) > 0 {
		first := c.receivers[0]
		c.receivers = c.receivers[1:]
		if first.offer(value, true) {
			return true
		}
	}
	if len(c.values) < c.capacity {
		c.values = append(c.values, value)
		return true
	}
	if waiting != nil {
		c.senders = append(c.senders, waiting)
	}
	return false
}

func (c *channel) forget(r *receiver) {
	c.receivers = slices.DeleteFunc(c.receivers, func(other *receiver) bool { return other == r })
}

func (c *channel) forgetSender(s *sender) {
	c.senders = slices.DeleteFunc(c.senders, func(other *sender) bool { return other == s })
}

// store puts a value where the user wants it; a signal that can't be decoded is dropped with a word in the log.
func (c *channel) store(value, valuePtr any) bool {
	if valuePtr == nil {
		return true
	}
	s, isSignal := value.(*signal)
	if !isSignal {
		if err := assign(value, valuePtr); err != nil {
			panic(err)
		}
		return true
	}
	if err := s.converter.FromPayloads(s.payloads, valuePtr); err != nil {
		c.run.logger.Error("A signal that can't be decoded was dropped.", "signal", c.name, "error", err)
		return false
	}
	return true
}

func (c *channel) Receive(_ Context, valuePtr any) bool {
	c.run.mayWait()
	for {
		came, end := false, false
		var handed any
		value, ok, more := c.receive(&receiver{func(value any, more bool) bool {
			came, handed, end = true, value, !more
			return true
		}})
		if !ok && !more {
			return false
		}
		if !ok {
			c.run.wait(func() bool { return came })
			value, more = handed, !end
		}
		if c.store(value, valuePtr) {
			return more
		}
	}
}

func (c *channel) ReceiveWithTimeout(ctx Context, timeout time.Duration, valuePtr any) (ok, more bool) {
	if came, err := AwaitWithTimeout(ctx, timeout, func() bool { return c.Len() > 0 }); err != nil || !came {
		return false, true
	}
	return c.ReceiveAsyncWithMoreFlag(valuePtr)
}

func (c *channel) ReceiveAsync(valuePtr any) bool {
	ok, _ := c.ReceiveAsyncWithMoreFlag(valuePtr)
	return ok
}

func (c *channel) ReceiveAsyncWithMoreFlag(valuePtr any) (ok, more bool) {
	for {
		value, ok, more := c.receive(nil)
		if !ok || c.store(value, valuePtr) {
			return ok, more
		}
	}
}

func (c *channel) Send(_ Context, value any) {
	c.run.mayWait()
	taken := false
	if c.send(value, &sender{value, func() bool { taken = true; return true }}) {
		return
	}
	c.run.wait(func() bool { return taken || c.closed })
	if !taken {
		panic("send on a closed channel")
	}
}

func (c *channel) SendAsync(value any) bool { return c.send(value, nil) }

func (c *channel) Close() {
	c.closed = true
	for _, r := range slices.Clone(c.receivers) {
		r.offer(nil, false)
	}
}

// WaitGroup waits until as much is done as was added.
type WaitGroup interface {
	Add(delta int)
	Done()
	Wait(ctx Context)
}

type waitGroup struct{ count int }

// NewWaitGroup makes a WaitGroup.
func NewWaitGroup(Context) WaitGroup { return &waitGroup{} }

func (g *waitGroup) Add(delta int) {
	if g.count += delta; g.count < 0 {
		panic("negative WaitGroup counter")
	}
}
func (g *waitGroup) Done()            { g.Add(-1) }
func (g *waitGroup) Wait(ctx Context) { runOf(ctx).wait(func() bool { return g.count == 0 }) }

// Semaphore lets weights up to a limit in.
type Semaphore interface {
	// Acquire waits until n fits. It returns a CanceledError if ctx is cancelled before.
	Acquire(ctx Context, n int64) error
	TryAcquire(ctx Context, n int64) bool
	Release(n int64)
}

type semaphore struct{ free int64 }

// NewSemaphore makes a semaphore of n.
func NewSemaphore(_ Context, n int64) Semaphore { return &semaphore{n} }

func (s *semaphore) Acquire(ctx Context, n int64) error {
	if err := Await(ctx, func() bool { return s.free >= n }); err != nil {
		return err
	}
	s.free -= n
	return nil
}

func (s *semaphore) TryAcquire(_ Context, n int64) bool {
	if s.free < n {
		return false
	}
	s.free -= n
	return true
}

func (s *semaphore) Release(n int64) { s.free += n }

// Mutex lets one coroutine in at a time.
type Mutex interface {
	Lock(ctx Context) error
	TryLock(ctx Context) bool
	Unlock()
	IsLocked() bool
}

type mutex struct{ semaphore }

// NewMutex makes a mutex.
func NewMutex(Context) Mutex { return &mutex{semaphore{1}} }

func (m *mutex) Lock(ctx Context) error   { return m.Acquire(ctx, 1) }
func (m *mutex) TryLock(ctx Context) bool { return m.TryAcquire(ctx, 1) }
func (m *mutex) IsLocked() bool           { return m.free == 0 }
func (m *mutex) Unlock() {
	if m.free != 0 {
		panic("the mutex is not locked")
	}
	m.Release(1)
}
