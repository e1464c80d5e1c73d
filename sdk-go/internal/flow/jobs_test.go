package flow

import (
	"strings"
	"testing"
	"time"

	"durably.dev/sdk/converter"
	"durably.dev/sdk/internal/core"
	"durably.dev/sdk/internal/failure"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const (
	unknownJob = "a job that this SDK doesn't know"
	newerSDK   = "a newer SDK is needed"
)

// refusal is what a waiting run answers to a job that it can make nothing of; empty if it can.
func refusal(job *core.WorkflowJob) string {
	registry := NewRegistry()
	registry.AddWorkflow(func(ctx Context) error {
		// Number 1 of each, so that what resolves it finds it.
		ExecuteActivity(WithActivityOptions(ctx, ActivityOptions{StartToCloseTimeout: time.Minute}), "activity")
		ExecuteChildWorkflow(WithChildOptions(ctx, ChildWorkflowOptions{WorkflowID: "child"}), "child")
		return Await(ctx, func() bool { return false })
	}, "Waits", false)
	data := converter.GetDefaultDataConverter()
	r := NewRun(&Environment{
		Registry: registry, DataConverter: data, FailureConverter: failure.NewConverter(data, false), Logger: silent{},
		DeadlockTimeout: time.Minute,
	})
	start := &core.InitializeWorkflow{WorkflowType: "Waits"}
	r.Activate(activation(&core.WorkflowJob{Job: &core.WorkflowJob_Initialize{Initialize: start}}))
	return r.Activate(activation(job)).GetFailure().GetFailure().GetMessage()
}

// No compiler sees the switch that hands jobs on: a job that is added to the contract, and that apply lacks, fails this test.
func TestARunTakesEachJobOfTheContract(t *testing.T) {
	if got := refusal(&core.WorkflowJob{}); !strings.Contains(got, unknownJob) {
		t.Fatalf("a job without anything in it: %q", got)
	}
	jobs := (&core.WorkflowJob{}).ProtoReflect().Descriptor().Oneofs().ByName("job").Fields()
	for i := range jobs.Len() {
		field := jobs.Get(i)
		if field.Name() == "initialize" {
			continue // Each run has had one.
		}
		job := &core.WorkflowJob{}
		message := job.ProtoReflect()
		message.Set(field, message.NewField(field))
		// Some complain, such as of an activity that nobody scheduled; but they know what it is.
		if got := refusal(job); strings.Contains(got, unknownJob) {
			t.Errorf("%s: %s", field.Name(), got)
		}
	}
}

// A status that isn't set is one that a later core has: what was resolved can't be told, and must not pass for a result.
func TestARunTakesEachStatusOfTheContractAndNoOther(t *testing.T) {
	jobs := (&core.WorkflowJob{}).ProtoReflect().Descriptor().Oneofs().ByName("job").Fields()
	seen := 0
	for i := range jobs.Len() {
		// With one of the statuses, or with none.
		resolve := func(status protoreflect.FieldDescriptor) *core.WorkflowJob {
			job := &core.WorkflowJob{}
			resolved := job.ProtoReflect().Mutable(jobs.Get(i)).Message()
			resolved.Set(resolved.Descriptor().Fields().ByName("seq"), protoreflect.ValueOfUint32(1))
			if status != nil {
				within := resolved
				if status.Parent() != within.Descriptor() {
					within = within.Mutable(within.Descriptor().Fields().ByName("result")).Message()
				}
				within.Set(status, within.NewField(status))
			}
			return job
		}
		statuses := statusesOf(jobs.Get(i).Message())
		if statuses == nil {
			continue
		}
		if got := refusal(resolve(nil)); !strings.Contains(got, newerSDK) {
			t.Errorf("%s without a status: %q", jobs.Get(i).Name(), got)
		}
		for k := range statuses.Len() {
			seen++
			if got := refusal(resolve(statuses.Get(k))); got != "" {
				t.Errorf("%s %s: %s", jobs.Get(i).Name(), statuses.Get(k).Name(), got)
			}
		}
	}
	if seen < 9 {
		t.Errorf("only %d statuses", seen)
	}
}

// statusesOf are those of a job, or of its result; nil if it has none.
func statusesOf(job protoreflect.MessageDescriptor) protoreflect.FieldDescriptors {
	if status := job.Oneofs().ByName("status"); status != nil {
		return status.Fields()
	}
	if result := job.Fields().ByName("result"); result != nil && result.Message() != nil {
		return statusesOf(result.Message())
	}
	return nil
}
