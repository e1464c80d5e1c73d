import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/** What operators do: describe, list with filters, count, terminate with a reason and details. */
final class DescribeListTerminate implements Behaviour {
    @Override
    public void register(Worker worker) {
        worker.workflow("conformance-waiter", (run, arguments) -> {
            run.await(() -> false);
            return null;
        });
    }

    private static Set<String> listed(Env env, String query) {
        return env.sidecar.get("/v1/workflows?query=" + Sidecar.escape(query)).get("executions").list().stream()
                .map(found -> found.get("execution").get("workflowId").text()).collect(Collectors.toSet());
    }

    @Override
    public void check(Env env) throws Exception {
        var waiters = IntStream.range(0, 3).mapToObj(number -> env.startWith(
                Json.object("memo", Json.object("fields", Json.object("number", number))), "conformance-waiter")).toList();
        var first = waiters.get(0);
        var description = first.describe().get("workflowExecutionInfo");
        Env.expectEqual(Json.object("workflowId", first.id(), "runId", first.runId()), description.get("execution"));
        Env.expectEqual(
                List.of("WORKFLOW_EXECUTION_STATUS_RUNNING", "conformance-waiter", env.queue, Json.object("number", 0)),
                List.of(description.get("status"), description.get("type").get("name"), description.get("taskQueue"),
                        description.get("memo").get("fields")));
        Env.expect(!description.has("closeTime"), description);

        var all = waiters.stream().map(Execution::id).collect(Collectors.toSet());
        var queue = "TaskQueue = '" + env.queue + "'";
        env.eventually("the list shows all three", () -> listed(env, queue).equals(all));
        Env.expect(listed(env, queue + " AND WorkflowId = '" + first.id() + "'").equals(Set.of(first.id())), "filter by id");
        Env.expect(listed(env, queue + " AND WorkflowType = 'conformance-waiter'").equals(all), "filter by type");
        Env.expect(listed(env, queue + " AND ExecutionStatus = 'Completed'").isEmpty(), "filter by status");

        first.terminate(Json.object("reason", "no longer needed", "details", List.of("first detail", 2)));
        var outcome = first.outcome();
        Env.expectEqual(
                List.of("TERMINATED", "no longer needed", List.of("first detail", 2)),
                List.of(outcome.get("status"), outcome.get("reason"), outcome.get("details")));
        Env.expectEqual("TERMINATED", first.status());
        Env.expect(first.describe().get("workflowExecutionInfo").has("closeTime"), "a close time");

        var terminated = queue + " AND ExecutionStatus = 'Terminated'";
        env.eventually("the list shows the status", () -> listed(env, terminated).equals(Set.of(first.id())));
        var running = queue + " AND ExecutionStatus = 'Running'";
        Env.expect(listed(env, running).size() == 2 && !listed(env, running).contains(first.id()), "two run");
        Env.expectEqual("2", env.sidecar.get("/v1/workflow-count?query=" + Sidecar.escape(running)).get("count"));
        for (var waiter : waiters.subList(1, 3)) waiter.terminate(Json.object());
    }
}
