import java.util.function.Consumer;

/**
 * The steps that touch the world: a payment provider, a warehouse, a carrier, a mail server.
 *
 * <p>They stand in for real services and misbehave as those do: the payment provider drops connections, a card is declined, goods are out of
 * stock, an address can't be reached. A step may be run more than once, for example when the process dies between doing it and
 * saying so. So each one that must not happen twice hands over an idempotency key.
 *
 * @param charged is called after each charge; it may not return
 */
record Steps(Ledger ledger, Consumer<String> charged) {
    void register(Worker worker) {
        worker.activity("validate", this::validate)
                .activity("charge", this::charge)
                .activity("refund", this::refund)
                .activity("reserve", this::reserve)
                .activity("release", this::release)
                .activity("check_address", this::checkAddress)
                .activity("ship", this::ship)
                .activity("send_receipt", this::sendReceipt);
    }

    /** Checks the order; returns its value in cents. */
    private Object validate(Worker.Attempt attempt) {
        var items = attempt.input(0).get("items").list();
        if (items.isEmpty() || items.stream().anyMatch(item -> item.get("count").number() < 1)) {
            throw Failure.refusal("InvalidOrder", "an order needs at least one item");
        }
        return items.stream().mapToLong(item -> item.get("count").number() * item.get("price_cents").number()).sum();
    }

    /** Charges the card. The order's id is the payment's idempotency key. */
    private Object charge(Worker.Attempt attempt) throws Exception {
        var payment = attempt.input(0);
        var order = payment.get("order_id").text();
        var card = payment.get("card").text();
        if (card.endsWith("0002")) throw Failure.refusal("CardDeclined", "card declined");
        var requests = ledger.charge(order, payment.get("cents").number());
        // The money is taken, the answer is lost. The retry policy asks again, with the same key.
        if (requests == 1 && card.endsWith("5")) throw new java.io.IOException("payment provider: connection reset");
        charged.accept(order);
        return null;
    }

    /** Undoes {@code charge}. */
    private Object refund(Worker.Attempt attempt) throws Exception {
        ledger.refund(attempt.input(0).get("order_id").text());
        return null;
    }

    /** Sets the goods aside. */
    private Object reserve(Worker.Attempt attempt) {
        for (var item : attempt.input(1).list()) {
            if (item.get("sku").text().equals("unobtainium")) throw Failure.refusal("OutOfStock", "unobtainium is out of stock");
        }
        return null;
    }

    /** Undoes {@code reserve}. */
    private Object release(Worker.Attempt attempt) {
        return null;
    }

    /** Asks the carrier whether it goes there. */
    private Object checkAddress(Worker.Attempt attempt) {
        refuseUnreachable(attempt.input(0).text());
        return null;
    }

    private static void refuseUnreachable(String address) {
        if (address.contains("Atlantis")) throw Failure.refusal("Unreachable", "no carrier goes to " + address);
    }

    /** Hands the parcel to the carrier; returns the tracking number. */
    private Object ship(Worker.Attempt attempt) {
        refuseUnreachable(attempt.input(1).text());
        // A carrier may take a while, and this is how the server knows that we are still at it.
        attempt.heartbeat("waiting for the carrier");
        return "parcel-" + attempt.input(0).text();
    }

    /** Writes to the customer. */
    private Object sendReceipt(Worker.Attempt attempt) {
        return null;
    }
}
