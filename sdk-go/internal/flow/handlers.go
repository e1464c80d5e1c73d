package flow

import (
	"fmt"
	"reflect"
	"slices"

	"durably.dev/sdk/converter"
	"durably.dev/sdk/internal/core"
	"durably.dev/sdk/log"
	commonpb "go.temporal.io/api/common/v1"
	failurepb "go.temporal.io/api/failure/v1"
)

// apply hands a job to whom it is for.
func (r *Run) apply(job *core.WorkflowJob, activation *core.WorkflowActivation) error {
	switch job := job.Job.(type) {
	case *core.WorkflowJob_Initialize:
		return r.initialize(job.Initialize, activation)
	case *core.WorkflowJob_FireTimer:
		settle(r.timers, job.FireTimer.Seq, nil, nil)
	case *core.WorkflowJob_ResolveActivity:
		return r.resolve(job.ResolveActivity)
	case *core.WorkflowJob_ResolveChildWorkflowStart:
		return r.childStarted(job.ResolveChildWorkflowStart)
	case *core.WorkflowJob_ResolveChildWorkflow:
		return r.childEnded(job.ResolveChildWorkflow)
	case *core.WorkflowJob_ResolveSignalExternalWorkflow:
		r.signalled(job.ResolveSignalExternalWorkflow)
	case *core.WorkflowJob_ResolveRequestCancelExternalWorkflow:
		r.cancelRequested(job.ResolveRequestCancelExternalWorkflow)
	case *core.WorkflowJob_Signal:
		arguments := &commonpb.Payloads{Payloads: job.Signal.Arguments}
		return r.in.HandleSignal(r.root, &HandleSignalInput{SignalName: job.Signal.Name, Arg: arguments})
	case *core.WorkflowJob_Update:
		r.updates.received(r, job.Update)
	case *core.WorkflowJob_Cancel:
		r.cancel()
	case *core.WorkflowJob_Query:
		r.answer(job.Query)
	case *core.WorkflowJob_UpdateRandomSeed:
		// Go's workflows have no generator of their own: they draw numbers in activities.
	case *core.WorkflowJob_Evict:
		r.exit()
	default:
		return tooNew("a job", job)
	}
	return nil
}

// tooNew is what the core sent, of a kind that is none of this SDK's: another than it means must not be made of it.
func tooNew(what string, sent any) error {
	return fmt.Errorf("the core sent %s that this SDK doesn't know (%T): a newer SDK is needed", what, sent)
}

// follow notes what the activation says about the history.
func (r *Run) follow(activation *core.WorkflowActivation) {
	if r.info != nil {
		r.info.historyLength = int(activation.HistoryLength)
		r.info.historySize = int(activation.HistorySizeBytes)
		r.info.continueSuggested = activation.ContinueAsNewSuggested
	}
}

// settle ends what waits for a number. Numbers that nobody waits for any more are no error.
func settle(of map[uint32]*pending, seq uint32, value any, err error) {
	if p := of[seq]; p != nil {
		delete(of, seq)
		p.hook.drop()
		p.future.Set(value, err)
	}
}

func (r *Run) resolve(job *core.ResolveActivity) error {
	p := r.activities[job.Seq]
	if p == nil {
		return nil
	}
	var value any
	var err error
	switch status := job.Result.GetStatus().(type) {
	case *core.ActivityResolution_Completed:
		if payload := status.Completed.Result; payload != nil {
			value = &encoded{payload, p.converter}
		}
	case *core.ActivityResolution_Failed:
		err = &undecoded{run: r, failure: status.Failed}
	case *core.ActivityResolution_Cancelled:
		err = &undecoded{run: r, failure: status.Cancelled}
	default:
		return tooNew("the end of an activity", status)
	}
	settle(r.activities, job.Seq, value, err)
	return nil
}

func (r *Run) toError(f *failurepb.Failure) error { return r.env.FailureConverter.FailureToError(f) }

func (r *Run) initialize(start *core.InitializeWorkflow, activation *core.WorkflowActivation) error {
	r.info = newInfo(start, activation)
	r.logger = &replayLogger{r, log.With(r.env.Logger, "Namespace", start.Namespace, "TaskQueue", start.TaskQueue,
		"WorkflowType", start.WorkflowType, "WorkflowID", start.WorkflowId, "RunID", activation.RunId, "Attempt", start.Attempt)}
	r.info.lastResult, r.info.lastFailure = start.LastCompletionResult, start.LastFailure
	main, err := r.env.Registry.workflow(start.WorkflowType)
	if err != nil {
		return err
	}
	if err := r.intercept(main); err != nil {
		return err
	}
	arguments := &commonpb.Payloads{Payloads: start.Arguments}
	r.spawn("root", func(c *coroutine) { r.main(c, main.Type(), arguments) })
	return nil
}

// inbound is the last link of a run's inbound chain: the user's code.
type inbound struct {
	run *Run
	// main is the workflow's function.
	main reflect.Value
}

func (i *inbound) Init(out Outbound) error {
	i.run.out = out
	return nil
}

func (i *inbound) ExecuteWorkflow(ctx Context, in *ExecuteWorkflowInput) (any, error) {
	return results(i.main.Call(argumentsOf(i.main.Type(), append([]any{ctx}, in.Args...))))
}

func (i *inbound) HandleSignal(_ Context, in *HandleSignalInput) error {
	i.run.signalChannel(in.SignalName).SendAsync(&signal{in.Arg, i.run.env.DataConverter})
	return nil
}

func (i *inbound) HandleQuery(_ Context, in *HandleQueryInput) (any, error) {
	handler := i.run.queries[in.QueryType].function
	return results(handler.Call(argumentsOf(handler.Type(), in.Args)))
}

type signal struct {
	payloads  *commonpb.Payloads
	converter converter.DataConverter
}

func (r *Run) signalChannel(name string) *channel {
	c := r.signals[name]
	if c == nil {
		// Signals are never refused: there is room for as many as come.
		c = newChannel(r, name, 1<<30)
		r.signals[name] = c
	}
	return c
}

// SignalChannelOptions are the options of GetSignalChannelWithOptions.
type SignalChannelOptions struct {
	// Description is a line for tools that show the workflow. The first one counts.
	Description string
}

// GetSignalChannel is where the signals of a name arrive.
func GetSignalChannel(ctx Context, name string) ReceiveChannel {
	return outboundOf(ctx).GetSignalChannel(ctx, name)
}

// GetSignalChannelWithOptions is GetSignalChannel with options.
func GetSignalChannelWithOptions(ctx Context, name string, options SignalChannelOptions) ReceiveChannel {
	return outboundOf(ctx).GetSignalChannelWithOptions(ctx, name, options)
}

func (o *outbound) GetSignalChannel(ctx Context, name string) ReceiveChannel {
	return o.GetSignalChannelWithOptions(ctx, name, SignalChannelOptions{})
}

func (o *outbound) GetSignalChannelWithOptions(_ Context, name string, options SignalChannelOptions) ReceiveChannel {
	o.run.mayChange()
	if _, known := o.run.awaited[name]; !known {
		o.run.awaited[name] = options
	}
	return o.run.signalChannel(name)
}

// GetUnhandledSignalNames are the names of signals that wait to be received, in order: also those that nobody has asked for.
func GetUnhandledSignalNames(ctx Context) []string { return runOf(ctx).unhandledSignals() }

func (r *Run) unhandledSignals() []string {
	var names []string
	for name, channel := range r.signals {
		if channel.Len() > 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
