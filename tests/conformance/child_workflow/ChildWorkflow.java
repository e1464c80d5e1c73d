import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/** Child workflows: awaited at once or in two steps, and all the ways in which they end. */
final class ChildWorkflow implements Behaviour {
    private static final String ALREADY_STARTED = "WORKFLOW_ALREADY_EXISTS";
    private static final List<String> STARTED = List.of("START_CHILD_WORKFLOW_EXECUTION_INITIATED", "CHILD_WORKFLOW_EXECUTION_STARTED");
    private static final Set<String> OF_CHILDREN = Stream.concat(
            Stream.of("START_CHILD_WORKFLOW_EXECUTION_INITIATED", "START_CHILD_WORKFLOW_EXECUTION_FAILED"),
            Stream.of("STARTED", "COMPLETED", "FAILED", "CANCELED", "TIMED_OUT", "TERMINATED").map(end -> "CHILD_WORKFLOW_EXECUTION_" + end))
            .collect(Collectors.toSet());
    private static final List<Object> DELIBERATE = List.of(
            List.of("application", "Deliberate", "deliberate", List.of(Json.object("code", 7))),
            List.of("application", "Root", "the reason", List.of()));

    // The children.

    /** The workflow ids of its parent and of the topmost one. */
    private static Object relatives(Run run, List<Json> arguments) {
        return List.of(run.info().get("parent").get("workflowId").text(), run.info().get("root").get("workflowId").text());
    }

    /** Collects three words. */
    private static Object collects(Run run, List<Json> arguments) {
        var words = new ArrayList<String>();
        run.onSignal("word", word -> words.add(word.get(0).text()));
        run.await(() -> words.size() == 3);
        return String.join(" ", words);
    }

    private static Object fails(Run run, List<Json> arguments) {
        throw Failure.of("Deliberate", "deliberate", Json.object("code", 7)).with("nonRetryable", true)
                .because(Failure.of("Root", "the reason"));
    }

    /** Fails until its attempt of this number, and returns that. */
    private static Object flaky(Run run, List<Json> arguments) {
        var attempt = run.info().get("attempt").number();
        if (attempt < arguments.get(0).number()) throw Failure.of("NotYet", "attempt " + attempt);
        return attempt;
    }

    /** Continues as new until nothing is left; returns whether its last run is another than its first. */
    private static Object countsDown(Run run, List<Json> arguments) {
        var left = arguments.get(0).number();
        if (left > 0) run.continueAsNew(Json.object(), left - 1);
        return !run.id().equals(run.info().get("firstExecutionRunId").text());
    }

    // The parents.

    private static Run.Child child(Run run, String workflow, Json id, Object... arguments) {
        return run.startChild(workflow, Json.object("workflowId", id), arguments);
    }

    /** Runs the child of this type with these arguments and options, and returns its result or how it failed. */
    private static Object tells(Run run, List<Json> arguments) {
        try {
            return run.startChild(arguments.get(0).text(), arguments.get(2), arguments.get(1).list().toArray()).get();
        } catch (Failure failure) {
            return told(failure.content);
        }
    }

    /** A failure as a list, its causes after it. */
    private static List<Object> told(Json failure) {
        var told = new ArrayList<Object>();
        for (var cause = failure; !cause.isNull(); cause = cause.get("cause")) told.add(one(cause));
        return told;
    }

    private static List<Object> one(Json failure) {
        var child = failure.get("childWorkflowExecutionFailureInfo");
        var application = failure.get("applicationFailureInfo");
        if (!child.isNull()) return List.of("child", child.get("workflowType").get("name"), child.get("retryState").text());
        if (failure.has("timeoutFailureInfo")) return List.of("timeout", failure.get("timeoutFailureInfo").get("timeoutType"));
        if (failure.has("terminatedFailureInfo")) return List.of("terminated");
        if (failure.has("canceledFailureInfo")) return List.of("cancelled");
        return application.get("type").text().equals(ALREADY_STARTED)
                ? List.of(ALREADY_STARTED, application.get("details"))
                : List.of("application", application.get("type"), failure.get("message"), application.get("details").list());
    }

