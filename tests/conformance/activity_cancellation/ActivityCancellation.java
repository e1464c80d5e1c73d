import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;

/** Cancelling an activity: before it starts, while it runs and heartbeats, and with the three ways of waiting. */
final class ActivityCancellation implements Behaviour {
    /** Heartbeats until it is told to stop, and takes a moment to tidy up. */
    private static Object untilCancelled(Worker.Attempt attempt) throws InterruptedException {
        try {
            while (true) work(attempt);
        } finally {
            try {
                attempt.heartbeat("stopped");
            } catch (Failure cancelled) {
                // It knows.
            }
        }
    }

    /** Hears of the cancellation and completes all the same. */
    private static Object finishAnyway(Worker.Attempt attempt) throws InterruptedException {
        try {
            while (true) work(attempt);
        } catch (Failure cancelled) {
            return "finished";
        }
    }

    private static void work(Worker.Attempt attempt) throws InterruptedException {
        attempt.heartbeat();
        // A long-running activity that works in small steps.
        Thread.sleep(50);
    }

    private static Object cancels(Run run, List<Json> arguments) {
        var stop = new AtomicBoolean();
        run.onSignal("enough", nothing -> stop.set(true));
        var activity = run.start(arguments.get(0).text(), Json.object(
                "cancellationType", arguments.get(1), "taskQueue", arguments.get(2),
                "startToCloseTimeout", "60s", "heartbeatTimeout", "1s"));
        run.await(stop::get);
        activity.cancel();
        try {
            return activity.get();
        } catch (Failure failure) {
            return failure.root().isCancellation() ? "cancelled" : failure.content;
        }
    }

    @Override
    public void register(Worker worker) {
        worker.workflow("Cancels", ActivityCancellation::cancels)
                .activity("until_cancelled", ActivityCancellation::untilCancelled)
                .activity("finish_anyway", ActivityCancellation::finishAnyway);
    }

    @Override
    public void check(Env env) throws Exception {
        for (var one : List.of(
                List.of("until_cancelled", "WAIT_CANCELLATION_COMPLETED", "cancelled"),
                List.of("finish_anyway", "WAIT_CANCELLATION_COMPLETED", "finished"),
                List.of("until_cancelled", "TRY_CANCEL", "cancelled"),
                List.of("until_cancelled", "ABANDON", "cancelled"))) {
            var execution = env.start("Cancels", one.get(0), one.get(1), env.queue);
            env.eventually(one + " has started", () -> execution.describe().get("pendingActivities").list().stream()
                    .anyMatch(activity -> activity.get("state").text().equals("PENDING_ACTIVITY_STATE_STARTED")));
            execution.signal("enough");
            Env.expectEqual(one.get(2), execution.result());
        }
        // Nobody polls that queue: the activity is cancelled before it starts.
        var execution = env.start("Cancels", "until_cancelled", "WAIT_CANCELLATION_COMPLETED", env.queue + "-none");
        execution.signal("enough");
        Env.expectEqual("cancelled", execution.result());
    }
}
