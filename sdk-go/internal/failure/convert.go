package failure

import (
	"errors"
	"reflect"

	"durably.dev/sdk/converter"
	failurepb "go.temporal.io/api/failure/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

// source names this SDK in the failures that it makes.
const source = "GoSDK"

// Converter is the failure converter that is used unless told otherwise.
type Converter struct {
	data   converter.DataConverter
	encode bool
}

// NewConverter makes a Converter; with encode it moves message and stack trace into a payload, so that a codec hides
// them.
func NewConverter(data converter.DataConverter, encode bool) *Converter {
	if data == nil {
		data = converter.GetDefaultDataConverter()
	}
	return &Converter{data, encode}
}

// ErrorToFailure turns an error and its causes into a failure.
func (c *Converter) ErrorToFailure(err error) *failurepb.Failure {
	return c.toFailure(err, 0)
}

// toFailure is ErrorToFailure of an error that is the cause of `above` others.
func (c *Converter) toFailure(err error, above int) *failurepb.Failure {
	if err == nil {
		return nil
	}
	if holder, ok := err.(interface{ original() *failurepb.Failure }); ok && holder.original() != nil {
		return proto.Clone(holder.original()).(*failurepb.Failure)
	}
	f := &failurepb.Failure{Source: source}
	fill(f, err, c.data)
	f.Message, f.StackTrace = text(f.Message), text(f.StackTrace)
	if cause := causeOf(err); cause != nil {
		f.Cause = c.causeToFailure(cause, above+1)
	}
	if c.encode {
		attributes := map[string]string{"message": f.Message, "stack_trace": f.StackTrace}
		if payload, err := c.data.ToPayload(attributes); err == nil {
			f.EncodedAttributes, f.Message, f.StackTrace = payload, "Encoded failure", ""
		}
	}
	return f
}

// causeToFailure is toFailure of a cause, whose panic must not hide what it is the cause of.
func (c *Converter) causeToFailure(cause error, above int) (f *failurepb.Failure) {
	if above == maxCauses {
		return &failurepb.Failure{Source: source, Message: "The causes below this one are cut off: there are too many."}
	}
	defer func() {
		if value := recover(); value != nil {
			f = c.toFailure(Caught(value), above)
		}
	}()
	return c.toFailure(cause, above)
}

// causeOf is what an error wraps. A wrapped error of the SDK's keeps its place in the chain.
func causeOf(err error) error { return errors.Unwrap(err) }

func fill(f *failurepb.Failure, err error, data converter.DataConverter) {
	f.Message = messageOf(err)
	switch e := err.(type) {
	case *ApplicationError:
		info := &failurepb.ApplicationFailureInfo{Type: text(e.Kind), NonRetryable: e.Final, Category: e.Class}
		info.Details = e.Values.encodeOrDrop(data)
		if e.NextDelay != 0 {
			info.NextRetryDelay = durationpb.New(e.NextDelay)
		}
		f.FailureInfo = &failurepb.Failure_ApplicationFailureInfo{ApplicationFailureInfo: info}
	case *CanceledError:
		info := &failurepb.CanceledFailureInfo{}
		info.Details = e.Values.encodeOrDrop(data)
		f.FailureInfo = &failurepb.Failure_CanceledFailureInfo{CanceledFailureInfo: info}
	case *TimeoutError:
		info := &failurepb.TimeoutFailureInfo{TimeoutType: e.Which}
		info.LastHeartbeatDetails = e.Values.encodeOrDrop(data)
		f.FailureInfo = &failurepb.Failure_TimeoutFailureInfo{TimeoutFailureInfo: info}
	case *PanicError:
		info := &failurepb.ApplicationFailureInfo{Type: "PanicError", NonRetryable: e.Final}
		f.FailureInfo, f.StackTrace = &failurepb.Failure_ApplicationFailureInfo{ApplicationFailureInfo: info}, e.Stack
	case *TerminatedError:
		f.FailureInfo = &failurepb.Failure_TerminatedFailureInfo{TerminatedFailureInfo: &failurepb.TerminatedFailureInfo{}}
	case *ServerError:
		info := &failurepb.ServerFailureInfo{NonRetryable: e.Final}
		f.FailureInfo = &failurepb.Failure_ServerFailureInfo{ServerFailureInfo: info}
	case *ActivityError:
		f.FailureInfo = &failurepb.Failure_ActivityFailureInfo{ActivityFailureInfo: e.Info}
	case *ChildWorkflowExecutionError:
		f.FailureInfo = &failurepb.Failure_ChildWorkflowExecutionFailureInfo{ChildWorkflowExecutionFailureInfo: e.Info}
	default:
		// A cancelled context is the activity's way to say that it heard of the cancellation.
		if isCanceled(err) {
			f.FailureInfo = &failurepb.Failure_CanceledFailureInfo{CanceledFailureInfo: &failurepb.CanceledFailureInfo{}}
			return
		}
		info := &failurepb.ApplicationFailureInfo{Type: TypeName(err)}
		f.FailureInfo = &failurepb.Failure_ApplicationFailureInfo{ApplicationFailureInfo: info}
	}
}

// messageOf is an error's own message, where it has one apart from its causes'.
func messageOf(err error) string {
	switch e := err.(type) {
	case *ApplicationError:
		return e.Msg
	case *TimeoutError:
		return e.Message()
	case *ServerError:
		return e.Msg
	case *ActivityError:
		return "activity error"
	case *ChildWorkflowExecutionError:
		return "child workflow execution error"
	}
	return err.Error()
}

// TypeName is the name of an error's type, by which retry policies know it.
func TypeName(err error) string {
	t := reflect.TypeOf(err)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.Name()
}

// FailureToError turns a failure and its causes into errors.
func (c *Converter) FailureToError(f *failurepb.Failure) error {
	if f == nil {
		return nil
	}
	if f.EncodedAttributes != nil {
		var attributes struct {
			Message    string `json:"message"`
			StackTrace string `json:"stack_trace"`
		}
		// A missing codec must not hide that something failed: the message that came is kept.
		if c.data.FromPayload(f.EncodedAttributes, &attributes) == nil {
			f.Message, f.StackTrace = attributes.Message, attributes.StackTrace
		}
	}
	as := received{f}
	cause := c.FailureToError(f.Cause)
	switch info := f.FailureInfo.(type) {
	case *failurepb.Failure_ApplicationFailureInfo:
		i := info.ApplicationFailureInfo
		if i.Type == "PanicError" {
			return &PanicError{as, f.Message, f.StackTrace, i.NonRetryable}
		}
		return &ApplicationError{as, f.Message, i.Type, i.NonRetryable, cause, &values{payloads: i.Details, converter: c.data},
			i.NextRetryDelay.AsDuration(), i.Category}
	case *failurepb.Failure_CanceledFailureInfo:
		return &CanceledError{as, &values{payloads: info.CanceledFailureInfo.Details, converter: c.data}, ""}
	case *failurepb.Failure_TimeoutFailureInfo:
		i := info.TimeoutFailureInfo
		return &TimeoutError{as, f.Message, i.TimeoutType, &values{payloads: i.LastHeartbeatDetails, converter: c.data}, cause}
	case *failurepb.Failure_TerminatedFailureInfo:
		return &TerminatedError{as}
	case *failurepb.Failure_ServerFailureInfo:
		return &ServerError{as, f.Message, info.ServerFailureInfo.NonRetryable, cause}
	case *failurepb.Failure_ActivityFailureInfo:
		return &ActivityError{as, info.ActivityFailureInfo, cause}
	case *failurepb.Failure_ChildWorkflowExecutionFailureInfo:
		return &ChildWorkflowExecutionError{as, info.ChildWorkflowExecutionFailureInfo, cause}
	case *failurepb.Failure_ResetWorkflowFailureInfo:
		details := &values{payloads: info.ResetWorkflowFailureInfo.LastHeartbeatDetails, converter: c.data}
		return &ApplicationError{received: as, Msg: f.Message, Final: true, Cause: cause, Values: details}
	default:
		return &ApplicationError{received: as, Msg: f.Message, Cause: cause, Values: &values{converter: c.data}}
	}
}
