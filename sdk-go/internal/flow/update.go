package flow

import (
	"fmt"
	"maps"
	"reflect"
	"runtime"
	"slices"
	"strings"

	"durably.dev/sdk/internal/core"
	"durably.dev/sdk/internal/failure"
	commonpb "go.temporal.io/api/common/v1"
)

// HandlerUnfinishedPolicy says what becomes of an update whose handler still runs when the workflow ends. Its caller gets an
// error either way.
type HandlerUnfinishedPolicy int

const (
	// HandlerUnfinishedPolicyWarnAndAbandon says so in the log.
	HandlerUnfinishedPolicyWarnAndAbandon HandlerUnfinishedPolicy = iota
	// HandlerUnfinishedPolicyAbandon doesn't.
	HandlerUnfinishedPolicyAbandon
)

// UpdateHandlerOptions are the options of SetUpdateHandler.
type UpdateHandlerOptions struct {
	// Validator decides whether an update is accepted: a function of the handler's arguments, with or without a Context before
	// them, that returns an error. It only reads, and isn't asked in a replay. What it rejects leaves no trace in the history.
	// Its panic rejects the update.
	Validator any
	// UnfinishedPolicy is HandlerUnfinishedPolicyWarnAndAbandon by default.
	UnfinishedPolicy HandlerUnfinishedPolicy
	// Description is a line for tools that show the workflow.
	Description string
}

// UpdateInfo tells a handler which update it handles.
type UpdateInfo struct{ ID, Name string }

// updateHandler is what SetUpdateHandler has made of a handler; validator is invalid if there is none.
type updateHandler struct {
	function, validator reflect.Value
	policy              HandlerUnfinishedPolicy
	description         string
}

// updates are a run's handlers, and the updates that it has.
type updates struct {
	handlers map[string]*updateHandler
	// early came before there was any handler; each waits for its own, or to be rejected when all code has come to rest.
	early []*core.UpdateReceived
	// underWay are those whose handlers, or validators, have begun and not returned, in this order.
	underWay []*updateUnderWay
}

type updateUnderWay struct {
	UpdateInfo
	policy HandlerUnfinishedPolicy
}

// SetUpdateHandler handles updates of a name with handler: a function of a Context and any arguments that returns an error,
// or a value and an error. Updates that have waited for it run before SetUpdateHandler returns, until they wait themselves.
func SetUpdateHandler(ctx Context, name string, handler any, options UpdateHandlerOptions) error {
	return outboundOf(ctx).SetUpdateHandler(ctx, name, handler, options)
}

func (o *outbound) SetUpdateHandler(_ Context, name string, handler any, options UpdateHandlerOptions) error {
	r := o.run
	r.mayWait()
	if strings.HasPrefix(name, "__") {
		return fmt.Errorf("update names that begin with __ are reserved: %q", name)
	}
	made, err := newUpdateHandler(handler, options)
	if err != nil {
		return fmt.Errorf("the handler of update %q: %w", name, err)
	}
	r.updates.handlers[name] = made
	if r.uses(flagEagerUpdates) {
		r.beginEarly(func(early *core.UpdateReceived) bool { return early.Name == name })
		r.pause(func() bool { return true })
	}
	return nil
}

func newUpdateHandler(handler any, options UpdateHandlerOptions) (*updateHandler, error) {
	made := &updateHandler{function: reflect.ValueOf(handler), policy: options.UnfinishedPolicy, description: options.Description}
	if err := checkFunction(made.function, "handler"); err != nil {
		return nil, err
	}
	t := made.function.Type()
	if t.NumIn() == 0 || t.In(0) != workflowType {
		return nil, fmt.Errorf("a handler takes a workflow.Context first, unlike %T", handler)
	}
	if options.Validator == nil {
		return made, nil
	}
	made.validator = reflect.ValueOf(options.Validator)
	v := made.validator.Type()
	if v.Kind() != reflect.Func || v.NumOut() != 1 || v.Out(0) != errorType {
		return nil, fmt.Errorf("a validator is a function that returns an error, unlike %T", options.Validator)
	}
	if !slices.Equal(parametersOf(t), parametersOf(v)) || t.IsVariadic() != v.IsVariadic() {
		return nil, fmt.Errorf("its validator (%T) takes other arguments than the handler itself (%T)", options.Validator, handler)
	}
	return made, nil
}

