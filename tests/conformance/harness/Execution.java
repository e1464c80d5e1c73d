import java.util.Arrays;
import java.util.Collection;
import java.util.List;

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
