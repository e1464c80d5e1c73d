import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;

/** Signals and cancellations from one workflow to another: delivered once, or refused with an error. */
final class ExternalWorkflow implements Behaviour {
    /** What the sender's history says. */
    private static final Map<String, String> NAMES = Map.of(
            "REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED", "cancel initiated",
            "REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED", "cancel failed",
            "EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED", "cancel delivered",
            "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED", "signal initiated",
            "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED", "signal failed",
            "EXTERNAL_WORKFLOW_EXECUTION_SIGNALED", "signal delivered");
    private static final List<Object> LAST = List.of(0, "last");

    /** Collects what it hears until it hears the last word; ends as cancelled when that is asked for. */
    private static Object listens(Run run, List<Json> arguments) {
        var heard = new ArrayList<Json>();
        run.onSignal("note", note -> heard.add(new Json(note)));
        run.onSignal("nothing", nothing -> heard.add(new Json("nothing")));
        run.onQuery("so_far", nothing -> heard);
        run.await(() -> heard.stream().anyMatch(note -> note.get(1).text().equals("last")));
        return heard;
    }

    private static Json target(Json id, Json runId) {
        return Json.object("workflowId", id, "runId", runId);
    }

    /** What a delivery comes to. */
    private static String outcome(Runnable delivery) {
        try {
            delivery.run();
        } catch (Failure failure) {
            if (failure.isCancellation()) return "cancelled";
            return failure.type().equals("ExternalWorkflowExecutionNotFound") ? "not found" : failure.type();
        }
        return "delivered";
    }

    /** Sends these words one after the other. */
    private static Object speaks(Run run, List<Json> arguments) {
        var to = target(arguments.get(0), arguments.get(1));
        var words = arguments.get(2).list();
        return outcome(() -> {
            for (var number = 1; number <= words.size(); number++) {
                var word = words.get(number - 1).text();
                if (word.equals("nothing")) run.signalExternal(to, "nothing").get();
                else run.signalExternal(to, "note", word.equals("last") ? 0 : number, word).get();
            }
        });
    }

    /** Sends so many words without waiting in between. */
    private static Object speaksAtOnce(Run run, List<Json> arguments) {
        var to = Json.object("workflowId", arguments.get(0));
        var signals = new ArrayList<Run.Later>();
        for (long number = 1; number <= arguments.get(1).number(); number++) signals.add(run.signalExternal(to, "note", number, "word"));
        signals.forEach(Run.Later::get);
        run.signalExternal(to, "note", LAST.toArray()).get();
        return null;
    }

    private static Object cancels(Run run, List<Json> arguments) {
        return outcome(() -> run.cancelExternal(target(arguments.get(0), arguments.get(1))));
    }

    /** Cancels a signal in the step in which it sends it: nothing is sent. */
    private static Object takesBack(Run run, List<Json> arguments) {
        var signal = run.signalExternal(Json.object("workflowId", arguments.get(0)), "note", 1, "never");
        signal.cancel();
        return outcome(signal::get);
    }

    @Override
    public void register(Worker worker) {
        worker.workflow("Listens", ExternalWorkflow::listens)
                .workflow("Speaks", ExternalWorkflow::speaks)
                .workflow("SpeaksAtOnce", ExternalWorkflow::speaksAtOnce)
                .workflow("Cancels", ExternalWorkflow::cancels)
                .workflow("TakesBack", ExternalWorkflow::takesBack);
    }

    private static List<String> told(Execution execution) {
        return execution.events(NAMES.keySet()).stream().map(NAMES::get).toList();
    }

    /** A sender has to end with this, and its history to say so, so many times. */
    private static void sends(Execution sender, String what, String result, int times) {
        Env.expectEqual(result, sender.result());
        var pair = List.of(what + " initiated", what + (result.equals("delivered") ? " delivered" : " failed"));
        Env.expectEqual(Collections.nCopies(times, pair).stream().flatMap(List::stream).toList(), told(sender));
    }

    private static void speaks(Env env, String result, String to, String runId, String... words) {
        sends(env.start("Speaks", to, runId, List.of(words)), "signal", result, words.length);
    }

    private static void cancels(Env env, String result, String to, String runId) {
        sends(env.start("Cancels", to, runId), "cancel", result, 1);
    }

    @Override
    public void check(Env env) {
        var listener = env.start("Listens");
        speaks(env, "delivered", listener.id(), "", "one", "nothing", "three");
        speaks(env, "delivered", listener.id(), listener.runId(), "with its run");
        var heard = new ArrayList<Object>(List.of(List.of(1, "one"), "nothing", List.of(3, "three"), List.of(1, "with its run")));
        Env.expectEqual(heard, listener.query("so_far"));

        var takesBack = env.start("TakesBack", listener.id());
        Env.expectEqual("cancelled", takesBack.result());
        Env.expectEqual(List.of(), told(takesBack));

        speaks(env, "delivered", listener.id(), "", "last");
        heard.add(LAST);
        Env.expectEqual(heard, listener.result());

        // Each is delivered once. Those that are sent in one step may arrive in any order.
        var all = env.start("Listens");
        env.execute("SpeaksAtOnce", all.id(), 50);
        var sorted = all.result().list().stream().sorted(Comparator.comparing(note -> note.get(0).number())).toList();
        Env.expectEqual(IntStream.rangeClosed(0, 50).mapToObj(n -> n == 0 ? LAST : List.of(n, "word")).toList(), sorted);

        notFound(env, all);
        for (var withRun : List.of(false, true)) {
            var open = env.start("Listens");
            cancels(env, "delivered", open.id(), withRun ? open.runId() : "");
            Env.expectEqual("CANCELED", open.outcome().get("status"));
            // It has ended: there is nothing left to cancel.
            if (withRun) cancels(env, "delivered", open.id(), "");
        }
    }

    /** Nobody is there: the id is unknown, it has ended, or it is the sender itself. */
    private static void notFound(Env env, Execution closed) {
        speaks(env, "not found", env.newId(), "", "one");
        speaks(env, "not found", closed.id(), "", "one");
        speaks(env, "not found", closed.id(), closed.runId(), "one");
        cancels(env, "not found", env.newId(), "");
        var own = Json.object("workflowId", env.newId());
        var id = own.get("workflowId");
        sends(env.startWith(own, "Speaks", id, "", List.of("one")), "signal", "not found", 1);
        sends(env.startWith(own, "Cancels", id, ""), "cancel", "not found", 1);
    }
}
