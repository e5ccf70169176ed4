"""A process that keeps the servers of a node: starts them, watches them, starts again what died.

All workers of a node whose teacher has the same settings share one keeper and its servers. It tells each
of them by a socket what became of the servers, line by line, and ends them when the last worker has
been gone for a while. It is no child of any worker, so that no worker's end ends it; when it is killed
itself, its servers end, too, and the next worker that looks for it starts another.

Run as a script by `ultraclean.llm.vllm`, and by nothing else; it needs Python's own library alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

# Linux ends the server when the thread that started it is gone, and so when its process is.
_LEASH: Final = (
    "import ctypes, os, sys\n"
    "ctypes.CDLL(None).prctl(1, 15)\n"
    "os.getppid() == int(sys.argv[1]) or sys.exit(1)\n"
    "os.execvp(sys.argv[2], sys.argv[2:])\n"
)


class Server:
    """One server process and the thread that watches it."""

    def __init__(
        self,
        command: Sequence[str],
        env: Mapping[str, str],
        log: Path,
        start_s: float,
        max_restarts: int,
    ) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._command = [*command, "--host", "127.0.0.1", "--port", str(self.port)]
        self._env = dict(env)
        self._start_s, self._max_restarts = start_s, max_restarts
        self.restarts = 0
        self.failure: str | None = None
        self.ready = False
        self._stop = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._log = log
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def state(self) -> dict[str, Any]:
        """What workers are told."""
        return {
            "url": f"http://127.0.0.1:{self.port}/v1",
            "pid": None if self._process is None else self._process.pid,
            "restarts": self.restarts,
            "ready": self.ready,
            "failure": self.failure,
        }

    def _watch(self) -> None:
        """Starts the server, and again when it dies, until told to stop or it dies too often."""
        while not self._stop.is_set():
            with open(self._log, "ab") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", _LEASH, str(os.getpid()), *self._command],
                    env=self._env,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            came_up = self._await_health(self._process)
            if came_up:
                self.ready = True
                while not self._stop.wait(0.2) and self._process.poll() is None:
                    pass
            self._end(self._process)
            if self._stop.is_set():
                return
            if not came_up or self.restarts >= self._max_restarts:
                status = self._process.returncode
                self.failure = f"the vLLM server ended with status {status}:\n{self._tail()}"
                return
            self.restarts += 1

    def _await_health(self, process: subprocess.Popen[bytes]) -> bool:
        deadline = time.monotonic() + self._start_s
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        while time.monotonic() < deadline and process.poll() is None and not self._stop.is_set():
            url = f"http://127.0.0.1:{self.port}/health"
            with contextlib.suppress(OSError), opener.open(url, timeout=5) as reply:
                if reply.status == 200:
                    return True
            self._stop.wait(0.1)
        return False

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """Ends the whole group: vLLM's engine is a process of its own and may outlive its server."""
        for wanted, patience_s in ((signal.SIGTERM, 15.0), (signal.SIGKILL, 5.0)):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, wanted)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(patience_s)

    def _tail(self, n_chars: int = 2000) -> str:
        return self._log.read_bytes()[-n_chars:].decode("utf-8", "replace")

    def stop(self) -> None:
        self._stop.set()

    def join(self) -> None:
        self._thread.join(30)


def keep(folder: Path, settings: Mapping[str, Any]) -> None:
    """Keeps the servers until nobody needs them; at once the end if another keeper does already."""
    with open(folder / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        door = folder / "socket"
        door.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(door))
            listening.listen(128)
            servers = []
            for number, env in enumerate(settings["envs"]):
                log = folder / f"log-{number}"
                log.write_bytes(b"")
                limits = (settings["start_s"], settings["max_restarts"])
                servers.append(Server(settings["command"], env, log, *limits))
            try:
                _tell(listening, servers, settings["linger_s"])
            finally:
                door.unlink(missing_ok=True)
                listening.close()
                for server in servers:
                    server.stop()
                for server in servers:
                    server.join()


def _tell(listening: socket.socket, servers: Sequence[Server], linger_s: float) -> None:
    """Tells all workers each change, until the last has been gone for `linger_s`."""
    workers: list[socket.socket] = []
    told = b""
    # The first worker is on its way; one that was killed meanwhile must not leave servers behind.
    alone_since, patience_s = time.monotonic(), max(linger_s, 60.0)
    while workers or time.monotonic() - alone_since < patience_s:
        heard, _, _ = select.select([listening, *workers], [], [], 0.1)
        now = json.dumps([server.state() for server in servers]).encode() + b"\n"
        gone = [one for one in workers if one in heard and not _says_something(one)]
        if now != told:
            gone += [one for one in workers if one not in gone and not _say(one, now)]
            told = now
        if listening in heard:
            worker, _ = listening.accept()
            worker.settimeout(5.0)
            if _say(worker, now):
                workers.append(worker)
        for one in gone:
            workers.remove(one)
            one.close()
        if gone and not workers:
            # What failed is tried anew by the next worker, not remembered.
            failed = any(server.failure for server in servers)
            alone_since, patience_s = time.monotonic(), 0.0 if failed else linger_s


def _says_something(worker: socket.socket) -> bool:
    try:
        return bool(worker.recv(4096))
    except OSError:
        return False


def _say(worker: socket.socket, line: bytes) -> bool:
    try:
        worker.sendall(line)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    given = json.load(sys.stdin)
    if os.fork():
        os._exit(0)  # whoever started it is not its parent: Ray ends the children of a worker
    os.setsid()
    keep(Path(sys.argv[1]), given)
