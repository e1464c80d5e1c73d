"""The kill test: orders under way while processes are killed again and again, the server's on one state file.

Workflows run on a Python SDK's worker in this process (`--package`), or in worker processes of any language
(`--worker COMMAND`, repeatable), which are killed and started again like the server, and like the sidecar that they work through
with `--sidecar`. Activities are done by hand on raw RPCs, so that
this program knows which completions the server has acknowledged: it keeps them in a ledger. Likewise it
notes each acknowledged start and signal. After the last kill it holds what the server says against that:

- every order finishes, with the result that its signals and activities add up to;
- no acknowledged start or signal is lost, no signal is delivered twice;
- no activity whose completion was acknowledged is handed out again;
- every history replays.

Moments and load come from one seed, which the first line prints; `--seed` repeats a run's choices.
"""

import argparse
import asyncio
import contextlib
import importlib
import os
import pathlib
import random
import shlex
import signal
import socket
import sys
import tempfile
import time
import types
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from temporalio.api.common.v1 import Payloads
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    PollActivityTaskQueueRequest,
    RespondActivityTaskCompletedRequest,
)
from temporalio.client import Client
from temporalio.converter import default as default_converter
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

HERE = pathlib.Path(__file__).resolve().parent
QUEUE = "orders"
ACTIVITY_WORKERS = 16
SIGNALS_PER_ORDER = 3
# What a call meets while the server is down or just coming up; anything else is a finding.
DOWN = {RPCStatusCode.UNAVAILABLE, RPCStatusCode.CANCELLED, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.UNKNOWN}


@dataclass
class Ledger:
    """What the server has acknowledged, and what it has done that it must not."""

    starts: dict[str, str] = field(default_factory=dict)
    signals: dict[str, set[int]] = field(default_factory=dict)
    completed: set[tuple[str, str, str]] = field(default_factory=set)
    attempts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)


