package flow

import (
	"strings"
	"testing"
	"time"

	"durably.dev/sdk/converter"
	"durably.dev/sdk/internal/core"
	"durably.dev/sdk/internal/failure"
)

const unknownJob = "a job that this SDK doesn't know"

// refusal is what a waiting run answers to a job that it can make nothing of; empty if it can.
func refusal(job *core.WorkflowJob) string {
	registry := NewRegistry()
	registry.AddWorkflow(func(ctx Context) error { return Await(ctx, func() bool { return false }) }, "Waits", false)
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
