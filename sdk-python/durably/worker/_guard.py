"""Keeps workflow code deterministic without a sandbox.

Inside a workflow, and only there, the clock, the random numbers and the UUIDs of the standard library answer from the
run; real I/O raises an error that names the user's line and what to do instead. Outside, each patched function costs
one look at the running event loop. Installed once, when the worker is imported.
"""

from __future__ import annotations

import asyncio
import ctypes
import datetime
import gc
import logging
import os
import random
import sys
import threading
import time
import types
import uuid
from typing import Any

from durably.worker._loop import WorkflowLoop
from durably.workflow._exceptions import NondeterminismError

_get_running_loop = asyncio._get_running_loop
_OUR_FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_STDLIB_FOLDER = os.path.dirname(os.path.abspath(os.__file__)) + os.sep
_ASYNCIO_FOLDER = os.path.dirname(os.path.abspath(asyncio.__file__)) + os.sep
_SITE_PACKAGES = os.sep + "site-packages" + os.sep


def guarded_loop() -> Any:
    """The loop of the workflow whose code is running, or None; None too where the guard is switched off."""
    loop = _get_running_loop()
    if type(loop) is WorkflowLoop and loop.deterministic:
        return loop
    return None


def location(depth: int = 1) -> str:
    """`file:line` of the nearest caller that is neither ours nor asyncio's; empty if there is none."""
    frame: types.FrameType | None = sys._getframe(depth)
    while frame is not None:
        filename = frame.f_code.co_filename
        if not filename.startswith((_OUR_FOLDER, _ASYNCIO_FOLDER)):
            return f"{filename}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


def _user_location() -> str:
    """`file:line` of the nearest caller in the user's own code, libraries skipped where possible."""
    frame: types.FrameType | None = sys._getframe(1)
    nearest = ""
    while frame is not None:
        filename = frame.f_code.co_filename
        if not filename.startswith((_OUR_FOLDER, "<")):
            place = f"{filename}:{frame.f_lineno}"
            if not filename.startswith(_STDLIB_FOLDER) and _SITE_PACKAGES not in filename:
                return place
            nearest = nearest or place
        frame = frame.f_back
    return nearest or "unknown line"


def violation(what: str, fix: str) -> NondeterminismError:
    """The error for something that can't be replayed."""
    return NondeterminismError(
        f"{what} is not possible in workflow code ({_user_location()}): {fix}. Where you know better, wrap it in "
        "`with workflow.unsafe.sandbox_unrestricted():`"
    )


# -- Time and randomness

_real_time_sleep = time.sleep


def _patch_time() -> None:
    def patch(name: str, answer: Any) -> None:
        original = getattr(time, name)

        def patched() -> Any:
            # `guarded_loop` written out: programs call these a lot.
            loop: Any = _get_running_loop()
            if type(loop) is not WorkflowLoop or not loop.deterministic:
                return original()
            return answer(loop.runtime.time_ns)

        _replace(time, name, patched, original)

    patch("time", lambda ns: ns / 1e9)
    patch("time_ns", lambda ns: ns)
    patch("monotonic", lambda ns: ns / 1e9)
    patch("monotonic_ns", lambda ns: ns)
    patch("perf_counter", lambda ns: ns / 1e9)
    patch("perf_counter_ns", lambda ns: ns)

    def sleep(seconds: Any) -> None:
        if guarded_loop() is not None:
            raise violation("time.sleep", "it would block the whole worker; use `await workflow.sleep(...)`")
        _real_time_sleep(seconds)

    _replace(time, "sleep", sleep, _real_time_sleep)


def _patch_random() -> None:
    shared: Any = random._inst
    plain = type(shared)
    real_random, real_bits, real_seed = shared.random, shared.getrandbits, shared.seed

    def module_random() -> float:
        loop: Any = _get_running_loop()
        if type(loop) is not WorkflowLoop or not loop.deterministic:
            return real_random()  # type: ignore[no-any-return]
        run: Any = loop.runtime
        return run.random.random()  # type: ignore[no-any-return]

    def module_getrandbits(k: int, /) -> int:
        loop: Any = _get_running_loop()
        if type(loop) is not WorkflowLoop or not loop.deterministic:
            return real_bits(k)  # type: ignore[no-any-return]
        run: Any = loop.runtime
        return run.random.getrandbits(k)  # type: ignore[no-any-return]

    def module_seed(a: Any = None, version: int = 2) -> None:
        loop = guarded_loop()
        (real_seed if loop is None else loop.runtime.random.seed)(a, version)

    class Switching(plain):  # type: ignore[misc, valid-type]
        """The module's generator, which answers from the run inside a workflow. Its methods were imported by name all
        over the place, so the instance itself has to change; and there is only this instance."""

        random = staticmethod(module_random)
        getrandbits = staticmethod(module_getrandbits)
        seed = staticmethod(module_seed)
        # Python code of the base class asks type(self) for this one.
        _randbelow = plain._randbelow_with_getrandbits

    shared.__class__ = Switching
    _replace(random, "random", module_random, random.random)
    _replace(random, "getrandbits", module_getrandbits, random.getrandbits)
    _replace(random, "seed", module_seed, random.seed)

    original_seed = random.Random.seed

    def seed(self: random.Random, a: Any = None, version: int = 2) -> None:
        loop = guarded_loop() if a is None else None
        original_seed(self, a if loop is None else loop.runtime.random.getrandbits(128), version)

    random.Random.seed = seed  # type: ignore[method-assign]


