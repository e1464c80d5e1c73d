package temporal_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"durably.dev/sdk/temporal"
	enumspb "go.temporal.io/api/enums/v1"
	"google.golang.org/protobuf/proto"
)

type diskError struct{ name string }

func (e *diskError) Error() string { return "disk " + e.name }

func TestErrorsSurviveTheWire(t *testing.T) {
	c := temporal.GetDefaultFailureConverter()
	cause := fmt.Errorf("while writing: %w", &diskError{"sda1"})
	sent := temporal.NewApplicationErrorWithOptions("can't write", "Disk", temporal.ApplicationErrorOptions{
		NonRetryable: true, Cause: cause, Details: []any{7, "x"}, NextRetryDelay: time.Second,
		Category: temporal.ApplicationErrorCategoryBenign,
	})
	failure := c.ErrorToFailure(sent)
	if kind := failure.Cause.Cause.GetApplicationFailureInfo().GetType(); kind != "diskError" || failure.Source != "GoSDK" {
		t.Error(failure)
	}
	var got *temporal.ApplicationError
	if !errors.As(c.FailureToError(failure), &got) {
		t.Fatal(failure)
	}
	var number int
	var text string
	if err := got.Details(&number, &text); err != nil || number != 7 || text != "x" {
		t.Error(number, text, err)
	}
	if got.Message() != "can't write" || got.Type() != "Disk" || !got.NonRetryable() || got.NextRetryDelay() != time.Second ||
		got.Category() != temporal.ApplicationErrorCategoryBenign || got.Unwrap() == nil {
		t.Errorf("%+v", got)
	}
	// What came over the wire goes on as it came.
	if again := c.ErrorToFailure(got); !proto.Equal(again, failure) {
		t.Error(again)
	}
}

func TestEachKindOfErrorHasItsFailure(t *testing.T) {
	c := temporal.GetDefaultFailureConverter()
	if c.ErrorToFailure(temporal.NewCanceledError("why")).GetCanceledFailureInfo() == nil ||
		c.ErrorToFailure(context.Canceled).GetCanceledFailureInfo() == nil {
		t.Error("cancelled")
	}
	// An activity's own time-outs are failures like others.
	if c.ErrorToFailure(context.DeadlineExceeded).GetApplicationFailureInfo() == nil {
		t.Error("deadline")
	}
	timeout := c.ErrorToFailure(temporal.NewHeartbeatTimeoutError("half")).GetTimeoutFailureInfo()
	if timeout.GetTimeoutType() != enumspb.TIMEOUT_TYPE_HEARTBEAT || timeout.GetLastHeartbeatDetails() == nil {
		t.Error(timeout)
	}
	if err := c.FailureToError(c.ErrorToFailure(errors.New("plain"))); !temporal.IsApplicationError(err) {
		t.Error(err)
	}
}

func TestMessagesCanBeHiddenInAPayload(t *testing.T) {
	c := temporal.NewDefaultFailureConverter(temporal.DefaultFailureConverterOptions{EncodeCommonAttributes: true})
	failure := c.ErrorToFailure(temporal.NewApplicationError("secret", "Kind"))
	if failure.Message != "Encoded failure" {
		t.Fatal(failure)
	}
	var got *temporal.ApplicationError
	if !errors.As(c.FailureToError(failure), &got) || got.Message() != "secret" {
		t.Fatal(got)
	}
}
