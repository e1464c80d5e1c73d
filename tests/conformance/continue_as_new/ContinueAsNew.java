import java.util.ArrayList;
import java.util.List;

/** A run that continues as new: the result of the last run of the chain is the result; each run links to the next. */
final class ContinueAsNew implements Behaviour {
    private static Object chain(Run run, List<Json> arguments) {
        var left = arguments.get(0).number();
        var before = arguments.get(1).list();
        var carried = new ArrayList<>(before);
        run.onSignal("carry", value -> carried.add(value.get(0)));
        if (left > 0) {
            run.await(() -> carried.size() > before.size());
            run.continueAsNew(Json.object(), left - 1, carried);
        }
        return List.of(carried, run.info().has("continuedFromExecutionRunId"));
    }

    @Override
    public void register(Worker worker) {
        worker.workflow("Chain", ContinueAsNew::chain);
    }

    @Override
    public void check(Env env) throws Exception {
        var first = env.start("Chain", 2, List.of());
        first.signal("carry", "a");
        env.eventually("the first run has continued as new", () -> first.status().equals("CONTINUED_AS_NEW"));
        first.signal("carry", "b");
        // Whoever waits for the first run gets what the last one returns.
        Env.expectEqual(List.of(List.of("a", "b"), true), first.result());
        var history = first.history();
        var last = history.get(history.size() - 1).get("workflowExecutionContinuedAsNewEventAttributes");
        Env.expect(!last.get("newExecutionRunId").text().isEmpty(), history);
    }
}
