package tests

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"durably.dev/sdk/activity"
	"durably.dev/sdk/client"
	"durably.dev/sdk/converter"
	"durably.dev/sdk/temporal"
	"durably.dev/sdk/worker"
	"durably.dev/sdk/workflow"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
)

// Code of the user's that runs while answers are made, and misbehaves.

type typedNil struct{ text string }

func (e *typedNil) Error() string { return e.text }

type speechless struct{}

func (speechless) Error() string { panic("no words") }

type unwrapsBadly struct{}

func (unwrapsBadly) Error() string { return "unwraps badly" }
func (unwrapsBadly) Unwrap() error { panic("nothing inside") }

type endless struct{}

func (endless) Error() string   { return "endless" }
func (e endless) Unwrap() error { return e }

type unwritable struct{}

func (unwritable) MarshalJSON() ([]byte, error) { panic("can't be written") }

// exits ends the goroutine that asks for its text.
type exits struct{}

func (exits) Error() string { runtime.Goexit(); return "" }

func (exits) MarshalJSON() ([]byte, error) { runtime.Goexit(); return nil, nil }

type bad struct {
	result any
	err    error
	do     func(context.Context)
	// want is what the failure says, and kind its type.
	want, kind string
}

func bads() map[string]bad {
	details := temporal.NewNonRetryableApplicationError("with details", "Kind", nil, unwritable{})
	return map[string]bad{
		"TypedNil":      {err: (*typedNil)(nil), want: "nil pointer", kind: "PanicError"},
		"Speechless":    {err: speechless{}, want: "no words", kind: "PanicError"},
		"SpeechlessIn":  {err: fmt.Errorf("outside: %w", &typedNil{"inside"}), want: "outside", kind: "wrapError"},
		"UnwrapsBadly":  {err: unwrapsBadly{}, want: "nothing inside", kind: "PanicError"},
		"BadCause":      {err: temporal.NewApplicationErrorWithCause("above", "Kind", speechless{}), want: "above", kind: "Kind"},
		"Endless":       {err: endless{}, want: "endless", kind: "endless"},
		"BadDetails":    {err: details, want: "with details", kind: "Kind"},
		"BadResult":     {result: unwritable{}, want: "can't be written", kind: "PanicError"},
		"NoText":        {err: errors.New("not \xff UTF-8"), want: "not \uFFFD UTF-8", kind: "errorString"},
		"NoTextInKind":  {err: temporal.NewApplicationError("x", "kind \xff"), want: "x", kind: "kind \uFFFD"},
		"CanceledTyped": {err: (*temporal.CanceledError)(nil), want: "nil pointer", kind: "PanicError"},
		"ExitsAsked":    {err: exits{}, want: "runtime.Goexit", kind: "PanicError"},
		"ExitsWritten":  {result: exits{}, want: "runtime.Goexit", kind: "PanicError"},
		"PanicExits":    {do: func(context.Context) { panic(exits{}) }, want: "tests.exits", kind: "PanicError"},
		"Goexit":        {do: func(context.Context) { runtime.Goexit() }, want: "runtime.Goexit", kind: "PanicError"},
	}
}

// failureOf is the failure that an error says, below those that only say where it happened.
func failureOf(t *testing.T, err error) (message, kind string) {
	t.Helper()
	for cause := err; cause != nil; cause = errors.Unwrap(cause) {
		switch failed := cause.(type) {
		case *temporal.PanicError:
			return failed.Error(), "PanicError"
		case *temporal.ApplicationError:
			if !strings.HasPrefix(failed.Message(), "Workflow failed on panic") {
				return failed.Message(), failed.Type()
			}
		}
	}
	t.Fatalf("%T: %v", err, err)
	return "", ""
}

// Once runs an activity whose errors are not tried again.
func Once(ctx workflow.Context, name string) error {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: time.Minute, RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 1},
	})
	return workflow.ExecuteActivity(ctx, name).Get(ctx, nil)
}

