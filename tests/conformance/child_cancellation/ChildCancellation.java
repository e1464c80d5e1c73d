import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicReference;

/** Cancelling a child workflow: with the four ways of waiting, before its start is sent, and with its parent. */
final class ChildCancellation implements Behaviour {
    /** What the parent's history says of the child. */
    private static final Map<String, String> NAMES = Map.of(
            "START_CHILD_WORKFLOW_EXECUTION_INITIATED", "initiated",
            "CHILD_WORKFLOW_EXECUTION_STARTED", "started",
            "CHILD_WORKFLOW_EXECUTION_COMPLETED", "completed",
            "CHILD_WORKFLOW_EXECUTION_CANCELED", "canceled",
            "CHILD_WORKFLOW_EXECUTION_TERMINATED", "terminated",
            "REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED", "request initiated",
            "REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED", "request failed",
            "EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED", "requested");

    /** Waits to be cancelled; then to be told that all is tidy, and ends as cancelled, or completes all the same. */
    private static Object tidiesUp(Run run, List<Json> arguments) {
        var tidy = new AtomicBoolean();
        var seen = new AtomicReference<>("running");
        run.onSignal("is_tidy", nothing -> tidy.set(true));
        run.onQuery("state", nothing -> seen.get());
        try {
            run.await(() -> false);
        } catch (Failure cancellation) {
            seen.set("tidying up");
            run.await(tidy::get);
            if (!arguments.get(0).isTrue()) throw cancellation;
        }
        return "finished";
    }

    /** The child, with one of the ways of waiting, and whether it declines to be cancelled. */
    private static Run.Child child(Run run, Json id, Json how, Object declines) {
        var way = "CHILD_WORKFLOW_CANCELLATION_TYPE_" + how.text();
        return run.startChild("TidiesUp", Json.object("workflowId", id, "cancellationType", way), declines);
    }

    private static String end(Run.Child child) {
        try {
            return child.get().text();
        } catch (Failure failure) {
            return failure.content.has("childWorkflowExecutionFailureInfo") && failure.root().isCancellation() ? "cancelled" : failure.content.toString();
        }
    }

    /** Starts a child, cancels it when it is told to, and tells how the wait for it ended. */
    private static Object cancels(Run run, List<Json> arguments) {
        var go = new AtomicBoolean();
        var leave = new AtomicBoolean();
        var ended = new AtomicReference<>("");
        run.onSignal("cancel_it", nothing -> go.set(true));
        run.onSignal("leave", nothing -> leave.set(true));
        run.onQuery("child_ended", nothing -> ended.get());
        var child = child(run, arguments.get(0), arguments.get(1), arguments.get(2));
        child.started();
        run.await(go::get);
        child.cancel();
        ended.set(end(child));
        run.await(leave::get);
        return ended.get();
    }

    /** Cancels a child in the step in which it starts it: nothing is sent. */
    private static Object neverStarts(Run run, List<Json> arguments) {
        var child = run.startChild("TidiesUp", Json.object(), false);
        child.cancel();
        return end(child);
    }

    /** Waits for its child, and hands its own cancellation on to it. */
    private static Object waits(Run run, List<Json> arguments) {
        var child = child(run, arguments.get(0), arguments.get(1), false);
        try {
            return child.get();
        } catch (Failure cancellation) {
            child.cancel();
            if (!end(child).equals("cancelled")) return "the child declined";
            throw cancellation;
        }
    }

    /** Its own cancellation is not its child's. */
    private static Object shields(Run run, List<Json> arguments) {
        var child = child(run, arguments.get(0), new Json("WAIT_CANCELLATION_COMPLETED"), false);
        try {
            return child.get();
        } catch (Failure failure) {
            return failure.isCancellation() ? "left it alone" : failure.content;
        }
    }

    @Override
    public void register(Worker worker) {
        worker.workflow("TidiesUp", ChildCancellation::tidiesUp)
                .workflow("Cancels", ChildCancellation::cancels)
                .workflow("NeverStarts", ChildCancellation::neverStarts)
                .workflow("Waits", ChildCancellation::waits)
                .workflow("Shields", ChildCancellation::shields);
    }

    private static List<String> told(Execution parent) {
        return parent.events(NAMES.keySet()).stream().map(NAMES::get).toList();
    }

    private record Family(Env env, Execution parent, Execution child) {
        static Family start(Env env, String parent, Object... further) {
            var child = env.child(env.newId());
            var arguments = new Object[further.length + 1];
            arguments[0] = child.id();
            System.arraycopy(further, 0, arguments, 1, further.length);
            return new Family(env, env.start(parent, arguments), child);
        }

