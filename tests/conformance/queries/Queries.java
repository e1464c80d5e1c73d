import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicReference;

/** Queries answer from a run's state without changing it: while it runs, after it has ended, and with errors. */
final class Queries implements Behaviour {
    private static Object answers(Run run, List<Json> arguments) {
        var stage = new AtomicReference<>("running");
        var end = new AtomicBoolean();
        run.onQuery("where", nothing -> stage.get());
        run.onQuery("with-args", two -> two.get(0).number() + two.get(1).number());
        run.onQuery("broken", nothing -> {
            throw Failure.of("Broken", "this query is broken");
        });
        run.onSignal("go", nothing -> stage.set("gone"));
        run.onSignal("finish", nothing -> end.set(true));
        run.await(end::get);
        stage.set("ended");
        return "ended";
    }

    @Override
    public void register(Worker worker) {
        worker.workflow("Answers", Queries::answers);
    }

    @Override
    public void check(Env env) {
        var answers = env.start("Answers");
        Env.expectEqual("running", answers.query("where"));
        answers.signal("go");
        // A query sees the signals acknowledged before it.
        Env.expectEqual("gone", answers.query("where"));
        Env.expectEqual(5, answers.query("with-args", 2, 3));
        Env.expectRefusal("INVALID_ARGUMENT", "this query is broken", () -> answers.query("broken"));
        Env.expectRefusal("INVALID_ARGUMENT", "no such query", () -> answers.query("no-such-query"));
        answers.signal("finish");
        Env.expectEqual("ended", answers.result());
        // A closed run answers as well.
        Env.expectEqual("ended", answers.query("where"));
        var kinds = answers.history().stream().map(event -> event.get("eventType").text()).toList();
        Env.expect(kinds.stream().filter("EVENT_TYPE_WORKFLOW_EXECUTION_STARTED"::equals).count() == 1, kinds);
        Env.expectEqual("EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED", kinds.get(kinds.size() - 1));
    }
}