    /** Lets the failure of its child fail itself. */
    private static Object passesOn(Run run, List<Json> arguments) {
        return child(run, "Fails", arguments.get(0)).get();
    }

    /** Starts a child, sends it words, and only then waits for it. */
    private static Object twoSteps(Run run, List<Json> arguments) {
        var go = new AtomicBoolean();
        run.onSignal("send", nothing -> go.set(true));
        var firstRun = new AtomicReference<>("");
        run.onQuery("started", nothing -> firstRun.get());
        var child = child(run, "Collects", arguments.get(0));
        firstRun.set(child.started());
        run.await(go::get);
        for (var word : List.of("one", "two", "three")) child.signal("word", word).get();
        return child.get();
    }

    /** Starts two children of one id, one after the other. */
    private static Object twice(Run run, List<Json> arguments) {
        var first = child(run, "Collects", arguments.get(0));
        first.started();
        Object second;
        try {
            second = child(run, "Greets", arguments.get(0), "nobody").started();
        } catch (Failure failure) {
            second = told(failure.content);
        }
        for (var word : List.of("it", "goes", "on")) first.signal("word", word).get();
        return List.of(second, first.get());
    }

    /** Twelve children, of which three are under way at a time; each fourth one fails. */
    private static Object inParallel(Run run, List<Json> arguments) {
        var children = new ArrayList<Run.Child>();
        for (var number = 0; number < 12; number++) {
            run.await(() -> children.stream().filter(child -> !child.isDone()).count() < 3);
            children.add(run.startChild(number % 4 == 3 ? "Fails" : "Greets", Json.object(), String.valueOf(number)));
        }
        var ends = new ArrayList<String>();
        for (var child : children) {
            try {
                ends.add(child.get().text());
            } catch (Failure failure) {
                ends.add("failed");
            }
        }
        return ends;
    }

    @Override
    public void register(Worker worker) {
        worker.workflow("Greets", (run, arguments) -> "hello " + arguments.get(0).text())
                .workflow("Relatives", ChildWorkflow::relatives)
                .workflow("Collects", ChildWorkflow::collects)
                .workflow("Fails", ChildWorkflow::fails)
                .workflow("Flaky", ChildWorkflow::flaky)
                .workflow("CountsDown", ChildWorkflow::countsDown)
                .workflow("Tells", ChildWorkflow::tells)
                .workflow("PassesOn", ChildWorkflow::passesOn)
                .workflow("TwoSteps", ChildWorkflow::twoSteps)
                .workflow("Twice", ChildWorkflow::twice)
                .workflow("InParallel", ChildWorkflow::inParallel);
    }

    @Override
    public void check(Env env) throws Exception {
        Env.expectEqual("hello Ada", tells(env, "COMPLETED", Json.object(), "Greets", "Ada"));
        Env.expectEqual(true, tells(env, "COMPLETED", Json.object(), "CountsDown", 3));
        Env.expectEqual(3, tells(env, "COMPLETED", attempts(5), "Flaky", 3));
        Env.expectEqual(
                List.of(failed("Flaky", "MAXIMUM_ATTEMPTS_REACHED"), List.of("application", "NotYet", "attempt 2", List.of())),
                tells(env, "FAILED", attempts(2), "Flaky", 9));
        var unset = "RETRY_POLICY_NOT_SET";
        Env.expectEqual(deliberately(failed("Fails", unset)), tells(env, "FAILED", Json.object(), "Fails"));
        Env.expectEqual(deliberately(failed("Fails", "NON_RETRYABLE_FAILURE")), tells(env, "FAILED", attempts(3), "Fails"));
        // A grandchild: its failure arrives at the top, where it came through in between.
        Env.expectEqual(
                deliberately(failed("PassesOn", unset), failed("Fails", unset)),
                tells(env, "FAILED", Json.object(), "PassesOn", env.newId()));
        Env.expectEqual(
                List.of(failed("Collects", unset), List.of("timeout", "TIMEOUT_TYPE_START_TO_CLOSE")),
                tells(env, "TIMED_OUT", Json.object("runTimeout", "1s"), "Collects"));
        var outcome = env.start("PassesOn", env.newId()).outcome();
        Env.expectEqual("FAILED", outcome.get("status"));
        Env.expectEqual(deliberately(failed("Fails", unset)), told(outcome.get("failure")));

        relatives(env);
        options(env);
        endedFromOutside(env, "TERMINATED", "terminated");
        endedFromOutside(env, "CANCELED", "cancelled");
        ids(env);
        twoSteps(env);
        Env.expectEqual(
                IntStream.range(0, 12).mapToObj(number -> number % 4 == 3 ? "failed" : "hello " + number).toList(),
                env.execute("InParallel"));
    }

