"""Values whose type hints leave a choice, and the context variables that activities see.

Where ours decides otherwise than the official SDK, `ours` says what it makes of the value; the README of the SDK says why.
"""

import contextvars
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Dict, Generic, List, Optional, TypedDict, TypeVar, Union

from temporalio import activity, workflow
from temporalio.worker import Worker

T = TypeVar("T")
tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant", default="nobody")


@dataclass
class Payment:
    amount: int


@dataclass
class Refund:
    amount: int
    reason: str = ""


class Card(TypedDict):
    number: str


@dataclass
class Box(Generic[T]):
    item: T


REFUND = {"amount": 1, "reason": "late"}
TAKES: List[Any] = []


def takes(hint: Any) -> Any:
    """An activity whose parameter has this hint, and which says what it got."""

    async def shows(value: Any) -> str:
        return repr(value)

    shows.__annotations__["value"] = hint
    defined = activity.defn(name=f"takes_{len(TAKES)}")(shows)
    TAKES.append(defined)
    return defined


#: The hint, the value that is passed, what it becomes, and what it becomes with ours, if that is something else.
CASES: List[Any] = [
    (takes(Union[Payment, Refund]), REFUND, "Payment(amount=1)", None),
    (takes(Union[Refund, Payment]), REFUND, "Refund(amount=1, reason='late')", None),
    (takes(List[Union[Refund, Payment]]), [REFUND], "[Refund(amount=1, reason='late')]", None),
    (takes(Optional[Union[Payment, Refund]]), None, "None", None),
    (takes(Union[int, float]), 1, "1", None),
    (takes(Card), {"number": "n", "later": 1}, "{'later': 1, 'number': 'n'}", None),
    (takes(List[Card]), [{"number": "n", "later": 1}], "[{'later': 1, 'number': 'n'}]", None),
    (takes(Dict[str, Card]), {"a": {"number": "n", "later": 1}}, "{'a': {'later': 1, 'number': 'n'}}", None),
    (takes(Box[Payment]), {"item": {"amount": 1}}, "fails", "Box(item=Payment(amount=1))"),
    (takes(int), 5.0, "5", None),
    (takes(int), 5.5, "5", "fails"),
]


@activity.defn
async def in_a_task() -> str:
    before = tenant.get()
    tenant.set("changed by an activity")
    return before


@activity.defn
def in_a_thread() -> str:
    before = tenant.get()
    tenant.set("changed by an activity")
    return before


@workflow.defn
class Passes:
    @workflow.run
    async def run(self, name: str, arguments: List[Any]) -> str:
        from temporalio.common import RetryPolicy
        from temporalio.exceptions import ActivityError

        try:
            return str(
                await workflow.execute_activity(
                    name,
                    args=arguments,
                    start_to_close_timeout=timedelta(minutes=1),
                    retry_policy=RetryPolicy(maximum_attempts=1),
                )
            )
        except ActivityError:
            return "fails"


@workflow.defn
class Hears:
    """Is told with one argument more than it has parameters."""

    def __init__(self) -> None:
        self.heard = ""

    @workflow.run
    async def run(self) -> str:
        await workflow.wait_condition(lambda: self.heard != "")
        return self.heard

    @workflow.signal
    def tell(self, text: str) -> None:
        self.heard = text


async def check(env: Any) -> None:
    import concurrent.futures

    is_ours = env.package == "durably"
    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        tenant.set("of the worker")
        worker = Worker(
            env.client,
            task_queue=env.task_queue,
            workflows=[Passes, Hears],
            activities=[*TAKES, in_a_task, in_a_thread],
            activity_executor=threads,
            **env.worker_options,
        )
        async with worker:
            tenant.set("later")
            for name in ("in_a_task", "in_a_thread", "in_a_task", "in_a_thread"):
                seen = await env.execute(Passes.run, name, [])
                assert seen == "of the worker", f"{name}: {seen}"
            for number, (_, value, theirs, ours) in enumerate(CASES):
                came = await env.execute(Passes.run, f"takes_{number}", [value])
                expected = ours if is_ours and ours is not None else theirs
                assert came == expected, f"case {number}, {value!r}: {came}, not {expected}"
            if is_ours:
                # There, the call fails the workflow task again and again.
                handle = await env.start(Hears.run)
                await handle.signal("tell", args=["one", "two"])
                assert await handle.result() == "one"
