// Package client starts workflows and talks to them.
package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"time"

	"durably.dev/sdk/converter"
	"durably.dev/sdk/internal/connection"
	"durably.dev/sdk/internal/core"
	"durably.dev/sdk/internal/failure"
	"durably.dev/sdk/internal/flow"
	"durably.dev/sdk/log"
	"durably.dev/sdk/temporal"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/workflowservice/v1"
)

// Addresses and names that are used unless told otherwise.
const (
	DefaultHostPort  = "localhost:7233"
	DefaultNamespace = "default"
)

// Options of a client.
type Options struct {
	// HostPort is "host:port", "https://host:port", "embedded:" (a server in this process, state in memory) or
	// "embedded:PATH" (state in the file PATH). Default: localhost:7233.
	HostPort string
	// Namespace is "default" by default.
	Namespace string
	// Logger writes to standard error by default.
	Logger log.Logger
	// Identity is shown in histories. Default: the process and the host.
	Identity         string
	DataConverter    converter.DataConverter
	FailureConverter converter.FailureConverter
	// Credentials for servers that ask for them.
	Credentials Credentials
	// ConnectionOptions have TLS, keep-alive, and what a server in this process is like.
	ConnectionOptions ConnectionOptions
}

// ConnectionOptions say how to connect.
type ConnectionOptions struct {
	// TLS turns TLS on. Of its fields, Certificates and ServerName are used; trusted roots are given in TLSRootCAs.
	TLS *tls.Config
	// TLSRootCAs are roots in PEM, instead of the platform's.
	TLSRootCAs  []byte
	TLSDisabled bool
	// DisableKeepAliveCheck doesn't ask whether a silent server is still there.
	DisableKeepAliveCheck bool
	// KeepAliveTime is how long it may be silent before it is asked; 30 s by default.
	KeepAliveTime time.Duration
	// KeepAliveTimeout is how long it may take to answer; 15 s by default.
	KeepAliveTimeout time.Duration
	// Embedded says what an "embedded:" server is like.
	Embedded EmbeddedOptions
}

// EmbeddedOptions are those of a server in this process.
type EmbeddedOptions struct {
	// Namespaces that it has, beside "default".
	Namespaces []string
	// Listen is an "IP:PORT" at which it serves other processes too; port 0 picks one. By default it doesn't.
	Listen string
	// TimeSkipping gives it a clock that jumps to the next timer when nothing runs, while somebody waits for a workflow's
	// result or skips time by SkipTime; an activity that runs holds the clock. Deadlines of contexts are real time. For tests.
	TimeSkipping bool
	// FailFast ends a wait for a result, or for a query's answer, with a serviceerror.FailedPrecondition as soon as it is
	// known that nothing will come of it until somebody mends something: a workflow task failed by a fault of the code, no
	// worker takes the task, the worker lacks the activity. Workflow code that doesn't yield is told of after half a second
	// (worker.Options.DeadlockDetectionTimeout). For tests; by default waits last.
	FailFast bool
}

// Credentials are what NewAPIKeyStaticCredentials makes.
type Credentials interface{ apply(*core.ConnectOptions) }

type apiKey string

func (k apiKey) apply(options *core.ConnectOptions) { options.ApiKey = string(k) }

// NewAPIKeyStaticCredentials sends an API key with each call, over TLS.
func NewAPIKeyStaticCredentials(key string) Credentials { return apiKey(key) }

// StartWorkflowOptions say how a workflow is started.
type StartWorkflowOptions struct {
	// ID of the workflow; a random one by default.
	ID string
	// TaskQueue of the workers. Required.
	TaskQueue                string
	WorkflowExecutionTimeout time.Duration
	WorkflowRunTimeout       time.Duration
	WorkflowTaskTimeout      time.Duration
	// WorkflowIDReusePolicy says what happens when a closed workflow has the id.
	WorkflowIDReusePolicy enumspb.WorkflowIdReusePolicy
	// WorkflowIDConflictPolicy says what happens when an open workflow has the id.
	WorkflowIDConflictPolicy enumspb.WorkflowIdConflictPolicy
	// WorkflowExecutionErrorWhenAlreadyStarted makes a refused start an error, instead of a handle to what is there.
	WorkflowExecutionErrorWhenAlreadyStarted bool
	RetryPolicy                              *temporal.RetryPolicy
	CronSchedule                             string
	Memo                                     map[string]any
	// SearchAttributes by name, and TypedSearchAttributes by their keys; only one of them may be set.
	SearchAttributes      map[string]any
	TypedSearchAttributes temporal.SearchAttributes
	// StartDelay before the first workflow task.
	StartDelay time.Duration
	// StaticSummary and StaticDetails are shown by tools.
	StaticSummary, StaticDetails string
}

