import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * Orders that survive a crash: the main program.
 *
 * <pre>
 * java Orders orders.jsonl --state orders.db                   # run all orders to their end
 * java Orders orders.jsonl --state orders.db --crash-midway    # die with SIGKILL when half of them are paid
 * java Orders orders.jsonl --state orders.db                   # … and go on from there
 * </pre>
 *
 * There is no server to install and no SDK: the program starts {@code durably sidecar}, which holds the server and keeps its state in one
 * file, and talks HTTP to it. ({@code -Ddurably=FILE} says where that binary is, if not on the PATH.) The payment ledger is another file,
 * which stands for the world outside; at the end it proves that each payment was made once.
 *
 * <p>With {@code --sidecar HOST:PORT} it uses a sidecar that runs already, and leaves the steps to another application: examples/shell
 * has one.
 */
final class Orders {
    private static final String QUEUE = "orders";

    private record Arguments(Path orders, Path state, Path ledger, boolean crashMidway, double approval, double coolingOff, String timeline,
            String sidecar, Path tokenFile) {
        static Arguments parse(String[] words) {
            var named = new HashMap<String, String>();
            var orders = "";
            for (int i = 0; i < words.length; i++) {
                if (words[i].equals("--crash-midway")) named.put(words[i], "");
                else if (words[i].startsWith("--") && i + 1 < words.length) named.put(words[i], words[++i]);
                else orders = words[i];
            }
            var state = named.get("--state");
            if (orders.isEmpty() || state == null) {
                throw new IllegalArgumentException("usage: java Orders ORDERS.jsonl --state FILE [--crash-midway] [--ledger FILE]"
                        + " [--approval-timeout SECONDS] [--cooling-off SECONDS] [--timeline ORDER_ID] [--sidecar HOST:PORT --token-file FILE]");
            }
            return new Arguments(Path.of(orders), Path.of(state), Path.of(named.getOrDefault("--ledger", state + ".ledger")),
                    named.containsKey("--crash-midway"), Double.parseDouble(named.getOrDefault("--approval-timeout", "10")),
                    Double.parseDouble(named.getOrDefault("--cooling-off", "1")), named.getOrDefault("--timeline", ""),
                    named.get("--sidecar"), Path.of(named.getOrDefault("--token-file", "sidecar.token")));
        }
    }

    private final Sidecar sidecar;
    private final Ledger ledger;
    private final Json settings;
    private final Map<String, Json> orders;
    private final AtomicInteger taken = new AtomicInteger();
    private final ConcurrentLinkedQueue<Json> outcomes = new ConcurrentLinkedQueue<>();
    /** What became of the customers' wishes to have their orders sent elsewhere. */
    private final ConcurrentLinkedQueue<String> moves = new ConcurrentLinkedQueue<>();

    private Orders(Sidecar sidecar, Arguments arguments) throws IOException {
        this.sidecar = sidecar;
        ledger = new Ledger(arguments.ledger());
        settings = Json.object("approval_seconds", arguments.approval(), "cooling_off_seconds", arguments.coolingOff());
        orders = read(arguments.orders());
    }

    public static void main(String[] words) {
        try {
            System.exit(run(Arguments.parse(words)) ? 0 : 1);
        } catch (Exception error) {
            System.err.println("error: " + (error instanceof IllegalArgumentException ? error.getMessage() : error));
            System.exit(1);
        }
    }

    private static boolean run(Arguments arguments) throws Exception {
        if (arguments.sidecar() != null) {
            var sidecar = new Sidecar(arguments.sidecar(), Files.readString(arguments.tokenFile()).strip());
            return new Orders(sidecar, arguments).run(arguments, null);
        }
        try (var running = Sidecar.start("embedded:" + arguments.state(), QUEUE, arguments.state(), "max_concurrent_activities = 16")) {
            return new Orders(new Sidecar(running.address(), running.token()), arguments).run(arguments, running.process());
        }
    }

    /** Runs all orders and shows how they ended; tells whether the ledger agrees. */
    private boolean run(Arguments arguments, Process process) throws Exception {
        var openBefore = open();
        if (!openBefore.isEmpty()) {
            System.out.println(openBefore.size() + " orders are open from an earlier run; they go on where they were.");
        }
        var worker = new Worker(sidecar, QUEUE).workflow("OrderWorkflow", OrderWorkflow::run);
        if (process != null) {
            int fatal = arguments.crashMidway() ? orders.size() / 2 : Integer.MAX_VALUE;
            new Steps(ledger, order -> maybeDie(order, fatal, process)).register(worker);
        }
        try (var started = worker.start(16)) {
            runAll();
            var isExact = report();
            show(arguments.timeline().isEmpty() ? choose(openBefore) : arguments.timeline());
            return isExact;
        }
    }