// parametersOf are the types of a function's parameters, but for a Context before them.
func parametersOf(t reflect.Type) []reflect.Type {
	var types []reflect.Type
	for i := range t.NumIn() {
		if i > 0 || t.In(0) != workflowType {
			types = append(types, t.In(i))
		}
	}
	return types
}

// received makes a coroutine that handles an update. It comes before all others, so that the handler has begun when the main
// function goes on. While no handler at all is registered, as in a run's first task, the update waits for one.
func (u *updates) received(r *Run, job *core.UpdateReceived) {
	if !r.mayUse(flagEagerUpdates) {
		// As histories from before that flag have it: behind all others, and if there is no handler one turn later.
		r.spawn(job.Name, func(*coroutine) {
			if len(u.handlers) == 0 {
				r.pause(func() bool { return true })
			}
			r.handleUpdate(job)
		})
		return
	}
	if len(u.handlers) == 0 {
		u.early = append(u.early, job)
		return
	}
	r.beginUpdate(job)
}

func (r *Run) beginUpdate(job *core.UpdateReceived) {
	r.eager = append(r.eager, newCoroutine(r, job.Name, func(*coroutine) { r.handleUpdate(job) }))
}

// beginEarly begins those of the updates that have waited for a handler, and tells whether there were any.
func (r *Run) beginEarly(which func(*core.UpdateReceived) bool) bool {
	var waiting []*core.UpdateReceived
	begun := false
	for _, job := range r.updates.early {
		if which(job) {
			r.beginUpdate(job)
			begun = true
		} else {
			waiting = append(waiting, job)
		}
	}
	r.updates.early = waiting
	return begun
}

// handleUpdate answers an update: it runs in a coroutine of its own.
func (r *Run) handleUpdate(job *core.UpdateReceived) {
	handler, ok := r.updates.handlers[job.Name]
	if !ok {
		r.reject(job, unknownUpdate(r, job.Name))
		return
	}
	arguments, err := decodeArguments(r.env.DataConverter, handler.function.Type(), 1, &commonpb.Payloads{Payloads: job.Arguments})
	if err != nil {
		r.reject(job, fmt.Errorf("update %s: %w", job.Name, err))
		return
	}
	this := &updateUnderWay{UpdateInfo{job.Id, job.Name}, handler.policy}
	ctx := WithValue(r.root, updateKey, &this.UpdateInfo)
	r.updates.underWay = append(r.updates.underWay, this)
	defer func() {
		r.updates.underWay = slices.DeleteFunc(r.updates.underWay, func(other *updateUnderWay) bool { return other == this })
	}()
	in := &UpdateInput{Name: job.Name, Args: arguments}
	if job.RunValidator {
		if err := r.validate(ctx, in); err != nil {
			r.reject(job, err)
			return
		}
	}
	r.accept(job, handler)
	result, err := r.in.ExecuteUpdate(ctx, in)
	r.answerUpdate(r.outcomeOf(job, result, err), handler)
}

// validate asks the inbound chain, and lets it do nothing but read.
func (r *Run) validate(ctx Context, in *UpdateInput) error {
	r.reading = fmt.Sprintf("the validator of update %q", in.Name)
	defer func() { r.reading = "" }()
	return r.in.ValidateUpdate(ctx, in)
}

// outcomeOf encodes what a handler has returned. What can't be encoded is a panic of the handler's.
func (r *Run) outcomeOf(job *core.UpdateReceived, result any, err error) *core.UpdateAnswer {
	if err != nil {
		return &core.UpdateAnswer{Id: job.Id, Answer: &core.UpdateAnswer_Failed{Failed: r.env.FailureConverter.ErrorToFailure(err)}}
	}
	if _, ok := result.(nothing); ok {
		result = nil
	}
	payload, err := r.env.DataConverter.ToPayload(result)
	if err != nil {
		panic(fmt.Errorf("the result of update %s: %w", job.Name, err))
	}
	return &core.UpdateAnswer{Id: job.Id, Answer: &core.UpdateAnswer_Succeeded{Succeeded: payload}}
}

// accept records what was relied on to get here, which a rejection must not: a task whose updates were all rejected may leave
// nothing in the history, and its flags would count as recorded.
func (r *Run) accept(job *core.UpdateReceived, handler *updateHandler) {
	r.uses(flagEagerUpdates)
	// Messages to the server have places among the commands, which official SDKs look for where this is set.
	r.uses(flagCommandedMessages)
	r.answerUpdate(&core.UpdateAnswer{Id: job.Id, Answer: &core.UpdateAnswer_Accepted{Accepted: &core.UpdateAccepted{}}}, handler)
}

