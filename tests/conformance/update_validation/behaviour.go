// Package update_validation: a validator turns an update away before anything of it is recorded: no event, no change, and its id
// is free again.
package update_validation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"durably.dev/conformance/harness"
	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

const (
	accepted  = enums.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED
	completed = enums.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED
)

// Stock holds ten things; nobody can take more than there are.
func Stock(ctx workflow.Context) (sold []string, err error) {
	left, open := 10, map[string]bool{"now": true}
	take := func(ctx workflow.Context, name string, count int) (int, error) {
		left -= count
		err := workflow.Await(ctx, func() bool { return open[name] })
		sold = append(sold, fmt.Sprintf("%d to %s", count, name))
		return left, err
	}
	giveBack := func(_ workflow.Context, count int) (int, error) {
		left += count
		return left, nil
	}
	err = errors.Join(
		workflow.SetQueryHandler(ctx, "left_over", func() (int, error) { return left, nil }),
		workflow.SetUpdateHandlerWithOptions(ctx, "take", take, workflow.UpdateHandlerOptions{Validator: func(_ string, count int) error {
			if count > left {
				return temporal.NewApplicationError(fmt.Sprintf("only %d left", left), "TooMany", left)
			}
			return nil
		}}),
		workflow.SetUpdateHandlerWithOptions(ctx, "give back", giveBack, workflow.UpdateHandlerOptions{
			Validator: func(_ workflow.Context, count int) error {
				switch {
				case count < -100:
					panic("nobody gives so little")
				case count < 0:
					return errors.New("nobody gives less than nothing")
				}
				return nil
			},
		}),
	)
	if err != nil {
		return nil, err
	}
	workflow.Go(ctx, func(ctx workflow.Context) {
		for {
			var name string
			workflow.GetSignalChannel(ctx, "let_go").Receive(ctx, &name)
			open[name] = true
		}
	})
	workflow.GetSignalChannel(ctx, "finish").Receive(ctx, nil)
	return sold, nil
}

// customer sends updates to a stock.
type customer struct {
	ctx context.Context
	env *harness.Env
	run client.WorkflowRun
}

func (c customer) send(stage client.WorkflowUpdateStage, id, name string, args ...any) client.WorkflowUpdateHandle {
	handle, err := c.env.Client.UpdateWorkflow(c.ctx, client.UpdateWorkflowOptions{
		WorkflowID: c.run.GetID(), UpdateID: id, UpdateName: name, Args: args, WaitForStage: stage,
	})
	harness.Must(err)
	return handle
}

// expect executes an update.
func (c customer) expect(want int, id, name string, args ...any) {
	var left int
	harness.Must(c.send(client.WorkflowUpdateStageCompleted, id, name, args...).Get(c.ctx, &left))
	harness.Assert(left == want, "%d are left instead of %d", left, want)
}

func (c customer) events() []enums.EventType {
	history, err := harness.History(c.ctx, c.env.Client, c.run.GetID(), "")
	harness.Must(err)
	return harness.Types(history)
}

// updates are what the history has of them.
func (c customer) updates() []enums.EventType {
	return slices.DeleteFunc(c.events(), func(kind enums.EventType) bool { return kind != accepted && kind != completed })
}

func (c customer) leftOver(want int) {
	var left int
	value, err := c.env.Client.QueryWorkflow(c.ctx, c.run.GetID(), "", "left_over")
	harness.Must(err)
	harness.Must(value.Get(&left))
	harness.Assert(left == want, "%d are left instead of %d", left, want)
}

func (c customer) signal(name string, arg any) {
	harness.Must(c.env.Client.SignalWorkflow(c.ctx, c.run.GetID(), "", name, arg))
}

// isTooMany tells whether an update was turned away, and checks how.
func isTooMany(err error, left int) bool {
	if err == nil {
		return false
	}
	var failed *temporal.ApplicationError
	var detail int
	harness.Assert(errors.As(err, &failed) && failed.Type() == "TooMany", "%v", err)
	harness.Must(failed.Details(&detail))
	harness.Assert(failed.Message() == fmt.Sprintf("only %d left", left) && detail == left, "%v with %d", err, detail)
	return true
}

var Behaviour = harness.Behaviour{
	Name: "update_validation", Workflows: []any{Stock},
	Check: func(ctx context.Context, env *harness.Env) error {
		c := customer{ctx, env, env.Start(ctx, Stock)}
		c.expect(6, "", "take", "now", 4)
		before := c.events()
		// Nothing is left of what is turned away, however it is asked for; whoever started it hears it by the result.
		for _, stage := range []client.WorkflowUpdateStage{client.WorkflowUpdateStageAccepted, client.WorkflowUpdateStageCompleted} {
			err := c.send(stage, "too many", "take", "now", 7).Get(ctx, nil)
			harness.Assert(isTooMany(err, 6), "it was not rejected")
		}
		for count, why := range map[int]string{-1: "nobody gives less than nothing", -101: "nobody gives so little"} {
			err := c.send(client.WorkflowUpdateStageCompleted, "", "give back", count).Get(ctx, nil)
			harness.Assert(err != nil && strings.Contains(err.Error(), why), "%v", err)
		}
		c.leftOver(6)
		harness.Assert(slices.Equal(c.events(), before), "something is left: %v", c.events())
		// Its id can be used once more, by one that is accepted; then it is known.
		c.expect(0, "too many", "take", "now", 6)
		c.expect(0, "too many", "take", "now", 100)
		kinds := []enums.EventType{accepted, completed, accepted, completed}
		harness.Assert(slices.Equal(c.updates(), kinds), "%v", c.updates())
		checkTogether(c)
		c.signal("finish", nil)
		sold := harness.Result[[]string](ctx, c.run)
		harness.Assert(len(sold) == 5, "%v", sold)
		harness.Assert(len(c.updates()) == 12, "%v", c.updates())
		return nil
	},
}

// checkTogether has one that is under way count for the next one's validator: of ten that ask for three, three get them.
func checkTogether(c customer) {
	c.expect(10, "", "give back", 10)
	var all sync.WaitGroup
	updates := make([]client.WorkflowUpdateHandle, 10)
	for i := range updates {
		all.Go(func() { updates[i] = c.send(client.WorkflowUpdateStageAccepted, "", "take", fmt.Sprint("c", i), 3) })
	}
	all.Wait()
	c.leftOver(1)
	for i := range updates {
		c.signal("let_go", fmt.Sprint("c", i))
	}
	taken := 0
	for _, update := range updates {
		var left int
		if !isTooMany(update.Get(c.ctx, &left), 1) {
			harness.Assert(left == 1, "%d are left", left)
			taken++
		}
	}
	harness.Assert(taken == 3, "%d have got some", taken)
}
