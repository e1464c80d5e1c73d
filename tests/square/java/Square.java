import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Base64;
import java.util.HexFormat;
import java.util.List;
import java.util.stream.Stream;

/** The square's worker in Java, through a sidecar: runs until its standard input ends. test_square.py says what each part is for. */
final class Square {
    private static final Json OBJECT = Json.object(
            "name", "Zoë 🦊", "count", 3, "ratio", 0.5, "deep", Json.object("flags", Arrays.asList(true, false, null)));
    private static final List<Object> LIST = Arrays.asList(1, "two", null, Json.object("three", 3));
    private static final String TEXT = "naïve 日本 🦊\n\"quoted\" \\ end";
    private static final byte[] BYTES = {0, 1, 127, -128, -1};
    private static final List<String> KINDS = List.of("object", "list", "nothing", "text", "bytes");

    /** Bytes as a payload; JSON has no form for them. */
    private static Json raw(byte[] bytes) {
        var base64 = Base64.getEncoder();
        return Json.object("$payload", Json.object(
                "metadata", Json.object("encoding", base64.encodeToString("binary/plain".getBytes())),
                "data", base64.encodeToString(bytes)));
    }

    private static byte[] bytes(Json value) {
        return Base64.getDecoder().decode(value.get("$payload").get("data").text());
    }

    /** What these values are, found out by working with them. */
    private static Json describe(List<Json> values) {
        var object = values.get(0);
        var list = values.get(1);
        var text = values.get(3).text();
        return Json.object(
                "name", object.get("name").text(), "count", object.get("count").number() + 1,
                "ratio", Double.parseDouble(object.get("ratio").toString()) * 2,
                "flags", object.get("deep").get("flags").list().stream().filter(Json::isTrue).count(),
                "list", List.of(list.list().size(), list.get(1).text().toUpperCase(), list.get(2).isNull(), list.get(3).get("three").number()),
                "nothing", values.get(2).isNull(), "text", text + "!", "characters", text.codePointCount(0, text.length()),
                "bytes", HexFormat.of().formatHex(bytes(values.get(4))));
    }

    private static Object give(String kind) {
        return switch (kind) {
            case "object" -> OBJECT;
            case "list" -> LIST;
            case "text" -> TEXT;
            case "bytes" -> raw(BYTES);
            default -> null;
        };
    }

    private static Object refuse(Worker.Attempt attempt) {
        throw Failure.of("Refused", "no, ü", Json.object("code", 7), "ü").with("nonRetryable", true)
                .because(Failure.of("Deeper", "deep down"));
    }

    private static Object resume(Worker.Attempt attempt) {
        if (attempt.number() > 1) return attempt.lastDetails();
        attempt.heartbeat(Json.object("at", 3), "ü");
        throw Failure.of("Once", "once more");
    }

    private static Object linger(Worker.Attempt attempt) throws InterruptedException {
        try {
            while (true) {
                attempt.heartbeat("here");
                Thread.sleep(50);
            }
        } catch (Failure cancelled) {
            throw Failure.cancelled(Json.object("crumbs", 2));
        }
    }

    /** Calls each activity of another language, and reports what it saw. */
    private static Object square(Run run, List<Json> arguments) {
        var step = Json.object("taskQueue", arguments.get(0), "startToCloseTimeout", "60s",
                "retryPolicy", Json.object("initialInterval", "0.01s"));
        var values = KINDS.stream().map(Square::give).toArray();
        var inspected = run.call("inspect", step, values);
        var given = KINDS.stream().map(kind -> run.call("give", step, kind)).toList();
        Json refused;
        try {
            refused = run.call("refuse", step);
        } catch (Failure failure) {
            var why = new Failure(failure.content.get("cause"));
            refused = Json.object("type", why.type(), "message", why.getMessage(), "details", why.details(),
                    "nonRetryable", why.content.get("applicationFailureInfo").get("nonRetryable").isTrue(),
                    "cause", Json.object("type", why.root().type(), "message", why.root().getMessage()));
        }
        return Json.object("inspected", inspected, "given", describe(given), "refused", refused, "resumed", run.call("resume", step));
    }

    /** Is cancelled while an activity of another language is under way, and reports how that one ended. */
    private static Object squareCancelled(Run run, List<Json> arguments) {
        var linger = run.start("linger", Json.object("taskQueue", arguments.get(0), "startToCloseTimeout", "60s",
                "heartbeatTimeout", "30s", "cancellationType", "WAIT_CANCELLATION_COMPLETED"));
        try {
            return linger.get();
        } catch (Failure workflowCancelled) {
            linger.cancel();
        }
        try {
            return linger.get();
        } catch (Failure activityCancelled) {
            return Json.object("cancelled", activityCancelled.root().details());
        }
    }

    public static void main(String[] arguments) throws Exception {
        var folder = Files.createTempDirectory("square");
        try (var running = Sidecar.start(arguments[0], arguments[1], folder.resolve("sidecar"), "max_heartbeat_throttle_interval = \"0.1s\"");
                var worker = new Worker(new Sidecar(running.address(), running.token()), arguments[1])) {
            worker.workflow("Square", Square::square)
                    .workflow("SquareCancelled", Square::squareCancelled)
                    .activity("inspect", attempt -> describe(attempt.start().get("input").list()))
                    .activity("give", attempt -> give(attempt.input(0).text()))
                    .activity("refuse", Square::refuse)
                    .activity("resume", Square::resume)
                    .activity("linger", Square::linger)
                    .start(8);
            System.out.println("ready");
            System.in.readAllBytes();
        }
        try (Stream<Path> files = Files.list(folder)) {
            for (var file : files.toList()) Files.delete(file);
        }
        Files.delete(folder);
    }
}
