package tests

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"durably.dev/sdk/client"
	"durably.dev/sdk/converter"
	"durably.dev/sdk/tests/histories"
	"durably.dev/sdk/worker"
	"durably.dev/sdk/workflow"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/temporalproto"
	"google.golang.org/protobuf/proto"
)

// recorded are the histories that tests/histories/record has left in tests/replay.
func recorded(t *testing.T) map[string]*historypb.History {
	t.Helper()
	files, err := filepath.Glob("../../tests/replay/histories/go-*.binpb")
	must(t, err)
	all := map[string]*historypb.History{}
	for _, file := range files {
		bytes, err := os.ReadFile(file)
		must(t, err)
		h := &historypb.History{}
		must(t, proto.Unmarshal(bytes, h))
		all[strings.TrimSuffix(filepath.Base(file), ".binpb")] = h
	}
	if len(all) < 20 {
		t.Fatalf("there are only %d histories", len(all))
	}
	return all
}

// replay replays a history with the programs, of which one may be replaced, and returns what the workflow returned.
func replay(history *historypb.History, replaced string, by histories.Program) (returned *string, err error) {
	r, result := replayer(replaced, by)
	err = r.ReplayWorkflowHistory(quiet{}, history)
	return *result, err
}

// replayer knows the programs, of which one may be replaced, and what the last workflow returned.
func replayer(replaced string, by histories.Program) (worker.WorkflowReplayer, **string) {
	replayer, returned := worker.NewWorkflowReplayer(), new(*string)
	for name, program := range histories.Programs {
		if name == replaced {
			program = by
		}
		replayer.RegisterWorkflowWithOptions(func(ctx workflow.Context, argument int) (string, error) {
			text, err := program(ctx, argument)
			if err == nil {
				*returned = &text
			}
			return text, err
		}, workflow.RegisterOptions{Name: name})
	}
	return replayer, returned
}

func TestHistoriesOfTheOfficialSDKReplay(t *testing.T) {
	for name, history := range recorded(t) {
		t.Run(name, func(t *testing.T) {
			returned, err := replay(history, "", nil)
			must(t, err)
			completed := history.Events[len(history.Events)-1].GetWorkflowExecutionCompletedEventAttributes()
			if completed == nil {
				if returned != nil {
					t.Errorf("returned %q, but had not ended so", *returned)
				}
				return
			}
			var want string
			must(t, converter.GetDefaultDataConverter().FromPayloads(completed.Result, &want))
			if returned == nil {
				t.Fatalf("didn't return %q", want)
			}
			if *returned != want {
				t.Errorf("returned %q instead of %q", *returned, want)
			}
		})
	}
}

func TestRunsReplayWhereverTheyStand(t *testing.T) {
	for name, history := range recorded(t) {
		for i, event := range history.Events {
			switch event.EventType {
			case enumspb.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED, enumspb.EVENT_TYPE_WORKFLOW_TASK_STARTED:
				if _, err := replay(&historypb.History{Events: history.Events[:i+1]}, "", nil); err != nil {
					t.Errorf("%s up to event %d: %v", name, event.EventId, err)
				}
			}
		}
	}
}

func TestHistoriesReplayFromFilesAndServers(t *testing.T) {
	r, returned := replayer("", nil)
	text, err := temporalproto.CustomJSONMarshalOptions{}.Marshal(recorded(t)["go-turns-last"])
	must(t, err)
	file := filepath.Join(t.TempDir(), "history.json")
	must(t, os.WriteFile(file, text, 0o600))
	must(t, r.ReplayPartialWorkflowHistoryFromJSONFile(quiet{}, file, 3))
	if *returned != nil {
		t.Errorf("returned %q at event 3", **returned)
	}
	must(t, r.ReplayWorkflowHistoryFromJSONFile(quiet{}, file))
	if *returned == nil || **returned != "over" {
		t.Error("didn't get to its end")
	}
	if err := r.ReplayWorkflowHistoryFromJSONFile(quiet{}, "histories_test.go"); err == nil || !strings.Contains(err.Error(), "histories_test.go is no history") {
		t.Error(err)
	}
}

func TestAChangedWorkflowDoesNotReplayAndTheErrorSaysWhy(t *testing.T) {
	all := recorded(t)
	changed := func(ctx workflow.Context, _ int) (string, error) {
		ctx = workflow.WithStartToCloseTimeout(ctx, 1)
		_ = workflow.ExecuteActivity(ctx, histories.Charge, 1).Get(ctx, nil)
		return "", workflow.ExecuteActivity(ctx, histories.Refuse).Get(ctx, nil)
	}
	for name, words := range map[string][]string{
		"go-order-refused": {"event 11", `history: ActivityTaskScheduled(Flaky, id "11")`, `code:    ActivityTaskScheduled(Refuse, id "11")`, "histories_test.go:"},
		"go-cleans-up":     {"event 5", `history: ActivityTaskScheduled(Park, id "5")`, `code:    ActivityTaskScheduled(Charge, id "5")`, "histories_test.go:"},
		"go-in-flight":     {"event 11", `history: TimerStarted(id "11")`, `code:    ActivityTaskScheduled(Refuse, id "11")`, "histories_test.go:"},
	} {
		program := all[name].Events[0].GetWorkflowExecutionStartedEventAttributes().WorkflowType.Name
		_, err := replay(all[name], program, changed)
		if err == nil {
			t.Errorf("%s replayed", name)
			continue
		}
		for _, word := range words {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%s: no %q in\n%v", name, word, err)
			}
		}
	}
}

// What both sides of the wire have to get right: what is cancelled in the task that began it, and who gets what.
func TestTheProgramsRunAndTheirHistoriesReplay(t *testing.T) {
	c := dial(t, "embedded:")
	start(t, c, worker.Options{}, func(w worker.Worker) {
		for name, program := range histories.Programs {
			w.RegisterWorkflowWithOptions(program, workflow.RegisterOptions{Name: name})
		}
		for _, activity := range histories.Activities {
			w.RegisterActivity(activity)
		}
	})
	for name, want := range map[string]string{"Cancellations": "all cancelled", "Leaves": "left", "Turns": "over"} {
		t.Run(name, func(t *testing.T) {
			run, err := c.ExecuteWorkflow(within(t), client.StartWorkflowOptions{TaskQueue: queue}, name, 1)
			must(t, err)
			first := run.GetRunID()
			if got := result[string](t, run); got != want {
				t.Errorf("%q instead of %q", got, want)
			}
			if followed := run.GetRunID() != first; followed != (name == "Turns") {
				t.Errorf("the handle went from run %s to %s", first, run.GetRunID())
			}
			r, returned := replayer("", nil)
			must(t, r.ReplayWorkflowExecution(within(t), c.WorkflowService(), quiet{}, "default",
				workflow.Execution{ID: run.GetID(), RunID: run.GetRunID()}))
			if *returned == nil || **returned != want {
				t.Errorf("replayed to something else than %q", want)
			}
			if current := c.GetWorkflow(within(t), run.GetID(), "").GetRunID(); current != run.GetRunID() {
				t.Errorf("the current run is %s, not %s", current, run.GetRunID())
			}
		})
	}
}
