package flow

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"durably.dev/sdk/internal/core"
	"durably.dev/sdk/internal/failure"
	commonpb "go.temporal.io/api/common/v1"
)

// stackTraceQuery is answered by the SDK itself: where the workflow's coroutines are.
const stackTraceQuery = "__stack_trace"

// SetQueryHandler answers queries of a name with handler, a function of any arguments that returns a value and an
// error. Handlers only read.
func SetQueryHandler(ctx Context, name string, handler any) error {
	return outboundOf(ctx).SetQueryHandler(ctx, name, handler)
}

func (o *outbound) SetQueryHandler(_ Context, name string, handler any) error {
	if strings.HasPrefix(name, "__") {
		return fmt.Errorf("query names that begin with __ are reserved: %q", name)
	}
	function := reflect.ValueOf(handler)
	t := function.Type()
	if t.Kind() != reflect.Func || t.NumOut() != 2 || t.Out(1) != errorType {
		return fmt.Errorf("the handler of query %q must be a function that returns a value and an error, not %T", name, handler)
	}
	o.run.queries[name] = function
	return nil
}

// answer runs a query's handler, in a coroutine of its own so that it can't stop more than its run, and notes what it
// returned.
func (r *Run) answer(query *core.QueryReceived) {
	answer := r.refuse(query, &failure.PanicError{Value: "the query handler's goroutine was ended by runtime.Goexit: return instead"})
	c := newCoroutine(r, "query "+query.Name, func(*coroutine) { answer = r.ask(query) })
	c.reads = true
	r.reading = true
	inTime := r.step(c, true)
	r.reading = false
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
	if query.Name == stackTraceQuery {
		return r.env.DataConverter.ToPayload(r.stacks())
	}
	handler, ok := r.queries[query.Name]
	if !ok {
		known := make([]string, 0, len(r.queries))
		for name := range r.queries {
			known = append(known, name)
		}
		slices.Sort(known)
		return nil, fmt.Errorf("unknown queryType %s. KnownQueryTypes=%v", query.Name, known)
	}
	in, err := decodeArguments(r.env.DataConverter, handler.Type(), 0, &commonpb.Payloads{Payloads: query.Arguments})
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
