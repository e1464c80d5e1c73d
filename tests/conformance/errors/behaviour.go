// Package errors: calls that cannot succeed get the gRPC status and the error detail that the SDK turns into
// its own error type.
package errors

import (
	"context"
	"errors"
	"strings"

	"durably.dev/conformance/harness"
	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

func Ends(ctx workflow.Context, fail bool) (string, error) {
	if fail {
		return "", temporal.NewNonRetryableApplicationError("deliberate", "Deliberate", nil, map[string]int{"code": 7})
	}
	workflow.GetSignalChannel(ctx, "finish").Receive(ctx, nil)
	return "ended", nil
}

func is[T error](err error) bool {
	var target T
	return errors.As(err, &target)
}

var Behaviour = harness.Behaviour{
	Name: "errors", Workflows: []any{Ends},
	Check: func(ctx context.Context, env *harness.Env) error {
		start := func(options client.StartWorkflowOptions) (client.WorkflowRun, error) {
			options.TaskQueue = env.TaskQueue
			return env.Client.ExecuteWorkflow(ctx, options, Ends, false)
		}
		id := env.NewID()
		run := env.StartWith(ctx, client.StartWorkflowOptions{ID: id}, Ends, false)
		_, err := start(client.StartWorkflowOptions{ID: id, WorkflowExecutionErrorWhenAlreadyStarted: true})
		var started *serviceerror.WorkflowExecutionAlreadyStarted
		harness.Assert(errors.As(err, &started) && started.RunId == run.GetRunID(), "started twice: %v", err)
		same, err := start(client.StartWorkflowOptions{ID: id, WorkflowIDConflictPolicy: enums.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING})
		harness.Assert(err == nil && same.GetRunID() == run.GetRunID(), "use existing: %v", err)
		harness.Must(env.Client.SignalWorkflow(ctx, id, "", "finish", nil))
		harness.Assert(harness.Result[string](ctx, run) == "ended", "result")
		_, err = start(client.StartWorkflowOptions{ID: id, WorkflowExecutionErrorWhenAlreadyStarted: true,
			WorkflowIDReusePolicy: enums.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE})
		harness.Assert(is[*serviceerror.WorkflowExecutionAlreadyStarted](err), "id used again: %v", err)

		err = env.Start(ctx, Ends, true).Get(ctx, nil)
		var failure *temporal.ApplicationError
		harness.Assert(errors.As(err, &failure) && failure.Type() == "Deliberate" && failure.NonRetryable(), "got %v", err)

		const unknown = "no-such-workflow"
		_, err = env.Client.DescribeWorkflowExecution(ctx, unknown, "")
		for what, err := range map[string]error{
			"describe":  err,
			"signal":    env.Client.SignalWorkflow(ctx, unknown, "", "x", nil),
			"cancel":    env.Client.CancelWorkflow(ctx, unknown, ""),
			"terminate": env.Client.TerminateWorkflow(ctx, unknown, "", ""),
			"ended":     env.Client.SignalWorkflow(ctx, id, "", "finish", nil),
		} {
			harness.Assert(is[*serviceerror.NotFound](err), "%s: %T %v", what, err, err)
		}
		_, err = start(client.StartWorkflowOptions{ID: strings.Repeat("x", 2000)})
		harness.Assert(is[*serviceerror.InvalidArgument](err), "long id: %T %v", err, err)
		elsewhere, err := client.NewLazyClient(client.Options{HostPort: env.Address, Namespace: "no-such-namespace", Logger: harness.Quiet{}})
		harness.Must(err)
		defer elsewhere.Close()
		_, err = elsewhere.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: id, TaskQueue: env.TaskQueue}, Ends, false)
		harness.Assert(is[*serviceerror.NamespaceNotFound](err), "unknown namespace: %T %v", err, err)
		return nil
	},
}
