import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;

/** Requests that cannot succeed get gRPC's code, a message, and the details that the server gives. */
final class Errors implements Behaviour {
    private static Object ends(Run run, List<Json> arguments) {
        if (arguments.get(0).isTrue()) throw Failure.of("Deliberate", "deliberate", Json.object("code", 7)).with("nonRetryable", true);
        var end = new AtomicBoolean();
        run.onSignal("finish", nothing -> end.set(true));
        run.await(end::get);
        return "ended";
    }

    @Override
    public void register(Worker worker) {
        worker.workflow("Ends", Errors::ends);
    }

    @Override
    public void check(Env env) {
        var name = Json.object("workflowId", env.newId());
        var ends = env.startWith(name, "Ends", false);
        var twice = Env.expectRefusal("ALREADY_EXISTS", "", () -> env.startWith(name, "Ends", false));
        Env.expect(twice.details.stream().anyMatch(detail -> detail.get("runId").text().equals(ends.runId())), twice.details);
        var same = env.startWith(name.with("workflowIdConflictPolicy", "WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING"), "Ends", false);
        Env.expectEqual(ends.runId(), same.runId());
        ends.signal("finish");
        Env.expectEqual("ended", ends.result());
        var unique = name.with("workflowIdReusePolicy", "WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE");
        Env.expectRefusal("ALREADY_EXISTS", "", () -> env.startWith(unique, "Ends", false));

        var outcome = env.start("Ends", true).outcome();
        var failure = new Failure(outcome.get("failure"));
        Env.expectEqual(
                List.of("FAILED", "Deliberate", "deliberate", List.of(Json.object("code", 7)), true),
                List.of(outcome.get("status"), failure.type(), failure.getMessage(), failure.details(),
                        failure.content.get("applicationFailureInfo").get("nonRetryable")));

        var unknown = new Execution(env.sidecar, "no-such-workflow", "");
        Env.expectRefusal("NOT_FOUND", "", unknown::describe);
        Env.expectRefusal("NOT_FOUND", "", unknown::outcome);
        Env.expectRefusal("NOT_FOUND", "", () -> unknown.signal("x"));
        Env.expectRefusal("NOT_FOUND", "", () -> unknown.query("x"));
        Env.expectRefusal("NOT_FOUND", "", unknown::cancel);
        Env.expectRefusal("NOT_FOUND", "", () -> unknown.terminate(Json.object()));
        // The run has ended.
        Env.expectRefusal("NOT_FOUND", "", () -> ends.signal("finish"));
        Env.expectRefusal("INVALID_ARGUMENT", "", () -> env.startWith(Json.object("workflowId", "x".repeat(2000)), "Ends", false));
        var elsewhere = Json.object("namespace", "no-such-namespace");
        Env.expectRefusal("NOT_FOUND", "no-such-namespace", () -> env.startWith(elsewhere, "Ends", false));
    }
}