class Server:
    """A process that is killed and started again: the server on its state file, or a worker.

    It says that it is ready with a line on standard output; the server's first one holds its port. It ends by itself
    when its standard input ends.
    """

    def __init__(self, name: str, command: list[str], ready: str) -> None:
        self.name = name
        self.command = command
        self.ready = ready
        self.process: asyncio.subprocess.Process | None = None
        self.recoveries: list[float] = []

    async def start(self) -> None:
        """Starts the process and awaits its first line, which says that it answers."""
        began = time.monotonic()
        self.process = await asyncio.create_subprocess_exec(
            *self.command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), 60)
        assert self.ready in line.decode(), f"the {self.name} did not come up: {line!r}"
        self.recoveries.append(time.monotonic() - began)

    async def kill(self) -> None:
        """SIGKILL: no handler runs, no buffer is flushed."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGKILL)
        await self.process.wait()


async def persist(call: Any, done: Any = None) -> Any:
    """Makes a call until the server has answered it; `done` turns an answer that is an error into a result."""
    while True:
        try:
            return await call()
        except RPCError as error:
            if done is not None and (answer := done(error)) is not None:
                return answer
            if error.status not in DOWN:
                raise
            # tidy-allow: sleep: backs off while the server is down; the wait ends with its answer
            await asyncio.sleep(0.05)


async def work(client: Client, ledger: Ledger, identity: str) -> None:
    """One activity worker on raw RPCs: polls, doubles a number, completes, and notes what was acknowledged."""
    converter = default_converter().payload_converter
    poll = PollActivityTaskQueueRequest(
        namespace=client.namespace, task_queue=TaskQueue(name=QUEUE), identity=identity
    )
    while True:
        task = await persist(lambda: client.workflow_service.poll_activity_task_queue(poll))
        if not task.task_token:
            continue
        key = (task.workflow_execution.workflow_id, task.workflow_execution.run_id, task.activity_id)
        if key in ledger.completed:
            ledger.violations.append(f"activity {key} was handed out again after its completion was acknowledged")
        ledger.attempts[key] += 1
        [number] = converter.from_payloads(task.input.payloads)
        answer = RespondActivityTaskCompletedRequest(
            namespace=client.namespace,
            task_token=task.task_token,
            result=Payloads(payloads=converter.to_payloads([2 * number])),
            identity=identity,
        )
        try:
            await client.workflow_service.respond_activity_task_completed(answer)
            ledger.completed.add(key)
        except RPCError as error:
            # Not acknowledged. It may be on disk all the same; then nobody hands it out again, else somebody does.
            if error.status not in DOWN and error.status != RPCStatusCode.NOT_FOUND:
                ledger.violations.append(f"completion of {key}: {error.status.name} {error}")


async def place_order(client: Client, orders: types.ModuleType, ledger: Ledger, number: int, rng: random.Random) -> None:
    """Starts one order, sends its signals, and checks its result."""
    name = f"order-{number}"

    async def start() -> str:
        try:
            handle = await client.start_workflow(
                "Order", args=[number, SIGNALS_PER_ORDER], id=name, task_queue=QUEUE, result_type=list
            )
        except WorkflowAlreadyStartedError as error:
            # An earlier try was lost on its way back; the server has it.
            return str(error.run_id)
        return str(handle.first_execution_run_id)

    run_id = await persist(start)
    known = ledger.starts.setdefault(name, run_id)
    assert known == run_id
    handle = client.get_workflow_handle(name, run_id=run_id, result_type=list)
    for item in range(SIGNALS_PER_ORDER):
        # tidy-allow: sleep: spreads the signals over the kills, by the seed
        await asyncio.sleep(rng.random())
        request = orders.signal_request(client.namespace, name, run_id, item)
        await persist(lambda request=request: client.workflow_service.signal_workflow_execution(request))
        ledger.signals.setdefault(name, set()).add(item)
    result = await persist(handle.result)
    expected = [8 * number, list(range(SIGNALS_PER_ORDER))]
    if result != expected:
        ledger.violations.append(f"{name} came to {result}, expected {expected}")


async def kill_again_and_again(processes: list[Server], kills: int, rng: random.Random, progress: Any) -> None:
    """Kills one of the processes at random moments, some of them right after a restart; each once at least."""
    for number in range(1, kills + 1):
        # tidy-allow: sleep: the random moment of the kill, by the seed
        await asyncio.sleep(rng.choice([rng.uniform(0.0, 0.2), rng.uniform(0.3, 1.5)]))
        victim = processes[number - 1] if number <= len(processes) else rng.choice(processes)
        await victim.kill()
        print(f"kill {number:>2} of {kills}, {victim.name}: {progress()}", flush=True)
        await victim.start()


async def check_histories(client: Client, orders: types.ModuleType, ledger: Ledger, package: str) -> None:
    """Replays each history and counts in it what the ledger says must be there exactly once."""
    worker = importlib.import_module(f"{package}.worker")
    options = {"workflow_runner": worker.UnsandboxedWorkflowRunner()} if package == "temporalio" else {}
    replayer = worker.Replayer(workflows=[orders.Order], **options)
    reader = importlib.import_module(f"{package}.client")
    other = client if package == "temporalio" else await reader.Client.connect(client.service_client.config.target_host)
    for name, run_id in ledger.starts.items():
        history = await client.get_workflow_handle(name, run_id=run_id).fetch_history()
        ids = [event.event_id for event in history.events]
        if ids != list(range(1, len(ids) + 1)):
            ledger.violations.append(f"{name}: event ids are not consecutive: {ids}")
        signals = Counter(
            default_converter().payload_converter.from_payloads(
                event.workflow_execution_signaled_event_attributes.input.payloads
            )[0]
            for event in history.events
            if event.HasField("workflow_execution_signaled_event_attributes")
        )
        if signals != Counter(range(SIGNALS_PER_ORDER)):
            ledger.violations.append(f"{name}: signals in the history: {dict(signals)}")
        completed = sum(e.HasField("activity_task_completed_event_attributes") for e in history.events)
        if completed != orders.ACTIVITIES_PER_ORDER:
            ledger.violations.append(f"{name}: {completed} activities completed in the history")
        source = await other.get_workflow_handle(name, run_id=run_id).fetch_history()
        try:
            await replayer.replay_workflow(source)
        except Exception as error:
            ledger.violations.append(f"{name} does not replay: {error}")


def free_port() -> int:
    """A port that a server may bind again and again: workers reconnect to the same address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def server_command(args: argparse.Namespace, port: int, file: pathlib.Path) -> list[str]:
    if args.peer:
        return [args.server, "--file", str(file), "--port", str(port)]
    return [args.server, "server", "start-dev", "--headless", "--port", str(port), "--db-filename", str(file)]


