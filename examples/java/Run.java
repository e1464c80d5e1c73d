import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.UUID;
import java.util.concurrent.Semaphore;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import java.util.function.Function;

/**
 * One run of a workflow: what this application keeps of it between two activations.
 *
 * <p>The sidecar sends <em>activations</em>: jobs such as "activity 3 has this result". We apply them, let the workflow's code go on until it
 * waits for something that isn't there yet, and answer with the <em>commands</em> that it has issued meanwhile, such as "schedule
 * activity 4". After a crash the sidecar sends the same activations once more, to a new {@code Run}; the code issues the same
 * commands, and is where it was. That is all there is to durability, and it is why the code must be deterministic.
 *
 * <p>The code has threads of its own, one for the workflow and one for each update that it handles, but only one of them and ours ever runs:
 * each hands over to the other. (docs/sdk-authors.md, section 4.)
 */
final class Run {
    /** A workflow's code: gets its run and its arguments, and returns its result. */
    interface Code {
        Object run(Run run, List<Json> arguments) throws Exception;
    }

    /** What the code waits for. */
    class Later {
        private final String cancelCommand;
        final long seq;
        private Json resolution;
        private Runnable then;

        private Later(String cancelCommand, long seq) {
            this.cancelCommand = cancelCommand;
            this.seq = seq;
        }

        boolean isDone() {
            return resolution != null;
        }

        /** Runs this once it is done, in the order in which things happened. It must not wait. */
        void then(Runnable then) {
            if (isDone()) then.run();
            else this.then = then;
        }

        /** Waits; then the result of the activity or child, or the failure as an exception. */
        Json get() {
            await(this::isDone);
            for (var status : List.of("failed", "cancelled")) {
                if (resolution.has(status)) throw new Failure(resolution.get(status));
            }
            return resolution.get("completed").get("result");
        }

        /** Asks the activity or child to stop, stops the timer, or takes back a signal that was issued in this step. */
        void cancel() {
            if (!isDone()) command(cancelCommand, Json.object("seq", seq));
        }

        private void resolve(Json resolution) {
            this.resolution = resolution;
            if (then != null) then.run();
        }
    }

    /** A child workflow. What it comes to is what is waited for; that it has started comes before. */
    final class Child extends Later {
        final String id;
        private String firstRun;

        private Child(long seq, String id) {
            super("cancelChildWorkflow", seq);
            this.id = id;
        }

        /** Waits until it has started; then the id of its first run, or why it could not start as an exception. */
        String started() {
            await(() -> firstRun != null || isDone());
            if (firstRun == null) get();
            return firstRun;
        }

        /** Sends it a signal, which is done when it has been delivered. */
        Later signal(String name, Object... arguments) {
            return sendSignal(Json.object("childWorkflowId", id), name, arguments);
        }

        /** If there is no child, that is what it has come to: nothing else follows. */
        private void resolveStart(Json job) {
            if (job.has("started")) firstRun = job.get("started").get("runId").text();
            else if (job.has("cancelled")) children.take(job).resolve(job);
            else children.take(job).resolve(Json.object("failed", notStarted(job.get("failed")).content));
        }

        private Failure notStarted(Json job) {
            var cause = job.get("cause").text().replaceFirst("START_CHILD_WORKFLOW_EXECUTION_FAILED_CAUSE_", "");
            return Failure.of(cause, "the child " + id + " was not started: " + cause, id, job.get("workflowType"));
        }
    }

    /** What the code waits for of one kind, by the numbers that commands and jobs give it. They count from 1. */
    private static final class Waiting {
        private final Map<Long, Later> waiting = new HashMap<>();
        private long last;

        long nextSeq() {
            return ++last;
        }

        <T extends Later> T add(T later) {
            waiting.put(later.seq, later);
            return later;
        }

        Later get(Json job) {
            return waiting.get(job.get("seq").number());
        }

        Later take(Json job) {
            return waiting.remove(job.get("seq").number());
        }

        /** One that nobody waits for any more, a timer that was stopped, is no error. */
        void resolve(Json job, Json resolution) {
            var later = take(job);
            if (later != null) later.resolve(resolution);
        }
    }

    /** What a validator and a handler make of an update. */
    private record UpdateHandler(Consumer<List<Json>> validator, Function<List<Json>, Object> code) {}

    private interface Body {
        void run() throws Exception;
    }

    /** A part of the code that may wait, with a thread of its own: the workflow itself, or an update's handler. */
    private final class Strand {
        private final Semaphore turn = new Semaphore(0);
        /** The {@code UpdateReceived} that it handles; null for the workflow itself. */
        private final Json update;
        private BooleanSupplier awaited = () -> true;
        private boolean isDone;

