import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.IntStream;

/** Updates change a run and answer: waited for by stage, asked for again by id, in order, and with anything inside. */
final class Update implements Behaviour {
    private static final String ACCEPTED = "WORKFLOW_EXECUTION_UPDATE_ACCEPTED";
    private static final String COMPLETED = "WORKFLOW_EXECUTION_UPDATE_COMPLETED";
    private static final String TURN = "it was %s's turn";

    /** Keeps a balance, and a list of what was done to it. */
    private static final class Account {
        private final Run run;
        private final List<String> done = new ArrayList<>();
        private final Set<String> turns = new HashSet<>();
        private final AtomicReference<String> end = new AtomicReference<>("");
        private long balance;

        private Account(Run run) {
            this.run = run;
            run.onSignal("note", what -> done.add(what.get(0).text()));
            run.onSignal("take turn", name -> turns.add(name.get(0).text()));
            run.onSignal("finish", how -> end.set(how.get(0).text()));
            run.onQuery("all done", nothing -> done);
            run.onUpdate("add", number -> add(number.get(0).number()));
            run.onUpdate("nothing", nothing -> {
                done.add("nothing");
                return null;
            });
            run.onUpdate("with two", two -> List.of(two.get(1), two.get(0)));
            run.onUpdate("wait turn", name -> waitTurn(name.get(0).text()));
            run.onUpdate("work", number -> work(number.get(0).number()));
            run.onUpdate("fail", late -> {
                if (late.get(0).isTrue()) run.sleep(Duration.ofMillis(10));
                throw Failure.of("Poor", "no money", "a detail");
            });
            run.onUpdate("fail with cancel", nothing -> {
                run.sleep(Duration.ofMillis(10));
                throw Failure.cancelled();
            });
            run.onUpdate("who", nothing -> {
                var before = run.update();
                run.sleep(Duration.ofMillis(10));
                Env.expectEqual(before, run.update());
                return List.of(before.get("id"), before.get("name"));
            });
        }

        private long add(long number) {
            balance += number;
            done.add("add " + number);
            return balance;
        }

        /** Begins at once, ends when the signal has its name. */
        private String waitTurn(String name) {
            done.add("begin " + name);
            run.await(() -> turns.contains(name));
            done.add("end " + name);
            return TURN.formatted(name);
        }

        /** A timer, an activity, a child, and another handler. */
        private long work(long number) {
            run.sleep(Duration.ofMillis(10));
            var doubled = run.call("double", Json.object("startToCloseTimeout", "10s"), number);
            var child = Json.object("workflowId", run.info().get("workflowId").text() + "-" + doubled);
            return add(run.startChild("Adds", child, doubled).get().number());
        }

        private static Object run(Run run, List<Json> arguments) {
            var account = new Account(run);
            Env.expect(run.update().isNull(), "this is no handler");
            run.await(() -> !account.end.get().isEmpty());
            if (account.end.get().equals("next")) run.continueAsNew(Json.object());
            if (account.end.get().equals("patiently")) run.await(run::hasAnsweredUpdates);
            return account.balance;
        }
    }

    @Override
    public void register(Worker worker) {
        worker.workflow("Account", Account::run)
                .workflow("Adds", (run, arguments) -> arguments.get(0).number() + 1)
                .activity("double", attempt -> 2 * attempt.input(0).number());
    }

    @Override
    public void check(Env env) throws Exception {
        answers(env);
        stages(env);
        order(env);
        failures(env);
        ends(env);
        nobodyThere(env);
    }

    private static List<String> kinds(Execution execution) {
        return execution.events(List.of(ACCEPTED, COMPLETED));
    }

    private static List<String> times(int count) {
        return Collections.nCopies(count, List.of(ACCEPTED, COMPLETED)).stream().flatMap(List::stream).toList();
    }

    private static Json end(Execution execution, String how) {
        execution.signal("finish", how);
        return execution.result();
    }

