// Package connection is a client's connection, as both client and worker use it: a gRPC connection whose calls the core
// carries out.
package connection

import (
	"context"
	"errors"
	"os"
	"strings"
	"time"

	"durably.dev/sdk/converter"
	"durably.dev/sdk/internal/bridge"
	"durably.dev/sdk/internal/core"
	"durably.dev/sdk/log"
	"go.temporal.io/api/serviceerror"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Connection is a bridge.Client with what goes with it.
type Connection struct {
	Bridge           *bridge.Client
	Namespace        string
	Identity         string
	DataConverter    converter.DataConverter
	FailureConverter converter.FailureConverter
	Logger           log.Logger
	// FailFast: tests wait to be told what is wrong.
	FailFast bool
}

var _ grpc.ClientConnInterface = (*Connection)(nil)

// Connect opens a connection by a contract's options.
func Connect(ctx context.Context, options *core.ConnectOptions) (*bridge.Client, error) {
	options.ClientName, options.ClientVersion = "durably-go", "0.1.0"
	connected, err := bridge.Connect(ctx, options)
	return connected, Error(err)
}

type waitingKey struct{}

// Waiting makes calls that wait for an update last until it has come as far as they say. Without it they end when the server
// has had enough, as calls by the RPC's name do.
func Waiting(ctx context.Context) context.Context { return context.WithValue(ctx, waitingKey{}, true) }

func waitsForUpdate(method string) bool {
	switch method {
	case "UpdateWorkflowExecution", "PollWorkflowExecutionUpdate", "ExecuteMultiOperation":
		return true
	}
	return false
}

// Invoke carries out a unary call, with the core's retries.
func (c *Connection) Invoke(ctx context.Context, path string, request, response any, _ ...grpc.CallOption) error {
	encoded, err := proto.Marshal(request.(proto.Message))
	if err != nil {
		return err
	}
	service, method, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	retry := !waitsForUpdate(method) || ctx.Value(waitingKey{}) != nil
	call := &core.Call{Service: service, Method: method, Request: encoded, Timeout: remaining(ctx), Retry: retry}
	if outgoing, ok := metadata.FromOutgoingContext(ctx); ok {
		call.Metadata = map[string]string{}
		for key, values := range outgoing {
			call.Metadata[key] = strings.Join(values, ",")
		}
	}
	answer, err := c.Bridge.Call(ctx, call)
	if err != nil {
		return Error(err)
	}
	return proto.Unmarshal(answer, response.(proto.Message))
}

// NewStream fails: Temporal's API has no streams.
func (c *Connection) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, status.Error(codes.Unimplemented, "durably's connections carry unary calls only")
}

// remaining is how long the caller waits; absent for the core's default.
func remaining(ctx context.Context) *durationpb.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return nil
	}
	return durationpb.New(max(time.Until(deadline), time.Millisecond))
}

// Error makes of the core's error the error type of Temporal's API.
func Error(err error) error {
	var failed *bridge.Error
	if !errors.As(err, &failed) {
		return err
	}
	described := &spb.Status{}
	if len(failed.Status) == 0 || proto.Unmarshal(failed.Status, described) != nil || described.Code == 0 {
		described = &spb.Status{Code: failed.Code, Message: failed.Message}
	}
	return serviceerror.FromStatus(status.FromProto(described))
}

// DefaultLogger writes warnings and errors to standard error.
func DefaultLogger() log.Logger { return log.NewStructuredLogger(defaultSlog(os.Stderr)) }