        /** Waits until the child has come so far. */
        Family awaitState(String state) throws InterruptedException {
            env.eventually("the child is " + state, () -> child.query("state").text().equals(state));
            return this;
        }

        /** Waits until the child runs, and the parent's code has heard that it has started: a task completed after that. */
        Family awaitStart() throws InterruptedException {
            env.eventually("the child has started", () -> {
                var events = parent.events(Set.of("CHILD_WORKFLOW_EXECUTION_STARTED", "WORKFLOW_TASK_COMPLETED"));
                var started = events.indexOf("CHILD_WORKFLOW_EXECUTION_STARTED");
                return started >= 0 && started < events.size() - 1;
            });
            return awaitState("running");
        }

        static Family cancelled(Env env, String how, boolean declines) throws InterruptedException {
            var family = start(env, "Cancels", how, declines).awaitStart();
            family.parent.signal("cancel_it");
            return family;
        }

        void awaitEndOfWait() throws InterruptedException {
            env.eventually("the wait has ended", () -> parent.query("child_ended").text().equals("cancelled"));
        }
    }

    @Override
    public void check(Env env) throws Exception {
        waitsForTheEnd(env, "WAIT_CANCELLATION_COMPLETED", false);
        waitsForTheEnd(env, "WAIT_CANCELLATION_COMPLETED", true);
        waitsForTheEnd(env, "WAIT_CANCELLATION_REQUESTED", false);

        // The parent goes on while the child is still tidying up.
        var goesOn = Family.cancelled(env, "TRY_CANCEL", false);
        goesOn.awaitEndOfWait();
        goesOn.awaitState("tidying up").child.signal("is_tidy");
        env.eventually("the parent's history says that the child has ended", () -> told(goesOn.parent).contains("canceled"));
        goesOn.parent.signal("leave");
        Env.expectEqual("cancelled", goesOn.parent.result());
        Env.expectEqual(List.of("initiated", "started", "request initiated", "requested", "canceled"), told(goesOn.parent));

        // The child is not asked; it ends with its parent.
        var abandons = Family.cancelled(env, "ABANDON", false);
        abandons.awaitEndOfWait();
        Env.expectEqual("running", abandons.child.query("state"));
        abandons.parent.signal("leave");
        Env.expectEqual("cancelled", abandons.parent.result());
        Env.expectEqual(List.of("initiated", "started"), told(abandons.parent));

        // Nothing was sent.
        var neverStarts = env.start("NeverStarts");
        Env.expectEqual("cancelled", neverStarts.result());
        Env.expectEqual(List.of(), told(neverStarts));

        withTheParent(env);
    }

    /** The parent waits until the child has ended, however it ends. */
    private static void waitsForTheEnd(Env env, String how, boolean declines) throws InterruptedException {
        var family = Family.cancelled(env, how, declines).awaitState("tidying up");
        // The child is still tidying up.
        Env.expectEqual("", family.parent.query("child_ended"));
        family.child.signal("is_tidy");
        family.parent.signal("leave");
        Env.expectEqual(declines ? "finished" : "cancelled", family.parent.result());
        var end = declines ? "completed" : "canceled";
        Env.expectEqual(List.of("initiated", "started", "request initiated", "requested", end), told(family.parent));
    }

    /** The parent itself is cancelled. */
    private static void withTheParent(Env env) throws InterruptedException {
        var requested = Set.of("WORKFLOW_EXECUTION_CANCEL_REQUESTED");
        var waits = Family.start(env, "Waits", "WAIT_CANCELLATION_COMPLETED").awaitStart();
        waits.parent.cancel();
        waits.awaitState("tidying up");
        Env.expectEqual("RUNNING", waits.parent.status());
        waits.child.signal("is_tidy");
        Env.expectEqual("CANCELED", waits.parent.outcome().get("status"));
        Env.expectEqual("CANCELED", waits.child.outcome().get("status"));
        Env.expect(waits.child.events(requested).size() == 1, "the child was asked once");

        // With this one the parent doesn't wait; what becomes of the child is up to the parent close policy: TERMINATE.
        var abandons = Family.start(env, "Waits", "ABANDON").awaitStart();
        abandons.parent.cancel();
        Env.expectEqual("CANCELED", abandons.parent.outcome().get("status"));
        Env.expectEqual("TERMINATED", abandons.child.outcome().get("status"));
        Env.expectEqual(List.of(), abandons.child.events(requested));

        var shields = Family.start(env, "Shields").awaitStart();
        shields.parent.cancel();
        Env.expectEqual("left it alone", shields.parent.result());
        Env.expectEqual(List.of("initiated", "started"), told(shields.parent));
    }
}