func TestAnActivityFailsWhateverItsErrorOrResultDoes(t *testing.T) {
	all := bads()
	all["BadHeartbeat"] = bad{do: func(ctx context.Context) { activity.RecordHeartbeat(ctx, unwritable{}) }, want: "can't be written", kind: "PanicError"}
	all["BadHeartbeatOfAnother"] = bad{do: func(ctx context.Context) {
		go activity.RecordHeartbeat(ctx, unwritable{})
		<-ctx.Done()
	}, want: "can't be written", kind: "PanicError"}
	all["HeartbeatOfNoUse"] = bad{do: func(ctx context.Context) { activity.RecordHeartbeat(ctx, make(chan int)) }, want: "can't be encoded", kind: "PanicError"}
	c := dial(t, "embedded:")
	start(t, c, worker.Options{}, func(w worker.Worker) {
		w.RegisterWorkflow(Once)
		for name, b := range all {
			w.RegisterActivityWithOptions(func(ctx context.Context) (any, error) {
				if b.do != nil {
					b.do(ctx)
				}
				return b.result, b.err
			}, activity.RegisterOptions{Name: name})
		}
	})
	for name, b := range all {
		t.Run(name, func(t *testing.T) {
			message, kind := failureOf(t, execute(t, c, Once, name).Get(within(t), nil))
			if !strings.Contains(message, b.want) || kind != b.kind {
				t.Errorf("%q of type %s", message, kind)
			}
		})
	}
}

// misbehaving registers a workflow for each of the bads.
func misbehaving(w worker.Worker) {
	for name, b := range bads() {
		w.RegisterWorkflowWithOptions(func(workflow.Context) (any, error) {
			if b.do != nil {
				b.do(nil)
			}
			return b.result, b.err
		}, workflow.RegisterOptions{Name: name})
	}
}

func TestAWorkflowFailsWhateverItsErrorOrResultDoes(t *testing.T) {
	c := dial(t, "embedded:")
	start(t, c, worker.Options{WorkflowPanicPolicy: worker.FailWorkflow}, misbehaving)
	for name, b := range bads() {
		t.Run(name, func(t *testing.T) {
			message, kind := failureOf(t, execute(t, c, name).Get(within(t), nil))
			if !strings.Contains(message, b.want) || kind != b.kind {
				t.Errorf("%q of type %s", message, kind)
			}
		})
	}
}

func TestAWorkflowTaskFailsWhereMakingItsAnswerPanics(t *testing.T) {
	c := dial(t, "embedded:")
	start(t, c, worker.Options{}, misbehaving)
	for name, b := range bads() {
		if b.kind != "PanicError" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			if failed := failedTask(t, c, execute(t, c, name)); !strings.Contains(failed, b.want) {
				t.Error(failed)
			}
		})
	}
}

// Answers answers queries badly until it is told to stop.
func Answers(ctx workflow.Context) error {
	for name, b := range bads() {
		if err := workflow.SetQueryHandler(ctx, name, func() (any, error) {
			if b.do != nil {
				b.do(nil)
			}
			return b.result, b.err
		}); err != nil {
			return err
		}
	}
	workflow.GetSignalChannel(ctx, "stop").Receive(ctx, nil)
	return nil
}

func TestAQueryFailsWhateverItsErrorOrResultDoes(t *testing.T) {
	c := dial(t, "embedded:")
	start(t, c, worker.Options{WorkflowPanicPolicy: worker.FailWorkflow}, func(w worker.Worker) { w.RegisterWorkflow(Answers) })
	run := execute(t, c, Answers)
	for name, b := range bads() {
		t.Run(name, func(t *testing.T) {
			if _, err := c.QueryWorkflow(within(t), run.GetID(), "", name); err == nil || !strings.Contains(err.Error(), b.want) {
				t.Error(err)
			}
		})
	}
	must(t, c.SignalWorkflow(within(t), run.GetID(), "", "stop", nil))
	must(t, run.Get(within(t), nil))
}

// refuses panics with certain values and failures, in whatever direction they go.
type refuses struct{ converter.DataConverter }

func (r refuses) ToPayload(value any) (*commonpb.Payload, error) {
	if value == "refused" {
		panic("refused on the way out")
	}
	return r.DataConverter.ToPayload(value)
}

type refusesFailures struct{ converter.FailureConverter }

