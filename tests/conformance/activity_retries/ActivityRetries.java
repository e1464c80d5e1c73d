import java.util.List;

/** A failing activity is tried again by its retry policy, and what its last failure says reaches the workflow. */
final class ActivityRetries implements Behaviour {
    private static Json retried(Json policy) {
        return Json.object("startToCloseTimeout", "60s", "retryPolicy", policy);
    }

    /** Fails in its first two attempts. */
    private static Object thirdTimeLucky(Worker.Attempt attempt) {
        if (attempt.number() < 3) throw Failure.of("Unlucky", "attempt " + attempt.number());
        return attempt.number();
    }

    /** Fails in every attempt. */
    private static Object refuse(Worker.Attempt attempt) {
        throw Failure.of(attempt.input(0).text(), "refused", attempt.number()).with("nonRetryable", attempt.input(1));
    }

    /** Names the delay of its next attempt itself. */
    private static Object askForLater(Worker.Attempt attempt) {
        if (attempt.number() == 1) throw Failure.of("Later", "later").with("nextRetryDelay", "0.01s");
        return "done";
    }

    private static Object lucky(Run run, List<Json> arguments) {
        return run.call("third_time_lucky", retried(Json.object("initialInterval", "0.01s")));
    }

    private static Object refused(Run run, List<Json> arguments) {
        var policy = Json.object("initialInterval", "0.01s", "maximumAttempts", 3, "nonRetryableErrorTypes", List.of("Listed"));
        try {
            return run.call("refuse", retried(policy), arguments.toArray());
        } catch (Failure failure) {
            var activity = failure.content.get("activityFailureInfo");
            var cause = failure.root();
            return List.of(
                    activity.get("activityType").get("name"), activity.get("retryState"),
                    cause.type(), cause.getMessage(), cause.details().get(0));
        }
    }

    private static Object later(Run run, List<Json> arguments) {
        // An hour by policy: only the delay that the failure asks for lets this end in time.
        return run.call("ask_for_later", retried(Json.object("initialInterval", "3600s")));
    }

    @Override
    public void register(Worker worker) {
        worker.workflow("Lucky", ActivityRetries::lucky)
                .workflow("Refused", ActivityRetries::refused)
                .workflow("Later", ActivityRetries::later)
                .activity("third_time_lucky", ActivityRetries::thirdTimeLucky)
                .activity("refuse", ActivityRetries::refuse)
                .activity("ask_for_later", ActivityRetries::askForLater);
    }

    @Override
    public void check(Env env) {
        Env.expectEqual(3, env.execute("Lucky"));
        var exhausted = List.of("refuse", "RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED", "Plain", "refused", 3);
        Env.expectEqual(exhausted, env.execute("Refused", "Plain", false));
        var forGood = List.of("refuse", "RETRY_STATE_NON_RETRYABLE_FAILURE", "Plain", "refused", 1);
        Env.expectEqual(forGood, env.execute("Refused", "Plain", true));
        var listed = List.of("refuse", "RETRY_STATE_NON_RETRYABLE_FAILURE", "Listed", "refused", 1);
        Env.expectEqual(listed, env.execute("Refused", "Listed", false));
        Env.expectEqual("done", env.execute("Later"));
    }
}
