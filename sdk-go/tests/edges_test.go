package tests

import (
	"os"
	"strings"
	"testing"

	"durably.dev/sdk/tests/edges"
	"durably.dev/sdk/worker"
)

// different are the programs of which the official SDK says something else, with the reason.
var different = map[string]string{
	"ATypedNil":           "there, the activity is never answered",
	"ABadDetails":         "there, the activity is never answered",
	"AChannel":            "our message says what can't be encoded",
	"Channel":             "our message says what can't be encoded",
	"TakesNumber text":    "our message shows the value",
	"Deadlock":            "our message names the line",
	"DeadlockInCondition": "our message names the line",
}

func TestWhatHappensAtTheEdgesIsWhatTheOfficialSDKSays(t *testing.T) {
	text, err := os.ReadFile("edges/official.txt")
	must(t, err)
	official := strings.Split(strings.TrimSpace(string(text)), "\n")
	c := dial(t, "embedded:")
	start(t, c, worker.Options{WorkflowPanicPolicy: worker.FailWorkflow}, edges.Register)
	ours, err := edges.Run(within(t), c, queue)
	must(t, err)
	if len(ours) != len(official) {
		t.Fatalf("%d programs, and %d lines of the official SDK", len(ours), len(official))
	}
	for i, line := range ours {
		label, _, _ := strings.Cut(line, ":")
		reason, isDifferent := different[label]
		if isDifferent == (line == official[i]) || strings.Contains(line, "Deadline") {
			t.Errorf("ours:     %s\nofficial: %s\nknown difference: %q", line, official[i], reason)
		}
	}
}
