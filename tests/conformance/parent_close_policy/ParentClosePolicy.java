import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.atomic.AtomicBoolean;

/** What becomes of a child that is open when its parent ends: it is terminated, asked to end, or left alone. */
final class ParentClosePolicy implements Behaviour {
    private static final List<String> WAYS =
            List.of("completes", "fails", "continues as new", "is terminated", "is cancelled", "times out");
    /** How the child ends. */
    private static final Map<String, String> OUTCOMES =
            Map.of("TERMINATE", "TERMINATED", "REQUEST_CANCEL", "CANCELED", "ABANDON", "COMPLETED");

    /** Goes on until it is told that it may end. */
    private static Object goes(Run run, List<Json> arguments) {
        var mayEnd = new AtomicBoolean();
        run.onSignal("end", nothing -> mayEnd.set(true));
        run.await(mayEnd::get);
        return "by itself";
    }

    /** Starts a child, and ends in this way without waiting for it. */
    private static Object ends(Run run, List<Json> arguments) {
        var options = arguments.get(0);
        if (options.isNull()) return "the next run";
        run.startChild("Goes", options).started();
        switch (arguments.get(1).text()) {
            case "completes" -> {}
            case "fails" -> throw Failure.of("Deliberate", "deliberate");
            case "continues as new" -> run.continueAsNew(Json.object(), Json.NULL);
            default -> run.await(() -> false);
        }
        return "done";
    }

    @Override
    public void register(Worker worker) {
        worker.workflow("Goes", ParentClosePolicy::goes).workflow("Ends", ParentClosePolicy::ends);
    }

    @Override
    public void check(Env env) throws Exception {
        for (var way : WAYS) {
            var families = new HashMap<String, Family>();
            for (var policy : OUTCOMES.keySet()) families.put(policy, Family.start(env, Json.object("parentClosePolicy", "PARENT_CLOSE_POLICY_" + policy), way));
            for (var family : families.entrySet()) {
                var outcome = family.getValue().end(env, family.getKey().equals("ABANDON"));
                Env.expectEqual(List.of(way, OUTCOMES.get(family.getKey())), List.of(way, outcome.get("status")));
                if (family.getKey().equals("TERMINATE")) Env.expectEqual("by parent close policy", outcome.get("reason"));
            }
        }
        // UNSPECIFIED is what the server makes of it; left out, it is TERMINATE.
        for (var options : List.of(Json.object(), Json.object("parentClosePolicy", "PARENT_CLOSE_POLICY_UNSPECIFIED"))) {
            Env.expectEqual("TERMINATED", Family.start(env, options, "completes").end(env, false).get("status"));
        }
    }

    private record Family(String way, Execution parent, Execution child) {
        static Family start(Env env, Json options, String way) {
            var child = env.child(env.newId());
            // Long enough for a busy machine to start a child in.
            var limit = way.equals("times out") ? Json.object("workflowRunTimeout", "4s") : Json.object();
            return new Family(way, env.startWith(limit, "Ends", options.with("workflowId", child.id()), way), child);
        }

        /** And the parent's code has heard of it: a task completed after that. */
        private boolean childHasStarted() {
            var events = parent.events(Set.of("CHILD_WORKFLOW_EXECUTION_STARTED", "WORKFLOW_TASK_COMPLETED"));
            var started = events.indexOf("CHILD_WORKFLOW_EXECUTION_STARTED");
            return started >= 0 && started < events.size() - 1;
        }

        /** Ends the parent, if it doesn't by itself; then how the child ended. */
        Json end(Env env, boolean goesOn) throws InterruptedException {
            if (way.equals("is terminated") || way.equals("is cancelled")) {
                env.eventually("the child has started", this::childHasStarted);
                if (way.equals("is terminated")) parent.terminate(Json.object());
                else parent.cancel();
            }
            var expected = switch (way) {
                case "completes" -> "COMPLETED";
                case "fails" -> "FAILED";
                case "continues as new" -> "CONTINUED_AS_NEW";
                case "is terminated" -> "TERMINATED";
                case "is cancelled" -> "CANCELED";
                default -> "TIMED_OUT";
            };
            parent.outcome();
            Env.expectEqual(expected, parent.status());
            if (goesOn) {
                // And it hears what it is told.
                Env.expectEqual("RUNNING", child.status());
                child.signal("end");
            }
            return child.outcome();
        }
    }
}
