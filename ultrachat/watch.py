"""Watches a sandboxed program from outside: what it says, and what all its processes use together."""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

LOOK_S: Final = 0.02


@dataclass(frozen=True)
class Limits:
    """What one run may use."""

    time_s: float = 10.0
    """By the clock, all together."""
    memory_bytes: int = 512 * 2**20
    processes: int = 16
    """Threads count."""
    file_bytes: int = 16 * 2**20
    """One file."""
    disk_bytes: int = 64 * 2**20
    """All files."""
    files: int = 10_000
    output_bytes: int = 2**20
    """Standard output and error, together."""


Status = Literal["ok", "error", "time", "memory", "processes", "files", "output"]


def watch(
    process: subprocess.Popen[bytes], limits: Limits, started: float
) -> tuple[Status | None, bytes, bytes]:
    """Reads what it says until it ends or breaks a limit; killing bubblewrap kills all inside."""
    assert process.stdout is not None and process.stderr is not None
    said = {process.stdout: bytearray(), process.stderr: bytearray()}
    broken: Status | None = None
    with selectors.DefaultSelector() as selector:
        for pipe in said:
            os.set_blocking(pipe.fileno(), False)
            selector.register(pipe, selectors.EVENT_READ)
        looked = 0.0
        while broken is None and selector.get_map():
            for key, _ in selector.select(LOOK_S):
                chunk = os.read(key.fd, 2**16)
                if chunk:
                    said[key.fileobj] += chunk  # type: ignore[index]
                else:
                    selector.unregister(key.fileobj)
            now = time.monotonic()
            if sum(map(len, said.values())) > limits.output_bytes:
                broken = "output"
            elif now - started > limits.time_s:
                broken = "time"
            elif now - looked >= LOOK_S:
                broken = _excess(process.pid, limits)
                looked = now
    # A program may close its output and live on.
    while broken is None and process.poll() is None:
        time.sleep(LOOK_S / 4)
        if time.monotonic() - started > limits.time_s:
            broken = "time"
        else:
            broken = _excess(process.pid, limits)
    return broken, bytes(said[process.stdout]), bytes(said[process.stderr])


def _excess(pid: int, limits: Limits) -> Status | None:
    """The limit that all processes together break, if they do."""
    inside = _descendants(pid)
    if sum(map(_resident_bytes, inside)) > limits.memory_bytes:
        return "memory"
    # Two are bubblewrap's own: the one inside, and for a moment the one that starts it.
    if len(inside) > limits.processes + 2:
        return "processes"
    if inside:
        try:
            disk = os.statvfs(f"/proc/{inside[-1]}/root/tmp")
        except OSError:
            return None
        used = disk.f_files - disk.f_ffree
        if disk.f_blocks * disk.f_frsize <= limits.disk_bytes + 4096 and used > limits.files:
            return "files"
    return None


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    waiting = [pid]
    while waiting:
        parent = waiting.pop()
        try:
            for thread in os.listdir(f"/proc/{parent}/task"):
                children = Path(f"/proc/{parent}/task/{thread}/children").read_text()
                waiting += map(int, children.split())
        except OSError:
            continue
        if parent != pid:
            found.append(parent)
    return found


def _resident_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0