def sidecar(args: argparse.Namespace, target: str, folder: pathlib.Path) -> tuple[Server, dict[str, str]]:
    """A sidecar, and what workers need to find it. Its cache is smaller than the load."""
    port = free_port()
    token = folder / "token"
    token.write_text("kill-test-kill-test")
    config = folder / "sidecar.toml"
    config.write_text(
        f"""
        connect.target = "{target}"
        listen = {{ tcp = "127.0.0.1:{port}", token_file = "{token}" }}
        limits.application_timeout = "1s"
        worker = [{{ task_queue = "{QUEUE}", activities = false, max_cached_workflows = 10 }}]
        """
    )
    command = [args.server, "sidecar", "--config", str(config)]
    return Server("sidecar", command, "listening"), {"sidecar": f"127.0.0.1:{port}", "token": str(token)}


async def run(args: argparse.Namespace, folder: pathlib.Path) -> Ledger:
    rng = random.Random(args.seed)
    ledger = Ledger()
    port = free_port()
    server = Server("server", server_command(args, port, folder / "state.db"), str(port))
    await server.start()
    orders = load_orders(args.package)
    target = f"127.0.0.1:{port}"
    client = await Client.connect(target)
    places = {"address": target, "queue": QUEUE}
    between: list[Server] = []
    if args.sidecar:
        process, doors = sidecar(args, target, folder)
        between, places = [process], places | doors
    workers = [
        Server(f"worker {i}", [part.format(**places) for part in shlex.split(command)], "ready")
        for i, command in enumerate(args.worker, 1)
    ]
    hands = [asyncio.create_task(work(client, ledger, f"hand-{i}")) for i in range(ACTIVITY_WORKERS)]
    placed: list[asyncio.Task[None]] = []

    def progress() -> str:
        done = sum(task.done() for task in placed)
        return f"{done} of {args.orders} orders done, {len(ledger.completed)} activities acknowledged"

    try:
        async with contextlib.AsyncExitStack() as stack:
            for process in between:
                await process.start()
            if workers:
                await asyncio.gather(*(worker.start() for worker in workers))
            else:
                await stack.enter_async_context(await worker_here(args.package, target, orders))
            for number in range(args.orders):
                seed = rng.random()
                placed.append(
                    asyncio.create_task(place_order(client, orders, ledger, number, random.Random(seed)))
                )
            kills = asyncio.create_task(kill_again_and_again([server, *between, *workers], args.kills, rng, progress))
            try:
                await finish(asyncio.gather(kills, *placed), hands, args.limit, progress)
            except TimeoutError:
                await describe_stuck(client, ledger)
                raise
            print(f"all orders are done: {progress()}", flush=True)
            await check_histories(client, orders, ledger, args.package)
    finally:
        for task in [*hands, *placed]:
            task.cancel()
        for process in [*workers, *between, server]:
            await process.kill()
    repeated = sum(count > 1 for count in ledger.attempts.values())
    slowest = max(server.recoveries[1:], default=0.0)
    print(f"{repeated} activities ran again because no completion had been acknowledged; slowest restart {slowest:.2f} s")
    return ledger


