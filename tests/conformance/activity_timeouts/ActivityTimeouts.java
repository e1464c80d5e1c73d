import java.util.List;
import java.util.concurrent.CountDownLatch;

/** Each of an activity's four time-outs fires when it should, and the failure says which one it was. */
final class ActivityTimeouts implements Behaviour {
    private static final Json ONCE = Json.object("maximumAttempts", 1);
    private final CountDownLatch end = new CountDownLatch(1);

    private static Json options(String which, Object nowhere) {
        return switch (which) {
            case "START_TO_CLOSE" -> Json.object("startToCloseTimeout", "0.4s", "retryPolicy", ONCE);
            case "SCHEDULE_TO_CLOSE" -> Json.object("scheduleToCloseTimeout", "0.4s");
            case "SCHEDULE_TO_START" -> Json.object(
                    "scheduleToStartTimeout", "0.4s", "startToCloseTimeout", "60s", "taskQueue", nowhere);
            default -> Json.object("heartbeatTimeout", "0.4s", "startToCloseTimeout", "60s", "retryPolicy", ONCE);
        };
    }

    private static Object timesOut(Run run, List<Json> arguments) {
        try {
            run.call("hang", options(arguments.get(0).text(), arguments.get(1)));
            return "no time-out";
        } catch (Failure failure) {
            return failure.content.get("cause").get("timeoutFailureInfo").get("timeoutType");
        }
    }

    @Override
    public void register(Worker worker) {
        worker.workflow("TimesOut", ActivityTimeouts::timesOut).activity("hang", attempt -> {
            end.await();
            return null;
        });
    }

    @Override
    public void check(Env env) {
        var nowhere = env.queue + "-without-worker";
        try {
            for (var which : List.of("START_TO_CLOSE", "SCHEDULE_TO_START", "HEARTBEAT")) {
                Env.expectEqual("TIMEOUT_TYPE_" + which, env.execute("TimesOut", which, nowhere));
            }
            // The attempt that it cut off ends by its start-to-close time-out, which is bounded by the same deadline.
            var last = env.execute("TimesOut", "SCHEDULE_TO_CLOSE", nowhere).text();
            Env.expect(List.of("TIMEOUT_TYPE_SCHEDULE_TO_CLOSE", "TIMEOUT_TYPE_START_TO_CLOSE").contains(last), last);
        } finally {
            end.countDown();
        }
    }
}
