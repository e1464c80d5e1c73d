package harness

import (
	"context"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
)

// History fetches all events of a run.
func History(ctx context.Context, c client.Client, id, runID string) (*history.History, error) {
	events := c.GetWorkflowHistory(ctx, id, runID, false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	found := &history.History{}
	for events.HasNext() {
		event, err := events.Next()
		if err != nil {
			return nil, err
		}
		found.Events = append(found.Events, event)
	}
	return found, nil
}

// Types are the event types of a history, in order.
func Types(h *history.History) []enums.EventType {
	var types []enums.EventType
	for _, event := range h.Events {
		types = append(types, event.EventType)
	}
	return types
}

// Quiet is a logger that keeps to itself: failures are what these programs are about.
type Quiet struct{}

func (Quiet) Debug(string, ...any) {}
func (Quiet) Info(string, ...any)  {}
func (Quiet) Warn(string, ...any)  {}
func (Quiet) Error(string, ...any) {}
