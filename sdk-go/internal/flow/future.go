package flow

import (
	"fmt"
	"reflect"
	"slices"

	"durably.dev/sdk/converter"
	commonpb "go.temporal.io/api/common/v1"
	failurepb "go.temporal.io/api/failure/v1"
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
	// waiters are selectors that wait for it; next are futures that were chained to it.
	waiters []*receiver
	next    []*future
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

// undecoded is an error that came over the wire. It is decoded by the coroutine that gets it, as values are: converters are
// the user's code.
type undecoded struct {
	run     *Run
	failure *failurepb.Failure
	decoded error
}

func (u *undecoded) Error() string { return u.failure.GetMessage() }

func (u *undecoded) decode() error {
	if u.decoded == nil {
		u.decoded = u.run.toError(u.failure)
	}
	return u.decoded
}

// NewFuture makes a future that the workflow sets itself.
func NewFuture(ctx Context) (Future, Settable) {
	f := &future{run: runOf(ctx)}
	return f, f
}

func (f *future) IsReady() bool { return f.done }

// own is what a future is or, as a child's does, has inside.
func (f *future) own() *future { return f }

func (f *future) Get(_ Context, valuePtr any) error {
	f.run.wait(func() bool { return f.done })
	if came, ok := f.err.(*undecoded); ok {
		return came.decode()
	}
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
	waiters := f.waiters
	f.waiters = nil
	for _, w := range waiters {
		w.offer(nil, false)
	}
	for _, next := range f.next {
		next.Set(value, err)
	}
	f.next = nil
}

func (f *future) SetValue(value any) { f.Set(value, nil) }
func (f *future) SetError(err error) { f.Set(nil, err) }

func (f *future) Chain(of Future) {
	is, ok := of.(interface{ own() *future })
	if !ok {
		panic("only futures of package workflow can be chained")
	}
	switch other := is.own(); {
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
	// Select waits until something is ready, and calls what was added for it. What is ready already goes in the order in
	// which it was added; otherwise what becomes ready first is chosen.
	Select(ctx Context)
	// HasPending tells whether Select wouldn't wait.
	HasPending() bool
}

type selector struct {
	run      *Run
	cases    []*option
	fallback func()
}

// option is one thing that a selector waits for.
type option struct {
	ready func() bool
	// begin takes what is ready and returns what to do then. If it is not, it calls the function once it is, which tells
	// whether it was the first, and returns how to stop that.
	begin func(s *selection) (chosen, stop func())
	// over: it can't be chosen again.
	over bool
}

// selection is one call of Select: the first to claim it is chosen.
type selection struct {
	hasDefault bool
	chosen     func()
}

func (s *selection) claim(chosen func()) bool {
	if s.chosen != nil {
		return false
	}
	s.chosen = chosen
	return true
}

// NewSelector makes a selector.
func NewSelector(ctx Context) Selector { return &selector{run: runOf(ctx)} }

func (s *selector) AddReceive(c ReceiveChannel, f func(ReceiveChannel, bool)) Selector {
	ch := c.(*channel)
	o := &option{ready: ch.receivable}
	o.begin = func(by *selection) (chosen, stop func()) {
		waiting := &receiver{func(value any, more bool) bool {
			if by.chosen != nil {
				return false
			}
			// Where the value is kept until the branch receives it, or from now on, has changed with the official SDK's flags.
			early := s.run.uses(flagKeepSignal) && (!s.run.uses(flagKeepLate) || by.hasDefault)
			if early {
				ch.kept = &value
			}
			return by.claim(func() {
				if !early {
					ch.kept = &value
				}
				f(c, more)
			})
		}}
		value, ok, more := ch.receive(waiting)
		if !ok && more {
			return nil, func() { ch.forget(waiting) }
		}
		if more {
			ch.kept = &value
		} else {
			o.over = true
		}
		return func() { f(c, more) }, nil
	}
	s.cases = append(s.cases, o)
	return s
}

func (s *selector) AddSend(c SendChannel, value any, f func()) Selector {
	ch := c.(*channel)
	s.cases = append(s.cases, &option{ready: ch.sendable, begin: func(by *selection) (chosen, stop func()) {
		waiting := &sender{value, func() bool { return by.claim(f) }}
		if ch.send(value, waiting) {
			return f, nil
		}
		return nil, func() { ch.forgetSender(waiting) }
	}})
	return s
}

func (s *selector) AddFuture(of Future, f func(Future)) Selector {
	is, ok := of.(interface{ own() *future })
	if !ok {
		panic("a selector waits only for futures of package workflow")
	}
	own := is.own()
	o := &option{ready: of.IsReady}
	o.begin = func(by *selection) (chosen, stop func()) {
		choose := func() { o.over = true; f(of) }
		if own.done {
			return choose, nil
		}
		waiting := &receiver{func(any, bool) bool { return by.claim(choose) }}
		own.waiters = append(own.waiters, waiting)
		return nil, func() { own.forget(waiting) }
	}
	s.cases = append(s.cases, o)
	return s
}

func (f *future) forget(r *receiver) {
	f.waiters = slices.DeleteFunc(f.waiters, func(other *receiver) bool { return other == r })
}

func (s *selector) AddDefault(f func()) Selector {
	s.fallback = f
	return s
}

func (s *selector) HasPending() bool {
	return slices.ContainsFunc(s.cases, func(o *option) bool { return !o.over && o.ready() })
}

func (s *selector) Select(Context) {
	s.run.mayWait()
	s.cases = slices.DeleteFunc(s.cases, func(o *option) bool { return o.over })
	by := &selection{hasDefault: s.fallback != nil}
	var stops []func()
	defer func() {
		for _, stop := range stops {
			stop()
		}
	}()
	for _, o := range s.cases {
		chosen, stop := o.begin(by)
		if chosen != nil {
			// Nothing else may be taken while the branch runs.
			by.claim(func() {})
			chosen()
			return
		}
		stops = append(stops, stop)
	}
	if s.fallback != nil {
		s.fallback()
		return
	}
	s.run.wait(func() bool { return by.chosen != nil })
	by.chosen()
}
