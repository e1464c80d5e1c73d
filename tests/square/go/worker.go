// The square's worker in Go: runs until its standard input ends. test_square.py says what each part is for.
package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"durably.dev/sdk/activity"
	"durably.dev/sdk/client"
	"durably.dev/sdk/temporal"
	"durably.dev/sdk/worker"
	"durably.dev/sdk/workflow"
)

type deep struct {
	Flags []*bool `json:"flags"`
}

type object struct {
	Name  string  `json:"name"`
	Count int     `json:"count"`
	Ratio float64 `json:"ratio"`
	Deep  deep    `json:"deep"`
}

var (
	yes, no   = true, false
	anObject  = object{Name: "Zoë 🦊", Count: 3, Ratio: 0.5, Deep: deep{[]*bool{&yes, &no, nil}}}
	aList     = []any{1, "two", nil, map[string]int{"three": 3}}
	aText     = "naïve 日本 🦊\n\"quoted\" \\ end"
	someBytes = []byte{0, 1, 127, 128, 255}
)

// describe says what these values are, found out by working with them.
func describe(object object, list []any, nothing *string, text string, data []byte) map[string]any {
	flags := 0
	for _, flag := range object.Deep.Flags {
		if flag != nil && *flag {
			flags++
		}
	}
	three := list[3].(map[string]any)["three"]
	return map[string]any{
		"name": object.Name, "count": object.Count + 1, "ratio": object.Ratio * 2, "flags": flags,
		"list":    []any{len(list), strings.ToUpper(list[1].(string)), list[2] == nil, three},
		"nothing": nothing == nil, "text": text + "!", "characters": utf8.RuneCountInString(text),
		"bytes": hex.EncodeToString(data),
	}
}

func inspect(_ context.Context, object object, list []any, nothing *string, text string, data []byte) (map[string]any, error) {
	return describe(object, list, nothing, text, data), nil
}

func give(_ context.Context, kind string) (any, error) {
	switch kind {
	case "object":
		return anObject, nil
	case "list":
		return aList, nil
	case "text":
		return aText, nil
	case "bytes":
		return someBytes, nil
	}
	return nil, nil
}

func refuse(context.Context) error {
	return temporal.NewApplicationErrorWithOptions("no, ü", "Refused", temporal.ApplicationErrorOptions{
		NonRetryable: true,
		Details:      []any{map[string]int{"code": 7}, "ü"},
		Cause:        temporal.NewApplicationError("deep down", "Deeper"),
	})
}

func resume(ctx context.Context) ([]any, error) {
	if activity.GetInfo(ctx).Attempt == 1 {
		activity.RecordHeartbeat(ctx, map[string]int{"at": 3}, "ü")
		return nil, temporal.NewApplicationError("once more", "Once")
	}
	var at map[string]int
	var note string
	err := activity.GetHeartbeatDetails(ctx, &at, &note)
	return []any{at, note}, err
}