// WorkflowRun is a handle to a workflow.
type WorkflowRun interface {
	GetID() string
	// GetRunID is the run that Get has followed to; before that the one that was started, or else the current one.
	GetRunID() string
	// Get waits for the workflow's end, over continue-as-new and retries, and decodes its result; nil drops it.
	Get(ctx context.Context, valuePtr any) error
	GetWithOptions(ctx context.Context, valuePtr any, options WorkflowRunGetOptions) error
}

// WorkflowRunGetOptions are the options of GetWithOptions.
type WorkflowRunGetOptions struct {
	// DisableFollowingRuns makes continue-as-new an error.
	DisableFollowingRuns bool
}

// HistoryEventIterator pages through a history.
type HistoryEventIterator interface {
	HasNext() bool
	Next() (*HistoryEvent, error)
}

// QueryWorkflowWithOptionsRequest is a query with all that it may have.
type QueryWorkflowWithOptionsRequest struct {
	WorkflowID, RunID, QueryType string
	Args                         []any
	QueryRejectCondition         enumspb.QueryRejectCondition
}

// QueryWorkflowWithOptionsResponse has the answer, or why there is none.
type QueryWorkflowWithOptionsResponse struct {
	QueryRejected *QueryRejected
	QueryResult   converter.EncodedValue
}

// CheckHealthRequest is empty.
type CheckHealthRequest struct{}

// CheckHealthResponse is empty: an unhealthy server is an error.
type CheckHealthResponse struct{}

// Client starts workflows and talks to them.
type Client interface {
	// ExecuteWorkflow starts a workflow, named by its function or its name.
	ExecuteWorkflow(ctx context.Context, options StartWorkflowOptions, workflow any, args ...any) (WorkflowRun, error)
	// GetWorkflow is a handle to a workflow that was started earlier; an empty run id means the current run.
	GetWorkflow(ctx context.Context, workflowID, runID string) WorkflowRun
	SignalWorkflow(ctx context.Context, workflowID, runID, signalName string, arg any) error
	// SignalWithStartWorkflow signals a workflow, which it starts before if need be.
	SignalWithStartWorkflow(ctx context.Context, workflowID, signalName string, signalArg any,
		options StartWorkflowOptions, workflow any, workflowArgs ...any) (WorkflowRun, error)
	// CancelWorkflow asks a workflow to end; it may clean up, or decline.
	CancelWorkflow(ctx context.Context, workflowID, runID string) error
	// TerminateWorkflow ends a workflow without asking it.
	TerminateWorkflow(ctx context.Context, workflowID, runID, reason string, details ...any) error
	// GetWorkflowHistory pages through a history; with isLongPoll it waits for events to come until the run is closed.
	GetWorkflowHistory(ctx context.Context, workflowID, runID string, isLongPoll bool,
		filterType enumspb.HistoryEventFilterType) HistoryEventIterator
	// CompleteActivity completes an activity that returned activity.ErrResultPending; with err it fails it.
	CompleteActivity(ctx context.Context, taskToken []byte, result any, err error) error
	CompleteActivityByID(ctx context.Context, namespace, workflowID, runID, activityID string, result any, err error) error
	RecordActivityHeartbeat(ctx context.Context, taskToken []byte, details ...any) error
	RecordActivityHeartbeatByID(ctx context.Context, namespace, workflowID, runID, activityID string, details ...any) error
	ListWorkflow(ctx context.Context, request *workflowservice.ListWorkflowExecutionsRequest) (
		*workflowservice.ListWorkflowExecutionsResponse, error)
	CountWorkflow(ctx context.Context, request *workflowservice.CountWorkflowExecutionsRequest) (
		*workflowservice.CountWorkflowExecutionsResponse, error)
	QueryWorkflow(ctx context.Context, workflowID, runID, queryType string, args ...any) (converter.EncodedValue, error)
	QueryWorkflowWithOptions(ctx context.Context, request *QueryWorkflowWithOptionsRequest) (
		*QueryWorkflowWithOptionsResponse, error)
	// UpdateWorkflow sends an update and waits until it has come as far as the options say. A rejection, and an error of the
	// handler, is what the handle's Get returns.
	UpdateWorkflow(ctx context.Context, options UpdateWorkflowOptions) (WorkflowUpdateHandle, error)
	// UpdateWithStartWorkflow is UpdateWorkflow of a workflow that is started before if need be; the start says what happens
	// if it is running.
	UpdateWithStartWorkflow(ctx context.Context, options UpdateWithStartWorkflowOptions) (WorkflowUpdateHandle, error)
	// NewWithStartWorkflowOperation says how UpdateWithStartWorkflow starts a workflow. Its WorkflowIDConflictPolicy is required.
	NewWithStartWorkflowOperation(options StartWorkflowOptions, workflow any, args ...any) WithStartWorkflowOperation
	// GetWorkflowUpdateHandle is a handle to an update that was sent earlier, by whomever. It asks nobody.
	GetWorkflowUpdateHandle(options GetWorkflowUpdateHandleOptions) WorkflowUpdateHandle
	DescribeWorkflowExecution(ctx context.Context, workflowID, runID string) (
		*workflowservice.DescribeWorkflowExecutionResponse, error)
	DescribeTaskQueue(ctx context.Context, taskqueue string, taskqueueType enumspb.TaskQueueType) (
		*workflowservice.DescribeTaskQueueResponse, error)
	ResetWorkflowExecution(ctx context.Context, request *workflowservice.ResetWorkflowExecutionRequest) (
		*workflowservice.ResetWorkflowExecutionResponse, error)
	CheckHealth(ctx context.Context, request *CheckHealthRequest) (*CheckHealthResponse, error)
	// WorkflowService is Temporal's API as it is.
	WorkflowService() workflowservice.WorkflowServiceClient
	OperatorService() operatorservice.OperatorServiceClient
	// Close disconnects. An embedded server has everything on disk when it returns.
	Close()
}

