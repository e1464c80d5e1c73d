import java.util.Arrays;
import java.util.List;

/** An activity runs once per call; arguments and results of every JSON shape come through unchanged. */
final class ActivityResult implements Behaviour {
    private static final Json MINUTE = Json.object("startToCloseTimeout", "60s");

    /** Takes two arguments. */
    private static Object ship(Worker.Attempt attempt) {
        Env.expect(attempt.number() == 1 && attempt.type().equals("ship-order"), attempt.start());
        var order = attempt.input(0);
        return order.with(
                "number", order.get("number").number() + 1,
                "items", List.of(order.get("items").get(0), attempt.input(1).isTrue() ? "fast" : "slow"),
                "note", attempt.start().get("workflowExecution").get("workflowId"));
    }

    private static Object shapes(Run run, List<Json> arguments) {
        var echoes = arguments.get(0).list().stream().map(value -> run.start("echo", MINUTE, value)).toList();
        var results = echoes.stream().map(Run.Later::get).toList();
        Env.expect(run.call("nothing", MINUTE).isNull(), "an activity without a result has none");
        return results;
    }

    private static Object shipping(Run run, List<Json> arguments) {
        return run.call("ship-order", MINUTE, arguments.get(0), true);
    }

    @Override
    public void register(Worker worker) {
        worker.workflow("Shapes", ActivityResult::shapes)
                .workflow("Shipping", ActivityResult::shipping)
                .activity("echo", attempt -> attempt.input(0))
                .activity("ship-order", ActivityResult::ship)
                .activity("nothing", attempt -> null);
    }

    @Override
    public void check(Env env) {
        var values = Arrays.asList(
                1, 2.5, "ü", null, true, List.of(1, List.of(2)), Json.object("a", Json.object("b", null)), "", Json.object());
        Env.expectEqual(values, env.execute("Shapes", values));
        var shipping = env.start("Shipping", Json.object("number", 7, "items", List.of("book"), "note", null));
        Env.expectEqual(Json.object("number", 8, "items", List.of("book", "fast"), "note", shipping.id()), shipping.result());
    }
}
