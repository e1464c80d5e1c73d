import java.util.Arrays;

/**
 * Something that has failed, in the form in which it travels: a {@code temporal.api.failure.v1.Failure}.
 *
 * <p>Steps throw it to fail, workflows catch it when a step has failed for good, and what a workflow lets pass fails the workflow. An
 * activity's failure says which activity it was; why it failed is its cause.
 */
final class Failure extends RuntimeException {
    final Json content;

    Failure(Json content) {
        super(content.get("message").text());
        this.content = content;
    }

    /** A failure that is tried again as the retry policy says. */
    static Failure of(String type, String message, Object... details) {
        return new Failure(Json.object(
                "message", message, "source", "Java",
                "applicationFailureInfo", Json.object("type", type, "details", Arrays.asList(details))));
    }

    /** An answer that no retry will change, and that nobody has to be woken for. */
    static Failure refusal(String type, String message) {
        return of(type, message).with("nonRetryable", true, "category", "APPLICATION_ERROR_CATEGORY_BENIGN");
    }

    /** Any exception of a step: tried again, with its class as type. */
    static Failure from(Throwable error) {
        if (error instanceof Failure failure) return failure;
        var failure = of(error.getClass().getSimpleName(), String.valueOf(error.getMessage()));
        var cause = error.getCause();
        return cause == null ? failure : failure.because(from(cause));
    }

    /** This failure with more fields of its {@code ApplicationFailureInfo}, given as name, value, and so on. */
    Failure with(Object... fields) {
        return new Failure(content.with("applicationFailureInfo", content.get("applicationFailureInfo").with(fields)));
    }

    Failure because(Failure cause) {
        return new Failure(content.with("cause", cause.content));
    }

    /** What lies at the bottom of this failure: the step's own words. */
    Failure root() {
        return content.has("cause") ? new Failure(content.get("cause")).root() : this;
    }

    String type() {
        return content.get("applicationFailureInfo").get("type").text();
    }

    Json details() {
        return content.get(isCancellation() ? "canceledFailureInfo" : "applicationFailureInfo").get("details");
    }

    boolean isCancellation() {
        return content.has("canceledFailureInfo");
    }

    /** The failure of what was cancelled. */
    static Failure cancelled(Object... details) {
        return new Failure(Json.object(
                "message", "cancelled", "source", "Java",
                "canceledFailureInfo", Json.object("details", Arrays.asList(details))));
    }
}