func (r refusesFailures) ErrorToFailure(err error) *failurepb.Failure {
	switch err.Error() {
	case "refused":
		panic("refused on the way out")
	case "garbled":
		return &failurepb.Failure{Message: "\xff"}
	}
	return r.FailureConverter.ErrorToFailure(err)
}

func (r refusesFailures) FailureToError(f *failurepb.Failure) error {
	if f.Cause.GetMessage() == "on the way in" {
		panic("refused on the way in")
	}
	return r.FailureConverter.FailureToError(f)
}

// shouts is a logger that only panics.
type shouts struct{}

func (shouts) Debug(string, ...any) { panic("the disk is full") }
func (shouts) Info(string, ...any)  { panic("the disk is full") }
func (shouts) Warn(string, ...any)  { panic("the disk is full") }
func (shouts) Error(string, ...any) { panic("the disk is full") }

func TestConvertersAndLoggersThatPanicDoNotEndTheWorker(t *testing.T) {
	c, err := client.Dial(client.Options{
		HostPort: "embedded:", Logger: shouts{}, DataConverter: refuses{converter.GetDefaultDataConverter()},
		FailureConverter: refusesFailures{temporal.GetDefaultFailureConverter()},
	})
	must(t, err)
	t.Cleanup(c.Close)
	start(t, c, worker.Options{WorkflowPanicPolicy: worker.FailWorkflow}, func(w worker.Worker) {
		w.RegisterWorkflow(Once)
		for name, f := range map[string]func() (string, error){
			"Result": func() (string, error) { return "refused", nil },
			"Error":  func() (string, error) { return "", errors.New("refused") },
			"In":     func() (string, error) { return "", errors.New("on the way in") },
			"Text":   func() (string, error) { return "", errors.New("garbled") },
		} {
			w.RegisterActivityWithOptions(f, activity.RegisterOptions{Name: name})
		}
	})
	// The client decodes with the same converters, so it looks at the history.
	for name, want := range map[string]string{
		"Result": "refused on the way out", "Error": "refused on the way out", "In": "refused on the way in", "Text": "UTF-8",
	} {
		t.Run(name, func(t *testing.T) {
			run := execute(t, c, Once, name)
			events := c.GetWorkflowHistory(within(t), run.GetID(), "", true, enumspb.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT)
			event, err := events.Next()
			must(t, err)
			failed := event.GetWorkflowExecutionFailedEventAttributes()
			if failed == nil || !strings.Contains(failed.Failure.Cause.GetMessage(), want) {
				t.Error(event)
			}
		})
	}
}

func TestWhatNoMessageMayHoldFailsTheTask(t *testing.T) {
	c := dial(t, "embedded:")
	start(t, c, worker.Options{}, func(w worker.Worker) {
		w.RegisterWorkflowWithOptions(func(ctx workflow.Context) error {
			ctx = withActivities(ctx)
			return workflow.ExecuteActivity(ctx, "no text: \xff").Get(ctx, nil)
		}, workflow.RegisterOptions{Name: "NoText"})
	})
	if failed := failedTask(t, c, execute(t, c, "NoText")); !strings.Contains(failed, "UTF-8") {
		t.Error(failed)
	}
}

func TestAnActivityThatIsCompletedElsewhereFailsWhateverItsErrorDoes(t *testing.T) {
	c := dial(t, "embedded:")
	tokens := make(chan []byte, 1)
	start(t, c, worker.Options{}, func(w worker.Worker) {
		w.RegisterWorkflow(Once)
		w.RegisterActivityWithOptions(func(ctx context.Context) error {
			tokens <- activity.GetInfo(ctx).TaskToken
			return activity.ErrResultPending
		}, activity.RegisterOptions{Name: "Elsewhere"})
	})
	run := execute(t, c, Once, "Elsewhere")
	must(t, c.CompleteActivity(within(t), <-tokens, nil, (*typedNil)(nil)))
	if message, kind := failureOf(t, run.Get(within(t), nil)); kind != "PanicError" || !strings.Contains(message, "nil pointer") {
		t.Errorf("%q of type %s", message, kind)
	}
}
