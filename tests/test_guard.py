"""guard: an item that spins in C, allocates without bound or crashes costs only itself."""

from __future__ import annotations

import functools
import gc
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ultraclean.errors import StageError
from ultraclean.guard import Failure, Guard

SPINS = "a" * 60


def calls(function: Callable[..., Any], *arguments: Any) -> Callable[[], Callable[[Any], Any]]:
    """A picklable `make` for functions that every process can import."""
    return functools.partial(functools.partial, function, *arguments)


linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def cpu_s(process: int) -> float:
    """CPU seconds of a process and of its children that have ended."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def children(process: int) -> list[int]:
    found = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [int(child) for child in found]


def gone(processes: list[int]) -> bool:
    for _ in range(100):
        if not any(Path(f"/proc/{process}").exists() for process in processes):
            return True
        time.sleep(0.05)
    return False


def test_results_are_in_order() -> None:
    guard = Guard(calls(str.upper), 5, 512)
    assert guard.map(["a", "ü", ""]) == ["A", "Ü", ""]
    assert guard.map([]) == []
    assert guard.map(["x" * 5_000_000] * 5) == ["X" * 5_000_000] * 5
    assert guard.map(["b", 1]) == [
        "B",
        Failure(
            "TypeError", "descriptor 'upper' for 'str' objects doesn't apply to a 'int' object"
        ),
    ]
    guard.close()


def test_a_regular_expression_that_spins_in_c() -> None:
    guard = Guard(calls(re.fullmatch, "(a|a)*b"), 0.2, 512)
    assert guard.map(["a", SPINS, "c"]) == [
        None,
        Failure("TimeLimit", "more than 0.2 s, and tried alone more than 1 s"),
        None,
    ]
    assert str(Failure("TimeLimit", "x")) == "TimeLimit: x"
    guard.close()


def test_an_item_that_is_only_slow_gets_its_time() -> None:
    # 2 ** 21 steps take some tenths of a second; the second try has five times the limit
    guard = Guard(calls(re.fullmatch, "(a|a)*b"), 0.05, 512)
    started = time.process_time()
    re.fullmatch("(a|a)*b", "a" * 19)
    used = time.process_time() - started
    guard.close()
    guard = Guard(calls(re.fullmatch, "(a|a)*b"), used / 2, 512)
    assert guard.map(["a" * 19]) == [None]
    guard.close()


def test_memory_without_bound() -> None:
    guard = Guard(calls(bytearray), 5, 256)
    first, second, third = guard.map([10, 8 * 2**30, 10**6])
    assert (len(first), len(third)) == (10, 10**6)
    assert second == Failure("MemoryLimit", "more than 256 MB")
    guard.close()


def test_crashes() -> None:
    guard = Guard(calls(signal.raise_signal), 5, 256)
    assert guard.map([signal.SIGSEGV, 0, signal.SIGKILL]) == [
        Failure("Crash", "the process died of SIGSEGV"),
        None,
        Failure("Crash", "the process died of SIGKILL"),
    ]
    guard.close()
    guard = Guard(calls(os._exit), 5, 256)
    assert guard.map([3]) == [Failure("Crash", "the process ended with status 3")]
    guard.close()


def test_sleeping_is_waited_for_by_the_clock() -> None:
    guard = Guard(calls(time.sleep), 0.02, 256)
    assert guard.map([0.1]) == [None]
    (failure,) = guard.map([60])
    assert failure.type == "TimeLimit"
    guard.close()


def test_what_cannot_be_loaded_or_sent_back() -> None:
    guard = Guard(calls(int, "x")(), 5, 256)  # type: ignore[arg-type]
    with pytest.raises(StageError, match="could not be loaded: ValueError: invalid literal"):
        guard.map([1])
    guard = Guard(calls(memoryview), 5, 256)
    assert guard.map([b"x"])[0].type == "NotPicklable"
    guard.close()


@linux
def test_a_bad_item_hardly_slows_the_others() -> None:
    guard = Guard(calls(re.fullmatch, "(a|a)*b"), 0.1, 512)
    guard.map(["a"])
    assert guard._server is not None
    before_s = cpu_s(guard._server.pid)
    results = guard.map([SPINS if number == 1000 else "xy" for number in range(2000)])
    used_s = cpu_s(guard._server.pid) - before_s
    assert [number for number, result in enumerate(results) if result is not None] == [1000]
    # it costs its limit and five times that; the other 1,999 and the forks are in the rest
    assert used_s < 0.1 * (1 + 5) + 0.5
    guard.close()


def test_threads_may_share_a_guard() -> None:
    guard = Guard(calls(str.upper), 5, 512)
    results: list[list[str]] = []
    threads = [
        threading.Thread(target=lambda: results.append(guard.map(["a"] * 50))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [["A"] * 50] * 4
    guard.close()


@linux
def test_no_process_is_left_behind() -> None:
    guard = Guard(calls(re.fullmatch, "(a|a)*b"), 0.1, 512)
    guard.map(["a", SPINS])
    server = guard._server
    assert server is not None
    assert children(server.pid) == []
    del guard
    gc.collect()
    assert server.poll() == 0


@linux
def test_a_killed_server_is_replaced() -> None:
    guard = Guard(calls(str.upper), 5, 512)
    assert guard.map(["a"]) == ["A"]
    assert guard._server is not None
    guard._server.kill()
    guard._server.wait()
    assert guard.map(["b"]) == ["B"]
    guard.close()


@linux
def test_children_die_with_the_caller() -> None:
    program = (
        "import functools, re\n"
        "from ultraclean.guard import Guard\n"
        "guard = Guard(functools.partial(functools.partial, re.fullmatch, '(a|a)*b'), 60, 512)\n"
        "guard.map(['a'])\n"
        "print(guard._server.pid, flush=True)\n"
        f"guard.map(['{SPINS}'])\n"
    )
    caller = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert caller.stdout is not None
    server = int(caller.stdout.readline())
    for _ in range(100):
        if children(server):
            break
        time.sleep(0.05)
    family = [server, *children(server)]
    assert len(family) == 2
    caller.kill()
    caller.wait()
    caller.stdout.close()
    assert gone(family)
