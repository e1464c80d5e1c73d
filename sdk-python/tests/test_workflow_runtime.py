"""Activations in, commands out: what workflow code can do, and what each thing looks like to the core."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from activations import PAYLOADS, Run, cancel, evict, fire, query, reject, resolve, signal

from durably import activity, workflow
from durably.common import RawValue, RetryPolicy
from durably.exceptions import ActivityError, ApplicationError, CancelledError
from durably.worker import _loop

TEN = timedelta(seconds=10)


@dataclass
class Receipt:
    order: str
    cents: int


@activity.defn
async def charge(order: str, cents: int) -> Receipt:
    raise NotImplementedError


@activity.defn(name="note")
def take_note(text: str) -> None:
    raise NotImplementedError


class Store:
    @activity.defn
    async def reserve(self, order: str) -> str:
        raise NotImplementedError


@workflow.defn
class Order:
    def __init__(self) -> None:
        self.status = "new"
        self.approved = False

    @workflow.run
    async def run(self, order: str) -> str:
        receipt = await workflow.execute_activity(
            charge, order, 500, start_to_close_timeout=TEN, retry_policy=RetryPolicy(maximum_attempts=3)
        )
        assert isinstance(receipt, Receipt)
        self.status = "charged"
        try:
            await workflow.wait_condition(lambda: self.approved, timeout=60)
        except asyncio.TimeoutError:
            self.status = "not approved"
            return self.status
        await workflow.execute_activity_method(Store.reserve, order, start_to_close_timeout=TEN)
        await workflow.sleep(5, summary="cool down")
        return f"{receipt.order} {receipt.cents}"

    @workflow.signal
    async def approve(self, by: str) -> None:
        self.approved = True
        await workflow.execute_activity("note", f"by {by}", start_to_close_timeout=TEN)

    @workflow.query
    def get_status(self) -> str:
        return self.status


def test_an_order_from_start_to_end() -> None:
    run = Run(Order, "o1")
    (command,) = run.start()
    activity_command = command.schedule_activity
    assert (activity_command.seq, activity_command.activity_id, activity_command.activity_type) == (1, "", "charge")
    assert activity_command.task_queue == "tq"
    assert activity_command.start_to_close_timeout.seconds == 10
    assert activity_command.retry_policy.maximum_attempts == 3
    assert "test_workflow_runtime.py:" in command.location
    run.activate(resolve(1, {"order": "o1", "cents": 500}))
    (answer,) = run.activate(query("get_status"))
    assert PAYLOADS.from_payload(answer.query_answer.succeeded) == "charged"
    run.activate(signal("approve", "ann"))
    run.activate(resolve(2))
    (timer,) = run.activate(resolve(3, "ok"))
    assert PAYLOADS.from_payload(timer.user_metadata.summary) == "cool down"
    run.activate(fire(2))
    assert run.result == "o1 500"
    assert run.trace == [
        "activity 1 charge ['\"o1\"', '500']",
        "timer 1 60.0",
        "query_answer",
        "activity 2 note ['\"by ann\"']",
        "cancel_timer 1",
        "activity 3 reserve ['\"o1\"']",
        "timer 2 5.0",
        "complete_workflow",
    ]


def test_wait_condition_times_out() -> None:
    run = Run(Order, "o1")
    run.start()
    run.activate(resolve(1, {"order": "o1", "cents": 500}))
    run.activate(fire(1))
    assert run.result == "not approved"


def test_a_timer_may_fire_in_the_activation_whose_signal_cancels_it() -> None:
    run = Run(Order, "o1")
    run.start()
    run.activate(resolve(1, {"order": "o1", "cents": 500}))
    run.activate(signal("approve", "ann"), fire(1))
    assert run.trace[-3:] == ["activity 2 note ['\"by ann\"']", "cancel_timer 1", "activity 3 reserve ['\"o1\"']"]
    assert "timer 9" in run.fails(fire(9))


def test_signals_of_the_first_task_run_before_the_main_method() -> None:
    @workflow.defn
    class Early:
        def __init__(self) -> None:
            self.seen: list[str] = []

        @workflow.run
        async def run(self) -> list[str]:
            self.seen.append("run")
            return self.seen

        @workflow.signal
        def hello(self, name: str) -> None:
            self.seen.append(name)

    run = Run(Early)
    run.start(signal("hello", "a"), signal("hello", "b"))
    assert run.result == ["a", "b", "run"]


def test_signals_wait_for_a_handler_and_keep_their_order() -> None:
    @workflow.defn
    class Late:
        @workflow.run
        async def run(self) -> list[Any]:
            seen: list[Any] = []
            await workflow.sleep(1)
            workflow.set_signal_handler("ping", lambda n: seen.append(n))
            await workflow.sleep(1)

            def other(name: str, args: Sequence[RawValue]) -> None:
                seen.append([name, len(args)])

            workflow.set_dynamic_signal_handler(other)
            assert workflow.get_signal_handler("ping") is not None
            await workflow.sleep(1)
            return seen

    run = Run(Late)
    run.start(signal("ping", 1), signal("pong", "x", "y"))
    run.activate(signal("ping", 2), fire(1))
    run.activate(fire(2))
    run.activate(signal("ping", 3), fire(3))
    assert run.result == [1, 2, ["pong", 2], 3]


def test_activity_failure_reaches_the_workflow_with_its_cause() -> None:
    @workflow.defn
    class Failing:
        @workflow.run
        async def run(self) -> str:
            try:
                await workflow.execute_activity("a", start_to_close_timeout=TEN)
            except ActivityError as err:
                assert isinstance(err.cause, ApplicationError)
                assert err.cause.type == "Boom"
            await workflow.execute_activity("a", start_to_close_timeout=TEN)
            return "no"

    run = Run(Failing)
    run.start()
    run.activate(reject(1))
    run.activate(reject(2, "why"))
    failure = run.failure()
    assert failure.activity_failure_info is not None
    assert failure.cause.message == "why"


def test_other_exceptions_fail_the_task_with_the_users_stack() -> None:
    @workflow.defn
    class Broken:
        @workflow.run
        async def run(self) -> None:
            raise KeyError("oops")

    @workflow.defn(failure_exception_types=[LookupError])
    class Forgiving:
        @workflow.run
        async def run(self) -> None:
            raise KeyError("oops")

    run = Run(Broken)
    run.start()
    failure = run.completion.failure.failure
    assert failure.application_failure_info.type == "KeyError"
    assert "raise KeyError" in failure.stack_trace
    run = Run(Forgiving)
    run.start()
    assert run.failure().application_failure_info.type == "KeyError"
    run = Run(Broken, failure_exception_types=(Exception,))
    run.start()
    assert run.failure().message == "'oops'"


def test_uncaught_timeout_fails_the_workflow() -> None:
    @workflow.defn
    class TimesOut:
        @workflow.run
        async def run(self) -> None:
            await asyncio.wait_for(asyncio.Event().wait(), 3)

    run = Run(TimesOut)
    run.start()
    run.activate(fire(1))
    assert run.failure().application_failure_info.type == "TimeoutError"


@workflow.defn
class Cancellable:
    @workflow.run
    async def run(self, mode: str) -> str:
        kind = getattr(workflow.ActivityCancellationType, mode)
        try:
            await workflow.execute_activity("a", start_to_close_timeout=TEN, cancellation_type=kind)
        except ActivityError as err:
            assert isinstance(err.cause, CancelledError)
            assert workflow.cancellation_reason() == "because"
            await workflow.execute_activity("clean_up", start_to_close_timeout=TEN)
            raise
        return "done"


def test_cancellation_of_the_workflow_cancels_what_it_waits_for() -> None:
    run = Run(Cancellable, "TRY_CANCEL")
    run.start()
    run.activate(cancel("because"))
    run.activate(reject(1, cancelled=True))
    run.activate(resolve(2))
    assert run.trace[1:] == ["request_cancel_activity 1", "activity 2 clean_up []", "cancel_workflow"]
    # The activity may end well in spite of it; then the workflow goes on.
    run = Run(Cancellable, "WAIT_CANCELLATION_COMPLETED")
    run.start()
    run.activate(cancel("because"))
    run.activate(resolve(1))
    assert run.result == "done"


def test_cancelled_sleep() -> None:
    @workflow.defn
    class Sleeper:
        @workflow.run
        async def run(self) -> str:
            try:
                await workflow.sleep(100)
            except asyncio.CancelledError:
                return "cancelled"
            return "slept"

    run = Run(Sleeper)
    run.start()
    run.activate(cancel())
    assert run.trace == ["timer 1 100.0", "cancel_timer 1", "complete_workflow"]
    run = Run(Sleeper)
    run.start()
    run.activate(cancel(), fire(1))
    assert run.trace == ["timer 1 100.0", "complete_workflow"]


def test_cancelling_an_activity_that_has_not_started() -> None:
    @workflow.defn
    class Impatient:
        @workflow.run
        async def run(self) -> str:
            handle = workflow.start_activity("a", start_to_close_timeout=TEN)
            handle.cancel()
            try:
                await handle
            except asyncio.CancelledError:
                return "never ran"
            return "ran"

    run = Run(Impatient)
    run.start()
    assert run.result == "never ran"
    assert run.trace == ["activity 1 a []", "request_cancel_activity 1", "complete_workflow"]


def test_cancelling_an_activity_that_has_just_ended() -> None:
    @workflow.defn
    class TooLate:
        @workflow.run
        async def run(self) -> str:
            handle = workflow.start_activity("a", start_to_close_timeout=TEN)
            await workflow.sleep(1)
            handle.cancel()
            await handle
            return "ran"

    run = Run(TooLate)
    run.start()
    run.activate(fire(1), resolve(1))
    # Nobody asked the workflow to cancel, so that it fails with the cancellation it made itself.
    assert run.failure().application_failure_info.type == "CancelledError"
    assert run.trace == ["activity 1 a []", "timer 1 1.0", "fail_workflow"]


def test_continue_as_new() -> None:
    @workflow.defn
    class Counter:
        @workflow.run
        async def run(self, count: int) -> None:
            try:
                workflow.continue_as_new(count + 1, task_queue="other", memo={"k": 1})
            except Exception:
                pytest.fail("except Exception must not see it")

    run = Run(Counter, 1)
    (command,) = run.start()
    new = command.continue_as_new
    assert (new.workflow_type, new.task_queue, new.arguments[0].data) == ("Counter", "other", b"2")
    assert new.memo.fields["k"].data == b"1"


def test_commands_after_the_end_are_sent_too() -> None:
    """As by the official SDK, whose histories have them: the core sends the end behind them."""

    @workflow.defn
    class Ends:
        @workflow.run
        async def run(self) -> str:
            async def later() -> None:
                await workflow.sleep(1)

            asyncio.create_task(later())
            return "end"

    run = Run(Ends)
    run.start()
    assert run.trace == ["complete_workflow", "timer 1 1.0"]


def test_queries_only_read() -> None:
    @workflow.defn
    class Asked:
        @workflow.run
        async def run(self) -> None:
            await workflow.sleep(100)

        @workflow.query
        def bad(self) -> None:
            workflow.start_activity("a", start_to_close_timeout=TEN)

        @workflow.query(dynamic=True)
        def other(self, name: str, args: Sequence[RawValue]) -> str:
            return f"{name} {len(args)}"

    run = Run(Asked)
    run.start()
    (answer,) = run.activate(query("bad"))
    assert "While in read-only function, action attempted: start activity" in answer.query_answer.failed.message
    (answer,) = run.activate(query("whatever", 1))
    assert PAYLOADS.from_payload(answer.query_answer.succeeded) == "whatever 1"
    (answer,) = run.activate(query("__stack_trace"))
    assert "in run" in (text := PAYLOADS.from_payload(answer.query_answer.succeeded)) or "Asked.run" in text
    (answer,) = run.activate(query("__temporal_workflow_metadata"))
    assert b'"bad"' in answer.query_answer.succeeded.data


def test_unknown_query_names_the_known_ones() -> None:
    run = Run(Order, "o")
    run.start()
    (answer,) = run.activate(query("nope"))
    assert (
        "known queries: [__stack_trace __temporal_workflow_metadata get_status]" in answer.query_answer.failed.message
    )


def test_eviction_runs_nothing_of_the_workflow_but_finally() -> None:
    seen: list[str] = []

    @workflow.defn
    class Held:
        @workflow.run
        async def run(self) -> None:
            try:
                async with asyncio.timeout(50) if hasattr(asyncio, "timeout") else asyncio.Lock():
                    await workflow.execute_activity("a", start_to_close_timeout=TEN)
            except Exception:
                seen.append("except")
            finally:
                seen.append("finally")
                workflow.logger.warning("not logged")
                await workflow.execute_activity("b", start_to_close_timeout=TEN)
                seen.append("after")

    run = Run(Held)
    run.start()
    assert run.activate(evict()) == []
    assert seen == ["finally"]
    del run
    gc.collect()
    assert seen == ["finally"]


def test_a_coroutine_that_refuses_to_end_never_reaches_another_run() -> None:
    seen: list[str] = []

    @workflow.defn
    class Stubborn:
        @workflow.run
        async def run(self) -> None:
            while True:
                try:
                    await asyncio.Event().wait()
                except BaseException:
                    if stop:
                        raise
                    seen.append(workflow.info().workflow_id)

    stop: list[bool] = []
    run = Run(Stubborn)
    run.start()
    run.activate(evict())
    count = len(seen)
    del run
    gc.collect()
    other = Run(Order, "o1")
    other.start()
    gc.collect()
    assert len(seen) == count
    assert len(other.trace) == 1
    stop.append(True)
    while _loop._undying:
        _loop._undying.pop().close()


def test_activity_arguments_are_checked_where_they_are_given() -> None:
    @workflow.defn
    class Wrong:
        @workflow.run
        async def run(self, case: str) -> None:
            if case == "timeout":
                await workflow.execute_activity(take_note, "x")
            elif case == "count":
                await workflow.execute_activity("x", args=[1], start_to_close_timeout=TEN)
                await workflow.execute_activity(charge, args=["o"], start_to_close_timeout=TEN)
            else:
                await workflow.execute_activity(print, "x", start_to_close_timeout=TEN)

    assert "add for example start_to_close_timeout=timedelta(seconds=30) to the call of note" in task_failure(
        Wrong, "timeout"
    )
    assert "was it decorated with @activity.defn?" in task_failure(Wrong, "plain")
    run = Run(Wrong, "count")
    run.start()
    assert "Activity charge takes 2 arguments, got 1" in run.fails(resolve(1))


def task_failure(definition: type[Any], *args: Any) -> str:
    run = Run(definition, *args)
    run.start()
    failure = run.completion.failure.failure
    return f"{failure.message}\n{failure.stack_trace}"


def test_results_of_the_wrong_type_fail_where_they_are_awaited() -> None:
    run = Run(Order, "o1")
    run.start()
    text = run.fails(resolve(1, {"order": "o1", "cents": "many"}))
    assert text == "TypeError: Receipt.cents: expected int, got str 'many'"
    assert "execute_activity(" in run.completion.failure.failure.stack_trace


def test_init_gets_the_arguments() -> None:
    @workflow.defn
    class WithInit:
        @workflow.init
        def __init__(self, receipt: Receipt) -> None:
            self.receipt = receipt

        @workflow.run
        async def run(self, receipt: Receipt) -> bool:
            return receipt is self.receipt and workflow.instance() is self

    run = Run(WithInit, Receipt("o", 1))
    run.start()
    assert run.result is True


def test_info_and_time() -> None:
    @workflow.defn
    class Informed:
        @workflow.run
        async def run(self) -> list[Any]:
            info = workflow.info()
            await workflow.sleep(1)
            return [
                info.workflow_id,
                info.workflow_type,
                info.get_current_history_length(),
                workflow.time(),
                workflow.now().isoformat(),
                workflow.time_ns(),
                workflow.memo_value("none", 5),
            ]

    run = Run(Informed)
    run.start()
    run.activate(fire(1), after=1.5)
    assert run.result == [
        "wf",
        "Informed",
        10,
        1700000002.5,
        "2023-11-14T22:13:22.500000+00:00",
        1700000002500000000,
        5,
    ]


def test_the_activity_handle_is_a_task() -> None:
    @workflow.defn
    class Handles:
        @workflow.run
        async def run(self) -> list[Any]:
            first = workflow.start_activity("a", 1, start_to_close_timeout=TEN)
            second = workflow.start_activity("a", 2, start_to_close_timeout=TEN)
            assert isinstance(first, asyncio.Task) and not first.done()
            done, pending = await workflow.wait([first, second], return_when=asyncio.FIRST_COMPLETED)
            assert (done, pending) == ([second], [first])
            return [second.result(), await first]

    run = Run(Handles)
    run.start()
    run.activate(resolve(2, "two"))
    run.activate(resolve(1, "one"))
    assert run.result == ["two", "one"]


def test_workflow_inside_a_running_loop_and_context() -> None:
    async def outer() -> None:
        run = Run(Order, "o1")
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        run.start()
        assert asyncio.get_running_loop() is loop
        assert asyncio.current_task() is task
        assert not workflow.in_workflow()

    asyncio.run(outer())
    with pytest.raises(RuntimeError, match="Not in workflow event loop"):
        workflow.now()


def test_definition_errors() -> None:
    with pytest.raises(ValueError, match="Missing @workflow.run method"):
        workflow.defn(type("Empty", (), {}))
    with pytest.raises(ValueError, match="must be an async function"):
        workflow.run(lambda self: None)  # type: ignore[type-var]

    class Base:
        @workflow.signal
        def go(self) -> None: ...

    with pytest.raises(ValueError, match="@workflow.signal defined on a base class's go but not on the override"):

        @workflow.defn
        class Override(Base):
            @workflow.run
            async def run(self) -> None: ...

            def go(self) -> None: ...

    with pytest.raises(ValueError, match="Multiple signal methods found for x"):

        @workflow.defn
        class Double:
            @workflow.run
            async def run(self) -> None: ...

            @workflow.signal(name="x")
            def a(self) -> None: ...

            @workflow.signal(name="x")
            def b(self) -> None: ...