// reject turns an update away, also for an error that panics when it is asked what it says.
func (r *Run) reject(job *core.UpdateReceived, why error) {
	rejected := failure.Of(r.env.FailureConverter, why)
	r.answerUpdate(&core.UpdateAnswer{Id: job.Id, Answer: &core.UpdateAnswer_Rejected{Rejected: rejected}}, nil)
}

func (r *Run) answerUpdate(answer *core.UpdateAnswer, handler *updateHandler) {
	command := &core.WorkflowCommand{Command: &core.WorkflowCommand_UpdateAnswer{UpdateAnswer: answer}}
	if r.replaying && handler != nil {
		entry := handler.function.Pointer()
		file, line := runtime.FuncForPC(entry).FileLine(entry)
		command.Location = fmt.Sprintf("%s:%d", file, line)
	}
	r.command(command)
}

func unknownUpdate(r *Run, name string) error {
	return fmt.Errorf("unknown update %s. KnownUpdates=%v", name, slices.Sorted(maps.Keys(r.updates.handlers)))
}

func (i *inbound) ValidateUpdate(ctx Context, in *UpdateInput) (err error) {
	handler, ok := i.run.updates.handlers[in.Name]
	switch {
	case !ok:
		return unknownUpdate(i.run, in.Name)
	case !handler.validator.IsValid():
		return nil
	}
	defer func() {
		value := recover()
		if _, isViolation := value.(violation); isViolation {
			// What it tried may have been done in part: nothing can go on from here.
			panic(value)
		}
		if value != nil {
			caught := failure.Caught(value)
			caught.Value = fmt.Sprintf("update validator panic: %v", caught.Value)
			err = caught
		}
	}()
	arguments, t := in.Args, handler.validator.Type()
	if t.NumIn() > 0 && t.In(0) == workflowType {
		arguments = append([]any{ctx}, arguments...)
	}
	_, err = results(handler.validator.Call(argumentsOf(t, arguments)))
	return err
}

func (i *inbound) ExecuteUpdate(ctx Context, in *UpdateInput) (any, error) {
	handler, ok := i.run.updates.handlers[in.Name]
	if !ok {
		return nil, unknownUpdate(i.run, in.Name)
	}
	return results(handler.function.Call(argumentsOf(handler.function.Type(), append([]any{ctx}, in.Args...))))
}

// GetCurrentUpdateInfo tells which update a handler, or its validator, was called for. It panics in a context of another
// origin.
func GetCurrentUpdateInfo(ctx Context) *UpdateInfo { return outboundOf(ctx).GetCurrentUpdateInfo(ctx) }

func (o *outbound) GetCurrentUpdateInfo(ctx Context) *UpdateInfo {
	info, ok := ctx.Value(updateKey).(*UpdateInfo)
	if !ok {
		panic("this context is not an update's: pass on the one that the update's handler got")
	}
	return info
}

// AllHandlersFinished tells whether no update's handler is under way.
func AllHandlersFinished(ctx Context) bool { return len(runOf(ctx).updates.underWay) == 0 }

// warnOfUnfinished says in the log what a run leaves undone that ends as it should.
func (r *Run) warnOfUnfinished() {
	if names := r.unhandledSignals(); len(names) > 0 {
		r.logger.Warn("The workflow has ended with signals that it has not received.", "SignalNames", names)
	}
	if r.end.GetFailWorkflow() != nil {
		return
	}
	var unfinished []string
	for _, update := range r.updates.underWay {
		if update.policy == HandlerUnfinishedPolicyWarnAndAbandon {
			unfinished = append(unfinished, fmt.Sprintf("%s (id %s)", update.Name, update.ID))
		}
	}
	if len(unfinished) > 0 {
		r.logger.Warn("[TMPRL1102] The workflow has ended while handlers of updates were still running. What they were doing was cut off, "+
			"and their callers get an error that says that the workflow has completed. To wait for them, end the workflow by "+
			"workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) }); if it is meant so, say "+
			"HandlerUnfinishedPolicyAbandon in UpdateHandlerOptions.", "Updates", unfinished)
	}
}
