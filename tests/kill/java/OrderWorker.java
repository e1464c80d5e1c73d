import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/**
 * A worker process of the kill test in Java: runs the workflow Order, through a sidecar, until its standard input ends.
 *
 * <p>{@code java OrderWorker SIDECAR_ADDRESS TOKEN_FILE QUEUE}
 */
final class OrderWorker {
    private static final Json ACTIVITY = Json.object(
            // An attempt whose completion never arrived is tried again after this.
            "startToCloseTimeout", "5s",
            // Nothing is lost, so nothing needs to time out.
            "scheduleToCloseTimeout", "600s");

    /** The workflow of orders.py: the same commands in the same order. It doubles its number three times and collects its items. */
    private static Object order(Run run, List<Json> arguments) {
        var items = new ArrayList<Long>();
        run.onSignal("add", item -> items.add(item.get(0).number()));
        var value = run.call("double", ACTIVITY, arguments.get(0));
        run.sleep(Duration.ofMillis(50));
        var doubled = run.start("double", ACTIVITY, value);
        var others = List.of(run.start("double", ACTIVITY, 1), run.start("double", ACTIVITY, 2));
        value = doubled.get();
        others.forEach(Run.Later::get);
        run.await(() -> items.size() >= arguments.get(1).number());
        run.sleep(Duration.ofMillis(50));
        value = run.call("double", ACTIVITY, value);
        return List.of(value, items.stream().sorted().toList());
    }

    public static void main(String[] arguments) throws Exception {
        var sidecar = new Sidecar(arguments[0], Files.readString(Path.of(arguments[1])));
        new Worker(sidecar, arguments[2]).workflow("Order", OrderWorker::order).start(0);
        System.out.println("ready");
        System.in.readAllBytes();
    }
}
