package flow

import (
	"fmt"
	"reflect"

	"durably.dev/sdk/converter"
	commonpb "go.temporal.io/api/common/v1"
)

// Future is a value that is there later.
type Future interface {
	// Get waits for the value and decodes it into the pointer; nil drops it.
	Get(ctx Context, valuePtr any) error
	// IsReady tells whether Get returns at once.
	IsReady() bool
}

// Settable sets the value of a Future, once.
type Settable interface {
	Set(value any, err error)
	SetValue(value any)
	SetError(err error)
	// Chain makes the future have the value of another one when that has one.
	Chain(future Future)
}

type future struct {
	run   *Run
	done  bool
	value any
	err   error
	next  []*future
}

// encoded is a value that came over the wire.
type encoded struct {
	payload   *commonpb.Payload
	converter converter.DataConverter
}

func (e *encoded) HasValue() bool { return e.payload != nil }
func (e *encoded) Get(valuePtr any) error {
	return e.converter.FromPayload(e.payload, valuePtr)
}

// NewFuture makes a future that the workflow sets itself.
func NewFuture(ctx Context) (Future, Settable) {
	f := &future{run: runOf(ctx)}
	return f, f
}

func (f *future) IsReady() bool { return f.done }

func (f *future) Get(_ Context, valuePtr any) error {
	f.run.wait(func() bool { return f.done })
	if f.err != nil || valuePtr == nil || f.value == nil {
		return f.err
	}
	return assign(f.value, valuePtr)
}

// assign stores a value into what a pointer points to.
func assign(value, valuePtr any) error {
	if e, ok := value.(*encoded); ok {
		return e.Get(valuePtr)
	}
	to := reflect.ValueOf(valuePtr)
	if to.Kind() != reflect.Pointer || to.IsNil() {
		return fmt.Errorf("a value is stored into a pointer, not into %T", valuePtr)
	}
	from := reflect.ValueOf(value)
	if !from.IsValid() {
		to.Elem().SetZero()
		return nil
	}
	if !from.Type().AssignableTo(to.Elem().Type()) {
		return fmt.Errorf("a value of type %T can't be stored into %T", value, valuePtr)
	}
	to.Elem().Set(from)
	return nil
}

func (f *future) Set(value any, err error) {
	if f.done {
		panic("the future is set already")
	}
	f.done, f.value, f.err = true, value, err
	for _, next := range f.next {
		next.Set(value, err)
	}
	f.next = nil
}

func (f *future) SetValue(value any) { f.Set(value, nil) }
func (f *future) SetError(err error) { f.Set(nil, err) }

func (f *future) Chain(of Future) {
	other, ok := of.(*future)
	switch {
	case !ok:
		panic("only futures of package workflow can be chained")
	case other.done:
		f.Set(other.value, other.err)
	default:
		other.next = append(other.next, f)
	}
}

// failed is a future that has failed from the start.
func failed(r *Run, err error) *future { return &future{run: r, done: true, err: err} }

// Selector waits for the first of several things.
type Selector interface {
	AddReceive(c ReceiveChannel, f func(c ReceiveChannel, more bool)) Selector
	AddSend(c SendChannel, value any, f func()) Selector
	AddFuture(future Future, f func(f Future)) Selector
	AddDefault(f func()) Selector
	// Select waits until something is ready, and calls what was added for it; the first that was added goes first.
	Select(ctx Context)
	// HasPending tells whether Select wouldn't wait.
	HasPending() bool
}

type selector struct {
	cases    []*option
	fallback func()
}

// option is one thing that a selector waits for.
type option struct {
	ready   func() bool
	take    func()
	receive *channel
	once    bool
}

// NewSelector makes a selector.
func NewSelector(Context) Selector { return &selector{} }

func (s *selector) AddReceive(c ReceiveChannel, f func(ReceiveChannel, bool)) Selector {
	ch := c.(*channel)
	s.cases = append(s.cases, &option{ready: ch.receivable, take: func() { f(c, ch.hasValue()) }, receive: ch})
	return s
}

func (s *selector) AddSend(c SendChannel, value any, f func()) Selector {
	ch := c.(*channel)
	s.cases = append(s.cases, &option{ready: ch.sendable, take: func() { ch.put(value); f() }, once: true})
	return s
}

func (s *selector) AddFuture(of Future, f func(Future)) Selector {
	s.cases = append(s.cases, &option{ready: of.IsReady, take: func() { f(of) }, once: true})
	return s
}

func (s *selector) AddDefault(f func()) Selector {
	s.fallback = f
	return s
}

func (s *selector) first() int {
	for i, c := range s.cases {
		if c.ready() {
			return i
		}
	}
	return -1
}

func (s *selector) HasPending() bool { return s.first() >= 0 }

func (s *selector) Select(ctx Context) {
	found := s.first()
	if found < 0 && s.fallback != nil {
		s.fallback()
		return
	}
	if found < 0 {
		s.listen(1)
		runOf(ctx).wait(func() bool { found = s.first(); return found >= 0 })
		s.listen(-1)
	}
	chosen := s.cases[found]
	if chosen.once {
		s.cases = append(s.cases[:found:found], s.cases[found+1:]...)
	}
	chosen.take()
}

// listen tells the channels that somebody waits for a value.
func (s *selector) listen(by int) {
	for _, c := range s.cases {
		if c.receive != nil {
			c.receive.listeners += by
		}
	}
}
