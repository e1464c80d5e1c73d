// Package activity is what activities are written with.
package activity

import (
	"context"

	"durably.dev/sdk/internal/activities"
	"durably.dev/sdk/internal/flow"
	"durably.dev/sdk/log"
)

type (
	// Info is what an activity may know about itself.
	Info = activities.Info
	// Type names an activity type.
	Type = flow.Type
	// RegisterOptions are the options of RegisterActivityWithOptions.
	RegisterOptions struct {
		// Name is the activity's type; for a struct, what precedes its methods' names. The function's own by default.
		Name string
		// DisableAlreadyRegisteredCheck lets a registration replace an earlier one.
		DisableAlreadyRegisteredCheck bool
		// SkipInvalidStructFunctions ignores methods that can't be activities.
		SkipInvalidStructFunctions bool
	}
)

// ErrResultPending is what an activity returns that will be completed from elsewhere, by client.CompleteActivity.
var ErrResultPending = activities.ErrResultPending

// GetInfo is what the activity may know about itself.
func GetInfo(ctx context.Context) Info { return activities.Of(ctx).Info }

// IsActivity tells whether a context is an activity's.
func IsActivity(ctx context.Context) bool { return activities.Find(ctx) != nil }

// GetLogger is the worker's logger with what tells the activity.
func GetLogger(ctx context.Context) log.Logger { return activities.Of(ctx).Logger }

// RecordHeartbeat tells the server that the activity is alive, with details that the next attempt gets. Call it as
// often as you like: what is too much isn't sent. It is also how an activity learns that it is cancelled.
func RecordHeartbeat(ctx context.Context, details ...any) { activities.Of(ctx).Record(details) }

// HasHeartbeatDetails tells whether an earlier attempt has left details.
func HasHeartbeatDetails(ctx context.Context) bool { return activities.Of(ctx).HasDetails() }

// GetHeartbeatDetails decodes what an earlier attempt has left.
func GetHeartbeatDetails(ctx context.Context, valuePtrs ...any) error {
	return activities.Of(ctx).DecodeDetails(valuePtrs...)
}

// GetWorkerStopChannel is closed when the worker shuts down.
func GetWorkerStopChannel(ctx context.Context) <-chan struct{} { return activities.Of(ctx).Stop }