func linger(ctx context.Context) error {
	for {
		activity.RecordHeartbeat(ctx, "here")
		select {
		case <-ctx.Done():
			return temporal.NewCanceledError(map[string]int{"crumbs": 2})
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// square calls each activity of another language, and reports what it saw.
func square(ctx workflow.Context, queue string) (map[string]any, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue: queue, StartToCloseTimeout: time.Minute,
		RetryPolicy: &temporal.RetryPolicy{InitialInterval: 10 * time.Millisecond},
	})
	var inspected map[string]any
	if err := workflow.ExecuteActivity(ctx, "inspect", anObject, aList, nil, aText, someBytes).Get(ctx, &inspected); err != nil {
		return nil, err
	}
	var givenObject object
	var list []any
	var nothing *string
	var text string
	var data []byte
	kinds := []string{"object", "list", "nothing", "text", "bytes"}
	for i, value := range []any{&givenObject, &list, &nothing, &text, &data} {
		if err := workflow.ExecuteActivity(ctx, "give", kinds[i]).Get(ctx, value); err != nil {
			return nil, err
		}
	}
	refused, err := refusal(workflow.ExecuteActivity(ctx, "refuse").Get(ctx, nil))
	if err != nil {
		return nil, err
	}
	var resumed []any
	if err := workflow.ExecuteActivity(ctx, "resume").Get(ctx, &resumed); err != nil {
		return nil, err
	}
	return map[string]any{
		"inspected": inspected, "given": describe(givenObject, list, nothing, text, data), "refused": refused, "resumed": resumed,
	}, nil
}

func refusal(err error) (map[string]any, error) {
	var failure, cause *temporal.ApplicationError
	if !errors.As(err, &failure) || !errors.As(failure.Unwrap(), &cause) {
		return nil, fmt.Errorf("not an application error with a cause: %w", err)
	}
	var code map[string]int
	var note string
	if err := failure.Details(&code, &note); err != nil {
		return nil, err
	}
	return map[string]any{
		"type": failure.Type(), "message": failure.Message(), "details": []any{code, note}, "nonRetryable": failure.NonRetryable(),
		"cause": map[string]any{"type": cause.Type(), "message": cause.Message()},
	}, nil
}

// squareCancelled is cancelled while an activity of another language is under way, and reports how that one ended.
func squareCancelled(ctx workflow.Context, queue string) (any, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue: queue, StartToCloseTimeout: time.Minute, HeartbeatTimeout: 30 * time.Second, WaitForCancellation: true,
	})
	err := workflow.ExecuteActivity(ctx, "linger").Get(ctx, nil)
	var cancelled *temporal.CanceledError
	if !errors.As(err, &cancelled) {
		return nil, fmt.Errorf("not cancelled: %w", err)
	}
	var crumbs map[string]int
	if err := cancelled.Details(&crumbs); err != nil {
		return nil, err
	}
	return map[string]any{"cancelled": []any{crumbs}}, nil
}

// squareParent starts two children of another language: tells one something, and sees the other fail.
func squareParent(ctx workflow.Context, queue string) (map[string]any, error) {
	ctx = workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{TaskQueue: queue})
	listener := workflow.ExecuteChildWorkflow(ctx, "SquareChild", false)
	if err := listener.SignalChildWorkflow(ctx, "tell", anObject).Get(ctx, nil); err != nil {
		return nil, err
	}
	var heard any
	if err := listener.Get(ctx, &heard); err != nil {
		return nil, err
	}
	refused, err := refusal(workflow.ExecuteChildWorkflow(ctx, "SquareChild", true).Get(ctx, nil))
	if err != nil {
		return nil, err
	}
	return map[string]any{"heard": heard, "refused": refused}, nil
}

// squareChild fails, or returns what it is told.
func squareChild(ctx workflow.Context, refuses bool) (any, error) {
	if refuses {
		return nil, refuse(nil)
	}
	var told any
	workflow.GetSignalChannel(ctx, "tell").Receive(ctx, &told)
	return told, nil
}

func run(address, queue string) error {
	c, err := client.Dial(client.Options{HostPort: address})
	if err != nil {
		return err
	}
	defer c.Close()
	w := worker.New(c, queue, worker.Options{MaxHeartbeatThrottleInterval: 100 * time.Millisecond})
	w.RegisterWorkflowWithOptions(square, workflow.RegisterOptions{Name: "Square"})
	w.RegisterWorkflowWithOptions(squareCancelled, workflow.RegisterOptions{Name: "SquareCancelled"})
	w.RegisterWorkflowWithOptions(squareParent, workflow.RegisterOptions{Name: "SquareParent"})
	w.RegisterWorkflowWithOptions(squareChild, workflow.RegisterOptions{Name: "SquareChild"})
	for name, code := range map[string]any{"inspect": inspect, "give": give, "refuse": refuse, "resume": resume, "linger": linger} {
		w.RegisterActivityWithOptions(code, activity.RegisterOptions{Name: name})
	}
	if err := w.Start(); err != nil {
		return err
	}
	defer w.Stop()
	fmt.Println("ready")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func main() {
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}
