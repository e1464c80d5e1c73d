import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.IntStream;

/** A validator turns an update away before anything of it is recorded: no event, no change, and its id is free again. */
final class UpdateValidation implements Behaviour {
    private static final List<String> KINDS = List.of("WORKFLOW_EXECUTION_UPDATE_ACCEPTED", "WORKFLOW_EXECUTION_UPDATE_COMPLETED");

    /** Holds a number of things; nobody can take more than there are. */
    private static final class Stock {
        private long left = 10;
        private final List<String> sold = new ArrayList<>();

        private void refuseTake(List<Json> arguments) {
            if (arguments.get(1).number() > left) throw Failure.of("TooMany", "only " + left + " left", left);
        }

        private static Object run(Run run, List<Json> arguments) {
            var stock = new Stock();
            var open = new HashSet<>(List.of("now"));
            var end = new AtomicBoolean();
            run.onSignal("finish", nothing -> end.set(true));
            run.onSignal("let go", name -> open.add(name.get(0).text()));
            run.onQuery("left over", nothing -> stock.left);
            run.onUpdate("take", stock::refuseTake, take -> {
                stock.left -= take.get(1).number();
                run.await(() -> open.contains(take.get(0).text()));
                stock.sold.add(take.get(1) + " to " + take.get(0).text());
                return stock.left;
            });
            run.onUpdate("give back", count -> {
                if (count.get(0).number() < 0) throw new IllegalArgumentException("nobody gives less than nothing");
            }, count -> stock.left += count.get(0).number());
            // It reads: a command or a wait in a validator is refused.
            run.onUpdate("odd", how -> {
                if (how.get(0).isTrue()) run.await(end::get);
                else run.start("nothing", Json.object());
            }, how -> "never");
            run.await(end::get);
            return stock.sold;
        }
    }

    @Override
    public void register(Worker worker) {
        worker.workflow("Stock", Stock::run);
    }

    private static List<Object> events(Execution execution) {
        return execution.history().stream().<Object>map(event -> event.get("eventType")).toList();
    }

    @Override
    public void check(Env env) throws Exception {
        var stock = env.start("Stock");
        Env.expectEqual(6, stock.update("take", "now", 4));
        var before = events(stock);

        // Nothing is left of what is turned away, however it is asked for.
        for (var stage : List.of("ACCEPTED", "COMPLETED")) {
            var answer = stock.sendUpdate(stage, "too many", "take", "now", 7);
            var failure = Env.expectFailure(() -> Execution.resultOf(answer));
            Env.expectEqual(List.of("TooMany", "only 6 left", List.of(6)), List.of(failure.type(), failure.getMessage(), failure.details()));
        }
        var refused = Env.expectFailure(() -> stock.update("give back", -1));
        Env.expectEqual("nobody gives less than nothing", refused.getMessage());
        for (var how : List.of(true, false)) {
            Env.expectEqual("IllegalStateException", Env.expectFailure(() -> stock.update("odd", how)).type());
        }
        Env.expectEqual(6, stock.query("left over"));
        Env.expectEqual(before, events(stock));

        // Its id can be used once more, by one that is accepted; then it is known.
        for (var count : List.of(6, 100)) {
            Env.expectEqual(0, Execution.resultOf(stock.sendUpdate("COMPLETED", "too many", "take", "now", count)));
        }
        Env.expectEqual(List.of(KINDS.get(0), KINDS.get(1), KINDS.get(0), KINDS.get(1)), stock.events(KINDS));

        // One that is under way counts for the next one's validator: of ten that ask for three, three get them.
        Env.expectEqual(10, stock.update("give back", 10));
        var asked = IntStream.range(0, 10)
                .<Callable<Json>>mapToObj(n -> () -> stock.sendUpdate("ACCEPTED", "c" + n, "take", "c" + n, 3)).toList();
        var answers = Env.atOnce(asked);
        Env.expectEqual(1, stock.query("left over"));
        for (var n = 0; n < 10; n++) stock.signal("let go", "c" + n);
        var got = 0;
        for (var answer : answers) {
            if (answer.has("failure")) Env.expectEqual("TooMany", new Failure(answer.get("failure")).type());
            else {
                Env.expectEqual(1, Execution.resultOf(stock.updateAnswer(answer.get("updateId").text())));
                got++;
            }
        }
        Env.expectEqual(3, got);

        stock.signal("finish");
        Env.expectEqual(5, stock.result().list().size());
        Env.expectEqual(12, stock.events(KINDS).size());
    }
}
