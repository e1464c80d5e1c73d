import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;

/**
 * The world outside: the payment provider's own book, which knows nothing of workflows.
 *
 * <p>It is a file of one request per line, written through before a request is answered. An order is charged with its first request;
 * later ones find it charged.
 */
record Ledger(Path file) {
    /** Takes the money, once per order, and returns how often that was asked for. */
    synchronized int charge(String order, long cents) throws IOException {
        write(Json.object("what", "charge", "key", order, "cents", cents));
        return requests().get(order);
    }

    /** Gives the money back; giving it back again changes nothing. */
    synchronized void refund(String order) throws IOException {
        write(Json.object("what", "refund", "key", order));
    }

    private void write(Json entry) throws IOException {
        Files.writeString(file, entry + "\n", StandardOpenOption.CREATE, StandardOpenOption.APPEND);
    }

    /** Per order that was charged, how often that was asked for. */
    Map<String, Integer> requests() throws IOException {
        var requests = new HashMap<String, Integer>();
        for (var entry : entries("charge")) requests.merge(entry.get("key").text(), 1, Integer::sum);
        return requests;
    }

    TreeSet<String> refunded() throws IOException {
        var refunded = new TreeSet<String>();
        for (var entry : entries("refund")) refunded.add(entry.get("key").text());
        return refunded;
    }

    /** Orders that have paid and not got their money back. */
    TreeSet<String> paid() throws IOException {
        var paid = new TreeSet<>(requests().keySet());
        paid.removeAll(refunded());
        return paid;
    }

    private List<Json> entries(String what) throws IOException {
        var entries = new ArrayList<Json>();
        if (!Files.exists(file)) return entries;
        var text = Files.readString(file);
        // A line that is being written at this moment doesn't count yet.
        text.substring(0, text.lastIndexOf('\n') + 1).lines().map(Json::parse)
                .filter(entry -> entry.get("what").text().equals(what)).forEach(entries::add);
        return entries;
    }
}
