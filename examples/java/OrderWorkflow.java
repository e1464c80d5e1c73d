import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;

/**
 * One order, from its arrival to its shipment or its refusal: validate, charge, reserve, wait for approval, ship; and undo what was done when
 * a step fails.
 *
 * <p>Until it ships, the customer may move: {@link #move} is an update, which somebody asks for from outside and gets an answer to.
 *
 * <p>Read {@link #fulfil} from top to bottom: that is the whole business process. It survives crashes at any line, because every step is
 * in the workflow's history before the next one begins.
 */
final class OrderWorkflow {
    /** Orders from this value on, in cents, are shipped only after somebody has approved them. */
    static final long APPROVAL_LIMIT = 500_00;

    /**
     * One attempt of a step may take ten seconds; then its worker counts as dead, and the step is tried elsewhere. It is tried again after
     * 0.1, 0.2, 0.4 … seconds, unless its error says that trying again is of no use.
     */
    private static final Json STEP = Json.object(
            "startToCloseTimeout", "10s",
            "retryPolicy", Json.object("initialInterval", "0.1s", "maximumInterval", "5s"));

    private final Run run;
    private final Json order;
    private String status = "received";
    private String address;
    private Boolean approved;
    /** What to do, last first, if a later step fails: the saga's compensations. */
    private final Deque<Runnable> compensations = new ArrayDeque<>();

    private OrderWorkflow(Run run, Json order) {
        this.run = run;
        this.order = order;
        address = order.get("address").text();
        run.onSignal("decide", arguments -> approved = arguments.get(0).isTrue());
        run.onQuery("status", arguments -> status);
        run.onUpdate("move", arguments -> refuseMove(arguments.get(0).text()), arguments -> move(arguments.get(0).text()));
    }

    /** The workflow as the worker knows it; its arguments are the order, and what the caller decides about time. */
    static Object run(Run run, List<Json> arguments) {
        var workflow = new OrderWorkflow(run, arguments.get(0));
        try {
            return workflow.fulfil(arguments.get(1));
        } catch (Failure failure) {
            workflow.status = "undoing";
            workflow.compensations.forEach(Runnable::run);
            return workflow.outcome("failed", failure.root().getMessage());
        }
    }

    private Json fulfil(Json settings) {
        status = "validating";
        var cents = run.call("validate", STEP, order);

        if (cents.number() >= APPROVAL_LIMIT) {
            status = "waiting for approval";
            run.await(() -> approved != null, seconds(settings.get("approval_seconds")));
            if (approved == null) return outcome("refused", "not approved in time");
            if (!approved) return outcome("refused", "not approved");
        }

        status = "charging";
        var id = order.get("id");
        var payment = Json.object("order_id", id, "card", order.get("card"), "cents", cents);
        run.call("charge", STEP, payment);
        compensations.push(() -> run.call("refund", STEP, payment));

        status = "reserving";
        run.call("reserve", STEP, id, order.get("items"));
        compensations.push(() -> run.call("release", STEP, id));

        status = "cooling off";
        run.sleep(seconds(settings.get("cooling_off_seconds")));

        // Whoever asks for the carrier's opinion at this moment is waited for.
        run.await(run::hasAnsweredUpdates);
        status = "shipping";
        var tracking = run.call("ship", STEP.with("heartbeatTimeout", "5s"), id, address);
        run.call("send_receipt", STEP, order.get("customer"), tracking);
        return outcome("shipped", tracking.text());
    }

    /** The validator of {@link #move}. What it turns away leaves nothing in the history. */
    private void refuseMove(String to) {
        if (to.isBlank()) throw Failure.refusal("InvalidAddress", "an order needs an address");
        if (status.equals("shipping") || status.equals("shipped")) throw Failure.refusal("TooLate", "the order is with the carrier");
    }

    /** Changes the address, if the carrier goes there; returns the old one. If not, the update fails, and the order goes on as it was. */
    private Object move(String to) {
        run.call("check_address", STEP, to);
        var old = address;
        address = to;
        return old;
    }

    private Json outcome(String result, String detail) {
        status = result;
        return Json.object("order_id", order.get("id"), "result", result, "detail", detail);
    }

    private static Duration seconds(Json number) {
        return Duration.ofMillis((long) (Double.parseDouble(number.toString()) * 1000));
    }
}
