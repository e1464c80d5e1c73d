import java.time.Duration;
import java.util.List;

/** A workflow's own time-outs and retry policy: run and execution time-out, retries with their attempt number. */
final class WorkflowTimeouts implements Behaviour {
    private static final Json POLICY = Json.object("retryPolicy", Json.object("initialInterval", "0.1s", "maximumAttempts", 3));

    private static Object forever(Run run, List<Json> arguments) {
        run.sleep(Duration.ofHours(1));
        return null;
    }

    private static Object retried(Run run, List<Json> arguments) {
        var attempt = run.info().get("attempt").number();
        if (attempt < arguments.get(0).number()) throw Failure.of("Unlucky", "attempt " + attempt, attempt);
        return attempt;
    }

    @Override
    public void register(Worker worker) {
        worker.workflow("Forever", WorkflowTimeouts::forever).workflow("Retried", WorkflowTimeouts::retried);
    }

    @Override
    public void check(Env env) {
        for (var option : List.of("workflowRunTimeout", "workflowExecutionTimeout")) {
            var forever = env.startWith(Json.object(option, "1s"), "Forever");
            Env.expectEqual("TIMED_OUT", forever.outcome().get("status"));
            Env.expectEqual("TIMED_OUT", forever.status());
        }

        Env.expectEqual(3, env.startWith(POLICY, "Retried", 3).result());
        var unlucky = env.startWith(POLICY, "Retried", 9);
        var outcome = unlucky.outcome();
        Env.expectEqual("FAILED", outcome.get("status"));
        var failure = new Failure(outcome.get("failure"));
        Env.expectEqual(List.of("Unlucky", List.of(3)), List.of(failure.type(), failure.details()));
    }
}