def _patch_entropy() -> None:
    original = os.urandom

    def urandom(size: int, /) -> bytes:
        loop = guarded_loop()
        if loop is None:
            return original(size)
        bits: int = loop.runtime.random.getrandbits(size * 8) if size else 0
        return bits.to_bytes(size, "big")

    _replace(os, "urandom", urandom, original)
    # uuid4 and secrets look these names up when they are called.
    random._urandom = urandom  # type: ignore[attr-defined]
    original_uuid1 = uuid.uuid1

    def uuid1(node: int | None = None, clock_seq: int | None = None) -> uuid.UUID:
        loop = guarded_loop()
        if loop is None:
            return original_uuid1(node, clock_seq)
        bits = loop.runtime.random.getrandbits
        stamp = loop.runtime.time_ns // 100 + 0x01B21DD213814000
        node = (bits(48) | 1 << 40) if node is None else node
        clock_seq = bits(14) if clock_seq is None else clock_seq
        fields = (
            stamp & 0xFFFFFFFF,
            stamp >> 32 & 0xFFFF,
            stamp >> 48 & 0x0FFF,
            clock_seq >> 8 & 0x3F,
            clock_seq & 0xFF,
        )
        return uuid.UUID(fields=(*fields, node), version=1)

    _replace(uuid, "uuid1", uuid1, original_uuid1)


def _patch_datetime() -> None:
    """`now` and `today` are methods of C types that user code has imported long ago: change them in the types.

    A substitute class (as test tools use) would change what `type(x)` and `isinstance` say all over the process.
    Without a time zone, the answer is UTC, because workers may run in different zones.
    """
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)

    def moment(loop: Any, cls: Any, tz: datetime.tzinfo | None) -> Any:
        at = epoch + datetime.timedelta(microseconds=loop.runtime.time_ns // 1000)
        at = at.replace(tzinfo=None) if tz is None else at.astimezone(tz)
        if cls is datetime.datetime:
            return at
        return cls(at.year, at.month, at.day, at.hour, at.minute, at.second, at.microsecond, at.tzinfo)

    def now(original: Any) -> Any:
        bound = original.__get__(None, datetime.datetime)

        def now(cls: Any, tz: datetime.tzinfo | None = None) -> Any:
            loop: Any = _get_running_loop()
            if type(loop) is not WorkflowLoop or not loop.deterministic:
                return bound(tz) if cls is datetime.datetime else original.__get__(None, cls)(tz)
            return moment(loop, cls, tz)

        return now

    def utcnow(original: Any) -> Any:
        def utcnow(cls: Any) -> Any:
            loop = guarded_loop()
            return original.__get__(None, cls)() if loop is None else moment(loop, cls, None)

        return utcnow

    def today(original: Any) -> Any:
        def today(cls: Any) -> Any:
            loop = guarded_loop()
            if loop is None:
                return original.__get__(None, cls)()
            at = moment(loop, datetime.datetime, None)
            return cls(at.year, at.month, at.day) if not issubclass(cls, datetime.datetime) else moment(loop, cls, None)

        return today

    # datetime inherits `today` from date.
    _patch_type(datetime.datetime, now=now, utcnow=utcnow)
    _patch_type(datetime.date, today=today)


def _patch_type(cls: type, **patches: Any) -> None:
    """Replace class methods of a C type. Leaves it alone on an interpreter that has no such door."""
    found = gc.get_referents(cls.__dict__)
    if not found or type(found[0]) is not dict:
        return
    names: dict[str, Any] = found[0]
    for name, make in patches.items():
        if name in names:
            names[name] = classmethod(make(names[name]))
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(cls))


