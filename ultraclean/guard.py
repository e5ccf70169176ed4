"""Runs a function on items in a child process that may be killed, so that an item costs only itself.

HTML extractors spin in C and allocate without bound on rare pages, and no signal or thread stops
them. Here a server process, with the function loaded, forks a child for a batch of items; the
child inherits the batch without a copy and sends back one answer an item. A child that takes too
long over an item, allocates too much or dies is killed, and the next one goes on behind that item.

What fails is tried once more, alone in a fresh child and with five times the time, so that its
outcome does not depend on what ran before it; what fails again is a `Failure`. Time is the child's
CPU time where the system tells it (Linux), so that a busy machine does not change outcomes.

The server is a new interpreter and not a fork of the caller: forking a process that has threads, as
a Ray worker does, can deadlock. It ends when its caller does, its children when it does.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import pickle
import resource
import select
import signal
import struct
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO, Any, Final

from ultraclean.errors import StageError

RETRY_FACTOR: Final = 5
STOPPED: Final = frozenset({"TimeLimit", "MemoryLimit", "Crash"})
WALL_FACTOR: Final = 20
"""An item that sleeps uses no CPU time; it may take so many times its limit by the clock."""


@dataclass(frozen=True)
class Failure:
    """An item that could not be processed; `str` is `Type: message`."""

    type: str
    message: str

    def __str__(self) -> str:
        return f"{self.type}: {self.message}"


class Guard:
    """Calls `make()(item)` for items, in a server that is started at the first call.

    `make` is a picklable function without arguments; what it loads is loaded once. Items and
    results are pickled. Threads may share a Guard; their calls follow each other.
    """

    def __init__(
        self, make: Callable[[], Callable[[Any], Any]], time_limit_s: float, memory_limit_mb: int
    ) -> None:
        self._job = pickle.dumps((make, time_limit_s, memory_limit_mb))
        self._lock = threading.Lock()
        self._server: subprocess.Popen[bytes] | None = None

    def map(self, items: Sequence[Any]) -> list[Any]:
        """The result, or the Failure, of each item, in order."""
        if not items:
            return []
        with self._lock:
            for _ in range(2):
                server = self._server or self._start()
                try:
                    _send(server.stdin, list(items))
                    kind, answer = _receive(server.stdout)
                except (EOFError, OSError):
                    self.close()  # somebody killed the server; a second one may live
                    continue
                if kind == "error":
                    self.close()
                    raise StageError(f"the guarded function could not be loaded: {answer}")
                return list(answer)
        raise StageError("the process that guards a function was killed, and so was the next one")

    def _start(self) -> subprocess.Popen[bytes]:
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(entry or os.getcwd() for entry in sys.path),
            # one thread each: a fork must not find locks held by threads that it lacks
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        server = subprocess.Popen(
            [sys.executable, "-c", "from ultraclean.guard import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            # an interrupt from the keyboard is for the caller, who ends the server
            start_new_session=True,
        )
        weakref.finalize(self, _stop, server)
        self._server = server
        _send(server.stdin, self._job)
        return server

    def close(self) -> None:
        """Ends the server; a later call starts another."""
        server, self._server = self._server, None
        if server is not None:
            _stop(server)


def _stop(server: subprocess.Popen[bytes]) -> None:
    for stream in (server.stdin, server.stdout):
        with contextlib.suppress(OSError):
            if stream is not None:
                stream.close()
    try:
        server.wait(1)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


# --- the server -------------------------------------------------------------------------------


def serve() -> None:
    """The server's loop: a job, then batches of items, until the caller closes or ends."""
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # what the function prints must not be taken for an answer
    with contextlib.suppress(EOFError, BrokenPipeError):
        try:
            make, time_limit_s, memory_limit_mb = pickle.loads(_receive(requests))
            function = make()
        except Exception as error:
            _receive(requests)
            _send(answers, ("error", f"{type(error).__name__}: {error}"))
            return
        # children then share these pages instead of copying them at the first collection
        gc.freeze()
        limits = time_limit_s, memory_limit_mb
        while True:
            items = _receive(requests)
            _send(answers, ("results", _guarded(function, items, limits, requests.fileno())))


def _guarded(
    function: Callable[[Any], Any], items: list[Any], limits: tuple[float, int], caller: int
) -> list[Any]:
    time_limit_s, memory_limit_mb = limits
    results: list[Any] = []
    while len(results) < len(items):
        first = len(results)
        results += _in_child(function, items[first:], time_limit_s, memory_limit_mb, caller)
        failure = results[-1]
        if not isinstance(failure, Failure) or failure.type not in STOPPED:
            continue
        if failure.type != "TimeLimit" and len(results) - first == 1:
            continue  # it was alone in its child already
        longer_s = RETRY_FACTOR * time_limit_s
        item = items[len(results) - 1]
        (again,) = _in_child(function, [item], longer_s, memory_limit_mb, caller)
        if isinstance(again, Failure) and failure.type == "TimeLimit":
            again = Failure(again.type, f"{failure.message}, and tried alone {again.message}")
        results[-1] = again
    return results


