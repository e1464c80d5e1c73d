package failure

import (
	"context"
	"fmt"
	"runtime/debug"
	"strings"

	"durably.dev/sdk/converter"
	failurepb "go.temporal.io/api/failure/v1"
)

// Errors and converters are the user's code, which runs while answers are made: it may panic, and Unwrap may never come to
// an end. What is here makes an answer of it all the same.

const (
	// maxCauses is how deep the causes of a failure go; the server can't read what is nested much deeper.
	maxCauses = 64
	// maxLinks is how many errors are looked at in search of one.
	maxLinks = 10_000
)

// Caught is the error of a panic with the value that was recovered. It must be called by the deferred function.
func Caught(value any) *PanicError {
	return &PanicError{Value: said(value), Stack: UserStack(string(debug.Stack()))}
}

// Exited says that a goroutine was ended, by the user's code, which it ran to make an answer.
func Exited(what string) *PanicError {
	return &PanicError{Value: what + " was ended by runtime.Goexit: return instead"}
}

// said is what a panic's value says, with nothing of the user's left in it. Error and String may panic, which fmt bears, and
// may end their goroutine, so they get one of their own.
func said(value any) string {
	if text, ok := value.(string); ok {
		return text
	}
	text := fmt.Sprintf("a value of type %T, which ends the goroutine that asks for its text", value)
	over := make(chan struct{})
	go func() {
		defer close(over)
		text = fmt.Sprintf("%v", value)
	}()
	<-over
	return text
}

// Text is what an error says, whatever happens when it is asked.
func Text(err error) string { return said(err) }

// Convert turns an error into a failure. If that panics, the failure is the panic's, which it returns too.
func Convert(with converter.FailureConverter, err error) (f *failurepb.Failure, panicked *PanicError) {
	f, panicked = try(with, err)
	if panicked != nil {
		if f, _ = try(with, panicked); f == nil {
			// Nothing of the user's is left in this.
			f = NewConverter(nil, false).ErrorToFailure(panicked)
		}
	}
	return f, panicked
}

// Of is Convert for who has no use for the panic.
func Of(with converter.FailureConverter, err error) *failurepb.Failure {
	f, _ := Convert(with, err)
	return f
}

func try(with converter.FailureConverter, err error) (f *failurepb.Failure, panicked *PanicError) {
	defer func() {
		if value := recover(); value != nil {
			f, panicked = nil, Caught(value)
		}
	}()
	if f = with.ErrorToFailure(err); f == nil {
		panicked = &PanicError{Value: fmt.Sprintf("the failure converter made nothing of an error of type %T", err)}
	}
	return f, panicked
}

// walk shows an error and what it wraps, in the order of errors.As, to visit, until that has seen enough.
func walk(err error, left *int, visit func(error) bool) bool {
	for err != nil && *left > 0 {
		*left--
		if visit(err) {
			return true
		}
		switch wrapper := err.(type) {
		case interface{ Unwrap() error }:
			err = wrapper.Unwrap()
		case interface{ Unwrap() []error }:
			for _, one := range wrapper.Unwrap() {
				if walk(one, left, visit) {
					return true
				}
			}
			return false
		default:
			return false
		}
	}
	return false
}

// As is errors.As that comes to an end also where Unwrap doesn't.
func As[T error](err error) (found T, ok bool) {
	left := maxLinks
	ok = walk(err, &left, func(err error) bool {
		if is, ok := err.(T); ok {
			found = is
			return true
		}
		other, ok := err.(interface{ As(any) bool })
		return ok && other.As(&found)
	})
	return found, ok
}

// isCanceled tells whether an error is or wraps that of a cancelled context.
func isCanceled(err error) bool {
	left := maxLinks
	return walk(err, &left, func(err error) bool {
		if err == context.Canceled {
			return true
		}
		other, ok := err.(interface{ Is(error) bool })
		return ok && other.Is(context.Canceled)
	})
}

// text is what a message on the wire may hold.
func text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