def _replace(module: Any, name: str, patched: Any, original: Any) -> None:
    if isinstance(patched, types.FunctionType):
        patched.__name__ = patched.__qualname__ = name
        patched.__doc__ = getattr(original, "__doc__", None)
        patched.__module__ = module.__name__
    _originals[id(original)] = (original, patched)
    setattr(module, name, patched)


# Kept alive here, so that an id stays theirs.
_originals: dict[int, tuple[Any, Any]] = {}


def adopt_module(module: types.ModuleType | None) -> None:
    """Replace functions that a module took with `from time import time` before this module was imported."""
    if module is None:
        return
    names = vars(module)
    for name, value in list(names.items()):
        found = _originals.get(id(value))
        if found is not None and found[0] is value:
            names[name] = found[1]


def adopt_package(cls: type[Any]) -> None:
    """`adopt_module` for a workflow's module and the loaded modules of its package."""
    name = cls.__module__
    package = name.partition(".")[0]
    for candidate in list(sys.modules):
        if candidate == name or candidate.partition(".")[0] == package:
            adopt_module(sys.modules.get(candidate))


# -- I/O

_WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

_ACTIVITY = "do it in an activity"

# Audit event -> what it is, and what to do instead.
_FORBIDDEN: dict[str, tuple[str, str]] = {
    "open": ("writing a file", _ACTIVITY),
    "socket.connect": ("a network connection", _ACTIVITY),
    "socket.bind": ("opening a port", _ACTIVITY),
    "socket.sendto": ("sending on the network", _ACTIVITY),
    "socket.sendmsg": ("sending on the network", _ACTIVITY),
    "socket.getaddrinfo": ("a name lookup", _ACTIVITY),
    "socket.gethostbyname": ("a name lookup", _ACTIVITY),
    "subprocess.Popen": ("starting a process", _ACTIVITY),
    "os.system": ("starting a process", _ACTIVITY),
    "os.exec": ("starting a process", _ACTIVITY),
    "os.posix_spawn": ("starting a process", _ACTIVITY),
    "os.spawn": ("starting a process", _ACTIVITY),
    "os.fork": ("starting a process", _ACTIVITY),
    "os.forkpty": ("starting a process", _ACTIVITY),
    "os.remove": ("deleting a file", _ACTIVITY),
    "os.rename": ("renaming a file", _ACTIVITY),
    "os.mkdir": ("making a folder", _ACTIVITY),
    "os.rmdir": ("deleting a folder", _ACTIVITY),
    "os.truncate": ("writing a file", _ACTIVITY),
    "sqlite3.connect": ("opening a database", _ACTIVITY),
    "_thread.start_new_thread": (
        "starting a thread",
        "use asyncio.create_task for concurrency inside the workflow, an activity for blocking work",
    ),
}
_FORBIDDEN["_thread.start_joinable_thread"] = _FORBIDDEN["_thread.start_new_thread"]


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if event not in _FORBIDDEN:
        return
    loop = _get_running_loop()
    if type(loop) is not WorkflowLoop or not loop.deterministic:
        return
    what, fix = _FORBIDDEN[event]
    if event == "open":
        path, mode, flags = args
        writes = (flags or 0) & _WRITE_FLAGS if mode is None else set(mode) & set("wax+")
        # Python writes compiled modules when something is imported; importing is fine.
        if not writes or (isinstance(path, str) and ".pyc" in path):
            return
        what = f"writing the file {path!r}"
    raise violation(what, fix)


def _patch_threads() -> None:
    """Python before 3.12 has no audit event for a new thread."""
    original = threading.Thread.start

    def start(self: threading.Thread) -> None:
        if guarded_loop() is not None:
            raise violation(*_FORBIDDEN["_thread.start_new_thread"])
        original(self)

    threading.Thread.start = start  # type: ignore[method-assign]


def _patch_logging() -> None:
    """Log records of workflow code carry the real time, and handlers may do real I/O (rotate a file, send a packet)."""
    original = logging.Logger.handle

    def handle(self: logging.Logger, record: logging.LogRecord) -> None:
        loop = guarded_loop()
        if loop is None:
            return original(self, record)
        loop.deterministic = False
        try:
            now = time.time_ns()
            record.relativeCreated += now / 1e6 - record.created * 1e3
            record.created = now / 1e9
            record.msecs = now // 1_000_000 % 1000 + 0.0
            return original(self, record)
        finally:
            loop.deterministic = True

    logging.Logger.handle = handle  # type: ignore[method-assign]


_patch_time()
_patch_threads()
_patch_logging()
_patch_random()
_patch_entropy()
_patch_datetime()
sys.addaudithook(_audit)
