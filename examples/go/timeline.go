package main

import (
	"fmt"
	"strings"

	commonpb "go.temporal.io/api/common/v1"
	historypb "go.temporal.io/api/history/v1"
)

// timeline is a history for people: one line per event that means something to a reader; the bookkeeping of workflow
// tasks is left out.
func timeline(events []*historypb.HistoryEvent) []string {
	var lines []string
	names := map[int64]string{}
	worker := ""
	for _, event := range events {
		text := describe(event, names)
		if started := event.GetWorkflowTaskStartedEventAttributes(); started != nil {
			if worker != "" && worker != started.Identity {
				text = fmt.Sprintf("goes on in another process (%s)", started.Identity)
			}
			worker = started.Identity
		}
		if text != "" {
			at := event.EventTime.AsTime().Sub(events[0].EventTime.AsTime())
			lines = append(lines, fmt.Sprintf("%4d  %8.3f s  %s", event.EventId, at.Seconds(), text))
		}
	}
	return lines
}

// describe is what the event says, or nothing. names remembers activities by the event that scheduled them.
func describe(event *historypb.HistoryEvent, names map[int64]string) string {
	switch e := event.Attributes.(type) {
	case *historypb.HistoryEvent_WorkflowExecutionStartedEventAttributes:
		return fmt.Sprintf("order arrives: %.90s …", values(e.WorkflowExecutionStartedEventAttributes.Input))
	case *historypb.HistoryEvent_ActivityTaskScheduledEventAttributes:
		names[event.EventId] = e.ActivityTaskScheduledEventAttributes.ActivityType.Name
	case *historypb.HistoryEvent_ActivityTaskStartedEventAttributes:
		if begun := e.ActivityTaskStartedEventAttributes; begun.Attempt > 1 {
			return fmt.Sprintf("%s: attempt %d, because: %s", names[begun.ScheduledEventId], begun.Attempt, begun.LastFailure.GetMessage())
		}
	case *historypb.HistoryEvent_ActivityTaskCompletedEventAttributes:
		done := e.ActivityTaskCompletedEventAttributes
		return strings.TrimRight(fmt.Sprintf("%s: done %s", names[done.ScheduledEventId], values(done.Result)), " ")
	case *historypb.HistoryEvent_ActivityTaskFailedEventAttributes:
		failed := e.ActivityTaskFailedEventAttributes
		return fmt.Sprintf("%s: failed for good: %s", names[failed.ScheduledEventId], failed.Failure.Message)
	case *historypb.HistoryEvent_ActivityTaskTimedOutEventAttributes:
		return names[e.ActivityTaskTimedOutEventAttributes.ScheduledEventId] + ": timed out"
	case *historypb.HistoryEvent_TimerStartedEventAttributes:
		return fmt.Sprintf("timer set: %v", e.TimerStartedEventAttributes.StartToFireTimeout.AsDuration())
	case *historypb.HistoryEvent_TimerFiredEventAttributes:
		return "timer fires"
	case *historypb.HistoryEvent_TimerCanceledEventAttributes:
		return "timer not needed any more"
	case *historypb.HistoryEvent_WorkflowExecutionSignaledEventAttributes:
		signal := e.WorkflowExecutionSignaledEventAttributes
		return fmt.Sprintf("signal %s %s", signal.SignalName, values(signal.Input))
	case *historypb.HistoryEvent_WorkflowExecutionCompletedEventAttributes:
		return "order closed: " + values(e.WorkflowExecutionCompletedEventAttributes.Result)
	case *historypb.HistoryEvent_WorkflowExecutionFailedEventAttributes:
		return "workflow failed: " + e.WorkflowExecutionFailedEventAttributes.Failure.Message
	}
	return ""
}

// values are JSON payloads as they are.
func values(payloads *commonpb.Payloads) string {
	var texts []string
	for _, payload := range payloads.GetPayloads() {
		texts = append(texts, string(payload.Data))
	}
	return strings.Join(texts, " ")
}
