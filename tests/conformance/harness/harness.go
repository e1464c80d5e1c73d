// Package harness is what a conformance program in Go is made of: each folder beside this one registers a
// Behaviour whose Check runs against a server that is up already.
package harness

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
)

// Behaviour is one folder: what a worker has to know, and what must hold.
type Behaviour struct {
	Name       string
	Workflows  []any
	Activities []any
	// Check panics (see Must and Assert) or returns an error when the behaviour is not as it should be.
	Check func(ctx context.Context, env *Env) error
	// OwnWorkers: Check runs its workers itself.
	OwnWorkers bool
}

// Env is what Check works with.
type Env struct {
	Client    client.Client
	TaskQueue string
	Namespace string
	Address   string
	started   []client.WorkflowRun
}

// NewEnv prepares the environment of one behaviour, with a task queue of its own.
func NewEnv(c client.Client, namespace, address, name string) *Env {
	return &Env{Client: c, Namespace: namespace, Address: address, TaskQueue: name + "-" + uuid.NewString()[:8]}
}

// NewID is a workflow id that no other program uses.
func (e *Env) NewID() string { return e.TaskQueue + "-" + uuid.NewString() }

// Start starts a workflow; its history is replayed after Check.
func (e *Env) Start(ctx context.Context, workflow any, args ...any) client.WorkflowRun {
	return e.StartWith(ctx, client.StartWorkflowOptions{}, workflow, args...)
}

// StartWith is Start with options; id and task queue default to the behaviour's own.
func (e *Env) StartWith(ctx context.Context, o client.StartWorkflowOptions, workflow any, args ...any) client.WorkflowRun {
	if o.ID == "" {
		o.ID = e.NewID()
	}
	o.TaskQueue = e.TaskQueue
	run, err := e.Client.ExecuteWorkflow(ctx, o, workflow, args...)
	Must(err)
	e.started = append(e.started, run)
	return run
}

// Also makes the history of a run that nobody has started here, such as a child's, be replayed after Check.
func (e *Env) Also(run client.WorkflowRun) { e.started = append(e.started, run) }

// Result awaits a run and returns what it came to.
func Result[T any](ctx context.Context, run client.WorkflowRun) T {
	var value T
	Must(run.Get(ctx, &value))
	return value
}

// Eventually asks until the condition holds, for what a server may answer a little later, such as a list.
func Eventually(what string, condition func() bool) {
	deadline := time.Now().Add(20 * time.Second)
	for !condition() {
		Assert(time.Now().Before(deadline), "not within 20 s: %s", what)
		// tidy-allow: sleep: the one place where a program polls, because the API offers no wait for a list
		time.Sleep(50 * time.Millisecond)
	}
}

// Run runs one behaviour to its end and replays the histories that it has left.
func Run(ctx context.Context, b Behaviour, env *Env) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	if b.OwnWorkers {
		return b.Check(ctx, env)
	}
	w := worker.New(env.Client, env.TaskQueue, worker.Options{})
	register(w, b)
	if err := w.Start(); err != nil {
		return err
	}
	defer w.Stop()
	if err := b.Check(ctx, env); err != nil {
		return err
	}
	return replayAll(ctx, b, env)
}

func register(w worker.Registry, b Behaviour) {
	for _, workflow := range b.Workflows {
		w.RegisterWorkflow(workflow)
	}
	for _, activity := range b.Activities {
		w.RegisterActivity(activity)
	}
}

func replayAll(ctx context.Context, b Behaviour, env *Env) error {
	replayer := worker.NewWorkflowReplayer()
	for _, workflow := range b.Workflows {
		replayer.RegisterWorkflow(workflow)
	}
	for _, run := range env.started {
		history, err := History(ctx, env.Client, run.GetID(), run.GetRunID())
		if err != nil {
			return err
		}
		if err := replayer.ReplayWorkflowHistory(Quiet{}, history); err != nil {
			return fmt.Errorf("replay of %s: %w", run.GetID(), err)
		}
	}
	return nil
}

// Must panics on an error; Run turns that into the behaviour's failure.
func Must(err error) {
	if err != nil {
		panic(err)
	}
}

// Assert panics with the message unless the condition holds.
func Assert(condition bool, format string, args ...any) {
	if !condition {
		panic(fmt.Errorf(format, args...))
	}
}
