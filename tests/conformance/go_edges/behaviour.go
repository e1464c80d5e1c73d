// Package go_edges: panics, errors and values at the edges of what an SDK answers, on a worker that fails workflows whose code
// panics or disagrees with its history.
package go_edges

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"durably.dev/conformance/harness"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
)

// unanswered is what programs come to that never end.
const unanswered = "never answered"

const byPolicy = "App{Workflow failed on panic due to FailWorkflow workflow panic policy||nr=false} < "

// official is whether these are the official SDK's imports, and not ours in their place.
var official = strings.HasPrefix(reflect.TypeFor[client.Options]().PkgPath(), "go.temporal.io/")

// said is what each program comes to with the official SDK, and with ours unless it is in different.
var said = map[string]string{
	"ABadDetails":                     unanswered,
	"ABadHeartbeat":                   "Panic{can't be written}",
	"ABadResult":                      "Panic{can't be written}",
	"AChannel":                        unencodable,
	"ANilAny":                         `"kept"`,
	"ANilPointer":                     `"kept"`,
	"ATypedNil":                       unanswered,
	"BadResult":                       byPolicy + "Panic{can't be written}",
	"Changes":                         byPolicy + "Panic{[TMPRL1100] ",
	"Channel":                         unencodable,
	"Deadlock":                        byPolicy + `Panic{[TMPRL1101] Potential deadlock detected: workflow goroutine "root" didn't yield for over 1s}`,
	"DeadlockInCondition":             byPolicy + `Panic{[TMPRL1101] Potential deadlock detected: workflow goroutine "root" didn't yield for over 1s}`,
	"Deferred":                        byPolicy + "Panic{oh dear}",
	"FirstLength":                     "3",
	"Hears":                           `[]interface {}{"one", "two", "nothing"}`,
	"InACondition":                    byPolicy + "Panic{oh dear}",
	"InACoroutine":                    byPolicy + "Panic{oh dear}",
	"InACoroutineOfAFinishedWorkflow": byPolicy + "Panic{oh dear}",
	"NilAny":                          `"untouched"`,
	"NilPointer":                      `"untouched"`,
	"NilSlice":                        "<nil>",
	"OfASelectedFuture":               byPolicy + "Panic{oh dear}",
	"TakesNumber none":                "0",
	"TakesNumber surplus":             "1",
	"TakesNumber text": "App{unable to decode the workflow function input payload with error: payload item 0: unable to decode: " +
		"json: cannot unmarshal string into Go value of type int, function name: TakesNumber|wrapError|nr=false} < " +
		"App{payload item 0: unable to decode: json: cannot unmarshal string into Go value of type int|wrapError|nr=false} < " +
		"App{unable to decode: json: cannot unmarshal string into Go value of type int|wrapError|nr=false} < App{unable to decode||nr=false}",
}

const unencodable = "App{values[0]: unable to encode: json: unsupported type: chan int|wrapError|nr=false} < " +
	"App{unable to encode: json: unsupported type: chan int|wrapError|nr=false} < App{unable to encode||nr=false}"

// different are the programs that come to something else with our SDK: how that begins, and why.
var different = map[string]struct{ said, why string }{
	"ATypedNil":           {"Panic{", "an activity is answered whatever its error is"},
	"ABadDetails":         {"App{", "an activity is answered whatever its details are"},
	"AChannel":            {"App{", "the message says what can't be encoded"},
	"Channel":             {"App{", "the message says what can't be encoded"},
	"TakesNumber text":    {"App{", "the message shows the value"},
	"Changes":             {byPolicy + "App{", "the message says what the history has, what the code does, and where"},
	"Deadlock":            {byPolicy + "Panic{", "the message names the line"},
	"DeadlockInCondition": {byPolicy + "Panic{", "the message names the line"},
}

var Behaviour = harness.Behaviour{
	Name: "go_edges", OwnWorkers: true,
	Check: func(ctx context.Context, env *harness.Env) error {
		released.Store(false)
		w := worker.New(env.Client, env.TaskQueue, worker.Options{WorkflowPanicPolicy: worker.FailWorkflow})
		register(w)
		if err := w.Start(); err != nil {
			return err
		}
		r := runner{env: env, came: map[string]string{}}
		r.runAll(ctx)
		w.Stop()
		r.change(ctx)
		return r.judge()
	},
}

func (r *runner) judge() error {
	var wrong []string
	for label, came := range r.came {
		expected, why := said[label], ""
		if ours, isDifferent := different[label]; isDifferent && !official {
			expected, why = ours.said, " ("+ours.why+")"
		}
		// The official SDK's message about a change goes on about what may be the cause.
		isBeginning := why != "" || label == "Changes"
		if came != expected && !(isBeginning && strings.HasPrefix(came, expected)) {
			wrong = append(wrong, fmt.Sprintf("%s: %s\n  expected: %s%s", label, came, expected, why))
		}
	}
	for label := range said {
		if _, ok := r.came[label]; !ok {
			wrong = append(wrong, label+": was not run")
		}
	}
	if wrong == nil {
		return nil
	}
	slices.Sort(wrong)
	return fmt.Errorf("%s", strings.Join(wrong, "\n"))
}
