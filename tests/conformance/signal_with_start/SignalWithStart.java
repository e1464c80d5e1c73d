import java.util.ArrayList;
import java.util.List;

/** Signal-with-start: starts a run with its signal in one step, or signals the run that is open. */
final class SignalWithStart implements Behaviour {
    private static Object greets(Run run, List<Json> arguments) {
        var names = new ArrayList<Json>();
        run.onSignal("greet", name -> names.add(name.get(0)));
        run.await(() -> names.size() >= arguments.get(0).number());
        return names;
    }

    @Override
    public void register(Worker worker) {
        worker.workflow("Greets", SignalWithStart::greets);
    }

    @Override
    public void check(Env env) {
        var id = env.newId();
        var first = env.signalWithStart(id, "greet", "Ann", "Greets", 2);
        var second = env.signalWithStart(id, "greet", "Bob", "Greets", 2);
        Env.expectEqual(first.runId(), second.runId());
        Env.expectEqual(List.of("Ann", "Bob"), first.result());
        var kinds = first.history().stream().limit(2).map(event -> event.get("eventType")).toList();
        Env.expectEqual(List.of("EVENT_TYPE_WORKFLOW_EXECUTION_STARTED", "EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED"), kinds);
    }
}
