import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;

/**
 * Handlers of signals, queries and updates: which one is called, what tools are told of them, and what becomes of those that run when
 * their workflow ends.
 *
 * <p>Dynamic handlers, and warnings of those that have not finished, are what SDKs make of the jobs; an application without one has none.
 */
final class Handlers implements Behaviour {
    private static final String METADATA = "__temporal_workflow_metadata";
    private static final String ABOUT = """
            {"definition": {"type": "Switchboard", "updateDefinitions": [{"name": "ask", "description": "Answers at once"}]}}""";

    /** Handlers with names. Queries that tools ask arrive as any other; what tools expect is JSON of a message. */
    private static Object switchboard(Run run, List<Json> arguments) {
        var heard = new ArrayList<String>();
        var end = new AtomicBoolean();
        run.onSignal("say", word -> heard.add("say " + word.get(0).text()));
        run.onSignal("finish", nothing -> end.set(true));
        run.onQuery("all heard", nothing -> heard);
        run.onQuery(METADATA, nothing -> Json.object("$payload", Json.object(
                "metadata", Json.object("encoding", base64("json/protobuf"), "messageType", base64("temporal.api.sdk.v1.WorkflowMetadata")),
                "data", base64(ABOUT))));
        run.onUpdate("ask", word -> "ask " + word.get(0).text());
        run.await(end::get);
        return heard;
    }

    private static String base64(String text) {
        return Base64.getEncoder().encodeToString(text.getBytes());
    }

    /** Gets its handlers one after the other: `step` sets the next ones. */
    private static Object grows(Run run, List<Json> arguments) {
        var heard = new ArrayList<String>();
        var steps = new AtomicLong();
        run.onSignal("step", nothing -> steps.incrementAndGet());
        run.await(() -> steps.get() >= 1);
        // Signals that nobody handles wait for the first who does, in order.
        run.onSignal("word", word -> heard.add("named " + word.get(0).text()));
        run.onQuery("heard", nothing -> heard);
        run.onUpdate("change", word -> "changed " + word.get(0).text());
        run.await(() -> steps.get() >= 2);
        run.onSignal("other", word -> heard.add("other " + word.get(0).text()));
        run.onUpdate("change", word -> {
            if (word.get(0).text().equals("no")) throw Failure.of("Refused", "no");
        }, word -> {
            run.sleep(Duration.ofMillis(10));
            return "changed " + word.get(0).text() + " later";
        });
        run.await(() -> steps.get() >= 3);
        return heard;
    }

    /** Ends while its handlers run, or after them. */
    private static Object leaves(Run run, List<Json> arguments) {
        var how = new AtomicReference<>("");
        var goOn = new AtomicBoolean();
        var ended = new ArrayList<String>();
        run.onSignal("leave", word -> how.set(word.get(0).text()));
        run.onSignal("let go", nothing -> goOn.set(true));
        run.onQuery("all finished", nothing -> run.hasAnsweredUpdates());
        run.onUpdate("wait", name -> {
            run.await(goOn::get);
            ended.add(name.get(0).text());
            return "done";
        });
        run.await(() -> !how.get().isEmpty());
        if (how.get().equals("after all")) run.await(run::hasAnsweredUpdates);
        if (how.get().equals("with an error")) throw Failure.of("Left", "leaves");
        return ended;
    }

    @Override
    public void register(Worker worker) {
        worker.workflow("Switchboard", Handlers::switchboard).workflow("Grows", Handlers::grows).workflow("Leaves", Handlers::leaves);
    }

    @Override
    public void check(Env env) {
        switchboard(env);
        grows(env);
        leaves(env);
    }

    private static void switchboard(Env env) {
        var run = env.start("Switchboard");
        run.signal("say", "one");
        Env.expectEqual(List.of("say one"), run.query("all heard"));
        Env.expectEqual("ask me", run.update("ask", "me"));
        Env.expect(Env.expectFailure(() -> run.update("tell", "me")).getMessage().contains("tell"), "the failure names the update");
        Env.expectRefusal("INVALID_ARGUMENT", "no such query", () -> run.query("what"));
        var metadata = run.query(METADATA).get("$payload");
        Env.expectEqual(base64("json/protobuf"), metadata.get("metadata").get("encoding"));
        Env.expectEqual(Json.parse(ABOUT), Json.parse(new String(Base64.getDecoder().decode(metadata.get("data").text()))));
        run.signal("finish");
        Env.expectEqual(List.of("say one"), run.result());
    }

    private static void grows(Env env) {
        var run = env.start("Grows");
        for (var word : List.of("a", "b")) run.signal("word", word);
        run.signal("other", "c");
        Env.expect(Env.expectFailure(() -> run.update("change", "a")).getMessage().contains("change"), "nobody handles it yet");
        run.signal("step");
        Env.expectEqual(List.of("named a", "named b"), run.query("heard"));
        Env.expectEqual("changed a", run.update("change", "a"));
        // There is no validator yet.
        Env.expectEqual("changed no", run.update("change", "no"));
        run.signal("other", "d");
        run.signal("step");
        Env.expectEqual(List.of("named a", "named b", "other c", "other d"), run.query("heard"));
        Env.expectEqual("changed a later", run.update("change", "a"));
        Env.expectEqual("Refused", Env.expectFailure(() -> run.update("change", "no")).type());
        run.signal("word", "e");
        run.signal("step");
        Env.expectEqual(List.of("named a", "named b", "other c", "other d", "named e"), run.result());
    }

    private static void leaves(Env env) {
        for (var how : List.of("now", "with an error")) {
            var run = begin(env, "one", "two");
            run.signal("leave", how);
            var outcome = run.outcome();
            Env.expectEqual(how.equals("now") ? "COMPLETED" : "FAILED", outcome.get("status"));
            for (var name : List.of("one", "two")) {
                var failure = Env.expectFailure(() -> Execution.resultOf(run.updateAnswer(name)));
                Env.expectEqual("AcceptedUpdateCompletedWorkflow", failure.type());
            }
        }
        var run = begin(env, "one", "two");
        run.signal("leave", "after all");
        Env.expectEqual(false, run.query("all finished"));
        run.signal("let go");
        Env.expectEqual(List.of("one", "two"), run.result());
        for (var name : List.of("one", "two")) Env.expectEqual("done", Execution.resultOf(run.updateAnswer(name)));
    }

    /** A run with updates of these names under way. */
    private static Execution begin(Env env, String... names) {
        var run = env.start("Leaves");
        Env.expectEqual(true, run.query("all finished"));
        for (var name : names) run.sendUpdate("ACCEPTED", name, "wait", name);
        Env.expectEqual(false, run.query("all finished"));
        return run;
    }
}
