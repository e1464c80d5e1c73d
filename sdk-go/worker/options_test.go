package worker

import (
	"reflect"
	"testing"
	"time"

	"durably.dev/sdk/internal/core"
	"durably.dev/sdk/internal/flow"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// unset are the contract's options that Options has no field for, each with the reason.
var unset = map[protoreflect.Name]string{
	"max_cached_bytes":                "the official SDK bounds the cache in number only",
	"no_workflow_cache":               "SetStickyWorkflowCacheSize(0) sets it",
	"max_concurrent_local_activities": "there are no local activities yet",
	"nonsticky_to_sticky_poll_ratio":  "the official SDK has no such option",
	"namespace":                       "a client has one",
	"replay_only":                     "replayers set it",
	"activities_on_demand":            "it is the sidecar's",
}

// fill sets every field of a struct to something.
func fill(v reflect.Value) {
	for i := range v.NumField() {
		switch field := v.Field(i); field.Kind() {
		case reflect.Int, reflect.Int64:
			field.SetInt(int64(time.Second))
		case reflect.Float64:
			field.SetFloat(1)
		case reflect.String:
			field.SetString("x")
		case reflect.Bool:
			// Workflows and activities stay on.
			field.SetBool(v.Type().Field(i).Name == "DisableEagerActivities")
		}
	}
}

func TestEveryOptionOfTheContractIsSetOrLeftOutForAReason(t *testing.T) {
	var options Options
	fill(reflect.ValueOf(&options).Elem())
	w := &worker{registry: registry{flow.NewRegistry()}, taskQueue: "x", options: options}
	w.RegisterWorkflow(func(flow.Context) error { return nil })
	w.RegisterActivity(func() error { return nil })
	made := w.contractOptions().ProtoReflect()
	fields := (&core.WorkerOptions{}).ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		_, left := unset[field.Name()]
		if made.Has(field) == left {
			t.Errorf("%s: set %v, in the list of those left out %v", field.Name(), made.Has(field), left)
		}
	}
}
