package failure

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"durably.dev/sdk/converter"
	failurepb "go.temporal.io/api/failure/v1"
)

type endless struct{}

func (endless) Error() string   { return "endless" }
func (e endless) Unwrap() error { return e }

type panics struct{}

func (panics) Error() string { panic("no words") }

type other struct{ as *CanceledError }

func (other) Error() string { return "other" }
func (o other) As(target any) bool {
	to, ok := target.(**CanceledError)
	if ok {
		*to = o.as
	}
	return ok
}

func TestCausesThatAreTooManyAreCutWithANote(t *testing.T) {
	deep := errors.New("bottom")
	for i := range 200 {
		deep = fmt.Errorf("%d: %w", i, deep)
	}
	for _, err := range []error{deep, endless{}} {
		depth, last := 0, &failurepb.Failure{}
		for f := NewConverter(nil, false).ErrorToFailure(err); f != nil; f = f.Cause {
			depth, last = depth+1, f
		}
		if depth != maxCauses+1 || !strings.Contains(last.Message, "cut off") {
			t.Errorf("%d failures, the last of which says %q", depth, last.Message)
		}
	}
}

func TestErrorsAreFoundWhereverTheyAreAndTheSearchEnds(t *testing.T) {
	canceled := &CanceledError{}
	for _, err := range []error{
		canceled, fmt.Errorf("outside: %w", canceled), errors.Join(errors.New("first"), canceled),
		errors.Join(endless{}, canceled), other{canceled},
	} {
		// The search in what has no end uses up all that may be looked at.
		found, ok := As[*CanceledError](err)
		if _, isEndless := err.(interface{ Unwrap() []error }); isEndless && strings.HasPrefix(err.Error(), "endless") {
			if ok {
				t.Errorf("%v: found", err)
			}
		} else if !ok || found != canceled {
			t.Errorf("%v: %v, %v", err, found, ok)
		}
	}
	if !isCanceled(fmt.Errorf("outside: %w", context.Canceled)) || isCanceled(endless{}) || isCanceled(context.DeadlineExceeded) {
		t.Error("cancelled contexts")
	}
}

// onlyPanics is a converter of the user's that can do nothing.
type onlyPanics struct{ converter.FailureConverter }

func (onlyPanics) ErrorToFailure(error) *failurepb.Failure { panic("out of order") }

type makesNothing struct{ converter.FailureConverter }

func (makesNothing) ErrorToFailure(error) *failurepb.Failure { return nil }

func TestThereIsAFailureForEachError(t *testing.T) {
	standard := NewConverter(nil, false)
	for want, made := range map[string]*failurepb.Failure{
		"no words":     Of(standard, panics{}),
		"out of order": Of(onlyPanics{}, errors.New("x")),
		"made nothing": Of(makesNothing{}, errors.New("x")),
	} {
		if !strings.Contains(made.GetMessage(), want) || made.GetApplicationFailureInfo().GetType() != "PanicError" {
			t.Errorf("%s: %v", want, made)
		}
	}
	if made, panicked := Convert(standard, errors.New("plain")); made.Message != "plain" || panicked != nil {
		t.Error(made, panicked)
	}
}