    /** Runs a parent of one child; its history must say that the child started, and ended like this. */
    private static Json tells(Env env, String ends, Json options, String workflow, Object... arguments) {
        var child = env.child(env.newId());
        var parent = env.start("Tells", workflow, List.of(arguments), options.with("workflowId", child.id()));
        var result = parent.result();
        Env.expectEqual(Stream.concat(STARTED.stream(), Stream.of("CHILD_WORKFLOW_EXECUTION_" + ends)).toList(), parent.events(OF_CHILDREN));
        return result;
    }

    private static Json attempts(int maximum) {
        return Json.object("retryPolicy", Json.object("initialInterval", "0.001s", "maximumAttempts", maximum));
    }

    private static List<Object> failed(String workflow, String retryState) {
        return List.of("child", workflow, "RETRY_STATE_" + retryState);
    }

    private static List<Object> deliberately(Object... wrappers) {
        return Stream.concat(Stream.of(wrappers), DELIBERATE.stream()).toList();
    }

    /** Who is whose child, asked of the child and of the server. */
    private static void relatives(Env env) {
        Json child = Json.object("workflowId", env.newId()), grandchild = Json.object("workflowId", env.newId());
        var parent = env.start("Tells", "Relatives", List.of(), child);
        Env.expectEqual(List.of(parent.id(), parent.id()), parent.result());
        var top = env.start("Tells", "Tells", List.of("Relatives", List.of(), grandchild), child);
        Env.expectEqual(List.of(child.get("workflowId"), top.id()), top.result());
        var info = env.child(grandchild.get("workflowId").text()).describe().get("workflowExecutionInfo");
        Env.expectEqual(child.get("workflowId"), info.get("parentExecution").get("workflowId"));
        Env.expectEqual(Json.object("workflowId", top.id(), "runId", top.runId()), info.get("rootExecution"));
        // Nobody's child is its own root.
        var alone = env.start("Relatives");
        var relatives = alone.result();
        Env.expect(relatives.get(0).text().isEmpty() && List.of("", alone.id()).contains(relatives.get(1).text()), relatives);
    }

    /** What the parent gives arrives at the child. */
    private static void options(Env env) throws InterruptedException {
        var memo = Json.object("fields", Json.object("note", "x"));
        var child = env.child(env.newId());
        var parent = env.start("Tells", "Greets", List.of("Ada"),
                attempts(4).with("workflowId", child.id(), "runTimeout", "77s", "memo", memo));
        parent.result();
        var info = child.describe().get("workflowExecutionInfo");
        Env.expectEqual(List.of(memo, env.queue), List.of(info.get("memo"), info.get("taskQueue")));
        var started = child.history().get(0).get("workflowExecutionStartedEventAttributes");
        Env.expectEqual(
                List.of("77s", 4, Json.object("workflowId", parent.id(), "runId", parent.runId())),
                List.of(started.get("workflowRunTimeout"), started.get("retryPolicy").get("maximumAttempts"),
                        started.get("parentWorkflowExecution")));
        var initiated = parent.history().stream()
                .map(event -> event.get("startChildWorkflowExecutionInitiatedEventAttributes")).filter(event -> !event.isNull()).findFirst().get();
        // TERMINATE is the default.
        Env.expectEqual(
                List.of("PARENT_CLOSE_POLICY_TERMINATE", child.id(), env.queue),
                List.of(initiated.get("parentClosePolicy"), initiated.get("workflowId"), initiated.get("taskQueue").get("name")));

        // Nobody polls this queue: the child has started all the same, and ends with its parent.
        var queue = env.queue + "-none";
        var idle = new Execution(env.sidecar, env.newId(), "");
        var waits = env.start("Tells", "Greets", List.of("Ada"), Json.object("workflowId", idle.id(), "taskQueue", queue));
        env.eventually("the child has started", () -> waits.events(OF_CHILDREN).equals(STARTED));
        Env.expectEqual(queue, idle.describe().get("workflowExecutionInfo").get("taskQueue"));
        waits.terminate(Json.object());
        Env.expectEqual("TERMINATED", idle.outcome().get("status"));
    }

