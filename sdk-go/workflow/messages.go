package workflow

import "durably.dev/sdk/internal/flow"

type (
	// SignalChannelOptions are the options of GetSignalChannelWithOptions.
	SignalChannelOptions = flow.SignalChannelOptions
	// QueryHandlerOptions are the options of SetQueryHandlerWithOptions.
	QueryHandlerOptions = flow.QueryHandlerOptions
	// UpdateHandlerOptions are the options of SetUpdateHandlerWithOptions.
	UpdateHandlerOptions = flow.UpdateHandlerOptions
	// UpdateInfo tells a handler which update it handles.
	UpdateInfo = flow.UpdateInfo
	// HandlerUnfinishedPolicy says what becomes of an update whose handler still runs when the workflow ends.
	HandlerUnfinishedPolicy = flow.HandlerUnfinishedPolicy
)

const (
	// HandlerUnfinishedPolicyWarnAndAbandon cuts the handler off and says so in the log. Whoever waits for the update gets an
	// error.
	HandlerUnfinishedPolicyWarnAndAbandon = flow.HandlerUnfinishedPolicyWarnAndAbandon
	// HandlerUnfinishedPolicyAbandon cuts the handler off. Whoever waits for the update gets an error.
	HandlerUnfinishedPolicyAbandon = flow.HandlerUnfinishedPolicyAbandon
)

// GetSignalChannel is where the signals of a name arrive, however early they came.
func GetSignalChannel(ctx Context, signalName string) ReceiveChannel {
	return flow.GetSignalChannel(ctx, signalName)
}

// GetSignalChannelWithOptions is GetSignalChannel with options.
func GetSignalChannelWithOptions(ctx Context, signalName string, options SignalChannelOptions) ReceiveChannel {
	return flow.GetSignalChannelWithOptions(ctx, signalName, options)
}

// GetUnhandledSignalNames are the names of signals that wait to be received, also of those that nobody has asked for: so
// signals of any name can be handled.
func GetUnhandledSignalNames(ctx Context) []string { return flow.GetUnhandledSignalNames(ctx) }

// SetQueryHandler answers queries of a type with handler: a function of any arguments that returns a value and an error. It
// only reads: whatever else it tries fails the query.
func SetQueryHandler(ctx Context, queryType string, handler any) error {
	return flow.SetQueryHandler(ctx, queryType, handler)
}

// SetQueryHandlerWithOptions is SetQueryHandler with options.
func SetQueryHandlerWithOptions(ctx Context, queryType string, handler any, options QueryHandlerOptions) error {
	return flow.SetQueryHandlerWithOptions(ctx, queryType, handler, options)
}

// SetUpdateHandler handles updates of a name with handler: a function of a Context and any arguments that returns an error,
// or a value and an error. It runs in a coroutine of its own, before the main function goes on, and may do all that a
// workflow may. Its error fails the update; its panic fails the workflow task.
//
// Updates of a name without a handler are rejected. Those of a workflow's first task wait until all code has come to rest, so
// that the main function can set its handlers; such an update begins before SetUpdateHandler returns.
func SetUpdateHandler(ctx Context, updateName string, handler any) error {
	return SetUpdateHandlerWithOptions(ctx, updateName, handler, UpdateHandlerOptions{})
}

// SetUpdateHandlerWithOptions is SetUpdateHandler with options, such as a validator.
func SetUpdateHandlerWithOptions(ctx Context, updateName string, handler any, opts UpdateHandlerOptions) error {
	return flow.SetUpdateHandler(ctx, updateName, handler, opts)
}

// GetCurrentUpdateInfo tells which update a handler, or its validator, was called for. It panics in a context that isn't that
// of an update's handler.
func GetCurrentUpdateInfo(ctx Context) *UpdateInfo { return flow.GetCurrentUpdateInfo(ctx) }

// AllHandlersFinished tells whether no handler of an update is under way. Wait for it before the workflow ends:
//
//	err := workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) })
func AllHandlersFinished(ctx Context) bool { return flow.AllHandlersFinished(ctx) }

// GetCurrentDetails is what SetCurrentDetails has set last.
func GetCurrentDetails(ctx Context) string { return flow.GetCurrentDetails(ctx) }

// SetCurrentDetails sets a text, of several lines if need be, that tools show of the run.
func SetCurrentDetails(ctx Context, details string) { flow.SetCurrentDetails(ctx, details) }
