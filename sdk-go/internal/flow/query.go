package flow

import (
	"fmt"
	"reflect"
	"runtime/debug"
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
	if strings.HasPrefix(name, "__") {
		return fmt.Errorf("query names that begin with __ are reserved: %q", name)
	}
	function := reflect.ValueOf(handler)
	t := function.Type()
	if t.Kind() != reflect.Func || t.NumOut() != 2 || t.Out(1) != errorType {
		return fmt.Errorf("the handler of query %q must be a function that returns a value and an error, not %T", name, handler)
	}
	runOf(ctx).queries[name] = function
	return nil
}

// answer runs a query's handler and notes what it returned.
func (r *Run) answer(query *core.QueryReceived) {
	answer := &core.QueryAnswer{Id: query.Id}
	payload, err := r.ask(query)
	if err != nil {
		answer.Answer = &core.QueryAnswer_Failed{Failed: r.env.FailureConverter.ErrorToFailure(err)}
	} else {
		answer.Answer = &core.QueryAnswer_Succeeded{Succeeded: payload}
	}
	r.command(&core.WorkflowCommand{Command: &core.WorkflowCommand_QueryAnswer{QueryAnswer: answer}})
}

func (r *Run) ask(query *core.QueryReceived) (payload *commonpb.Payload, err error) {
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
	r.reading = true
	defer func() {
		r.reading = false
		if value := recover(); value != nil {
			err = &failure.PanicError{Value: value, Stack: string(debug.Stack())}
		}
	}()
	in, err := decodeArguments(r.env.DataConverter, handler.Type(), 0, &commonpb.Payloads{Payloads: query.Arguments})
	if err != nil {
		return nil, fmt.Errorf("query %s: %w", query.Name, err)
	}
	result, err := results(handler.Call(in))
	if err != nil {
		return nil, err
	}
	return r.env.DataConverter.ToPayload(result)
}

func (r *Run) stacks() string {
	var all []string
	for _, c := range r.coroutines {
		if c.started && !c.done {
			_, frames, _ := strings.Cut(stackOf(c), "\n")
			all = append(all, fmt.Sprintf("coroutine %s:\n%s", c.name, frames))
		}
	}
	return strings.Join(all, "\n\n")
}
