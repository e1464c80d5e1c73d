package tests

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"durably.dev/sdk/converter"
	"durably.dev/sdk/tests/histories"
	"durably.dev/sdk/worker"
	"durably.dev/sdk/workflow"
	historypb "go.temporal.io/api/history/v1"
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
	if len(all) < 14 {
		t.Fatalf("there are only %d histories", len(all))
	}
	return all
}

// replay replays a history with the programs, of which one may be replaced, and returns what the workflow returned.
func replay(history *historypb.History, replaced string, by histories.Program) (returned *string, err error) {
	replayer := worker.NewWorkflowReplayer()
	for name, program := range histories.Programs {
		if name == replaced {
			program = by
		}
		replayer.RegisterWorkflowWithOptions(func(ctx workflow.Context, argument int) (string, error) {
			text, err := program(ctx, argument)
			if err == nil {
				returned = &text
			}
			return text, err
		}, workflow.RegisterOptions{Name: name})
	}
	err = replayer.ReplayWorkflowHistory(quiet{}, history)
	return returned, err
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
