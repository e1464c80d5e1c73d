package worker

import (
	"testing"
	"time"

	"durably.dev/sdk/internal/drift"
	"durably.dev/sdk/internal/flow"
	"google.golang.org/protobuf/proto"
)

func TestEachOptionOfAWorkerIsOfferedOrThereIsAReason(t *testing.T) {
	drift.Check(t, map[string]drift.Origin[Options]{
		"task_queue":      {Without: "New takes it"},
		"namespace":       {Without: "a client has one"},
		"identity":        {By: Options{Identity: "me"}},
		"build_id":        {By: Options{BuildID: "1"}},
		"history_dialect": {Without: "histories are BY_EVENT_ID, as the official SDK makes them"},
		"workflows":       {By: Options{DisableWorkflowWorker: true}},
		"activities":      {By: Options{LocalActivityWorkerOnly: true}},
		"nondeterminism_as_workflow_fail": {
			By: Options{WorkflowPanicPolicy: FailWorkflow}, Also: "nondeterminism_failure_message"},
		"nondeterminism_as_workflow_fail_for_types": {Without: "the official SDK has one policy for all workflows"},
		"nondeterminism_as_task_fail_for_types":     {Without: "the official SDK has one policy for all workflows"},
		"nondeterminism_failure_message": {
			By: Options{WorkflowPanicPolicy: FailWorkflow}, Also: "nondeterminism_as_workflow_fail"},
		"max_cached_bytes":                       {Without: "the official SDK bounds the cache in number only"},
		"max_cached_workflows":                   {Without: "SetStickyWorkflowCacheSize sets it"},
		"no_workflow_cache":                      {Without: "SetStickyWorkflowCacheSize(0) sets it"},
		"sticky_queue_schedule_to_start_timeout": {By: Options{StickyScheduleToStartTimeout: time.Second}},
		"max_concurrent_workflow_tasks":          {By: Options{MaxConcurrentWorkflowTaskExecutionSize: 1}},
		"max_concurrent_activities":              {By: Options{MaxConcurrentActivityExecutionSize: 1}},
		"max_concurrent_local_activities":        {Without: "there are no local activities yet"},
		"max_concurrent_workflow_task_polls":     {By: Options{MaxConcurrentWorkflowTaskPollers: 1}},
		"max_concurrent_activity_task_polls":     {By: Options{MaxConcurrentActivityTaskPollers: 1}},
		"nonsticky_to_sticky_poll_ratio":         {Without: "the official SDK has no such option"},
		"max_activities_per_second":              {By: Options{WorkerActivitiesPerSecond: 1}},
		"max_task_queue_activities_per_second":   {By: Options{TaskQueueActivitiesPerSecond: 1}},
		"max_eager_activities":                   {By: Options{MaxConcurrentEagerActivityExecutionSize: 1}},
		"disable_eager_activities":               {By: Options{DisableEagerActivities: true}},
		"activities_on_demand":                   {Without: "it is the sidecar's"},
		"max_heartbeat_throttle_interval":        {By: Options{MaxHeartbeatThrottleInterval: time.Second}},
		"default_heartbeat_throttle_interval":    {By: Options{DefaultHeartbeatThrottleInterval: time.Second}},
		"graceful_shutdown_timeout":              {By: Options{WorkerStopTimeout: time.Second}},
		"replay_only":                            {Without: "replayers set it"},
	}, func(o Options) proto.Message {
		w := &worker{registry: registry{flow.NewRegistry()}, taskQueue: "x", options: o}
		w.RegisterWorkflow(func(flow.Context) error { return nil })
		w.RegisterActivity(func() error { return nil })
		return w.contractOptions()
	})
}
