import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * Runs the conformance programs beside it as applications of one sidecar, which works with the server at the address given.
 *
 * <p>{@code java -Ddurably=BINARY Runner --address ADDRESS BEHAVIOUR…} prints one JSON line per behaviour; ends with 1 if one has failed.
 */
final class Runner {
    private static final int LIMIT_SECONDS = 90;
    /** Behaviours under way at a time. */
    private static final int CONCURRENCY = 4;
    /** Activities of one behaviour at a time. */
    private static final int ACTIVITIES = 8;

    /** A behaviour and its task queue. */
    private record Program(String name, Behaviour behaviour, String queue) {
        static Program load(String name) throws ReflectiveOperationException {
            var type = Stream.of(name.split("_")).map(word -> word.substring(0, 1).toUpperCase() + word.substring(1)).collect(Collectors.joining());
            var behaviour = (Behaviour) Class.forName(type).getDeclaredConstructor().newInstance();
            return new Program(name, behaviour, name + "-" + UUID.randomUUID().toString().substring(0, 8));
        }

        /** Checks beside a worker, then replays every history that this has left. */
        Void run(Sidecar sidecar) throws Exception {
            var env = new Env(sidecar, queue);
            try (var worker = new Worker(sidecar, queue)) {
                behaviour.register(worker);
                worker.start(ACTIVITIES);
                behaviour.check(env);
            }
            try (var replayer = new Worker(sidecar, replays())) {
                behaviour.register(replayer);
                env.replayAll(replayer.start(0));
            }
            return null;
        }

        /** The name under which its histories are replayed. */
        String replays() {
            return queue + "-replays";
        }
    }

    public static void main(String[] arguments) throws Exception {
        if (arguments.length < 3 || !arguments[0].equals("--address")) {
            System.err.println("usage: java Runner --address ADDRESS BEHAVIOUR...");
            System.exit(2);
        }
        var programs = new ArrayList<Program>();
        for (var name : List.of(arguments).subList(2, arguments.length)) programs.add(Program.load(name));
        var folder = Files.createTempDirectory("conformance");
        var all = runAll(arguments[1], folder, programs);
        delete(folder);
        // A behaviour that hangs must not keep the process.
        System.exit(all ? 0 : 1);
    }

    private static boolean runAll(String address, Path folder, List<Program> programs) throws Exception {
        Map<String, List<String>> queues = new LinkedHashMap<>();
        for (var program : programs) {
            queues.put(program.queue, List.of(program.behaviour.options()));
            queues.put(program.replays(), List.of("replay_only = true"));
        }
        try (var running = Sidecar.start(address, folder.resolve("sidecar"), queues)) {
            var sidecar = new Sidecar(running.address(), running.token());
            var slots = Executors.newFixedThreadPool(CONCURRENCY);
            var outcomes = new ArrayList<Future<Boolean>>();
            for (var program : programs) outcomes.add(slots.submit(() -> report(program, sidecar)));
            var all = true;
            for (var outcome : outcomes) all &= outcome.get();
            return all;
        }
    }

    /** Runs one behaviour, says how it went, and returns whether it went well. */
    private static boolean report(Program program, Sidecar sidecar) throws InterruptedException {
        var started = System.nanoTime();
        var outcome = Json.object("behaviour", program.name, "ok", true);
        var thread = Executors.newSingleThreadExecutor();
        try {
            thread.submit(() -> program.run(sidecar)).get(LIMIT_SECONDS, TimeUnit.SECONDS);
        } catch (ExecutionException failed) {
            var cause = failed.getCause();
            var trace = Stream.of(cause.getStackTrace()).limit(8).map(StackTraceElement::toString).collect(Collectors.joining("\n"));
            outcome = outcome.with("ok", false, "error", cause.toString(), "trace", trace);
        } catch (TimeoutException late) {
            outcome = outcome.with("ok", false, "error", "not done within " + LIMIT_SECONDS + " s");
        } finally {
            thread.shutdownNow();
        }
        var hundredths = (System.nanoTime() - started) / 10_000_000;
        System.out.println(outcome.with("seconds", hundredths / 100.0));
        return outcome.get("ok").isTrue();
    }

    private static void delete(Path folder) throws IOException {
        try (var files = Files.list(folder)) {
            for (var file : files.toList()) Files.delete(file);
        }
        Files.delete(folder);
    }
}
