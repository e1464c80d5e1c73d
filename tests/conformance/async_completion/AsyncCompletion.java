import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;

/** An activity that ends elsewhere: completed, failed or cancelled from outside, by task token and by ids. */
final class AsyncCompletion implements Behaviour {
    private final BlockingQueue<Json> tokens = new LinkedBlockingQueue<>();

    /** Hands its token to somebody else and leaves. */
    private Object elsewhere(Worker.Attempt attempt) {
        tokens.add(Json.object("taskToken", attempt.start().get("taskToken")));
        return Worker.ELSEWHERE;
    }

    private static Object waits(Run run, List<Json> arguments) {
        var activity = run.start("elsewhere", Json.object(
                "activityId", "elsewhere", "startToCloseTimeout", "60s", "cancellationType", "WAIT_CANCELLATION_COMPLETED"));
        run.onSignal("stop", nothing -> activity.cancel());
        try {
            return activity.get();
        } catch (Failure failure) {
            var root = failure.root();
            return root.isCancellation() ? root.details() : "failed: " + root.getMessage();
        }
    }

    @Override
    public void register(Worker worker) {
        worker.workflow("Waits", AsyncCompletion::waits).activity("elsewhere", this::elsewhere);
    }

    @Override
    public void check(Env env) throws Exception {
        var byToken = env.start("Waits");
        var token = tokens.take();
        Env.expectEqual(Json.object(), heartbeat(env, token, "half"));
        complete(env, token.with("completed", Json.object("result", "by token")));
        Env.expectEqual("by token", byToken.result());
        Env.expectRefusal("NOT_FOUND", "", () -> complete(env, token.with("completed", Json.object())));

        var byIds = env.start("Waits");
        tokens.take();
        var ids = Json.object("workflowId", byIds.id(), "runId", byIds.runId(), "activityId", "elsewhere");
        Env.expectEqual(Json.object(), heartbeat(env, ids, "half"));
        complete(env, ids.with("completed", Json.object("result", "by ids")));
        Env.expectEqual("by ids", byIds.result());

        var failed = env.start("Waits");
        complete(env, tokens.take().with("failed", Failure.refusal("Later", "not today").content));
        Env.expectEqual("failed: not today", failed.result());

        var cancelled = env.start("Waits");
        var last = tokens.take();
        cancelled.signal("stop");
        env.eventually("the heartbeat hears of the cancellation", () -> heartbeat(env, last).get("cancel").text().equals("CANCELLED"));
        complete(env, last.with("cancelled", Failure.cancelled("tidied up").content));
        Env.expectEqual(List.of("tidied up"), cancelled.result());
    }

    private static void complete(Env env, Json completion) {
        env.sidecar.post("/v1/activity-completions", completion);
    }

    private static Json heartbeat(Env env, Json activity, Object... details) {
        return env.sidecar.post("/v1/activity-heartbeats", activity.with("details", List.of(details)));
    }
}
