package worker

import (
	"context"
	"errors"
	"fmt"
	"os"

	"durably.dev/sdk/activity"
	"durably.dev/sdk/converter"
	"durably.dev/sdk/internal/connection"
	"durably.dev/sdk/internal/core"
	"durably.dev/sdk/internal/failure"
	"durably.dev/sdk/internal/flow"
	"durably.dev/sdk/log"
	"durably.dev/sdk/workflow"
	commonpb "go.temporal.io/api/common/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/temporalproto"
	"go.temporal.io/api/workflowservice/v1"
)

// WorkflowReplayer replays histories: it tells whether the code still does what they say.
type WorkflowReplayer interface {
	RegisterWorkflow(w any)
	RegisterWorkflowWithOptions(w any, options workflow.RegisterOptions)
	// ReplayWorkflowHistory replays a history; logger may be nil.
	ReplayWorkflowHistory(logger log.Logger, history *historypb.History) error
	// ReplayWorkflowHistoryWithOptions is ReplayWorkflowHistory with options.
	ReplayWorkflowHistoryWithOptions(logger log.Logger, history *historypb.History, options ReplayWorkflowHistoryOptions) error
	// ReplayWorkflowHistoryFromJSONFile replays a history in JSON, as tools export it.
	ReplayWorkflowHistoryFromJSONFile(logger log.Logger, jsonfileName string) error
	// ReplayPartialWorkflowHistoryFromJSONFile replays a history in JSON up to an event; 0 means all of it.
	ReplayPartialWorkflowHistoryFromJSONFile(logger log.Logger, jsonfileName string, lastEventID int64) error
	// ReplayWorkflowExecution replays the history that a server has.
	ReplayWorkflowExecution(ctx context.Context, service workflowservice.WorkflowServiceClient, logger log.Logger,
		namespace string, execution workflow.Execution) error
}

// ReplayWorkflowHistoryOptions are the options of ReplayWorkflowHistoryWithOptions.
type ReplayWorkflowHistoryOptions struct {
	// OriginalExecution is whose history it is; by default that which the first event names.
	OriginalExecution workflow.Execution
}

// WorkflowReplayerOptions are the options of NewWorkflowReplayerWithOptions.
type WorkflowReplayerOptions struct {
	DataConverter    converter.DataConverter
	FailureConverter converter.FailureConverter
	// EnableLoggingInReplay doesn't silence workflows' loggers.
	EnableLoggingInReplay bool
}

type replayer struct {
	registry
	options WorkflowReplayerOptions
}

// NewWorkflowReplayer makes a replayer.
func NewWorkflowReplayer() WorkflowReplayer {
	return &replayer{registry: registry{flow.NewRegistry()}}
}

// NewWorkflowReplayerWithOptions makes a replayer.
func NewWorkflowReplayerWithOptions(options WorkflowReplayerOptions) (WorkflowReplayer, error) {
	return &replayer{registry{flow.NewRegistry()}, options}, nil
}

// RegisterActivity panics: a replay runs no activities.
func (r *replayer) RegisterActivity(any) { panic("a replayer runs no activities") }

// RegisterActivityWithOptions panics: a replay runs no activities.
func (r *replayer) RegisterActivityWithOptions(any, activity.RegisterOptions) {
	panic("a replayer runs no activities")
}

func (r *replayer) connect(logger log.Logger) (*connection.Connection, error) {
	// Never connects: a replaying worker asks no server.
	bridge, err := connection.Connect(context.Background(), &core.ConnectOptions{Target: "http://127.0.0.1:1", Lazy: true})
	if err != nil {
		return nil, err
	}
	c := &connection.Connection{
		Bridge: bridge, DataConverter: r.options.DataConverter, FailureConverter: r.options.FailureConverter, Logger: logger,
	}
	if c.DataConverter == nil {
		c.DataConverter = converter.GetDefaultDataConverter()
	}
	if c.FailureConverter == nil {
		c.FailureConverter = failure.NewConverter(c.DataConverter, false)
	}
	if logger == nil {
		c.Logger = connection.DefaultLogger()
	}
	return c, nil
}

func (r *replayer) ReplayWorkflowHistory(logger log.Logger, history *historypb.History) error {
	return r.ReplayWorkflowHistoryWithOptions(logger, history, ReplayWorkflowHistoryOptions{})
}

func (r *replayer) ReplayWorkflowHistoryWithOptions(
	logger log.Logger, history *historypb.History, replay ReplayWorkflowHistoryOptions,
) (err error) {
	c, err := r.connect(logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Bridge.Close()) }()
	options := &core.WorkerOptions{TaskQueue: "replay", Workflows: true, ReplayOnly: true, HistoryDialect: core.HistoryDialect_BY_EVENT_ID}
	env := environment(c, r.Registry, Options{EnableLoggingInReplay: r.options.EnableLoggingInReplay})
	l, err := startLoop(c, r.Registry, options, env, nil)
	if err != nil {
		return connection.Error(err)
	}
	defer l.stop()
	id := replay.OriginalExecution.ID
	if events := history.GetEvents(); id == "" && len(events) > 0 {
		id = events[0].GetWorkflowExecutionStartedEventAttributes().GetWorkflowId()
	}
	if id == "" {
		id = "replay"
	}
	l.request(&core.WorkerRequest{Request: &core.WorkerRequest_Replay{Replay: &core.ReplayHistory{WorkflowId: id, History: history}}})
	result := <-l.replays
	if result.Error != nil {
		return errors.New(result.Error.Message)
	}
	return nil
}

func (r *replayer) ReplayWorkflowHistoryFromJSONFile(logger log.Logger, jsonfileName string) error {
	return r.ReplayPartialWorkflowHistoryFromJSONFile(logger, jsonfileName, 0)
}

func (r *replayer) ReplayPartialWorkflowHistoryFromJSONFile(logger log.Logger, jsonfileName string, lastEventID int64) error {
	text, err := os.ReadFile(jsonfileName)
	if err != nil {
		return err
	}
	history := &historypb.History{}
	if err := (temporalproto.CustomJSONUnmarshalOptions{DiscardUnknown: true}).Unmarshal(text, history); err != nil {
		return fmt.Errorf("%s is no history: %w", jsonfileName, err)
	}
	for i, event := range history.Events {
		if event.EventId == lastEventID {
			history.Events = history.Events[:i+1]
			break
		}
	}
	return r.ReplayWorkflowHistory(logger, history)
}

func (r *replayer) ReplayWorkflowExecution(
	ctx context.Context, service workflowservice.WorkflowServiceClient, logger log.Logger,
	namespace string, execution workflow.Execution,
) error {
	request := &workflowservice.GetWorkflowExecutionHistoryRequest{
		Namespace: namespace, Execution: &commonpb.WorkflowExecution{WorkflowId: execution.ID, RunId: execution.RunID},
	}
	history := &historypb.History{}
	for {
		page, err := service.GetWorkflowExecutionHistory(ctx, request)
		if err != nil {
			return err
		}
		history.Events = append(history.Events, page.GetHistory().GetEvents()...)
		if request.NextPageToken = page.NextPageToken; len(request.NextPageToken) == 0 {
			break
		}
	}
	return r.ReplayWorkflowHistoryWithOptions(logger, history, ReplayWorkflowHistoryOptions{OriginalExecution: execution})
}