async def worker_here(package: str, target: str, orders: types.ModuleType) -> Any:
    """A workflow worker in this process, which survives the kills."""
    own = await importlib.import_module(f"{package}.client").Client.connect(target)
    worker = importlib.import_module(f"{package}.worker")
    options = {"workflow_runner": worker.UnsandboxedWorkflowRunner()} if package == "temporalio" else {}
    return worker.Worker(own, task_queue=QUEUE, workflows=[orders.Order], no_remote_activities=True, **options)


async def finish(everything: Any, hands: list[asyncio.Task[None]], limit: float, progress: Any) -> None:
    """Awaits everything, shows progress, and fails at once if a hand has died: nobody would do its work."""
    deadline = time.monotonic() + limit
    while True:
        done, _ = await asyncio.wait([everything, *hands], timeout=5, return_when=asyncio.FIRST_COMPLETED)
        if everything in done:
            return await everything
        for hand in done:
            hand.result()
            raise AssertionError("an activity worker has ended")
        print(progress(), flush=True)
        if time.monotonic() > deadline:
            raise TimeoutError(f"not done within {limit} s: {progress()}")


async def describe_stuck(client: Client, ledger: Ledger) -> None:
    """Says where orders that do not finish stand: their last events and what the server holds as pending."""
    from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
    for kind in (1, 2):
        request = DescribeTaskQueueRequest(namespace=client.namespace, task_queue=TaskQueue(name=QUEUE), task_queue_type=kind)
        answer = await client.workflow_service.describe_task_queue(request)
        print(f"pollers of kind {kind}: {[(p.identity, p.last_access_time.ToJsonString()) for p in answer.pollers]}")
    shown = 0
    for name in ledger.starts:
        handle = client.get_workflow_handle(name)
        description = (await handle.describe()).raw_description
        if description.workflow_execution_info.status != 1 or shown == 3:
            continue
        shown += 1
        print(f"{name} is open; signals acknowledged: {sorted(ledger.signals.get(name, set()))}")
        for event in (await handle.fetch_history()).events:
            print(f"  {event.event_id:>3} {event.event_time.ToJsonString()} type {event.event_type}")
        print(f"  pending activities: {list(description.pending_activities)}")
        print(f"  pending workflow task: {description.pending_workflow_task}")


def load_orders(package: str) -> types.ModuleType:
    """The order workflow, with its imports pointing to `package`."""
    path = HERE / "orders.py"
    module = types.ModuleType("orders")
    sys.modules["orders"] = module
    text = path.read_text(encoding="utf-8").replace("from temporalio import workflow", f"from {package} import workflow")
    exec(compile(text, str(path), "exec"), module.__dict__)
    return module


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", required=True, help="the `durably` binary, or the peer's with --peer")
    parser.add_argument("--peer", action="store_true", help="the binary is tests/peers/temporal-server")
    parser.add_argument("--package", default="temporalio", help="SDK whose worker runs the workflows")
    parser.add_argument(
        "--worker",
        action="append",
        default=[],
        help="a worker process for the workflow Order, with {address} and {queue} in its arguments; it prints `ready`",
    )
    parser.add_argument(
        "--sidecar", action="store_true", help="workers go through a sidecar: {sidecar} is its address, {token} its token's file"
    )
    parser.add_argument("--orders", type=int, default=200)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--limit", type=float, default=300, help="seconds until orders that hang are a failure")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    args = parser.parse_args()
    print(f"{args.orders} orders, {args.kills} kills, seed {args.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        ledger = asyncio.run(run(args, pathlib.Path(folder)))
    for violation in ledger.violations[:20]:
        print(f"VIOLATION {violation}")
    print(f"{len(ledger.violations)} violations; repeat with --seed {args.seed}")
    return 1 if ledger.violations else 0


if __name__ == "__main__":
    sys.exit(main())