        private Strand(String name, Json update, Body code) {
            this.update = update;
            var thread = new Thread(() -> live(code), name);
            thread.setDaemon(true);
            thread.start();
        }

        private void live(Body code) {
            turn.acquireUninterruptibly();
            if (isEvicted) return;
            try {
                code.run();
            } catch (Evicted evicted) {
                return;
            } catch (ContinuedAsNew ends) {
                // The command is there already.
                isOver = true;
            } catch (Throwable error) {
                // Nothing that the code meant to happen.
                taskFailure = error;
            }
            isDone = true;
            ourTurn.release();
        }

        /** A cancellation is the workflow's own affair: its updates go on. */
        private boolean isCancelled() {
            return update == null && isCancelRequested;
        }

        private boolean isReady() {
            return !isDone && (isCancelled() || awaited.getAsBoolean());
        }

        /** Lets it go on until it waits, or ends. */
        private void step() {
            current = this;
            turn.release();
            ourTurn.acquireUninterruptibly();
            current = null;
        }

        private void await(BooleanSupplier condition) {
            while (!condition.getAsBoolean()) {
                // It may have come along with the run's start.
                throwIfCancelled();
                awaited = condition;
                ourTurn.release();
                turn.acquireUninterruptibly();
                if (isEvicted) throw new Evicted();
                throwIfCancelled();
            }
        }

        private void throwIfCancelled() {
            if (!isCancelled()) return;
            isCancelRequested = false;
            throw Failure.cancelled();
        }
    }

    /** The run is dropped: its threads unwind without issuing anything. */
    private static final class Evicted extends Error {}

    /** The code has asked for a new run in this one's place. */
    private static final class ContinuedAsNew extends Error {}

    private final Map<String, Code> workflows;
    private final Semaphore ourTurn = new Semaphore(0);
    /** The workflow, and the updates under way, in the order in which they began. */
    private final List<Strand> strands = new ArrayList<>();
    /** The one that runs; null while none does. */
    private Strand current;
    private String id = "";
    private Json info = Json.NULL;
    private Instant now;
    private Random random;
    private boolean hasBegun;
    private boolean isOver;
    private volatile boolean isEvicted;
    private boolean isCancelRequested;
    private boolean isReading;
    private Throwable taskFailure;

    private List<Json> commands = new ArrayList<>();
    private final Waiting activities = new Waiting();
    private final Waiting timers = new Waiting();
    private final Waiting children = new Waiting();
    private final Waiting signals = new Waiting();
    private final Waiting cancellations = new Waiting();
    private final Map<String, Consumer<List<Json>>> signalHandlers = new HashMap<>();
    private final Map<String, List<List<Json>>> unhandledSignals = new HashMap<>();
    private final Map<String, Function<List<Json>, Object>> queryHandlers = new HashMap<>();
    private final Map<String, UpdateHandler> updateHandlers = new HashMap<>();
    /** Updates that came with the run's start: the workflow's code has yet to say how it handles them. */
    private final List<Json> earlyUpdates = new ArrayList<>();

    Run(Map<String, Code> workflows) {
        this.workflows = workflows;
    }

    // What the workflow's code calls.

    /** Schedules an activity. The options are the fields of {@code ScheduleActivity} in workflow.proto. */
    Later start(String activity, Json options, Object... arguments) {
        long seq = activities.nextSeq();
        command("scheduleActivity", options.with("seq", seq, "activityType", activity, "arguments", Arrays.asList(arguments)));
        return activities.add(new Later("requestCancelActivity", seq));
    }

    /** Schedules an activity and waits for its result. */
    Json call(String activity, Json options, Object... arguments) {
        return start(activity, options, arguments).get();
    }

    Later timer(Duration duration) {
        long seq = timers.nextSeq();
        command("startTimer", Json.object("seq", seq, "startToFireTimeout", Json.of(duration)));
        return timers.add(new Later("cancelTimer", seq));
    }

    void sleep(Duration duration) {
        timer(duration).get();
    }

    /** Starts a child workflow. The options are the fields of {@code StartChildWorkflow} in workflow.proto. */
    Child startChild(String workflow, Json options, Object... arguments) {
        var id = options.has("workflowId") ? options.get("workflowId").text() : new UUID(random.nextLong(), random.nextLong()).toString();
        long seq = children.nextSeq();
        command("startChildWorkflow", options.with(
                "seq", seq, "workflowId", id, "workflowType", workflow, "arguments", Arrays.asList(arguments)));
        return children.add(new Child(seq, id));
    }

    /** Sends a signal to another workflow, an {@code ExternalWorkflow} of workflow.proto; it is done when it has been delivered. */
    Later signalExternal(Json workflow, String name, Object... arguments) {
        return sendSignal(Json.object("workflow", workflow), name, arguments);
    }

