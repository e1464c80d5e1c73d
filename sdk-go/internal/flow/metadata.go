package flow

import (
	"slices"
	"strings"

	"durably.dev/sdk/converter"
	commonpb "go.temporal.io/api/common/v1"
	sdkpb "go.temporal.io/api/sdk/v1"
)

// GetCurrentDetails is what SetCurrentDetails has set last.
func GetCurrentDetails(ctx Context) string { return runOf(ctx).details }

// SetCurrentDetails sets a text, of several lines if need be, that tools show of the run.
func SetCurrentDetails(ctx Context, details string) {
	r := runOf(ctx)
	r.mayChange()
	r.details = details
}

// metadataPayload answers the query by which tools ask what may be asked of the run. It is JSON whatever the worker's converter
// makes of messages; the worker's codecs apply.
func (r *Run) metadataPayload() (*commonpb.Payload, error) {
	payload, err := converter.GetDefaultDataConverter().ToPayload(r.description())
	if err != nil {
		return nil, err
	}
	return r.env.DataConverter.ToPayload(converter.NewRawValue(payload))
}

func (r *Run) description() *sdkpb.WorkflowMetadata {
	definition := &sdkpb.WorkflowDefinition{Type: r.info.typeName(), QueryDefinitions: []*sdkpb.WorkflowInteractionDefinition{
		{Name: stackTraceQuery, Description: "Where the workflow's coroutines are"},
		{Name: metadataQuery, Description: "What may be asked of the workflow"},
	}}
	for name, query := range r.queries {
		add(&definition.QueryDefinitions, name, query.description)
	}
	for name, signal := range r.awaited {
		add(&definition.SignalDefinitions, name, signal.Description)
	}
	for name, update := range r.updates.handlers {
		add(&definition.UpdateDefinitions, name, update.description)
	}
	for _, of := range [][]*sdkpb.WorkflowInteractionDefinition{
		definition.QueryDefinitions, definition.SignalDefinitions, definition.UpdateDefinitions,
	} {
		slices.SortFunc(of, func(a, b *sdkpb.WorkflowInteractionDefinition) int { return strings.Compare(a.Name, b.Name) })
	}
	return &sdkpb.WorkflowMetadata{Definition: definition, CurrentDetails: r.details}
}

func add(to *[]*sdkpb.WorkflowInteractionDefinition, name, description string) {
	*to = append(*to, &sdkpb.WorkflowInteractionDefinition{Name: name, Description: description})
}
