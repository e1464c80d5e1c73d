import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.IntStream;

/** A run that the sidecar keeps in no cache is rebuilt from its history and goes on with the same commands. */
final class Eviction implements Behaviour {
    private static Object steps(Run run, List<Json> arguments) {
        var allowed = new AtomicLong();
        var value = new AtomicLong(1);
        var drawn = new ArrayList<Double>();
        run.onSignal("step", nothing -> allowed.incrementAndGet());
        run.onQuery("current", nothing -> value.get());
        run.onQuery("drawn", nothing -> drawn);
        for (long step = 1; step <= arguments.get(0).number(); step++) {
            var needed = step;
            run.await(() -> allowed.get() >= needed);
            drawn.add(run.random().nextDouble());
            run.sleep(Duration.ofMillis(10));
            value.set(run.call("double", Json.object("startToCloseTimeout", "60s"), value.get()).number());
        }
        return List.of(value.get(), drawn);
    }

    @Override
    public String[] options() {
        return new String[] {"no_workflow_cache = true"};
    }

    @Override
    public void register(Worker worker) {
        worker.workflow("Steps", Eviction::steps).activity("double", attempt -> 2 * attempt.input(0).number());
    }

    @Override
    public void check(Env env) {
        var runs = IntStream.range(0, 4).mapToObj(i -> env.start("Steps", 3)).toList();
        for (int i = 0; i < 3; i++) runs.forEach(run -> run.signal("step"));
        var results = runs.stream().map(Execution::result).toList();
        results.forEach(result -> Env.expectEqual(8, result.get(0)));
        Env.expect(results.stream().map(Json::toString).distinct().count() == 4, "each run draws its own: " + results);
        Env.expectEqual(8, runs.get(0).query("current"));
        // Drawn anew by the replay for this query, and the same.
        Env.expectEqual(results.get(0).get(1), runs.get(0).query("drawn"));
    }
}
