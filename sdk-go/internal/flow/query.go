package flow

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"durably.dev/sdk/internal/core"
	"durably.dev/sdk/internal/failure"
	commonpb "go.temporal.io/api/common/v1"
)

// Queries that the SDK answers itself: where the workflow's coroutines are, and what may be asked of it.
const (
	stackTraceQuery = "__stack_trace"
	metadataQuery   = "__temporal_workflow_metadata"
)

// QueryHandlerOptions are the options of SetQueryHandlerWithOptions.
type QueryHandlerOptions struct {
	// Description is a line for tools that show the workflow.
	Description string
}

type queryHandler struct {
	function    reflect.Value
	description string
}

// SetQueryHandler answers queries of a name with handler, a function of any arguments that returns a value and an
// error. Handlers only read.
func SetQueryHandler(ctx Context, name string, handler any) error {
	return outboundOf(ctx).SetQueryHandler(ctx, name, handler)
}

// SetQueryHandlerWithOptions is SetQueryHandler with options.
func SetQueryHandlerWithOptions(ctx Context, name string, handler any, options QueryHandlerOptions) error {
	return outboundOf(ctx).SetQueryHandlerWithOptions(ctx, name, handler, options)
}

func (o *outbound) SetQueryHandler(ctx Context, name string, handler any) error {
	return o.SetQueryHandlerWithOptions(ctx, name, handler, QueryHandlerOptions{})
}

func (o *outbound) SetQueryHandlerWithOptions(_ Context, name string, handler any, options QueryHandlerOptions) error {
	o.run.mayChange()
	if strings.HasPrefix(name, "__") {
		return fmt.Errorf("query names that begin with __ are reserved: %q", name)
	}
	function := reflect.ValueOf(handler)
	if function.Kind() != reflect.Func || function.Type().NumOut() != 2 || function.Type().Out(1) != errorType {
		return fmt.Errorf("the handler of query %q must be a function that returns a value and an error, not %T", name, handler)
	}
	o.run.queries[name] = queryHandler{function, options.Description}
	return nil
}

// answer runs a query's handler, in a coroutine of its own so that it can't stop more than its run, and notes what it
// returned.
func (r *Run) answer(query *core.QueryReceived) {
	answer := r.refuse(query, &failure.PanicError{Value: "the query handler's goroutine was ended by runtime.Goexit: return instead"})
	c := newCoroutine(r, "query "+query.Name, func(*coroutine) { answer = r.ask(query) })
	c.reads = true
	r.reading = "a query handler"
	inTime := r.step(c, true)
	r.reading = ""
	if !inTime {
		// The task fails, and never the workflow: a query is not part of it.
		r.fail(r.abandon(c))
		return
	}
	r.note(answer)
}

func (r *Run) note(answer *core.QueryAnswer) {
	r.commands = append(r.commands, &core.WorkflowCommand{Command: &core.WorkflowCommand_QueryAnswer{QueryAnswer: answer}})
}

// ask is the answer to a query, made of whatever the user's code does.
func (r *Run) ask(query *core.QueryReceived) *core.QueryAnswer {
	payload, err := r.handle(query)
	if err != nil {
		return r.refuse(query, err)
	}
	return &core.QueryAnswer{Id: query.Id, Answer: &core.QueryAnswer_Succeeded{Succeeded: payload}}
}

func (r *Run) refuse(query *core.QueryReceived, err error) *core.QueryAnswer {
	failed := failure.Of(r.env.FailureConverter, err)
	return &core.QueryAnswer{Id: query.Id, Answer: &core.QueryAnswer_Failed{Failed: failed}}
}

func (r *Run) handle(query *core.QueryReceived) (payload *commonpb.Payload, err error) {
	defer func() {
		if value := recover(); value != nil {
			err = failure.Caught(value)
		}
	}()
	switch query.Name {
	case stackTraceQuery:
		return r.env.DataConverter.ToPayload(r.stacks())
	case metadataQuery:
		return r.metadataPayload()
	}
	handler, ok := r.queries[query.Name]
	if !ok {
		known := append(slices.Collect(maps.Keys(r.queries)), stackTraceQuery, metadataQuery)
		slices.Sort(known)
		return nil, fmt.Errorf("unknown queryType %s. KnownQueryTypes=%v", query.Name, known)
	}
	in, err := decodeArguments(r.env.DataConverter, handler.function.Type(), 0, &commonpb.Payloads{Payloads: query.Arguments})
	if err != nil {
		return nil, fmt.Errorf("query %s: %w", query.Name, err)
	}
	result, err := r.in.HandleQuery(r.root, &HandleQueryInput{QueryType: query.Name, Args: in})
	if err != nil {
		return nil, err
	}
	return r.env.DataConverter.ToPayload(result)
}

func (r *Run) stacks() string {
	var begun []*coroutine
	for _, c := range r.coroutines {
		if c.started && !c.done {
			begun = append(begun, c)
		}
	}
	var all []string
	for i, stack := range stacksOf(begun...) {
		_, frames, _ := strings.Cut(stack, "\n")
		all = append(all, fmt.Sprintf("coroutine %s:\n%s", begun[i].name, frames))
	}
	return strings.Join(all, "\n\n")
}
