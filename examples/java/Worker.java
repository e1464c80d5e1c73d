import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;

/**
 * Runs workflows and activities of one task queue: polls the sidecar and answers.
 *
 * <p>One thread takes all activations: workflow code is quick, since it does nothing but decide. Each activity that may run at the same time
 * as others has a thread with a poll of its own.
 */
final class Worker implements AutoCloseable {
    /** An activity's code. */
    interface Activity {
        Object run(Attempt attempt) throws Exception;
    }

    /** What an activity's code returns if somebody else will say how it ended, by its task token or its ids. */
    static final Object ELSEWHERE = new Object();

    private static final System.Logger LOG = System.getLogger(Worker.class.getName());

    private final Sidecar sidecar;
    private final String path;
    private final Map<String, Run.Code> workflows = new HashMap<>();
    private final Map<String, Activity> activities = new HashMap<>();
    private final Map<String, Run> runs = new ConcurrentHashMap<>();
    private volatile boolean isClosed;

    Worker(Sidecar sidecar, String queue) {
        this.sidecar = sidecar;
        // A name that nobody else has: what we take is ours until we leave.
        path = "/v1/task-queues/" + Sidecar.escape(queue) + "/applications/" + UUID.randomUUID() + "/";
    }

    Worker workflow(String type, Run.Code code) {
        workflows.put(type, code);
        return this;
    }

    Worker activity(String type, Activity code) {
        activities.put(type, code);
        return this;
    }

    /** Polls for what has been registered, with so many activities at a time. */
    Worker start(int concurrentActivities) {
        if (!workflows.isEmpty()) thread("workflows", () -> poll("activities=false"));
        for (int i = 1; i <= concurrentActivities && !activities.isEmpty(); i++) {
            thread("activities-" + i, () -> poll("workflows=false"));
        }
        return this;
    }

    /** Tries the code of this worker on a run's history. The queue has {@code replay_only}. Throws if code and history disagree. */
    void replay(String workflow, Json history) {
        var result = sidecar.post(path + "replays", Json.object("workflowId", workflow, "history", history));
        if (result.has("error")) throw new IllegalStateException(result.get("error").get("message").text());
    }

    /** Leaves: what we have is given back at once, to be done by others. */
    @Override
    public void close() {
        isClosed = true;
        sidecar.delete(path.substring(0, path.length() - 1));
        runs.values().forEach(Run::evict);
    }

    private void thread(String name, Runnable work) {
        var thread = new Thread(work, name);
        thread.setDaemon(true);
        thread.start();
    }

    private void poll(String what) {
        while (!isClosed) {
            try {
                var event = sidecar.post(path + "poll?" + what, Json.object());
                if (event.has("workflow")) handle(event.get("workflow"));
                else if (event.has("activityStart")) run(event.get("activityStart"));
                else if (event.has("shutDown")) pause();
                // That an activity should stop, it hears with its next heartbeat.
            } catch (RuntimeException error) {
                // An answer came too late, or the sidecar is away. It will send again whatever still matters.
                if (isClosed) return;
                LOG.log(System.Logger.Level.DEBUG, error.toString());
                if (!(error instanceof Sidecar.Refused refused) || refused.isPassing()) pause();
            }
        }
    }

    private void handle(Json activation) {
        var id = activation.get("runId").text();
        var first = activation.get("jobs").get(0);
        if (first.has("evict")) {
            var run = runs.remove(id);
            if (run != null) run.evict();
            return;
        }
        if (first.has("initialize")) {
            // A run that we have already comes anew if the sidecar has been started anew.
            var old = runs.put(id, new Run(workflows));
            if (old != null) old.evict();
        }
        var run = Objects.requireNonNull(runs.get(id), "an activation of a run that is not ours");
        var completion = run.activate(activation);
        if (completion.has("failure")) LOG.log(System.Logger.Level.WARNING, "the workflow's code failed, and is tried again: {0}", completion);
        sidecar.post(path + "workflow-completions", completion);
    }

    private void run(Json start) {
        var attempt = new Attempt(start, details ->
                sidecar.post(path + "activity-heartbeats", Json.object("taskToken", start.get("taskToken"), "details", details)));
        var completion = Json.object("taskToken", start.get("taskToken"));
        try {
            var code = activities.get(attempt.type());
            if (code == null) throw Failure.refusal("NotFound", "no activity " + attempt.type() + "; there are " + activities.keySet());
            var result = code.run(attempt);
            completion = result == ELSEWHERE
                    ? completion.with("willCompleteAsync", Json.object())
                    : completion.with("completed", Json.object("result", result));
        } catch (Exception error) {
            var failure = Failure.from(error);
            completion = completion.with(failure.isCancellation() ? "cancelled" : "failed", failure.content);
        }
        sidecar.post(path + "activity-completions", completion);
    }

    private static void pause() {
        try {
            Thread.sleep(200);
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    /** One attempt at an activity: an {@code ActivityStart} of activity.proto, and the way to say that it is still alive. */
    record Attempt(Json start, java.util.function.Function<List<Object>, Json> sendHeartbeat) {
        String type() {
            return start.get("activityType").text();
        }

        Json input(int index) {
            return start.get("input").get(index);
        }

        /** Counts from 1. */
        long number() {
            return start.get("attempt").number();
        }

        /** What the last heartbeat of the attempt before this one said. */
        List<Json> lastDetails() {
            return start.get("heartbeatDetails").list();
        }

        /** Says how far it is. Throws {@link Failure#cancelled} when it should stop. */
        void heartbeat(Object... details) {
            if (sendHeartbeat.apply(Arrays.asList(details)).has("cancel")) throw Failure.cancelled();
        }
    }
}
