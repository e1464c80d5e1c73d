import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/** A cancellation reaches the workflow, which may tidy up, end as cancelled, or decline. */
final class WorkflowCancellation implements Behaviour {
    private static final List<String> SEEN = List.of("waiting", "cancelled", "tidied up");

    private static Object cancellable(Run run, List<Json> arguments) {
        var log = new ArrayList<String>();
        run.onQuery("seen", nothing -> log);
        try {
            log.add("waiting");
            run.sleep(Duration.ofHours(1));
        } catch (Failure failure) {
            if (!failure.isCancellation()) throw failure;
            log.add("cancelled");
            log.add(run.call("tidy_up", Json.object("startToCloseTimeout", "60s")).text());
            if (!arguments.get(0).isTrue()) throw Failure.cancelled("on request");
        }
        return log;
    }

    @Override
    public void register(Worker worker) {
        worker.workflow("Cancellable", WorkflowCancellation::cancellable)
                // What has to happen even after a cancellation.
                .activity("tidy_up", attempt -> "tidied up");
    }

    private static Execution cancelled(Env env, boolean declines) throws InterruptedException {
        var execution = env.start("Cancellable", declines);
        env.eventually("the workflow waits", () -> execution.query("seen").list().size() == 1);
        execution.cancel();
        return execution;
    }

    @Override
    public void check(Env env) throws Exception {
        var cancelled = cancelled(env, false);
        var outcome = cancelled.outcome();
        Env.expectEqual(List.of("CANCELED", List.of("on request")), List.of(outcome.get("status"), outcome.get("details")));
        Env.expectEqual("CANCELED", cancelled.status());
        Env.expectEqual(SEEN, cancelled.query("seen"));

        var declined = cancelled(env, true);
        Env.expectEqual(SEEN, declined.result());
        Env.expectEqual("COMPLETED", declined.status());

        // Asked before the code has begun: it sees that when it first waits.
        var early = env.startWith(Json.object("workflowStartDelay", "1s"), "Cancellable", true);
        early.cancel();
        Env.expectEqual(SEEN, early.result());
    }
}
