package flow

import "time"

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

type channel struct {
	run      *Run
	name     string
	capacity int
	closed   bool
	values   []any
	// senders wait, first come, first served.
	senders []*sending
	// listeners are coroutines that wait to receive.
	listeners int
}

type sending struct {
	value any
	taken bool
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

func (c *channel) Name() string     { return c.name }
func (c *channel) Len() int         { return len(c.values) + len(c.senders) }
func (c *channel) hasValue() bool   { return len(c.values) > 0 || len(c.senders) > 0 }
func (c *channel) receivable() bool { return c.hasValue() || c.closed }
func (c *channel) sendable() bool   { return c.closed || len(c.values) < c.capacity+c.listeners }

func (c *channel) put(value any) {
	if c.closed {
		panic("send on a closed channel")
	}
	c.values = append(c.values, value)
}

func (c *channel) take() any {
	if len(c.values) == 0 {
		first := c.senders[0]
		c.senders, first.taken = c.senders[1:], true
		return first.value
	}
	value := c.values[0]
	c.values[0] = nil
	c.values = c.values[1:]
	if len(c.senders) > 0 && len(c.values) < c.capacity {
		first := c.senders[0]
		c.senders, first.taken = c.senders[1:], true
		c.values = append(c.values, first.value)
	}
	return value
}

// next takes the next value that can be stored; a signal that can't be decoded is dropped with a word in the log.
func (c *channel) next(valuePtr any) bool {
	for c.hasValue() {
		value := c.take()
		if valuePtr == nil {
			return true
		}
		if err := store(value, valuePtr); err != nil {
			if _, isSignal := value.(*signal); !isSignal {
				panic(err)
			}
			c.run.logger.Error("A signal that can't be decoded was dropped.", "signal", c.name, "error", err)
			continue
		}
		return true
	}
	return false
}

func store(value, valuePtr any) error {
	if s, ok := value.(*signal); ok {
		return s.converter.FromPayloads(s.payloads, valuePtr)
	}
	return assign(value, valuePtr)
}

func (c *channel) Receive(_ Context, valuePtr any) bool {
	for {
		if c.next(valuePtr) {
			return true
		}
		if c.closed {
			return false
		}
		c.listeners++
		c.run.wait(c.receivable)
		c.listeners--
	}
}

func (c *channel) ReceiveWithTimeout(ctx Context, timeout time.Duration, valuePtr any) (ok, more bool) {
	timerCtx, cancel := WithCancel(ctx)
	defer cancel()
	timer := NewTimer(timerCtx, timeout)
	c.listeners++
	c.run.wait(func() bool { return c.receivable() || timer.IsReady() })
	c.listeners--
	return c.ReceiveAsyncWithMoreFlag(valuePtr)
}

func (c *channel) ReceiveAsync(valuePtr any) bool {
	ok, _ := c.ReceiveAsyncWithMoreFlag(valuePtr)
	return ok
}

func (c *channel) ReceiveAsyncWithMoreFlag(valuePtr any) (ok, more bool) {
	ok = c.next(valuePtr)
	return ok, ok || !c.closed
}

func (c *channel) Send(_ Context, value any) {
	if c.SendAsync(value) {
		return
	}
	s := &sending{value: value}
	c.senders = append(c.senders, s)
	c.run.wait(func() bool { return s.taken || c.closed })
	if !s.taken {
		panic("send on a closed channel")
	}
}

func (c *channel) SendAsync(value any) bool {
	if !c.sendable() {
		return false
	}
	c.put(value)
	return true
}

func (c *channel) Close() { c.closed = true }

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