    private Later sendSignal(Json target, String name, Object... arguments) {
        long seq = signals.nextSeq();
        command("signalExternalWorkflow", target.with("seq", seq, "signalName", name, "arguments", Arrays.asList(arguments)));
        return signals.add(new Later("cancelSignalExternalWorkflow", seq));
    }

    /** Asks another workflow, an {@code ExternalWorkflow} of workflow.proto, to end as cancelled; waits until that has been delivered. */
    void cancelExternal(Json workflow) {
        long seq = cancellations.nextSeq();
        command("requestCancelExternalWorkflow", Json.object("seq", seq, "workflow", workflow));
        cancellations.add(new Later("", seq)).get();
    }

    /** This run's id. */
    String id() {
        return id;
    }

    /** What the run was started with: an {@code InitializeWorkflow} of workflow.proto. */
    Json info() {
        return info;
    }

    /** The time, as the history has it: the same when the code is run again. */
    Instant now() {
        return now;
    }

    /** Random numbers that are the same when the code is run again. */
    Random random() {
        return random;
    }

    /** Ends this run and starts the next one in its place. The options are the fields of {@code ContinueAsNew} in workflow.proto. */
    void continueAsNew(Json options, Object... arguments) {
        command("continueAsNew", options.with("arguments", Arrays.asList(arguments)));
        throw new ContinuedAsNew();
    }

    /** Waits until the condition holds. If the workflow is cancelled meanwhile, its own code sees {@link Failure#cancelled} once. */
    void await(BooleanSupplier condition) {
        if (current == null) throw new IllegalStateException("a validator, or the handler of a signal or query, can't wait");
        current.await(condition);
    }

    /** Waits until the condition holds, but not longer than this; tells whether it does. */
    boolean await(BooleanSupplier condition, Duration timeout) {
        var timer = timer(timeout);
        await(() -> condition.getAsBoolean() || timer.isDone());
        timer.cancel();
        return condition.getAsBoolean();
    }

    void onSignal(String name, Consumer<List<Json>> handler) {
        signalHandlers.put(name, handler);
        unhandledSignals.getOrDefault(name, List.of()).forEach(handler);
        unhandledSignals.remove(name);
    }

    void onQuery(String name, Function<List<Json>, Object> handler) {
        queryHandlers.put(name, handler);
    }

    /** Handles updates of this name. The handler may wait, as the workflow may; what it returns, or throws, is the answer. */
    void onUpdate(String name, Function<List<Json>, Object> handler) {
        onUpdate(name, arguments -> {}, handler);
    }

    /** The same; but first the validator may turn an update away by throwing. It must not wait, nor change anything. */
    void onUpdate(String name, Consumer<List<Json>> validator, Function<List<Json>, Object> handler) {
        updateHandlers.put(name, new UpdateHandler(validator, handler));
    }

    /** The update that the caller is the handler of, an {@code UpdateReceived} of workflow.proto; JSON's null outside of handlers. */
    Json update() {
        return current == null || current.update == null ? Json.NULL : current.update;
    }

    /** Whether no update is under way: to be awaited by a workflow that would leave callers without an answer if it ended now. */
    boolean hasAnsweredUpdates() {
        return strands.stream().allMatch(strand -> strand.update == null || strand.isDone);
    }

    // What the worker calls.

    /** Applies a {@code WorkflowActivation}, lets the code go on, and returns the {@code WorkflowCompletion}. */
    Json activate(Json activation) {
        commands = new ArrayList<>();
        id = activation.get("runId").text();
        now = Instant.parse(activation.get("timestamp").text());
        try {
            activation.get("jobs").list().forEach(this::apply);
            if (!hasBegun) begin();
            letCodeRun();
        } catch (RuntimeException error) {
            taskFailure = error;
        }
        var completion = Json.object("runId", id);
        if (taskFailure == null) return completion.with("success", Json.object("commands", commands));
        // The task has failed, not the workflow: it is tried again until the code is mended.
        return completion.with("failure", Json.object("failure", Failure.from(taskFailure).content));
    }

    /** Ends the code, wherever it waits. */
    void evict() {
        isEvicted = true;
        strands.forEach(strand -> strand.turn.release());
    }

    private void apply(Json job) {
        // One member: its name says what has happened.
        job.members().forEach(this::apply);
    }

    private void apply(String kind, Json job) {
        switch (kind) {
            case "initialize" -> initialize(job);
            case "signal" -> signal(job);
            case "update" -> update(job);
            case "query" -> commands.add(Json.object("queryAnswer", answer(job)));
            case "fireTimer" -> timers.resolve(job, Json.object());
            case "resolveActivity" -> activities.resolve(job, job.get("result"));
            case "resolveChildWorkflowStart" -> ((Child) children.get(job)).resolveStart(job);
            case "resolveChildWorkflow" -> children.resolve(job, job.get("result"));
            case "resolveSignalExternalWorkflow" -> signals.resolve(job, delivery(job));
            case "resolveRequestCancelExternalWorkflow" -> cancellations.resolve(job, delivery(job));
            case "cancel" -> isCancelRequested = true;
            case "updateRandomSeed" -> seed(job);
            default -> throw new IllegalStateException("unknown job: " + kind);
        }
    }

