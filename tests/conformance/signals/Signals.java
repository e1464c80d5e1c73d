import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.LongStream;

/** Signals arrive in the order in which they were acknowledged, none lost, also before the first workflow task. */
final class Signals implements Behaviour {
    private static Object collects(Run run, List<Json> arguments) {
        var got = new ArrayList<Json>();
        run.onSignal("add", value -> got.add(value.get(0)));
        run.onSignal("add-two", two -> run.timer(Duration.ofMillis(10)).then(() -> got.add(new Json(two))));
        run.await(() -> got.size() >= arguments.get(0).number());
        return got;
    }

    @Override
    public void register(Worker worker) {
        worker.workflow("Collects", Signals::collects);
    }

    @Override
    public void check(Env env) {
        var many = env.start("Collects", 50);
        for (long i = 0; i < 50; i++) many.signal("add", i);
        Env.expectEqual(LongStream.range(0, 50).boxed().toList(), many.result());

        var few = env.start("Collects", 2);
        few.signal("add-two", "a", Json.object("b", 1));
        few.signal("add", new Json(null));
        var got = few.result().list();
        Env.expect(got.size() == 2 && got.contains(Json.NULL), got);
        Env.expectEqual(Arrays.asList("a", Json.object("b", 1)), got.get(got.get(0).isNull() ? 1 : 0));
    }
}
