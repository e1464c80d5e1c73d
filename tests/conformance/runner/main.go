// Runs the conformance programs of the folders beside it with the official Go SDK against a server that is
// up already. Prints one JSON line per behaviour; ends with 1 if one has failed.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"durably.dev/conformance/activity_cancellation"
	"durably.dev/conformance/activity_heartbeat"
	"durably.dev/conformance/activity_result"
	"durably.dev/conformance/activity_retries"
	"durably.dev/conformance/activity_timeouts"
	"durably.dev/conformance/async_completion"
	"durably.dev/conformance/child_cancellation"
	"durably.dev/conformance/child_workflow"
	"durably.dev/conformance/continue_as_new"
	"durably.dev/conformance/describe_list_terminate"
	"durably.dev/conformance/errors"
	"durably.dev/conformance/eviction"
	"durably.dev/conformance/external_workflow"
	"durably.dev/conformance/go_edges"
	"durably.dev/conformance/handlers"
	"durably.dev/conformance/harness"
	"durably.dev/conformance/parent_close_policy"
	"durably.dev/conformance/queries"
	"durably.dev/conformance/reverse_history"
	"durably.dev/conformance/signal_with_start"
	"durably.dev/conformance/signals"
	"durably.dev/conformance/timers"
	"durably.dev/conformance/update"
	"durably.dev/conformance/update_validation"
	"durably.dev/conformance/update_with_start"
	"durably.dev/conformance/workflow_cancellation"
	"durably.dev/conformance/workflow_timeouts"
	"go.temporal.io/sdk/client"
)

const (
	namespace = "default"
	limit     = 90 * time.Second
)

var behaviours = []harness.Behaviour{
	activity_cancellation.Behaviour,
	activity_heartbeat.Behaviour,
	activity_result.Behaviour,
	activity_retries.Behaviour,
	activity_timeouts.Behaviour,
	async_completion.Behaviour,
	child_cancellation.Behaviour,
	child_workflow.Behaviour,
	continue_as_new.Behaviour,
	describe_list_terminate.Behaviour,
	errors.Behaviour,
	eviction.Behaviour,
	external_workflow.Behaviour,
	go_edges.Behaviour,
	handlers.Behaviour,
	parent_close_policy.Behaviour,
	queries.Behaviour,
	reverse_history.Behaviour,
	signal_with_start.Behaviour,
	signals.Behaviour,
	timers.Behaviour,
	update.Behaviour,
	update_validation.Behaviour,
	update_with_start.Behaviour,
	workflow_cancellation.Behaviour,
	workflow_timeouts.Behaviour,
}

type outcome struct {
	Behaviour string  `json:"behaviour"`
	OK        bool    `json:"ok"`
	Error     string  `json:"error,omitempty"`
	Seconds   float64 `json:"seconds"`
}

func main() {
	address := flag.String("address", "", "host:port of the server")
	concurrency := flag.Int("concurrency", 4, "behaviours under way at a time")
	flag.Parse()
	c, err := client.Dial(client.Options{HostPort: *address, Namespace: namespace, Logger: harness.Quiet{}})
	if err != nil {
		fmt.Fprintln(os.Stderr, "cannot reach the server:", err)
		os.Exit(1)
	}
	defer c.Close()

	var failed atomic.Bool
	var wg sync.WaitGroup
	var print sync.Mutex
	slots := make(chan struct{}, *concurrency)
	for _, b := range behaviours {
		if flag.NArg() > 0 && !slices.Contains(flag.Args(), b.Name) {
			continue
		}
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			done := run(c, *address, b)
			if !done.OK {
				failed.Store(true)
			}
			line, _ := json.Marshal(done)
			print.Lock()
			defer print.Unlock()
			fmt.Println(string(line))
		})
	}
	wg.Wait()
	if failed.Load() {
		os.Exit(1)
	}
}

func run(c client.Client, address string, b harness.Behaviour) outcome {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	start := time.Now()
	err := harness.Run(ctx, b, harness.NewEnv(c, namespace, address, b.Name))
	done := outcome{Behaviour: b.Name, OK: err == nil, Seconds: time.Since(start).Round(10 * time.Millisecond).Seconds()}
	if err != nil {
		done.Error = err.Error()
	}
	return done
}
