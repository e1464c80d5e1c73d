package main

import (
	"errors"
	"time"

	"durably.dev/sdk/temporal"
	"durably.dev/sdk/workflow"
)

// ApprovalLimit is the value, in cents, from which on orders ship only after somebody has approved them.
const ApprovalLimit = 500_00

// Settings are what the caller of the workflow decides about time.
type Settings struct {
	// ApprovalTimeout is how long an order waits for its approval.
	ApprovalTimeout time.Duration
	// CoolingOff is how long a paid order waits before it ships.
	CoolingOff time.Duration
}

// undo is what to do if a later step fails.
type undo struct {
	activity any
	argument any
}

// OrderWorkflow is one order, from its arrival to its shipment or its refusal. Read it from top to bottom: that is the
// whole business process. It survives crashes at any line, because every step is in the workflow's history before the
// next one begins.
func OrderWorkflow(ctx workflow.Context, order Order, settings Settings) (Outcome, error) {
	status := "received"
	if err := workflow.SetQueryHandler(ctx, "status", func() (string, error) { return status, nil }); err != nil {
		return Outcome{}, err
	}
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		// One attempt of a step may take this long; then its worker counts as dead, and the step is tried elsewhere.
		StartToCloseTimeout: 10 * time.Second,
		// A step is tried again after 0.1, 0.2, 0.4 … seconds, unless its error says that trying again is of no use.
		RetryPolicy: &temporal.RetryPolicy{InitialInterval: 100 * time.Millisecond, MaximumInterval: 5 * time.Second},
	})
	var steps *Steps
	// The saga's compensations, undone last first.
	var compensations []undo
	failed := func(err error) (Outcome, error) {
		status = "undoing"
		for i := len(compensations) - 1; i >= 0; i-- {
			if err := workflow.ExecuteActivity(ctx, compensations[i].activity, compensations[i].argument).Get(ctx, nil); err != nil {
				return Outcome{}, err
			}
		}
		status = "failed"
		return Outcome{order.ID, "failed", reason(err)}, nil
	}

	status = "validating"
	var cents int
	if err := workflow.ExecuteActivity(ctx, steps.Validate, order).Get(ctx, &cents); err != nil {
		return failed(err)
	}

	if cents >= ApprovalLimit {
		status = "waiting for approval"
		if refusal := approval(ctx, settings.ApprovalTimeout); refusal != "" {
			status = "refused"
			return Outcome{order.ID, "refused", refusal}, nil
		}
	}

	status = "charging"
	payment := Payment{order.ID, order.Card, cents}
	if err := workflow.ExecuteActivity(ctx, steps.Charge, payment).Get(ctx, nil); err != nil {
		return failed(err)
	}
	compensations = append(compensations, undo{steps.Refund, payment})

	status = "reserving"
	if err := workflow.ExecuteActivity(ctx, steps.Reserve, order.ID, order.Items).Get(ctx, nil); err != nil {
		return failed(err)
	}
	compensations = append(compensations, undo{steps.Release, order.ID})

	status = "cooling off"
	second := workflow.TimerOptions{Summary: "time for second thoughts"}
	if err := workflow.NewTimerWithOptions(ctx, settings.CoolingOff, second).Get(ctx, nil); err != nil {
		return Outcome{}, err
	}

	status = "shipping"
	var tracking string
	if err := workflow.ExecuteActivity(ctx, steps.Ship, order.ID, order.Address).Get(ctx, &tracking); err != nil {
		return failed(err)
	}
	if err := workflow.ExecuteActivity(ctx, steps.SendReceipt, order.Customer, tracking).Get(ctx, nil); err != nil {
		return failed(err)
	}
	status = "shipped"
	return Outcome{order.ID, "shipped", tracking}, nil
}

// approval waits for a manager's decision; it returns why the order is refused, or nothing.
func approval(ctx workflow.Context, timeout time.Duration) (refusal string) {
	ctx, done := workflow.WithCancel(ctx)
	defer done()
	workflow.NewSelector(ctx).
		AddReceive(workflow.GetSignalChannel(ctx, "decide"), func(c workflow.ReceiveChannel, _ bool) {
			var approved bool
			if c.Receive(ctx, &approved); !approved {
				refusal = "not approved"
			}
		}).
		AddFuture(workflow.NewTimer(ctx, timeout), func(workflow.Future) { refusal = "not approved in time" }).
		Select(ctx)
	return refusal
}

// reason is why a step failed, in the step's own words.
func reason(err error) string {
	var failure *temporal.ApplicationError
	if errors.As(err, &failure) {
		return failure.Message()
	}
	return err.Error()
}
