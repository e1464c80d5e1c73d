import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/** A history read backwards, in pages, is the history read forwards, turned round. */
final class ReverseHistory implements Behaviour {
    private static Object ticks(Run run, List<Json> arguments) {
        for (long tick = 0; tick < arguments.get(0).number(); tick++) run.sleep(Duration.ofMillis(10));
        return null;
    }

    @Override
    public void register(Worker worker) {
        worker.workflow("Ticks", ReverseHistory::ticks);
    }

    @Override
    public void check(Env env) {
        var ticks = env.start("Ticks", 5);
        ticks.result();
        var forwards = ids(ticks.history());
        Env.expectEqual(1, forwards.get(0));
        var backwards = new ArrayList<Long>();
        var request = Json.object("execution", Json.object("workflowId", ticks.id(), "runId", ticks.runId()), "maximumPageSize", 4);
        var pages = 0;
        do {
            // A call that has no resource of its own.
            var page = env.sidecar.post("/v1/calls/GetWorkflowExecutionHistoryReverse", request);
            backwards.addAll(ids(page.get("history").get("events").list()));
            request = request.with("nextPageToken", page.get("nextPageToken").text());
            pages++;
        } while (!request.get("nextPageToken").text().isEmpty());
        Env.expect(pages > 1, pages);
        Collections.reverse(backwards);
        Env.expectEqual(forwards, backwards);
    }

    private static List<Long> ids(List<Json> events) {
        return events.stream().map(event -> event.get("eventId").number()).toList();
    }
}