def _in_child(
    function: Callable[[Any], Any],
    items: list[Any],
    time_limit_s: float,
    memory_limit_mb: int,
    caller: int,
) -> list[Any]:
    """Results of the items up to the first that fails, whose Failure is the last."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _work(function, items, memory_limit_mb, writing)
    os.close(writing)
    results: list[Any] = []
    # without a buffer: `select` would not see what is in it
    with os.fdopen(reading, "rb", buffering=0) as answers:
        while len(results) < len(items):
            late = _wait(child, reading, time_limit_s, caller)
            if late is not None:
                results.append(late)
                break
            try:
                results.append(_receive(answers))
            except EOFError:
                break
            if isinstance(results[-1], Failure) and results[-1].type == "MemoryLimit":
                break  # what is left of the child's memory is not to be trusted
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    ended = len(results) == len(items) or (results and isinstance(results[-1], Failure))
    if not ended:
        results.append(_died(status))
    return results


def _wait(child: int, reading: int, time_limit_s: float, caller: int) -> Failure | None:
    """Waits for an answer of the child; a Failure if it takes too long. Ends with the caller."""
    cpu_start, wall_start = _cpu_s(child), time.monotonic()
    parent = os.getppid()
    while True:
        cpu_used = _cpu_s(child) - cpu_start
        wall_used = time.monotonic() - wall_start
        left_s = min(time_limit_s - cpu_used, WALL_FACTOR * time_limit_s - wall_used)
        if left_s <= 0:
            return Failure("TimeLimit", f"more than {time_limit_s:g} s")
        # CPU time is never ahead of the clock, so nothing can be late before `left_s`
        ready, _, _ = select.select([reading, caller], [], [], min(left_s, 1.0) + 0.001)
        if reading in ready:
            return None
        if caller in ready or os.getppid() != parent:
            # the caller sends nothing while it waits: it has closed its end, or died
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os._exit(0)


def _cpu_s(process: int) -> float:
    """CPU seconds that a process has used; where the system does not tell, the clock's."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            # clock_getcpuclockid(3), which Python lacks
            return time.clock_gettime((~process << 3) | 2)
    return time.monotonic()


def _died(status: int) -> Failure:
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        return Failure("Crash", f"the process died of {name}")
    return Failure("Crash", f"the process ended with status {os.WEXITSTATUS(status)}")


# --- the child --------------------------------------------------------------------------------


def _work(
    function: Callable[[Any], Any], items: list[Any], memory_limit_mb: int, writing: int
) -> None:
    """Answers item by item, and ends without the server's clean-up."""
    try:
        _die_with_parent()
        _limit_memory(memory_limit_mb)
        with os.fdopen(writing, "wb") as answers:
            for item in items:
                _send(answers, _result(function, item, memory_limit_mb))
    finally:
        os._exit(0)


def _result(function: Callable[[Any], Any], item: Any, memory_limit_mb: int) -> Any:
    try:
        return function(item)
    except MemoryError:
        return Failure("MemoryLimit", f"more than {memory_limit_mb} MB")
    except Exception as error:
        return Failure(type(error).__name__, str(error)[:200] or "no message")


def _die_with_parent() -> None:
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL, 0, 0, 0)


def _limit_memory(memory_limit_mb: int) -> None:
    """Lets the process grow by so much address space; what asks for more gets a MemoryError."""
    if sys.platform == "linux":
        with open("/proc/self/statm") as stream:
            now = int(stream.read().split()[0]) * resource.getpagesize()
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        limit = now + memory_limit_mb * 2**20
        resource.setrlimit(
            resource.RLIMIT_AS,
            (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard),
        )


# --- messages ---------------------------------------------------------------------------------


def _send(stream: IO[bytes] | None, value: Any) -> None:
    assert stream is not None
    try:
        content = pickle.dumps(value, protocol=5)
    except Exception as error:
        content = pickle.dumps(Failure("NotPicklable", str(error)))
    stream.write(struct.pack("<Q", len(content)))
    stream.write(content)
    stream.flush()


def _receive(stream: IO[bytes] | None) -> Any:
    assert stream is not None
    (n_bytes,) = struct.unpack("<Q", _exactly(stream, 8))
    return pickle.loads(_exactly(stream, n_bytes))


def _exactly(stream: IO[bytes], n_bytes: int) -> bytes:
    """A pipe without a buffer gives what is there, which may be less."""
    content = stream.read(n_bytes)
    if content and len(content) < n_bytes:
        pieces = [content]
        missing = n_bytes - len(content)
        while missing and (piece := stream.read(missing)):
            pieces.append(piece)
            missing -= len(piece)
        content = b"".join(pieces)
    if len(content) < n_bytes:
        raise EOFError
    return content
