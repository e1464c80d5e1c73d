// Package activity_result: an activity runs once per call; arguments and results of every JSON shape come
// through unchanged.
package activity_result

import (
	"context"
	"reflect"
	"time"

	"durably.dev/conformance/harness"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/workflow"
)

// Order is what a program of a user passes around.
type Order struct {
	Number int      `json:"number"`
	Items  []string `json:"items"`
	Note   *string  `json:"note"`
}

func Echo(_ context.Context, value any) (any, error) { return value, nil }

func Nothing(context.Context) error { return nil }

// Ship takes two arguments and reads where it runs.
func Ship(ctx context.Context, order Order, fast bool) (Order, error) {
	info := activity.GetInfo(ctx)
	harness.Assert(info.Attempt == 1 && info.ActivityType.Name == "Ship", "info: %+v", info)
	speed := "slow"
	if fast {
		speed = "fast"
	}
	return Order{order.Number + 1, append(order.Items, speed), &info.WorkflowExecution.ID}, nil
}

func options(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
}

func Shapes(ctx workflow.Context, values []any) ([]any, error) {
	ctx = options(ctx)
	var futures []workflow.Future
	for _, value := range values {
		futures = append(futures, workflow.ExecuteActivity(ctx, Echo, value))
	}
	results := make([]any, len(values))
	for i, future := range futures {
		if err := future.Get(ctx, &results[i]); err != nil {
			return nil, err
		}
	}
	return results, workflow.ExecuteActivity(ctx, Nothing).Get(ctx, nil)
}

func Shipping(ctx workflow.Context, order Order) (shipped Order, err error) {
	ctx = options(ctx)
	err = workflow.ExecuteActivity(ctx, Ship, order, true).Get(ctx, &shipped)
	return
}

var Behaviour = harness.Behaviour{
	Name: "activity_result", Workflows: []any{Shapes, Shipping}, Activities: []any{Echo, Nothing, Ship},
	Check: func(ctx context.Context, env *harness.Env) error {
		values := []any{1.0, 2.5, "ü", nil, true, []any{1.0, []any{2.0}}, map[string]any{"a": map[string]any{"b": nil}}, ""}
		got := harness.Result[[]any](ctx, env.Start(ctx, Shapes, values))
		harness.Assert(reflect.DeepEqual(got, values), "got %v", got)
		run := env.Start(ctx, Shipping, Order{Number: 7, Items: []string{"book"}})
		shipped := harness.Result[Order](ctx, run)
		harness.Assert(shipped.Number == 8 && *shipped.Note == run.GetID() && len(shipped.Items) == 2, "got %+v", shipped)
		return nil
	},
}