    private static Json delivery(Json job) {
        return job.has("failure") ? Json.object("failed", job.get("failure")) : Json.object();
    }

    private void initialize(Json job) {
        var type = job.get("workflowType").text();
        var code = workflows.get(type);
        info = job;
        seed(job);
        if (code == null) throw new IllegalStateException("no workflow " + type + "; there are " + workflows.keySet());
        strands.add(new Strand(job.get("workflowId").text(), null, () -> run(code, job.get("arguments").list())));
    }

    private void seed(Json job) {
        // An unsigned number; proto3 leaves out a zero.
        random = new Random(Long.parseUnsignedLong("0" + job.get("randomnessSeed").text()));
    }

    private void signal(Json signal) {
        var name = signal.get("name").text();
        var handler = signalHandlers.get(name);
        var arguments = signal.get("arguments").list();
        if (handler != null) handler.accept(arguments);
        else unhandledSignals.computeIfAbsent(name, unknown -> new ArrayList<>()).add(arguments);
    }

    private Json answer(Json query) {
        var id = query.get("id");
        var handler = queryHandlers.get(query.get("name").text());
        try {
            if (handler == null) throw new IllegalArgumentException("no such query; there are " + queryHandlers.keySet());
            isReading = true;
            return Json.object("id", id, "succeeded", handler.apply(query.get("arguments").list()));
        } catch (RuntimeException error) {
            return Json.object("id", id, "failed", Failure.from(error).content);
        } finally {
            isReading = false;
        }
    }

    /** Accepts an update and lets its handler begin, or rejects it: then it was never there. */
    private void update(Json update) {
        if (!hasBegun) {
            earlyUpdates.add(update);
            return;
        }
        var handler = updateHandlers.get(update.get("name").text());
        var arguments = update.get("arguments").list();
        try {
            isReading = true;
            if (handler == null) throw new IllegalArgumentException("no update " + update.get("name") + "; there are " + updateHandlers.keySet());
            // In a replay, the history has it as accepted.
            if (update.get("runValidator").isTrue()) handler.validator.accept(arguments);
        } catch (RuntimeException error) {
            answer(update, "rejected", Failure.from(error).content);
            return;
        } finally {
            isReading = false;
        }
        answer(update, "accepted", Json.object());
        var strand = new Strand(update.get("id").text(), update, () -> handle(update, handler, arguments));
        strands.add(strand);
        strand.step();
    }

    private void handle(Json update, UpdateHandler handler, List<Json> arguments) {
        try {
            answer(update, "succeeded", handler.code.apply(arguments));
        } catch (Failure failure) {
            answer(update, "failed", failure.content);
        }
    }

    private void answer(Json update, String how, Object content) {
        commands.add(Json.object("updateAnswer", Json.object("id", update.get("id"), how, content)));
    }

    /** The workflow's code begins, says what it handles, and then gets the updates that came with its start. */
    private void begin() {
        hasBegun = true;
        strands.get(0).step();
        if (!isOver) earlyUpdates.forEach(this::update);
    }

    /** Lets each part of the code go on that can, until none can: what one does may be what another one waits for. */
    private void letCodeRun() {
        for (var moves = true; moves; ) {
            moves = false;
            for (var strand : strands) {
                if (isOver || taskFailure != null) return;
                if (!strand.isReady()) continue;
                strand.step();
                moves = true;
            }
        }
        strands.removeIf(strand -> strand.update != null && strand.isDone);
    }

    /** The workflow, from the first activation to its end. */
    private void run(Code code, List<Json> arguments) throws Exception {
        try {
            command("completeWorkflow", Json.object("result", code.run(this, arguments)));
        } catch (Failure failure) {
            if (failure.isCancellation()) command("cancelWorkflow", Json.object("details", failure.details().list()));
            else command("failWorkflow", Json.object("failure", failure.content));
        }
        isOver = true;
    }

    /** Every command names the line that issued it: if code and history ever disagree, the error message says where. */
    private void command(String kind, Json content) {
        if (isReading) throw new IllegalStateException("validators and the handlers of queries only read");
        var line = StackWalker.getInstance().walk(frames -> frames
                .filter(frame -> !frame.getClassName().startsWith("Run"))
                .findFirst()
                .map(frame -> frame.getFileName() + ":" + frame.getLineNumber())
                .orElse(""));
        commands.add(Json.object(kind, content, "location", line));
    }
}
