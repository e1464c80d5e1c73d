"""asyncio inside a workflow gives the same commands under any hash seed and memory layout; the standard library's clock
and randomness answer from the run; real I/O is an error that names the line."""

from __future__ import annotations

import asyncio
import datetime
import logging
import os
import random
import secrets
import socket
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from random import choice, randint
from time import time as imported_time
from typing import Any

import pytest
from activations import START, Run, fire, resolve

from durably import workflow
from durably.worker import _guard

PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
filler = [object() for _ in range(int(sys.argv[2]))]
from test_determinism import everything
print(everything())
"""


@workflow.defn
class Fan:
    """Uses each construct so that the order of an asyncio set would show in the order of commands."""

    @workflow.run
    async def run(self) -> list[Any]:
        seen: list[Any] = []

        async def step(name: str) -> str:
            await workflow.sleep(1)
            await self.act(f"step {name}")
            return name

        async def quick(name: str) -> str:
            await self.act(name)
            return name

        seen += await asyncio.gather(*(step(str(i)) for i in range(5)))
        done, _ = await asyncio.wait({asyncio.create_task(quick(f"set {i}")) for i in range(9)})
        seen += [task.result() for task in done]
        done, pending = await asyncio.wait(
            [asyncio.create_task(quick(f"first {i}")) for i in range(9)], return_when=asyncio.FIRST_COMPLETED
        )
        seen += [task.result() for task in done]
        for task in pending:
            await self.act(f"pending {task.get_name()}")
        for completed in asyncio.as_completed([quick(f"completed {i}") for i in range(9)]):
            seen.append(await completed)
        for ours in workflow.as_completed([quick(f"ours {i}") for i in range(3)]):
            seen.append(await ours)
        groups = {asyncio.gather(quick(f"group {i}")) for i in range(9)}
        for group in groups:
            seen.append(await group)
        if sys.version_info >= (3, 11):
            async with asyncio.TaskGroup() as task_group:
                for i in range(5):
                    task_group.create_task(quick(f"task group {i}"))
            try:
                async with asyncio.timeout(7):
                    await asyncio.gather(*(step(f"slow {i}") for i in range(3)))
            except TimeoutError:
                seen.append("timed out")
        try:
            await asyncio.wait_for(workflow.wait_condition(lambda: False), 3)
        except asyncio.TimeoutError:
            seen.append("waited")
        semaphore, queue = asyncio.Semaphore(2), asyncio.Queue[int]()

        async def limited(i: int) -> None:
            async with semaphore:
                await workflow.sleep(i + 1)
                queue.put_nowait(i)

        await asyncio.gather(*(limited(i) for i in range(4)))
        seen += [queue.get_nowait() for _ in range(4)]
        seen += [random.random(), randint(1, 10**6), str(uuid.uuid4()), secrets.token_hex(4), choice("abc")]
        return seen

    async def act(self, name: str) -> None:
        await workflow.execute_activity("act", name, start_to_close_timeout=datetime.timedelta(seconds=1))


def play(run: Run) -> list[str]:
    """Resolves whatever the workflow asks for, several things per activation, until it ends."""
    open_timers: list[int] = []
    commands = run.start()
    for _ in range(500):
        jobs = []
        for command in commands:
            if command.schedule_activity is not None:
                jobs.append(resolve(command.schedule_activity.seq))
            elif command.start_timer is not None:
                open_timers.append(command.start_timer.seq)
            elif command.cancel_timer is not None:
                open_timers.remove(command.cancel_timer.seq)
            elif command.complete_workflow is not None:
                return [*run.trace, str(run.result)]
        if not jobs:
            jobs = [fire(open_timers.pop(0))]
        commands = run.activate(*jobs)
        assert run.completion.failure is None, run.completion.failure.failure
    raise AssertionError(f"the workflow does not end: {run.trace[-5:]}")


def everything() -> str:
    return "\n".join(play(Run(Fan)))


def test_same_commands_under_any_hash_seed_and_memory_layout() -> None:
    expected = everything()
    assert expected.count("\n") > 40
    folder = str(Path(__file__).parent)
    for seed, filler in ((0, 0), (1, 1000), (42, 77777), (1234, 3)):
        environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
        command = [sys.executable, "-c", PROGRAM, folder, str(filler)]
        output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        assert output.strip() == expected


def test_another_seed_gives_other_randomness_but_the_same_steps() -> None:
    first, second = play(Run(Fan, seed=1)), play(Run(Fan, seed=2))
    assert len(first) == len(second)
    assert first[-1] != second[-1]


@workflow.defn
class Clock:
    @workflow.run
    async def run(self) -> dict[str, Any]:
        moment = datetime.datetime.now(datetime.timezone.utc)
        return {
            "time": [
                time.time(),
                time.time_ns() / 1e9,
                time.monotonic(),
                imported_time(),
                asyncio.get_running_loop().time(),
            ],
            "now": [moment.isoformat(), datetime.datetime.now().isoformat(), datetime.datetime.utcnow().isoformat()],
            "today": [datetime.datetime.today().isoformat(), datetime.date.today().isoformat()],
            "random": [
                random.random(),
                random.Random().random(),
                uuid.uuid4().hex,
                uuid.uuid1().hex,
                os.urandom(4).hex(),
            ],
            "in order": [workflow.random().random(), str(workflow.uuid4())],
        }


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow")
def test_the_standard_library_answers_from_the_run() -> None:
    _guard.adopt_package(Clock)
    results = []
    for _ in range(2):
        run = Run(Clock)
        run.start()
        assert run.completion.failure is None, run.completion.failure.failure
        results.append(run.result)
    assert results[0] == results[1]
    result = results[0]
    assert set(result["time"]) == {START + 1.0}
    assert result["now"] == ["2023-11-14T22:13:21+00:00"] + ["2023-11-14T22:13:21"] * 2
    assert result["today"] == ["2023-11-14T22:13:21", "2023-11-14"]


def test_outside_a_workflow_the_world_is_real() -> None:
    class Special(datetime.datetime):
        pass

    assert abs(time.time() - imported_time()) < 5
    assert abs(datetime.datetime.now().timestamp() - time.time()) < 5
    assert type(Special.now()) is Special and type(datetime.datetime.now()) is datetime.datetime
    assert datetime.date.today() == datetime.datetime.today().date()
    assert time.monotonic() < START
    assert uuid.uuid4() != uuid.uuid4()
    random.seed(5)
    first = [random.random(), random.randint(0, 99), random.Random(5).random()]
    random.seed(5)
    assert [random.random(), random.randint(0, 99)] == first[:2]
    assert first[0] == first[2]


CASES: dict[str, tuple[Any, str]] = {
    "file": (lambda: open("/tmp/durably-never", "w"), "writing the file '/tmp/durably-never'"),
    "socket": (lambda: socket.create_connection(("127.0.0.1", 1)), "a name lookup"),
    "process": (lambda: subprocess.run(["true"]), "starting a process"),
    "thread": (lambda: threading.Thread(target=print).start(), "starting a thread"),
    "sleep": (lambda: time.sleep(0), "time.sleep"),  # tidy-allow: sleep: it must raise
    "executor": (lambda: asyncio.get_running_loop().run_in_executor(None, print), "run_in_executor"),
}


@workflow.defn
class Careless:
    @workflow.run
    async def run(self, case: str, allowed: bool) -> str:
        if allowed:
            with workflow.unsafe.sandbox_unrestricted():
                assert abs(time.time() - START) > 1000
                CASES[case][0]()
        else:
            CASES[case][0]()
        return "done"


@pytest.mark.parametrize("case", list(CASES))
def test_real_io_names_the_line_and_the_fix(case: str) -> None:
    run = Run(Careless, case, False)
    run.start()
    failure = run.completion.failure
    assert failure.nondeterminism
    message = failure.failure.message
    assert CASES[case][1] in message
    assert "test_determinism.py:" in message
    assert "activity" in message or "workflow.sleep" in message
    assert not os.path.exists("/tmp/durably-never")


def test_the_guard_can_be_lifted() -> None:
    run = Run(Careless, "process", True)
    run.start()
    assert run.result == "done"


def test_reading_and_importing_are_fine() -> None:
    @workflow.defn
    class Reads:
        @workflow.run
        async def run(self) -> bool:
            import sndhdr_does_not_exist as missing  # type: ignore[import-not-found]

            return bool(missing)

    @workflow.defn
    class Imports:
        @workflow.run
        async def run(self) -> str:
            import colorsys

            return colorsys.__name__

    run = Run(Reads)
    run.start()
    assert "ModuleNotFoundError" in run.completion.failure.failure.application_failure_info.type
    run = Run(Imports)
    run.start()
    assert run.result == "colorsys"


def test_plain_loggers_have_real_time_and_real_io(tmp_path: Path) -> None:
    seen: list[logging.LogRecord] = []

    class Rotating(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            (tmp_path / "log").write_text(record.getMessage())
            seen.append(record)

    @workflow.defn
    class Logs:
        @workflow.run
        async def run(self) -> float:
            logging.getLogger("plain").warning("hello")
            workflow.logger.warning("world")
            return time.time()

    handler = Rotating()
    for name in ("plain", "durably.workflow"):
        logging.getLogger(name).addHandler(handler)
    run = Run(Logs)
    run.start()
    for name in ("plain", "durably.workflow"):
        logging.getLogger(name).removeHandler(handler)
    assert run.result == START + 1
    assert [record.filename for record in seen] == ["test_determinism.py"] * 2
    assert [abs(record.created - time.time()) < 60 for record in seen] == [True, True]
    assert seen[1].getMessage().startswith("world ({'attempt': 1, ")


def test_replay_after_eviction_gives_the_same_commands() -> None:
    first, second = Run(Fan), Run(Fan)
    second.replaying = True
    assert play(first) == play(second)
