package flow

import (
	"context"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"

	"durably.dev/sdk/converter"
	commonpb "go.temporal.io/api/common/v1"
)

var (
	errorType    = reflect.TypeFor[error]()
	contextType  = reflect.TypeFor[context.Context]()
	workflowType = reflect.TypeFor[Context]()
)

// Registry knows a worker's workflows and activities by name.
type Registry struct {
	mu         sync.RWMutex
	workflows  map[string]reflect.Value
	activities map[string]reflect.Value
	// Names that functions were given, by the name that Go has for them.
	aliases map[string]string
}

// NewRegistry makes an empty registry.
func NewRegistry() *Registry {
	return &Registry{workflows: map[string]reflect.Value{}, activities: map[string]reflect.Value{}, aliases: map[string]string{}}
}

// Counts are the numbers of workflows and activities.
func (r *Registry) Counts() (workflows, activities int) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.workflows), len(r.activities)
}

// goName is the name that Go has for a function: its package's path and its own.
func goName(function reflect.Value) string {
	return strings.TrimSuffix(runtime.FuncForPC(function.Pointer()).Name(), "-fm")
}

// shortName is the part of a Go name by which functions are registered.
func shortName(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

// AddWorkflow registers a function as a workflow; an empty name means its own.
func (r *Registry) AddWorkflow(function any, name string, replace bool) {
	v := reflect.ValueOf(function)
	if err := checkFunction(v, "workflow"); err != nil {
		panic(err)
	}
	if t := v.Type(); t.NumIn() == 0 || t.In(0) != workflowType {
		panic(fmt.Sprintf("workflow %s must take a workflow.Context first", goName(v)))
	}
	r.add(r.workflows, "workflow", v, name, replace)
}

// AddActivity registers a function, or the exported methods of a pointer to a struct. The name of a function, or what
// precedes the names of methods, may be empty.
func (r *Registry) AddActivity(activity any, name string, skipInvalid, replace bool) {
	v := reflect.ValueOf(activity)
	if v.Kind() == reflect.Pointer && v.Elem().Kind() == reflect.Struct {
		r.addMethods(v, name, skipInvalid, replace)
		return
	}
	if err := checkFunction(v, "activity"); err != nil {
		panic(err)
	}
	r.add(r.activities, "activity", v, name, replace)
}

func (r *Registry) addMethods(v reflect.Value, prefix string, skipInvalid, replace bool) {
	found := 0
	for i := range v.NumMethod() {
		method := v.Type().Method(i)
		if err := checkFunction(v.Method(i), "activity"); err != nil {
			if skipInvalid {
				continue
			}
			panic(fmt.Sprintf("method %s of %T can't be an activity: %v", method.Name, v.Interface(), err))
		}
		r.add(r.activities, "activity", v.Method(i), prefix+method.Name, replace)
		found++
	}
	if found == 0 {
		panic(fmt.Sprintf("%T has no method that could be an activity", v.Interface()))
	}
}

func (r *Registry) add(to map[string]reflect.Value, kind string, v reflect.Value, name string, replace bool) {
	own := goName(v)
	r.mu.Lock()
	defer r.mu.Unlock()
	if name == "" {
		name = shortName(own)
	} else {
		r.aliases[kind+own] = name
	}
	if _, taken := to[name]; taken && !replace {
		panic(fmt.Sprintf("%s type %q is registered already", kind, name))
	}
	to[name] = v
}

// checkFunction tells whether something can be a workflow or an activity: a function that returns an error, or a value
// and an error.
func checkFunction(v reflect.Value, kind string) error {
	if v.Kind() != reflect.Func {
		return fmt.Errorf("a %s is a function, not a %v", kind, v.Kind())
	}
	t := v.Type()
	if n := t.NumOut(); n < 1 || n > 2 || t.Out(n-1) != errorType {
		return fmt.Errorf("a %s returns an error, or a value and an error; %s doesn't", kind, goName(v))
	}
	return nil
}

func (r *Registry) workflow(name string) (reflect.Value, error) {
	return r.find(r.workflows, "workflow", name)
}

// Activity is the function of a type. Its absence is an error that lists what there is.
func (r *Registry) Activity(name string) (reflect.Value, error) {
	return r.find(r.activities, "activity", name)
}

func (r *Registry) find(in map[string]reflect.Value, kind, name string) (reflect.Value, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if v, ok := in[name]; ok {
		return v, nil
	}
	known := make([]string, 0, len(in))
	for name := range in {
		known = append(known, name)
	}
	slices.Sort(known)
	return reflect.Value{}, fmt.Errorf("unable to find %s type: %s. Supported types: [%s]", kind, name, strings.Join(known, ", "))
}

// WorkflowName is the type of a workflow that is given by its function or its name. It works without a registry.
func (r *Registry) WorkflowName(workflow any) (string, error) { return r.nameOf("workflow", workflow) }

func (r *Registry) activityName(activity any) (string, error) { return r.nameOf("activity", activity) }

func (r *Registry) nameOf(kind string, what any) (string, error) {
	if name, ok := what.(string); ok {
		if name == "" {
			return "", fmt.Errorf("the %s's name is empty", kind)
		}
		return name, nil
	}
	v := reflect.ValueOf(what)
	if v.Kind() != reflect.Func {
		return "", fmt.Errorf("a %s is named by its function or a string, not by %T", kind, what)
	}
	own := goName(v)
	if r != nil {
		r.mu.RLock()
		defer r.mu.RUnlock()
		if name, ok := r.aliases[kind+own]; ok {
			return name, nil
		}
	}
	return shortName(own), nil
}

// decodeArguments makes a function's arguments, without the first `skip`. Absent ones are zero, and surplus ones ignored; a
// variadic function gets what there is of its last one.
func decodeArguments(with converter.DataConverter, t reflect.Type, skip int, payloads *commonpb.Payloads) ([]any, error) {
	count := t.NumIn()
	if t.IsVariadic() {
		count = max(count-1, skip+len(payloads.GetPayloads()))
	}
	pointers := make([]any, 0, count-skip)
	for i := skip; i < count; i++ {
		pointers = append(pointers, reflect.New(argumentType(t, i)).Interface())
	}
	if err := with.FromPayloads(payloads, pointers...); err != nil {
		return nil, fmt.Errorf("unable to decode the arguments: %w", err)
	}
	for i, pointer := range pointers {
		pointers[i] = reflect.ValueOf(pointer).Elem().Interface()
	}
	return pointers, nil
}

// argumentType is the type of a call's argument.
func argumentType(t reflect.Type, i int) reflect.Type {
	if last := t.NumIn() - 1; t.IsVariadic() && i >= last {
		return t.In(last).Elem()
	}
	return t.In(i)
}

// argumentsOf are arguments as a call of a function takes them.
func argumentsOf(t reflect.Type, arguments []any) []reflect.Value {
	in := make([]reflect.Value, len(arguments))
	for i, argument := range arguments {
		if in[i] = reflect.ValueOf(argument); argument == nil {
			in[i] = reflect.Zero(argumentType(t, i))
		}
	}
	return in
}

// results splits what a function returned.
func results(out []reflect.Value) (any, error) {
	var err error
	if len(out) > 0 {
		err, _ = out[len(out)-1].Interface().(error)
	}
	if len(out) < 2 {
		return nothing{}, err
	}
	return out[0].Interface(), err
}

// nothing is the result of a function that returns only an error.
type nothing struct{}

// encodeResult encodes the result of a workflow or an activity; nil if there is none. Nil pointers are none either, as they
// are to the official SDK: what the result is decoded into keeps its value.
func encodeResult(with converter.DataConverter, result any) (*commonpb.Payload, error) {
	if _, ok := result.(nothing); ok || result == nil {
		return nil, nil
	}
	if v := reflect.ValueOf(result); v.Kind() == reflect.Pointer && v.IsNil() {
		return nil, nil
	}
	return with.ToPayload(result)
}

// CallActivity decodes the arguments of an activity, runs it, and encodes its result; nil for none.
func CallActivity(
	ctx context.Context, function reflect.Value, with converter.DataConverter, arguments []*commonpb.Payload,
) (*commonpb.Payload, error) {
	t := function.Type()
	skip := 0
	if t.NumIn() > 0 && t.In(0) == contextType {
		skip = 1
	}
	in, err := decodeArguments(with, t, skip, &commonpb.Payloads{Payloads: arguments})
	if err != nil {
		return nil, err
	}
	if skip == 1 {
		in = append([]any{ctx}, in...)
	}
	result, err := results(function.Call(argumentsOf(t, in)))
	if err != nil {
		return nil, err
	}
	payload, err := encodeResult(with, result)
	if err != nil {
		return nil, fmt.Errorf("the activity's result can't be encoded: %w", err)
	}
	return payload, nil
}