    /** The orders of the file, by id. */
    private static Map<String, Json> read(Path file) throws IOException {
        var orders = new LinkedHashMap<String, Json>();
        int number = 0;
        for (var line : Files.readAllLines(file)) {
            number++;
            if (line.isBlank()) continue;
            try {
                var order = Json.parse(line);
                for (var name : List.of("id", "customer", "card", "address")) {
                    if (order.get(name).text().isEmpty()) throw new IllegalArgumentException("`" + name + "` is missing");
                }
                if (orders.put(order.get("id").text(), order) != null) {
                    throw new IllegalArgumentException("order id " + order.get("id") + " is there already; ids must be unique");
                }
            } catch (IllegalArgumentException error) {
                throw new IllegalArgumentException(file + ", line " + number + ": " + error.getMessage());
            }
        }
        if (orders.isEmpty()) throw new IllegalArgumentException(file + " has no orders");
        return orders;
    }

    /** Workflows that an earlier run of this program has left open, with the length of their histories. */
    private Map<String, Long> open() {
        var open = new HashMap<String, Long>();
        var token = "";
        do {
            var page = sidecar.get("/v1/workflows?query=" + Sidecar.escape("ExecutionStatus = \"Running\"")
                    + "&nextPageToken=" + Sidecar.escape(token));
            for (var run : page.get("executions").list()) {
                open.put(run.get("execution").get("workflowId").text(), run.get("historyLength").number());
            }
            token = page.get("nextPageToken").text();
        } while (!token.isEmpty());
        return open;
    }

    private void runAll() throws Exception {
        var threads = Executors.newCachedThreadPool();
        var all = new ArrayList<Future<?>>();
        for (var order : orders.values()) all.add(threads.submit(() -> runOrder(order)));
        var began = System.nanoTime();
        var last = "";
        try {
            for (boolean isDone = false; !isDone; ) {
                isDone = all.stream().allMatch(Future::isDone);
                var line = taken + "/" + orders.size() + " orders taken, " + ledger.requests().size() + " charged, " + outcomes.size() + " closed";
                if (!line.equals(last)) System.out.printf("%6.1f s  %s%n", (System.nanoTime() - began) / 1e9, line);
                last = line;
                if (!isDone) Thread.sleep(500);
            }
            for (var order : all) order.get();
        } catch (ExecutionException error) {
            throw (Exception) error.getCause();
        } finally {
            threads.shutdownNow();
        }
    }

    /** One order from start to end, seen from outside. */
    private Void runOrder(Json order) throws InterruptedException {
        var workflow = "order-" + order.get("id").text();
        start(workflow, order);
        taken.incrementAndGet();
        playCustomer(workflow, order);
        if (cents(order) >= OrderWorkflow.APPROVAL_LIMIT) playManager(workflow, order);
        Json result;
        do {
            result = sidecar.get("/v1/workflows/" + Sidecar.escape(workflow) + "/result?wait=60s");
        } while (result.get("status").text().equals("RUNNING"));
        if (!result.get("status").text().equals("COMPLETED")) throw new IllegalStateException(workflow + ": " + result);
        outcomes.add(result.get("result"));
        return null;
    }

    /**
     * Starts an order's workflow, unless an earlier run of this program has done so. The workflow's id is the order's, so that an order can't
     * be taken twice, however often this is called.
     */
    private void start(String workflow, Json order) {
        try {
            sidecar.post("/v1/workflows", Json.object(
                    "workflowId", workflow, "workflowType", "OrderWorkflow", "taskQueue", QUEUE,
                    "workflowIdReusePolicy", "WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE",
                    "arguments", List.of(order, settings)));
        } catch (Sidecar.Refused refused) {
            if (refused.status != 409) throw refused;
        }
    }

    /** Some customers think twice: ines moves to Ghent, and eve would like to have her order sent to Atlantis. */
    private void playCustomer(String workflow, Json order) {
        switch (order.get("customer").text()) {
            case "ines" -> moves.add(move(workflow, "7 Quai Vert, Ghent"));
            case "eve" -> moves.add(move(workflow, "Poseidon Plaza, Atlantis"));
            default -> {}
        }
    }

    /**
     * Updates an order, and says how that ended. The update has an id: sent again, after a crash for example, it is the same one, and has the
     * same answer.
     */
    private String move(String workflow, String to) {
        var path = "/v1/workflows/" + Sidecar.escape(workflow);
        var update = Json.object("updateId", "move", "arguments", List.of(to));
        Json answer;
        do {
            try {
                answer = sidecar.post(path + "/updates/move?wait=60s", update);
            } catch (Sidecar.Refused refused) {
                if (refused.status != 404) throw refused;
                // The order is closed. What it answered before that can still be asked for.
                return answered(path + "/update-results/move");
            }
        } while (!answer.get("stage").text().equals("COMPLETED"));
        return tell(answer);
    }

