package tests

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"durably.dev/sdk/activity"
	"durably.dev/sdk/client"
	"durably.dev/sdk/temporal"
	"durably.dev/sdk/worker"
	"durably.dev/sdk/workflow"
	"go.temporal.io/api/serviceerror"
)

const day = 24 * time.Hour

// dialSkipping connects to an embedded server that skips time and says at once what can't go on.
func dialSkipping(t *testing.T) client.Client {
	t.Helper()
	embedded := client.EmbeddedOptions{TimeSkipping: true, FailFast: true}
	c, err := client.Dial(client.Options{
		HostPort: "embedded:", Logger: quiet{}, ConnectionOptions: client.ConnectionOptions{Embedded: embedded},
	})
	must(t, err)
	t.Cleanup(c.Close)
	return c
}

// Rests sleeps, unless it is woken, and returns for how long.
func Rests(ctx workflow.Context, d time.Duration) (time.Duration, error) {
	begun := workflow.Now(ctx)
	timer, cancel := workflow.WithCancel(ctx)
	defer cancel()
	workflow.NewSelector(ctx).
		AddFuture(workflow.NewTimer(timer, d), func(workflow.Future) {}).
		AddReceive(workflow.GetSignalChannel(ctx, "wake"), func(workflow.ReceiveChannel, bool) {}).
		Select(ctx)
	return workflow.Now(ctx).Sub(begun), nil
}

// about is whether it is d, and what a machine takes.
func about(got, d time.Duration) bool { return got >= d && got < d+10*time.Minute }

func TestTimeSkipsWhileAResultIsAwaited(t *testing.T) {
	c := dialSkipping(t)
	start(t, c, worker.Options{}, func(w worker.Worker) { w.RegisterWorkflow(Rests) })
	if got := result[time.Duration](t, execute(t, c, Rests, 72*time.Hour)); !about(got, 72*time.Hour) {
		t.Fatal(got)
	}
}

func TestATestMovesTheClockItself(t *testing.T) {
	c := dialSkipping(t)
	start(t, c, worker.Options{}, func(w worker.Worker) { w.RegisterWorkflow(Rests) })
	run := execute(t, c, Rests, 30*day)
	must(t, client.SkipTime(within(t), c, 2*day))
	must(t, c.SignalWorkflow(within(t), run.GetID(), "", "wake", nil))
	if got := result[time.Duration](t, run); !about(got, 2*day) {
		t.Fatal(got)
	}
}

// Persists has an activity that fails twice, with hours between its attempts.
func Persists(ctx workflow.Context) (time.Duration, error) {
	begun := workflow.Now(ctx)
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: time.Minute,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: 5 * time.Hour, BackoffCoefficient: 2},
	})
	err := workflow.ExecuteActivity(ctx, "Flaky").Get(ctx, nil)
	return workflow.Now(ctx).Sub(begun), err
}

func TestHoursOfBackOffPassAtOnce(t *testing.T) {
	c := dialSkipping(t)
	attempts := 0
	start(t, c, worker.Options{}, func(w worker.Worker) {
		w.RegisterWorkflow(Persists)
		w.RegisterActivityWithOptions(func(context.Context) error {
			if attempts++; attempts < 3 {
				return errors.New("not yet")
			}
			return nil
		}, activity.RegisterOptions{Name: "Flaky"})
	})
	if got := result[time.Duration](t, execute(t, c, Persists)); !about(got, 15*time.Hour) {
		t.Fatal(got)
	}
}

// Races has an activity and a timer of an hour, and says which was first.
func Races(ctx workflow.Context) (first string, err error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: 30 * day})
	workflow.NewSelector(ctx).
		AddFuture(workflow.NewTimer(ctx, time.Hour), func(workflow.Future) { first = "timer" }).
		AddFuture(workflow.ExecuteActivity(ctx, "Works"), func(f workflow.Future) { err = f.Get(ctx, &first) }).
		Select(ctx)
	return
}

func TestAnActivityThatRunsHoldsTheClock(t *testing.T) {
	c := dialSkipping(t)
	start(t, c, worker.Options{}, func(w worker.Worker) {
		w.RegisterWorkflow(Races)
		w.RegisterActivityWithOptions(func(ctx context.Context) (string, error) {
			// Of real time: enough for a clock that isn't held to run on.
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
			}
			return "activity", nil
		}, activity.RegisterOptions{Name: "Works"})
	})
	if got := result[string](t, execute(t, c, Races)); got != "activity" {
		t.Fatal(got)
	}
}

func TestAnActivityTakesTheTimeThatItSkips(t *testing.T) {
	c := dialSkipping(t)
	start(t, c, worker.Options{}, func(w worker.Worker) {
		w.RegisterWorkflow(Races)
		w.RegisterActivityWithOptions(func(ctx context.Context) (string, error) {
			return "activity", client.SkipTime(ctx, c, 20*day)
		}, activity.RegisterOptions{Name: "Works"})
	})
	if got := result[string](t, execute(t, c, Races)); got != "timer" {
		t.Fatal(got)
	}
}

// Forgets calls an activity that nobody has.
func Forgets(ctx workflow.Context) error {
	if err := workflow.Sleep(ctx, 3*day); err != nil {
		return err
	}
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	return workflow.ExecuteActivity(ctx, "Nobodys").Get(ctx, nil)
}

func TestAMistakeThatComesAfterDaysIsToldAtOnce(t *testing.T) {
	c := dialSkipping(t)
	start(t, c, worker.Options{}, func(w worker.Worker) {
		w.RegisterWorkflow(Forgets)
		w.RegisterActivity(&Greeter{})
	})
	err := execute(t, c, Forgets).Get(within(t), nil)
	var failed *serviceerror.FailedPrecondition
	if !errors.As(err, &failed) || !strings.Contains(err.Error(), "Nobodys") {
		t.Fatal(err)
	}
}

func TestAServerOnTheRealClockDoesNotSkip(t *testing.T) {
	err := client.SkipTime(within(t), dial(t, "embedded:"), day)
	var unimplemented *serviceerror.Unimplemented
	if !errors.As(err, &unimplemented) {
		t.Fatal(err)
	}
}
