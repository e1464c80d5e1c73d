import java.util.List;

/** What an attempt has recorded with a heartbeat is what the next attempt resumes from. */
final class ActivityHeartbeat implements Behaviour {
    /** Counts on from where the attempt before it got to; each attempt gets two further. */
    private static Object countTo(Worker.Attempt attempt) {
        var goal = attempt.input(0).number();
        var done = attempt.lastDetails();
        for (var position = done.isEmpty() ? 1 : done.get(0).number() + 1; position <= goal; position++) {
            attempt.heartbeat(position, "so far");
            if (position % 2 == 0 && position < goal) throw Failure.of("Stumbled", "stumbled at " + position);
        }
        return List.of(goal, attempt.number());
    }

    private static Object counting(Run run, List<Json> arguments) {
        return run.call("count_to", Json.object(
                "startToCloseTimeout", "60s", "heartbeatTimeout", "10s",
                "retryPolicy", Json.object("initialInterval", "0.01s")), arguments.get(0));
    }

    @Override
    public void register(Worker worker) {
        worker.workflow("Counting", ActivityHeartbeat::counting).activity("count_to", ActivityHeartbeat::countTo);
    }

    @Override
    public void check(Env env) {
        Env.expectEqual(List.of(6, 3), env.execute("Counting", 6));
    }
}
