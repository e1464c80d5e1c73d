package flow

import (
	"fmt"
	"time"

	"durably.dev/sdk/internal/failure"
)

// Go runs f in a coroutine of its own.
func Go(ctx Context, f func(Context)) { GoNamed(ctx, "", f) }

// GoNamed is Go with a name that stacks and errors show.
func GoNamed(ctx Context, name string, f func(Context)) { outboundOf(ctx).Go(ctx, name, f) }

func (o *outbound) Go(ctx Context, name string, f func(Context)) Context {
	r := o.run
	r.mayChange()
	if name == "" {
		r.unnamed++
		name = fmt.Sprint(r.unnamed)
	}
	r.spawn(name, func(*coroutine) { f(ctx) })
	return ctx
}

// Await waits until condition holds. It returns a CanceledError if ctx is cancelled before.
func Await(ctx Context, condition func() bool) error { return outboundOf(ctx).Await(ctx, condition) }

func (o *outbound) Await(ctx Context, condition func() bool) error {
	if !o.run.waitFor(condition, func() bool { return ctx.Err() != nil }) {
		return &failure.CanceledError{Msg: "Await context canceled"}
	}
	return nil
}

// AwaitWithTimeout is Await for at most timeout; ok tells whether the condition held. The timer runs on when it did, as it
// does in histories of the official SDK that don't say otherwise.
func AwaitWithTimeout(ctx Context, timeout time.Duration, condition func() bool) (ok bool, err error) {
	return outboundOf(ctx).AwaitWithTimeout(ctx, timeout, condition)
}

func (o *outbound) AwaitWithTimeout(ctx Context, timeout time.Duration, condition func() bool) (ok bool, err error) {
	r := o.run
	r.mayWait()
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
		r.giveTurn(r.current)
		ok = r.waitFor(condition, over)
	}
	if !ok && ctx.Err() != nil {
		return false, &failure.CanceledError{Msg: "AwaitWithTimeout context canceled"}
	}
	return ok, nil
}
