import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/** Timers fire in order and not too early; a cancelled timer doesn't fire; a wait has a time-out. */
final class Timers implements Behaviour {
    private static Object timers(Run run, List<Json> arguments) {
        var order = new ArrayList<String>();
        var start = run.now();
        var never = run.timer(Duration.ofHours(1));
        never.then(() -> order.add("never"));
        run.timer(Duration.ofMillis(600)).then(() -> order.add("late"));
        run.timer(Duration.ofMillis(200)).then(() -> order.add("early"));
        run.timer(Duration.ZERO).then(() -> order.add("now"));
        run.await(() -> order.size() == 3);
        never.cancel();
        if (!run.await(() -> false, Duration.ofMillis(100))) order.add("timed out");
        run.sleep(Duration.ofMillis(100));
        return List.of(order, Duration.between(start, run.now()).toMillis());
    }

    @Override
    public void register(Worker worker) {
        worker.workflow("Timers", Timers::timers);
    }

    @Override
    public void check(Env env) {
        var timers = env.start("Timers");
        var result = timers.result();
        Env.expectEqual(List.of("now", "early", "late", "timed out"), result.get(0));
        var milliseconds = result.get(1).number();
        Env.expect(800 <= milliseconds && milliseconds < 30_000, milliseconds);
        Env.expect(timers.history().stream().anyMatch(event -> event.has("timerCanceledEventAttributes")), "a timer was cancelled");
    }
}
