import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.UUID;
import java.util.function.Supplier;

/** A workflow as its client sees it. */
record Execution(Sidecar sidecar, String id, String runId) {
    private String path(String rest) {
        return "/v1/workflows/" + Sidecar.escape(id) + rest;
    }

    private String ofThisRun(String rest) {
        return path(rest) + "?runId=" + Sidecar.escape(runId);
    }

    /** Waits until it has ended; {@code status}, and {@code result}, {@code failure}, {@code details} or {@code reason}. */
    Json outcome() {
        Json outcome;
        do {
            outcome = sidecar.get(ofThisRun("/result") + "&wait=60s");
        } while (outcome.get("status").text().equals("RUNNING"));
        return outcome;
    }

    /** Waits for its result. */
    Json result() {
        var outcome = outcome();
        Env.expect(outcome.get("status").text().equals("COMPLETED"), outcome);
        return outcome.get("result");
    }

    /** Signals whichever run is open. */
    void signal(String name, Object... arguments) {
        sidecar.post(path("/signals/" + Sidecar.escape(name)), arguments(arguments));
    }

    Json query(String name, Object... arguments) {
        return sidecar.post(ofThisRun("/queries/" + Sidecar.escape(name)), arguments(arguments)).get("result");
    }

    /** Sends an update to whichever run is open, and waits until it has come to this stage; the sidecar's answer. */
    Json sendUpdate(String stage, String updateId, String name, Object... arguments) {
        var update = arguments(arguments).with("updateId", updateId);
        return awaited(stage, () -> sidecar.post(path("/updates/" + Sidecar.escape(name)) + "?wait=60s&stage=" + stage, update));
    }

    /** Sends an update and waits for its answer: its result, or {@link Failure} if it was rejected or has failed. */
    Json update(String name, Object... arguments) {
        return resultOf(sendUpdate("COMPLETED", "update-" + UUID.randomUUID(), name, arguments));
    }

    /** Waits for what has become of an update of this run; {@code resultOf} takes it. */
    Json updateAnswer(String updateId) {
        var path = ofThisRun("/update-results/" + Sidecar.escape(updateId)) + "&wait=60s";
        return awaited("COMPLETED", () -> sidecar.get(path));
    }

    private static Json awaited(String stage, Supplier<Json> ask) {
        Json answer;
        do {
            answer = ask.get();
        } while (answer.get("stage").text().equals("ADMITTED") || stage.equals("COMPLETED") && answer.get("stage").text().equals("ACCEPTED"));
        return answer;
    }

    /** The result in an answer, or the failure as an exception. */
    static Json resultOf(Json answer) {
        Env.expect(answer.get("stage").text().equals("COMPLETED"), answer);
        if (answer.has("failure")) throw new Failure(answer.get("failure"));
        return answer.get("result");
    }

    private static Json arguments(Object... arguments) {
        return Json.object("arguments", Arrays.asList(arguments));
    }

    void cancel() {
        sidecar.post(ofThisRun("/cancel"), Json.object());
    }

    void terminate(Json body) {
        sidecar.post(ofThisRun("/terminate"), body);
    }

    /** A {@code DescribeWorkflowExecutionResponse}. */
    Json describe() {
        return sidecar.get(ofThisRun(""));
    }

    /** Such as {@code COMPLETED}. */
    String status() {
        return describe().get("workflowExecutionInfo").get("status").text().replaceFirst("WORKFLOW_EXECUTION_STATUS_", "");
    }

    /** The types of this run's events that are among these, in order, such as {@code TIMER_STARTED}. */
    List<String> events(Collection<String> types) {
        return history().stream().map(event -> event.get("eventType").text().replaceFirst("EVENT_TYPE_", "")).filter(types::contains).toList();
    }

    /** The events of this run. */
    List<Json> history() {
        return sidecar.get(ofThisRun("/history")).get("events").list();
    }
}