// Dial connects; the server has answered when it returns.
func Dial(options Options) (Client, error) { return DialContext(context.Background(), options) }

// DialContext is Dial with a context, which bounds only the connecting.
func DialContext(ctx context.Context, options Options) (Client, error) {
	return dial(ctx, options, false)
}

// NewLazyClient connects with the first call.
func NewLazyClient(options Options) (Client, error) { return dial(context.Background(), options, true) }

func dial(ctx context.Context, options Options, lazy bool) (Client, error) {
	if options.HostPort == "" {
		options.HostPort = DefaultHostPort
	}
	if options.Namespace == "" {
		options.Namespace = DefaultNamespace
	}
	if options.DataConverter == nil {
		options.DataConverter = converter.GetDefaultDataConverter()
	}
	if options.FailureConverter == nil {
		options.FailureConverter = failure.NewConverter(options.DataConverter, false)
	}
	if options.Logger == nil {
		options.Logger = connection.DefaultLogger()
	}
	contract, err := contractOptions(options, lazy)
	if err != nil {
		return nil, err
	}
	bridge, err := connection.Connect(ctx, contract)
	if err != nil {
		return nil, err
	}
	c := &connection.Connection{
		Bridge: bridge, Namespace: options.Namespace, Identity: options.Identity,
		DataConverter: options.DataConverter, FailureConverter: options.FailureConverter, Logger: options.Logger,
		FailFast: options.ConnectionOptions.Embedded.FailFast,
	}
	return &workflowClient{c, workflowservice.NewWorkflowServiceClient(c)}, nil
}

func contractOptions(options Options, lazy bool) (*core.ConnectOptions, error) {
	contract := &core.ConnectOptions{
		Target: options.HostPort, Namespace: options.Namespace, Identity: options.Identity, Lazy: lazy,
	}
	c := options.ConnectionOptions
	if c.DisableKeepAliveCheck || c.KeepAliveTime != 0 || c.KeepAliveTimeout != 0 {
		contract.KeepAlive = &core.KeepAliveOptions{
			Disabled: c.DisableKeepAliveCheck, Interval: flow.Duration(c.KeepAliveTime), Timeout: flow.Duration(c.KeepAliveTimeout),
		}
	}
	if e := c.Embedded; len(e.Namespaces) > 0 || e.Listen != "" || e.TimeSkipping || e.FailFast {
		contract.Embedded = &core.EmbeddedOptions{
			Namespaces: e.Namespaces, Listen: e.Listen, TimeSkipping: e.TimeSkipping, FailFast: e.FailFast,
		}
	}
	if err := applyTLS(contract, c); err != nil {
		return nil, err
	}
	if options.Credentials != nil {
		options.Credentials.apply(contract)
	}
	return contract, nil
}

func applyTLS(contract *core.ConnectOptions, options ConnectionOptions) error {
	if options.TLS == nil {
		if options.TLSDisabled {
			contract.Tls = &core.TlsOptions{Disabled: true}
		}
		return nil
	}
	if options.TLS.RootCAs != nil {
		return errors.New("tls.Config.RootCAs can't be read back: give the roots as PEM in ConnectionOptions.TLSRootCAs")
	}
	contract.Tls = &core.TlsOptions{ServerRootCaCert: options.TLSRootCAs, Domain: options.TLS.ServerName}
	if len(options.TLS.Certificates) == 0 {
		return nil
	}
	certificate := options.TLS.Certificates[0]
	for _, der := range certificate.Certificate {
		block := &pem.Block{Type: "CERTIFICATE", Bytes: der}
		contract.Tls.ClientCert = append(contract.Tls.ClientCert, pem.EncodeToMemory(block)...)
	}
	key, err := x509.MarshalPKCS8PrivateKey(certificate.PrivateKey)
	if err != nil {
		return err
	}
	contract.Tls.ClientPrivateKey = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})
	return nil
}

func execution(workflowID, runID string) *commonpb.WorkflowExecution {
	return &commonpb.WorkflowExecution{WorkflowId: workflowID, RunId: runID}
}
