"""Activations in, commands out: child workflows, and what is told of wrong calls."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from activations import (
    PAYLOADS,
    Run,
    cancel,
    child_completed,
    child_failed,
    child_not_started,
    child_start_cancelled,
    child_started,
    delivered,
    describe,
    evict,
    fire,
    query,
)

from durably import _messages as msg
from durably import common, workflow
from durably.exceptions import (
    ApplicationError,
    CancelledError,
    ChildWorkflowError,
    RetryState,
    TerminatedError,
    WorkflowAlreadyStartedError,
)
from durably.workflow import ChildWorkflowCancellationType, ParentClosePolicy

MINUTE = timedelta(minutes=1)


@dataclass
class Order:
    item: str


@workflow.defn
class Child:
    @workflow.run
    async def run(self, order: Order) -> Order:
        return order

    @workflow.signal
    def note(self, text: str) -> None: ...


@workflow.defn(name="pair")
class Pair:
    @workflow.run
    async def run(self, first: int, second: int) -> int:
        return first + second


@workflow.defn(dynamic=True)
class Anything:
    @workflow.run
    async def run(self, args: common.Sequence[common.RawValue]) -> None: ...


@workflow.defn
class Parent:
    """Runs what the test gives it."""

    body: Any = None

    @workflow.run
    async def run(self) -> Any:
        return await self.body()

    @workflow.query
    def start_one(self) -> None:
        workflow.start_child_workflow(Child.run, Order("tea")).send(None)


def parent(body: Any) -> Run:
    Parent.body = staticmethod(body)
    return Run(Parent)


def the_start(commands: list[Any]) -> Any:
    (command,) = commands
    assert command.start_child_workflow is not None, command
    return command.start_child_workflow


def test_a_child_from_start_to_end() -> None:
    async def body() -> Any:
        child = await workflow.start_child_workflow(Child.run, Order("tea"), id="c1")
        seen = [child.id, child.first_execution_run_id]
        return [*seen, (await child).item]

    run = parent(body)
    start = the_start(run.start())
    assert (start.seq, start.workflow_id, start.workflow_type, start.task_queue) == (1, "c1", "Child", "tq")
    assert PAYLOADS.from_payloads(start.arguments) == [{"item": "tea"}]
    assert start.parent_close_policy == ParentClosePolicy.TERMINATE
    assert start.cancellation_type == ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED
    assert start.workflow_id_reuse_policy == common.WorkflowIDReusePolicy.ALLOW_DUPLICATE
    assert run.activate(child_started(1)) == []
    run.activate(child_completed(1, Order("tea")))
    assert run.result == ["c1", "child-run", "tea"]


def test_each_option_arrives() -> None:
    key = common.SearchAttributeKey.for_keyword("Kind")

    async def body() -> None:
        await workflow.start_child_workflow(
            "pair",
            args=[1, 2],
            id="c1",
            task_queue="other",
            cancellation_type=ChildWorkflowCancellationType.TRY_CANCEL,
            parent_close_policy=ParentClosePolicy.REQUEST_CANCEL,
            execution_timeout=MINUTE,
            run_timeout=30,
            task_timeout=1.5,
            id_reuse_policy=common.WorkflowIDReusePolicy.REJECT_DUPLICATE,
            retry_policy=common.RetryPolicy(maximum_attempts=3),
            cron_schedule="* * * * *",
            memo={"note": "x"},
            search_attributes=common.TypedSearchAttributes([common.SearchAttributePair(key, "order")]),
            static_summary="one line",
            static_details="more lines",
            priority=common.Priority(priority_key=2),
        )

    run = parent(body)
    commands = run.start()
    start = the_start(commands)
    # The namespace is the run's own, which the core knows; headers come from links of the chain.
    unset = {name for name in start._fields if not getattr(start, name)}
    assert unset == {"namespace", "headers"}
    assert (start.workflow_type, PAYLOADS.from_payloads(start.arguments)) == ("pair", [1, 2])
    assert (start.task_queue, start.cancellation_type, start.parent_close_policy) == ("other", 1, 3)
    assert (start.execution_timeout.seconds, start.run_timeout.seconds, start.task_timeout.nanos) == (60, 30, 500_000_000)
    assert (start.workflow_id_reuse_policy, start.retry_policy.maximum_attempts, start.cron_schedule) == (3, 3, "* * * * *")
    assert PAYLOADS.from_payload(start.memo.fields["note"]) == "x"
    assert PAYLOADS.from_payload(start.search_attributes.indexed_fields["Kind"]) == "order"
    assert start.priority.priority_key == 2
    metadata = commands[0].user_metadata
    assert [PAYLOADS.from_payload(text) for text in (metadata.summary, metadata.details)] == ["one line", "more lines"]


def test_an_id_is_made_deterministically() -> None:
    async def body() -> None:
        await asyncio.gather(*(workflow.execute_child_workflow(Child.run, Order("x")) for _ in range(2)))

    first, second = [
        [command.start_child_workflow.workflow_id for command in parent(body).start()] for _ in range(2)
    ]
    assert first == second and len(set(first)) == 2 and all(len(id) == 36 for id in first)


@pytest.mark.parametrize("given", ["method", "class", "name", "several", "keyword"])
def test_ways_to_name_a_child(given: str) -> None:
    async def body() -> Any:
        if given == "method":
            return await workflow.execute_child_workflow(Pair.run, args=[1, 2])
        if given == "class":
            call: Any = workflow.execute_child_workflow
            return await call(Pair, args=[1, 2])
        if given == "name":
            return await workflow.execute_child_workflow("pair", args=[1, 2], result_type=int)
        call = workflow.execute_child_workflow
        if given == "several":
            return await call(Pair.run, 1, 2)
        return [await call(Child.run, arg=Order("tea"))]

    run = parent(body)
    start = the_start(run.start())
    assert start.workflow_type == ("Child" if given == "keyword" else "pair")
    assert len(start.arguments) == (1 if given == "keyword" else 2)


def test_results_are_decoded_by_the_childs_hints_or_as_told() -> None:
    async def body() -> Any:
        first = await workflow.execute_child_workflow(Child.run, Order("tea"))
        second = await workflow.execute_child_workflow("Child", Order("tea"))
        third = await workflow.execute_child_workflow("Child", Order("tea"), result_type=Order)
        return [type(value).__name__ for value in (first, second, third)]

    run = parent(body)
    run.start()
    for seq in (1, 2, 3):
        run.activate(child_started(seq))
        run.activate(child_completed(seq, Order("tea")))
    assert run.result == ["Order", "dict", "Order"]


def test_a_start_and_an_end_in_one_step() -> None:
    async def body() -> Any:
        return (await workflow.execute_child_workflow(Child.run, Order("tea"))).item

    run = parent(body)
    run.start()
    run.activate(child_started(1), child_completed(1, Order("tea")))
    assert run.result == "tea"


def test_a_result_of_a_wrong_type_is_told_where_it_is_awaited() -> None:
    async def body() -> Any:
        return await workflow.execute_child_workflow(Child.run, Order("tea"))

    run = parent(body)
    run.start()
    run.activate(child_started(1))
    assert "Order" in run.fails(child_completed(1, 5))


def boom(cause: Any = None) -> Any:
    info = msg.ApplicationFailureInfo(type="Boom", details=PAYLOADS.to_payloads_wrapper([7]))
    return msg.Failure(message="no", application_failure_info=info, cause=cause)


def test_failures_have_their_causes_and_pass_on_as_they_came() -> None:
    seen: list[Any] = []

    async def body() -> Any:
        try:
            await workflow.execute_child_workflow(Child.run, Order("tea"))
        except ChildWorkflowError as error:
            seen.append(error)
            raise

    run = parent(body)
    run.start()
    run.activate(child_started(1))
    run.activate(child_failed(1, boom(boom())))
    (error,) = seen
    assert (error.namespace, error.workflow_id, error.run_id) == ("default", "child", "child-run")
    assert (error.workflow_type, error.initiated_event_id, error.started_event_id) == ("Child", 5, 6)
    assert error.retry_state == RetryState.RETRY_POLICY_NOT_SET and str(error) == "child failed"
    cause = error.cause
    assert isinstance(cause, ApplicationError) and (cause.type, list(cause.details)) == ("Boom", [7])
    assert isinstance(cause.cause, ApplicationError)
    failure = run.failure()
    info = failure.child_workflow_execution_failure_info
    assert (info.workflow_execution.workflow_id, info.workflow_type.name, info.retry_state) == ("child", "Child", 5)
    assert failure.cause.application_failure_info.type == "Boom"
    assert failure.cause.cause.application_failure_info.type == "Boom"


def test_a_terminated_child() -> None:
    async def body() -> Any:
        try:
            await workflow.execute_child_workflow(Child.run, Order("tea"))
        except ChildWorkflowError as error:
            return type(error.cause).__name__

    run = parent(body)
    run.start()
    run.activate(child_started(1))
    run.activate(child_failed(1, msg.Failure(message="x", terminated_failure_info=msg.TerminatedFailureInfo())))
    assert run.result == TerminatedError.__name__


def test_an_id_that_is_taken() -> None:
    async def body() -> Any:
        try:
            await workflow.start_child_workflow(Child.run, Order("tea"), id="taken")
        except WorkflowAlreadyStartedError as error:
            return [error.workflow_id, error.workflow_type]

    run = parent(body)
    run.start()
    run.activate(child_not_started(1))
    assert run.result == ["taken", "Child"]


def test_a_start_that_fails_fails_the_workflow_if_nobody_catches_it() -> None:
    async def body() -> Any:
        await workflow.execute_child_workflow(Child.run, Order("tea"), id="taken")

    run = parent(body)
    run.start()
    run.activate(child_not_started(1, cause=2))
    failure = run.failure()
    assert failure.application_failure_info.type == "NamespaceNotFound" and "taken" in failure.message


# -- Cancellation


def asked_for(run: Run) -> list[str]:
    return [describe(command) for command in run.completion.success.commands]


def test_cancelling_a_handle_asks_for_it_and_goes_on_waiting() -> None:
    async def body() -> Any:
        child = await workflow.start_child_workflow(Child.run, Order("tea"))
        await workflow.sleep(1)
        child.cancel("enough")
        try:
            return (await child).item
        except ChildWorkflowError as error:
            assert isinstance(error.cause, CancelledError)
            return "cancelled"

    for outcome, result in [(child_failed(1), "cancelled"), (child_completed(1, Order("tea")), "tea")]:
        run = parent(body)
        run.start()
        run.activate(child_started(1))
        (command,) = run.activate(fire(1))
        assert (command.cancel_child_workflow.seq, command.cancel_child_workflow.reason) == (1, "enough")
        run.activate(outcome)
        assert run.result == result


def test_cancelling_the_workflow_cancels_the_child_that_it_waits_for() -> None:
    async def body() -> Any:
        await workflow.execute_child_workflow(Child.run, Order("tea"))

    run = parent(body)
    run.start()
    run.activate(child_started(1))
    run.activate(cancel("why"))
    assert asked_for(run) == ["cancel_child_workflow 1"]
    run.activate(child_failed(1))
    assert asked_for(run) == ["cancel_workflow"]


def test_cancelling_the_workflow_while_a_child_starts_is_raised_at_once() -> None:
    async def body() -> Any:
        try:
            await workflow.execute_child_workflow(Child.run, Order("tea"))
        except asyncio.CancelledError:
            await workflow.sleep(60)
            raise

    run = parent(body)
    run.start()
    run.activate(cancel())
    assert asked_for(run) == ["cancel_child_workflow 1", "timer 1 60.0"]
    # Nobody has the handle, and what becomes of the child is nobody's concern.
    run.activate(child_started(1))
    run.activate(child_failed(1))
    run.activate(fire(1))
    assert asked_for(run) == ["cancel_workflow"]


def test_cancelling_a_start_waits_for_what_becomes_of_it() -> None:
    async def body() -> Any:
        starting = asyncio.create_task(workflow.start_child_workflow(Child.run, Order("tea")))
        await asyncio.sleep(0)
        starting.cancel()
        try:
            await starting
        except ChildWorkflowError as error:
            return type(error.cause).__name__
        return "started"

    for answer, result in [(child_start_cancelled(1), "CancelledError"), (child_started(1), "started")]:
        run = parent(body)
        run.start()
        assert asked_for(run) == ["start_child_workflow 1", "cancel_child_workflow 1"]
        run.activate(answer)
        assert run.result == result


def test_a_shielded_child_is_left_alone() -> None:
    async def body() -> Any:
        child = await workflow.start_child_workflow(Child.run, Order("tea"))
        try:
            await asyncio.shield(child)
        except asyncio.CancelledError:
            return (await child).item

    run = parent(body)
    run.start()
    run.activate(child_started(1))
    run.activate(cancel())
    assert asked_for(run) == []
    run.activate(child_completed(1, Order("tea")))
    assert run.result == "tea"


@pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.timeout is new in Python 3.11")
def test_a_time_limit_around_a_child() -> None:
    async def body() -> Any:
        try:
            async with asyncio.timeout(5):
                await workflow.execute_child_workflow(Child.run, Order("tea"))
        except ChildWorkflowError:
            await workflow.sleep(1)  # nothing is left of the cancellation
            return "took too long"

    run = parent(body)
    run.start()
    run.activate(child_started(1))
    run.activate(fire(1))
    assert asked_for(run) == ["cancel_child_workflow 1"]
    run.activate(child_failed(1))
    run.activate(fire(2))
    assert run.result == "took too long"


def test_a_cancellation_at_the_end_is_not_lost_unless_it_was() -> None:
    """The child completes in the step in which the workflow is cancelled."""

    async def body() -> Any:
        await workflow.execute_child_workflow(Child.run, Order("tea"))
        return "did not hear of it"

    def until_the_end(flags: list[int], *, replaying: bool) -> Run:
        run = parent(body)
        run.start()
        run.activate(child_started(1))
        run.replaying, run.flags = replaying, flags
        run.activate(child_completed(1, Order("tea")), cancel())
        return run

    run = until_the_end([], replaying=False)
    assert asked_for(run) == ["cancel_workflow"]
    (flag,) = run.completion.success.used_flags
    assert asked_for(until_the_end([flag], replaying=True)) == ["cancel_workflow"]
    # An official history: its code went on.
    assert until_the_end([], replaying=True).result == "did not hear of it"


def test_a_cancellation_in_the_step_in_which_a_child_starts_reaches_the_child() -> None:
    async def body() -> Any:
        await workflow.execute_child_workflow(Child.run, Order("tea"))

    run = parent(body)
    run.start()
    run.activate(child_started(1), cancel())
    assert asked_for(run) == ["cancel_child_workflow 1", "cancel_workflow"]
    assert run.completion.success.used_flags == []


# -- Signals to children


def test_signals_to_a_child() -> None:
    async def body() -> Any:
        child = await workflow.start_child_workflow(Child.run, Order("tea"), id="c1")
        await child.signal(Child.note, "by method")
        await child.signal("note", "by name")
        await child.signal("pair", args=[1, 2])
        return "sent"

    run = parent(body)
    run.start()
    (command,) = run.activate(child_started(1))
    sent = command.signal_external_workflow
    assert (sent.seq, sent.child_workflow_id, sent.signal_name, sent.workflow) == (1, "c1", "note", None)
    assert PAYLOADS.from_payloads(sent.arguments) == ["by method"]
    (command,) = run.activate(delivered(1))
    assert PAYLOADS.from_payloads(command.signal_external_workflow.arguments) == ["by name"]
    (command,) = run.activate(delivered(2))
    assert PAYLOADS.from_payloads(command.signal_external_workflow.arguments) == [1, 2]
    run.activate(delivered(3))
    assert run.result == "sent"


# -- Mistakes


WRONG: list[tuple[Any, type[Exception], str]] = [
    (lambda call: call(None), TypeError, "workflow must be a method with @workflow.run, or a string, not NoneType None"),
    (lambda call: call(5), TypeError, "not int 5"),
    (lambda call: call(""), ValueError, "the workflow type must not be empty"),
    (lambda call: call(len, "x"), ValueError, "was it decorated with @workflow.run"),
    (lambda call: call(Anything.run, []), ValueError, "Cannot invoke dynamic workflow explicitly"),
    (lambda call: call(Child.run), TypeError, "Workflow Child takes 1 argument, got 0"),
    (lambda call: call(Child.run, args=[1, 2]), TypeError, "Workflow Child takes 1 argument, got 2"),
    (lambda call: call(Child.run, 1, args=[2]), ValueError, "Cannot have arg and args"),
    (lambda call: call("x", args="one"), TypeError, "args is a list of arguments, not str 'one'"),
    (lambda call: call("x", args=5), TypeError, "args is a list of arguments, not int 5"),
    (lambda call: call("x", id=7), TypeError, "id must be a string, not int 7"),
    (lambda call: call("x", task_queue=7), TypeError, "task_queue must be a string, not int 7"),
    (lambda call: call("x", run_timeout="10s"), TypeError, "a duration is a timedelta or a number of seconds"),
    (lambda call: call("x", cancellation_type="ABANDON"), TypeError, "must be a workflow.ChildWorkflowCancellationType"),
    (lambda call: call("x", cancellation_type=None), TypeError, "must be a workflow.ChildWorkflowCancellationType"),
    (lambda call: call("x", parent_close_policy=1), TypeError, "must be a workflow.ParentClosePolicy, not int 1"),
    (lambda call: call("x", id_reuse_policy=True), TypeError, "must be a common.WorkflowIDReusePolicy"),
    (lambda call: call("x", retry_policy={"a": 1}), TypeError, "must be a common.RetryPolicy"),
    (lambda call: call("x", retry_policy=common.RetryPolicy(backoff_coefficient=0)), ValueError, "backoff_coefficient"),
    (lambda call: call("x", cron_schedule=None), TypeError, "cron_schedule must be a string"),
    (lambda call: call("x", memo=["a"]), TypeError, "memo must be a mapping"),
    (lambda call: call("x", search_attributes=5), TypeError, "must be common.TypedSearchAttributes"),
    (lambda call: call("x", static_summary=5), TypeError, "static_summary must be a string"),
    (lambda call: call("x", priority=1), TypeError, "must be a common.Priority"),
    (lambda call: call("x", timeout=5), TypeError, "unexpected keyword argument 'timeout'"),
    (lambda call: call("x", versioning_intent=1), ApplicationError, "comes without worker versioning"),
    (lambda call: call("x", event_groups=[1]), ApplicationError, "comes without event groups"),
]


@pytest.mark.parametrize("wrong, kind, words", WRONG)
def test_a_wrong_call_is_refused_where_it_is_made(wrong: Any, kind: type[Exception], words: str) -> None:
    caught: list[Exception] = []

    async def body() -> Any:
        for call in (workflow.start_child_workflow, workflow.execute_child_workflow):
            try:
                await wrong(call)
            except kind as error:
                caught.append(error)

    run = parent(body)
    run.start()
    assert len(caught) == 2 and all(words in str(error) for error in caught), caught
    assert [describe(command) for command in run.completion.success.commands] == ["complete_workflow"]


def test_wrong_signals_to_a_child() -> None:
    caught: list[str] = []

    async def body() -> Any:
        child: Any = await workflow.start_child_workflow(Child.run, Order("tea"))
        calls: list[Any] = [
            lambda: child.signal(None),
            lambda: child.signal(""),
            lambda: child.signal(len, "x"),
            lambda: child.signal(Child.note),
            lambda: child.signal(Child.note, "a", "b"),
            lambda: child.signal("x", 1, args=[2]),
        ]
        for call in calls:
            try:
                await call()
            except (TypeError, ValueError, RuntimeError) as error:
                caught.append(str(error))

    run = parent(body)
    run.start()
    run.activate(child_started(1))
    expected = [
        "a method with @workflow.signal, or a string",
        "name must not be empty",
        "is it decorated with @workflow.signal?",
        "Signal note takes 1 argument, got 0",
        "Signal note takes 1 argument, got 2",
        "Cannot have arg and args",
    ]
    assert len(caught) == len(expected) and all(part in told for part, told in zip(expected, caught)), caught


def test_a_query_starts_no_child() -> None:
    async def body() -> Any:
        await workflow.wait_condition(lambda: False)

    run = parent(body)
    run.start()
    (answer,) = run.activate(query("start_one"))
    assert "read-only" in answer.query_answer.failed.message


def test_outside_a_workflow_there_are_no_children() -> None:
    async def outside() -> None:
        await workflow.start_child_workflow("x")

    with pytest.raises(RuntimeError, match="Not in workflow event loop"):
        asyncio.run(outside())


def test_the_history_resolves_what_nobody_started() -> None:
    async def body() -> Any:
        await workflow.wait_condition(lambda: False)

    for job in (child_started(3), child_completed(3), delivered(3)):
        run = parent(body)
        run.start()
        assert "3" in run.fails(job) and run.completion.failure.nondeterminism


def test_forgetting_a_run_asks_for_nothing() -> None:
    async def body() -> Any:
        child = await workflow.start_child_workflow(Child.run, Order("tea"))
        try:
            await child
        finally:
            await child.signal(Child.note, "never")

    for jobs in ([], [child_started(1)]):
        run = parent(body)
        run.start()
        if jobs:
            run.activate(*jobs)
        assert run.activate(evict()) == []