    private String answered(String path) {
        try {
            return tell(sidecar.get(path));
        } catch (Sidecar.Refused refused) {
            if (refused.status != 404) throw refused;
            return "came too late";
        }
    }

    private static String tell(Json answer) {
        return answer.has("failure") ? "stayed: " + new Failure(answer.get("failure")).root().getMessage() : "moved";
    }

    /** Decides about a large order as soon as it asks: mallory gets nothing, for nobody's orders nobody has time. */
    private void playManager(String workflow, Json order) throws InterruptedException {
        var customer = order.get("customer").text();
        if (customer.equals("nobody")) return;
        var path = "/v1/workflows/" + Sidecar.escape(workflow);
        while (true) {
            var status = sidecar.post(path + "/queries/status", Json.object()).get("result").text();
            if (status.equals("waiting for approval")) break;
            if (!status.equals("received") && !status.equals("validating")) return;
            Thread.sleep(200);
        }
        try {
            sidecar.post(path + "/signals/decide", Json.object("arguments", List.of(!customer.equals("mallory"))));
        } catch (Sidecar.Refused refused) {
            // 404: the time for the approval has run out meanwhile.
            if (refused.status != 404) throw refused;
        }
    }

    /** With the charge of this number, kills the sidecar and this process: the money is taken, nobody was told. */
    private synchronized void maybeDie(String order, int fatal, Process sidecar) {
        try {
            if (ledger.requests().size() < fatal) return;
            System.out.println("The money of order " + order + " is taken; sidecar and application die before they can say so.");
            // Stopped first, this process can't see the sidecar die and act on it.
            var kill = "kill -STOP %2$d; kill -9 %1$d %2$d".formatted(sidecar.pid(), ProcessHandle.current().pid());
            new ProcessBuilder("sh", "-c", kill).start().waitFor();
        } catch (IOException | InterruptedException error) {
            throw new IllegalStateException(error);
        }
    }

    /** Prints how the orders ended, and whether the ledger agrees with it; tells whether it does. */
    private boolean report() throws IOException {
        System.out.println("\nAll " + orders.size() + " orders are closed:");
        var counts = new TreeMap<String, Integer>();
        var shipped = new TreeSet<String>();
        for (var outcome : outcomes) {
            var result = outcome.get("result").text();
            if (result.equals("shipped")) shipped.add(outcome.get("order_id").text());
            counts.merge(result.equals("shipped") ? result : result + ": " + outcome.get("detail").text(), 1, Integer::sum);
        }
        counts.forEach((result, count) -> System.out.printf("  %4d  %s%n", count, result));
        var moved = new TreeMap<String, Integer>();
        moves.forEach(move -> moved.merge(move, 1, Integer::sum));
        moved.forEach((move, count) -> System.out.printf("  %4d  customer%s %s%n", count, count == 1 ? "" : "s", move));
        var requests = ledger.requests();
        int repeated = requests.values().stream().mapToInt(count -> count - 1).sum();
        System.out.printf("%nPayment ledger: %d charges, %d refunded, %d repeated requests answered without a charge.%n",
                requests.size(), ledger.refunded().size(), repeated);
        if (ledger.paid().equals(shipped)) {
            System.out.println("Each of the " + shipped.size() + " shipped orders was charged exactly once, and no other order paid.");
            return true;
        }
        System.out.println("Charged: " + ledger.paid() + "; shipped: " + shipped);
        return false;
    }

    /** An order with a story: under way during the crash if there was one, shipped, and large. */
    private String choose(Map<String, Long> openBefore) throws IOException {
        var paid = ledger.paid();
        return orders.keySet().stream().max(Comparator
                // By its fourth event, a workflow's code has run once.
                .comparing((String id) -> openBefore.getOrDefault("order-" + id, 0L) >= 4)
                .thenComparing(paid::contains)
                .thenComparing(id -> cents(orders.get(id)))).orElseThrow();
    }

    private static long cents(Json order) {
        return order.get("items").list().stream().mapToLong(item -> item.get("count").number() * item.get("price_cents").number()).sum();
    }

    private void show(String id) {
        var history = sidecar.get("/v1/workflows/" + Sidecar.escape("order-" + id) + "/history");
        System.out.println("\nHistory of order " + id + ":");
        Timeline.of(history.get("events").list()).forEach(System.out::println);
    }
}
