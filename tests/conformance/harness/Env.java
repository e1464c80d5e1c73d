import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.UUID;
import java.util.concurrent.Callable;
import java.util.concurrent.Executors;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;

/** What a behaviour's {@code check} works with. */
final class Env {
    final Sidecar sidecar;
    final String queue;
    private final List<Execution> started = new ArrayList<>();

    Env(Sidecar sidecar, String queue) {
        this.sidecar = sidecar;
        this.queue = queue;
    }

    /** A workflow id that no other program uses. */
    String newId() {
        return queue + "-" + UUID.randomUUID();
    }

    /** Starts a workflow on this behaviour's task queue; its history is replayed after {@code check}. */
    Execution start(String workflow, Object... arguments) {
        return startWith(Json.object(), workflow, arguments);
    }

    /** The same, with other fields of {@code StartWorkflowExecutionRequest}. */
    Execution startWith(Json options, String workflow, Object... arguments) {
        return begin("/v1/workflows", options.has("workflowId") ? options : options.with("workflowId", newId()), workflow, arguments);
    }

    /** Signals the workflow of this id, and starts it first if it isn't there. */
    Execution signalWithStart(String id, String signal, Object value, String workflow, Object... arguments) {
        var options = Json.object("workflowId", id, "signalName", signal, "signalArguments", List.of(value));
        return begin("/v1/signal-with-start", options, workflow, arguments);
    }

    /** Updates the workflow of this id, and starts it first as the conflict policy says; the sidecar's answer. */
    Json updateWithStart(String stage, String id, String policy, Json update, String workflow, Object... arguments) {
        var request = update.with(
                "workflowId", id, "workflowType", workflow, "taskQueue", queue, "arguments", Arrays.asList(arguments),
                "workflowIdConflictPolicy", "WORKFLOW_ID_CONFLICT_POLICY_" + policy);
        return sidecar.post("/v1/update-with-start?wait=60s&stage=" + stage, request);
    }

    private Execution begin(String path, Json options, String workflow, Object... arguments) {
        var request = options.with("workflowType", workflow, "taskQueue", queue, "arguments", Arrays.asList(arguments));
        var answer = sidecar.post(path, request);
        var execution = new Execution(sidecar, answer.get("workflowId").text(), answer.get("runId").text());
        started.add(execution);
        return execution;
    }

    /** A workflow that another one starts; its history is replayed, too. */
    Execution child(String id) {
        var execution = new Execution(sidecar, id, "");
        started.add(execution);
        return execution;
    }

    /** Starts a workflow and awaits its result. */
    Json execute(String workflow, Object... arguments) {
        return start(workflow, arguments).result();
    }

    /** Replays the histories of what has been started. */
    void replayAll(Worker replayer) {
        for (var execution : started) replayer.replay(execution.id(), Json.object("events", execution.history()));
    }

    /** Asks until the condition holds: for what a server may answer a little later, such as a list. */
    void eventually(String what, BooleanSupplier condition) throws InterruptedException {
        var deadline = System.nanoTime() + 20_000_000_000L;
        while (!condition.getAsBoolean()) {
            expect(System.nanoTime() < deadline, "not within 20 s: " + what);
            Thread.sleep(50);
        }
    }

    static void expect(boolean holds, Object what) {
        if (!holds) throw new AssertionError(what);
    }

    /** Both are, or can be written as, JSON. */
    static void expectEqual(Object expected, Object found) {
        var message = "expected " + new Json(expected) + ", found " + new Json(found);
        expect(Objects.equals(plain(expected), plain(found)), message);
    }

    private static Object plain(Object value) {
        return Json.parse(new Json(value).toString()).value();
    }

    /** What is asked for fails; its failure. */
    static Failure expectFailure(Supplier<?> asked) {
        try {
            asked.get();
        } catch (Failure failure) {
            return failure;
        }
        throw new AssertionError("it has not failed");
    }

    /** The answers to what is asked at once, in order. */
    static <T> List<T> atOnce(List<? extends Callable<T>> asked) throws Exception {
        var threads = Executors.newFixedThreadPool(asked.size());
        try {
            var answers = new ArrayList<T>();
            for (var answer : threads.invokeAll(asked)) answers.add(answer.get());
            return answers;
        } finally {
            threads.shutdownNow();
        }
    }

    /** The sidecar refuses the request with gRPC's code and with these words; what it says. */
    static Sidecar.Refused expectRefusal(String code, String words, Runnable request) {
        try {
            request.run();
        } catch (Sidecar.Refused refused) {
            expect(refused.code.equals(code) && refused.getMessage().contains(words), refused.code + ": " + refused.getMessage());
            return refused;
        }
        throw new AssertionError("the request has succeeded; expected " + code);
    }
}