    private static void answers(Env env) {
        var account = env.start("Account");
        for (var sum : List.of(1, 3, 6)) Env.expectEqual(sum, account.update("add", sum == 6 ? 3 : (sum + 1) / 2));
        Env.expectEqual(null, account.update("nothing"));
        Env.expectEqual(List.of(List.of(1, 2), "a"), account.update("with two", "a", List.of(1, 2)));
        Env.expectEqual(10, account.update("add", 4));
        // 2 * 5 + 1
        Env.expectEqual(21, account.update("work", 5));
        Env.expectEqual(List.of("by this id", "who"), Execution.resultOf(account.sendUpdate("COMPLETED", "by this id", "who")));
        var made = account.sendUpdate("COMPLETED", "", "who");
        Env.expectEqual(List.of(made.get("updateId"), "who"), Execution.resultOf(made));
        // What was signalled before is there when the update begins.
        account.signal("note", "signalled");
        account.update("add", 0);
        Env.expectEqual(
                List.of("add 1", "add 2", "add 3", "nothing", "add 4", "add 11", "signalled", "add 0"), account.query("all done"));
        Env.expectEqual(21, end(account, "now"));
        Env.expectEqual(times(10), kinds(account));
    }

    /** An update that is accepted and not completed; by its id others get the same answer. */
    private static void stages(Env env) throws Exception {
        var account = env.start("Account");
        var first = account.sendUpdate("ACCEPTED", "ann", "wait turn", "Ann");
        Env.expectEqual(
                Json.object("workflowId", account.id(), "runId", account.runId(), "updateId", "ann", "stage", "ACCEPTED"), first);
        Env.expectEqual(first, account.sendUpdate("ACCEPTED", "ann", "wait turn", "Ann"));
        var elsewhere = new Execution(env.sidecar, account.id(), "");
        var waiting = CompletableFuture.supplyAsync(() -> {
            List<Callable<Json>> asked = List.of(
                    () -> account.updateAnswer("ann"), () -> elsewhere.updateAnswer("ann"),
                    () -> account.sendUpdate("COMPLETED", "ann", "wait turn", "Ann"));
            try {
                return Env.atOnce(asked);
            } catch (Exception error) {
                throw new IllegalStateException(error);
            }
        });
        Env.expectEqual(List.of("begin Ann"), account.query("all done"));
        account.signal("take turn", "Ann");
        var turn = TURN.formatted("Ann");
        for (var answer : waiting.get()) Env.expectEqual(turn, Execution.resultOf(answer));
        // Also long after, with other arguments, under another name, and when the run is closed.
        Env.expectEqual(turn, Execution.resultOf(account.sendUpdate("COMPLETED", "ann", "wait turn", "Bob")));
        Env.expectEqual(turn, Execution.resultOf(account.sendUpdate("COMPLETED", "ann", "no such handler")));
        Env.expectEqual(List.of("begin Ann", "end Ann"), account.query("all done"));
        Env.expectEqual(times(1), kinds(account));
        Env.expectEqual(0, end(account, "now"));
        Env.expectEqual(turn, Execution.resultOf(elsewhere.updateAnswer("ann")));
        Env.expectRefusal("NOT_FOUND", "", () -> account.updateAnswer("no-such-update"));
        Env.expectRefusal("INVALID_ARGUMENT", "ADMITTED", () -> account.sendUpdate("ADMITTED", "", "add", 1));
    }

    /** Several under way: they begin in the order in which they were accepted, and each ends when it can. */
    private static void order(Env env) throws Exception {
        var account = env.start("Account");
        var names = List.of("a", "b", "c", "d", "e");
        for (var name : names) account.sendUpdate("ACCEPTED", name, "wait turn", name);
        for (int i = names.size() - 1; i >= 0; i--) account.signal("take turn", names.get(i));
        for (var name : names) Env.expectEqual(TURN.formatted(name), Execution.resultOf(account.updateAnswer(name)));
        var done = account.query("all done").list().stream().map(Json::text).toList();
        Env.expectEqual(names.stream().map(name -> "begin " + name).toList(), done.subList(0, 5));
        Env.expectEqual(names.stream().map(name -> "end " + name).toList(), done.stream().skip(5).sorted().toList());
        // At once: as many answers as there are updates, and nothing lost or done twice.
        List<Callable<Long>> adding = Collections.nCopies(10, () -> account.update("add", 1).number());
        Env.expectEqual(IntStream.rangeClosed(1, 10).boxed().toList(), Env.atOnce(adding).stream().sorted().toList());
        Env.expectEqual(10, end(account, "now"));
    }

