import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.IntStream;

/** Update-with-start: one call that updates the run of an id, and starts it first if there is none. */
final class UpdateWithStart implements Behaviour {
    /** Collects what is put into it. */
    private static Object cart(Run run, List<Json> arguments) {
        var things = new ArrayList<>(List.of(arguments.get(0).text()));
        var isPaid = new AtomicBoolean();
        run.onSignal("pay", nothing -> isPaid.set(true));
        run.onUpdate("put", thing -> {
            if (thing.get(0).text().isEmpty()) throw Failure.of("Nothing", "nothing to put");
        }, thing -> {
            things.add(thing.get(0).text());
            return things.size() - 1;
        });
        run.onUpdate("put when paid", thing -> {
            run.await(isPaid::get);
            things.add(thing.get(0).text());
            return thing.get(0);
        });
        run.await(isPaid::get);
        run.await(run::hasAnsweredUpdates);
        return things;
    }

    @Override
    public void register(Worker worker) {
        worker.workflow("Cart", UpdateWithStart::cart);
    }

    @Override
    public void check(Env env) throws Exception {
        aStart(env);
        whoIsThere(env);
        refusals(env);
    }

    private static Json put(Env env, String thing, String owner, String id, String policy, Object... more) {
        var update = Json.object("updateName", "put", "updateArguments", List.of(thing)).with(more);
        return env.updateWithStart("COMPLETED", id, policy, update, "Cart", owner);
    }

    private static Execution of(Env env, Json answer) {
        return new Execution(env.sidecar, answer.get("workflowId").text(), answer.get("runId").text());
    }

    private static void pay(Execution cart, String... things) {
        cart.signal("pay");
        Env.expectEqual(List.of(things), cart.result());
    }

    /** Nobody is there: each policy starts a run, and its first task has the update. */
    private static void aStart(Env env) {
        for (var policy : List.of("FAIL", "USE_EXISTING")) {
            var id = env.newId();
            var answer = put(env, "milk", "Ann", id, policy);
            Env.expectEqual(1, Execution.resultOf(answer));
            Env.expectEqual(List.of(id, true), List.of(answer.get("workflowId"), answer.get("started")));
            var cart = env.child(id);
            Env.expectEqual(
                    List.of("WORKFLOW_EXECUTION_STARTED", "WORKFLOW_TASK_SCHEDULED", "WORKFLOW_TASK_STARTED", "WORKFLOW_TASK_COMPLETED",
                            "WORKFLOW_EXECUTION_UPDATE_ACCEPTED", "WORKFLOW_EXECUTION_UPDATE_COMPLETED"),
                    cart.history().stream().map(event -> event.get("eventType").text().replaceFirst("EVENT_TYPE_", "")).toList());
            pay(cart, "Ann", "milk");
        }
        // One that is only accepted; its workflow is known by then.
        var id = env.newId();
        var update = Json.object("updateName", "put when paid", "updateArguments", List.of("bread"), "updateId", "bread");
        var accepted = env.updateWithStart("ACCEPTED", id, "FAIL", update, "Cart", "Bob");
        Env.expectEqual(
                List.of(id, "bread", "ACCEPTED"), List.of(accepted.get("workflowId"), accepted.get("updateId"), accepted.get("stage")));
        var cart = of(env, accepted);
        cart.signal("pay");
        Env.expectEqual("bread", Execution.resultOf(cart.updateAnswer("bread")));
        Env.expectEqual(List.of("Bob", "bread"), cart.result());
    }

    /** A run is there already. */
    private static void whoIsThere(Env env) throws Exception {
        var id = env.newId();
        var first = put(env, "milk", "Ann", id, "USE_EXISTING", "updateId", "milk");
        Env.expectEqual(1, Execution.resultOf(first));
        var second = put(env, "bread", "Bob", id, "USE_EXISTING");
        Env.expectEqual(2, Execution.resultOf(second));
        Env.expectEqual(List.of(first.get("runId"), false), List.of(second.get("runId"), second.get("started")));
        // Asked once more by its id: the answer of then.
        Env.expectEqual(1, Execution.resultOf(put(env, "something else", "Bob", id, "USE_EXISTING", "updateId", "milk")));
        // FAIL: nothing happens. But an update that is there already is found by its id.
        var refused = Env.expectRefusal("ALREADY_EXISTS", "", () -> put(env, "eggs", "Bob", id, "FAIL"));
        Env.expectEqual(first.get("runId"), refused.details.get(0).get("runId"));
        Env.expectEqual(1, Execution.resultOf(put(env, "milk", "Bob", id, "FAIL", "updateId", "milk")));
        pay(of(env, first), "Ann", "milk", "bread");
        // It is closed: a new run, unless the reuse policy says otherwise.
        Env.expectRefusal("ALREADY_EXISTS", "", () -> put(
                env, "eggs", "Bob", id, "USE_EXISTING", "workflowIdReusePolicy", "WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE"));
        var fourth = put(env, "eggs", "Bob", id, "USE_EXISTING");
        Env.expectEqual(1, Execution.resultOf(fourth));
        Env.expect(!fourth.get("runId").equals(first.get("runId")), fourth);
        // Ten at once.
        var asked = IntStream.range(0, 10)
                .<Callable<Long>>mapToObj(n -> () -> Execution.resultOf(put(env, "egg " + n, "Bob", id, "USE_EXISTING")).number()).toList();
        Env.expectEqual(IntStream.rangeClosed(2, 11).boxed().toList(), Env.atOnce(asked).stream().sorted().toList());
        // One that takes the place of the run that is there.
        var fifth = put(env, "salt", "Cid", id, "TERMINATE_EXISTING");
        Env.expectEqual(1, Execution.resultOf(fifth));
        Env.expectEqual("TERMINATED", of(env, fourth).status());
        pay(of(env, fifth), "Cid", "salt");
    }

    private static void refusals(Env env) {
        // The update is turned away, and the run that was started for it goes on.
        var answer = put(env, "", "Ann", env.newId(), "FAIL");
        Env.expectEqual("Nothing", Env.expectFailure(() -> Execution.resultOf(answer)).type());
        Env.expectEqual("RUNNING", of(env, answer).status());
        pay(of(env, answer), "Ann");
        // What the server refuses.
        Env.expectRefusal("INVALID_ARGUMENT", "", () -> put(env, "milk", "Ann", env.newId(), "FAIL", "cronSchedule", "* * * * *"));
        Env.expectRefusal("INVALID_ARGUMENT", "", () -> put(env, "milk", "Ann", env.newId(), "FAIL", "workflowStartDelay", "1s"));
    }
}
