import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/** A workflow's history as a timeline that a person can read. */
final class Timeline {
    /** Activities by the event that scheduled them. */
    private final Map<String, String> names = new HashMap<>();

    /** One line per event that means something to a reader; the bookkeeping of workflow tasks is left out. */
    static List<String> of(List<Json> events) {
        var timeline = new Timeline();
        var lines = new ArrayList<String>();
        var begin = Instant.parse(events.get(0).get("eventTime").text());
        var worker = "";
        for (var event : events) {
            var text = timeline.describe(event);
            if (event.has("workflowTaskStartedEventAttributes")) {
                var identity = event.get("workflowTaskStartedEventAttributes").get("identity").text();
                if (!worker.isEmpty() && !worker.equals(identity)) text = "goes on in another process (" + identity + ")";
                worker = identity;
            }
            if (text.isEmpty()) continue;
            var at = Duration.between(begin, Instant.parse(event.get("eventTime").text()));
            lines.add(String.format("%4s  %8.3f s  %s", event.get("eventId").text(), at.toMillis() / 1000.0, text));
        }
        return lines;
    }

    /** What the event says, or nothing. */
    private String describe(Json event) {
        var kind = event.get("eventType").text().replaceFirst("EVENT_TYPE_", "");
        var what = event.members().entrySet().stream()
                .filter(member -> member.getKey().endsWith("EventAttributes"))
                .map(Map.Entry::getValue).findFirst().orElse(Json.NULL);
        var name = names.get(what.get("scheduledEventId").text());
        switch (kind) {
            case "WORKFLOW_EXECUTION_STARTED":
                var order = values(what.get("input"));
                return "order arrives: " + order.substring(0, Math.min(90, order.length())) + " …";
            case "ACTIVITY_TASK_SCHEDULED":
                names.put(event.get("eventId").text(), what.get("activityType").get("name").text());
                return "";
            case "ACTIVITY_TASK_STARTED":
                if (what.get("attempt").number() < 2) return "";
                return name + ": attempt " + what.get("attempt") + ", because: " + what.get("lastFailure").get("message").text();
            case "ACTIVITY_TASK_COMPLETED":
                return (name + ": done " + values(what.get("result"))).stripTrailing();
            case "ACTIVITY_TASK_FAILED":
                return name + ": failed for good: " + what.get("failure").get("message").text();
            case "ACTIVITY_TASK_TIMED_OUT":
                return name + ": timed out";
            case "TIMER_STARTED":
                return "timer set: " + what.get("startToFireTimeout").text();
            case "TIMER_FIRED":
                return "timer fires";
            case "TIMER_CANCELED":
                return "timer not needed any more";
            case "WORKFLOW_EXECUTION_SIGNALED":
                return "signal " + what.get("signalName").text() + " " + values(what.get("input"));
            case "WORKFLOW_EXECUTION_UPDATE_ACCEPTED":
                var input = what.get("acceptedRequest").get("input");
                return "update " + input.get("name").text() + " " + values(input.get("args"));
            case "WORKFLOW_EXECUTION_UPDATE_COMPLETED":
                var outcome = what.get("outcome");
                return "update answered: " + (outcome.has("failure") ? outcome.get("failure").get("message").text() : values(outcome.get("success")));
            case "WORKFLOW_EXECUTION_COMPLETED":
                return "order closed: " + values(what.get("result"));
            case "WORKFLOW_EXECUTION_FAILED":
                return "workflow failed: " + what.get("failure").get("message").text();
            default:
                return "";
        }
    }

    private static String values(Json payloads) {
        return payloads.list().stream().filter(value -> !value.isNull()).map(Json::toString).collect(Collectors.joining(" "));
    }
}