    /** A handler that fails: its caller is told, and the run goes on. */
    private static void failures(Env env) {
        var account = env.start("Account");
        for (var late : List.of(false, true)) {
            var answer = account.sendUpdate("COMPLETED", "fails " + late, "fail", late);
            for (var each : List.of(answer, account.updateAnswer("fails " + late))) {
                var failure = Env.expectFailure(() -> Execution.resultOf(each));
                Env.expectEqual(List.of("no money", "Poor", List.of("a detail")), List.of(failure.getMessage(), failure.type(), failure.details()));
            }
        }
        Env.expect(Env.expectFailure(() -> account.update("fail with cancel")).isCancellation(), "it was cancelled");
        Env.expectEqual(times(3), kinds(account));
        // Nobody handles it: refused, and nothing in the history.
        var unknown = Env.expectFailure(() -> account.update("no such handler", 1));
        Env.expect(unknown.getMessage().contains("no such handler"), unknown);
        Env.expectEqual(times(3), kinds(account));
        Env.expectEqual(1, account.update("add", 1));
        Env.expectEqual(1, end(account, "now"));
    }

    /** What becomes of an update whose run ends before it. */
    private static void ends(Env env) throws Exception {
        for (var how : List.of("now", "next", "terminated")) {
            var account = env.start("Account");
            account.sendUpdate("ACCEPTED", "early", "wait turn", "nobody");
            var waiting = CompletableFuture.supplyAsync(() -> account.updateAnswer("early"));
            if (how.equals("terminated")) account.terminate(Json.object());
            else account.signal("finish", how);
            for (var answer : Arrays.asList(waiting.get(), account.updateAnswer("early"))) {
                var failure = Env.expectFailure(() -> Execution.resultOf(answer));
                Env.expectEqual("AcceptedUpdateCompletedWorkflow", failure.type());
                Env.expect(failure.content.get("applicationFailureInfo").get("nonRetryable").isTrue(), failure);
            }
            if (!how.equals("next")) continue;
            // The next run knows nothing of it, and has updates of its own.
            var newest = new Execution(env.sidecar, account.id(), "");
            Env.expectEqual(5, Execution.resultOf(newest.sendUpdate("COMPLETED", "early", "add", 5)));
            Env.expectEqual(5, end(newest, "now"));
        }
        // A run that waits for its handlers.
        var account = env.start("Account");
        account.sendUpdate("ACCEPTED", "ann", "wait turn", "Ann");
        account.signal("finish", "patiently");
        Env.expectEqual(List.of("begin Ann"), account.query("all done"));
        account.signal("take turn", "Ann");
        Env.expectEqual(TURN.formatted("Ann"), Execution.resultOf(account.updateAnswer("ann")));
        Env.expectEqual(0, account.result());
    }

    /** Closed and missing runs, and one for which no worker polls. */
    private static void nobodyThere(Env env) {
        var account = env.start("Account");
        end(account, "now");
        Env.expectRefusal("NOT_FOUND", "", () -> account.update("add", 1));
        var missing = new Execution(env.sidecar, env.newId(), "");
        Env.expectRefusal("NOT_FOUND", "", () -> missing.update("add", 1));
        Env.expectRefusal("NOT_FOUND", "", () -> missing.updateAnswer("no-such-update"));
        var alone = new Execution(env.sidecar, env.newId(), "");
        env.sidecar.post("/v1/workflows", Json.object(
                "workflowId", alone.id(), "workflowType", "Account", "taskQueue", env.queue + "-nobody"));
        var answer = env.sidecar.post("/v1/workflows/" + alone.id() + "/updates/add?wait=1s", Json.object("arguments", List.of(1)));
        Env.expectEqual("ADMITTED", answer.get("stage"));
        alone.terminate(Json.object());
    }
}