    /** Somebody else terminates or cancels the child. */
    private static void endedFromOutside(Env env, String ends, String told) throws InterruptedException {
        var child = env.child(env.newId());
        var parent = env.start("Tells", "Collects", List.of(), Json.object("workflowId", child.id()));
        env.eventually("the child has started", () -> parent.events(OF_CHILDREN).equals(STARTED));
        if (ends.equals("TERMINATED")) child.terminate(Json.object("reason", "enough"));
        else child.cancel();
        var failure = parent.result();
        Env.expectEqual(List.of("child", "Collects"), failure.get(0).list().subList(0, 2));
        Env.expectEqual(List.of(told), failure.get(1));
        Env.expectEqual("CHILD_WORKFLOW_EXECUTION_" + ends, parent.events(OF_CHILDREN).get(2));
    }

    /** An id that is taken. */
    private static void ids(Env env) {
        var id = Json.object("workflowId", env.newId());
        var taken = List.of(ALREADY_STARTED, List.of(id.get("workflowId"), "Greets"));
        var twice = env.start("Twice", id.get("workflowId"));
        Env.expectEqual(List.of(List.of(taken), "it goes on"), twice.result());
        Env.expect(twice.events(OF_CHILDREN).contains("START_CHILD_WORKFLOW_EXECUTION_FAILED"), twice.events(OF_CHILDREN));
        // It is closed now: whether it may be used again, the parent says.
        Env.expectEqual("hello Ada", env.execute("Tells", "Greets", List.of("Ada"), id));
        for (var policy : List.of("REJECT_DUPLICATE", "ALLOW_DUPLICATE_FAILED_ONLY")) {
            var options = id.with("workflowIdReusePolicy", "WORKFLOW_ID_REUSE_POLICY_" + policy);
            Env.expectEqual(List.of(taken), env.execute("Tells", "Greets", List.of("Ada"), options));
        }
        // A parent can't be its own child.
        var own = Json.object("workflowId", env.newId());
        Env.expectEqual(
                List.of(List.of(ALREADY_STARTED, List.of(own.get("workflowId"), "Greets"))),
                env.startWith(own, "Tells", "Greets", List.of("Ada"), own).result());
    }

    /** In two steps; what is pending can be seen in between. */
    private static void twoSteps(Env env) throws InterruptedException {
        var child = env.child(env.newId());
        var parent = env.start("TwoSteps", child.id());
        env.eventually("the child has started", () -> !parent.query("started").text().isEmpty());
        var pending = parent.describe().get("pendingChildren").list();
        Env.expect(pending.size() == 1, pending);
        Env.expectEqual(
                List.of(child.id(), "Collects", parent.query("started")),
                List.of(pending.get(0).get("workflowId"), pending.get(0).get("workflowTypeName"), pending.get(0).get("runId")));
        Env.expectEqual(pending.get(0).get("runId"), child.describe().get("workflowExecutionInfo").get("execution").get("runId"));
        parent.signal("send");
        Env.expectEqual("one two three", parent.result());
        Env.expect(!parent.describe().has("pendingChildren"), "no child is pending");
    }
}
