"""vLLM servers that this worker starts, watches and restarts; requests go to the least busy one.

A server is `python -m vllm.entrypoints.openai.api_server` in a process group of its own, on the
GPUs that this worker was given. When it dies it is started again, and the requests that it had are
sent again by the client's own retries. Servers end when the worker does, also by `kill -9`.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from ultraclean.llm.openai import OpenAI
from ultraclean.llm.protocol import Request, Response, TeacherError

# Linux ends the server when the thread that started it is gone, and so when its process is.
_LEASH: Final = (
    "import ctypes, os, sys\n"
    "ctypes.CDLL(None).prctl(1, 15)\n"
    "os.getppid() == int(sys.argv[1]) or sys.exit(1)\n"
    "os.execvp(sys.argv[2], sys.argv[2:])\n"
)


def arguments(options: Mapping[str, Any]) -> list[str]:
    """`{"max_model_len": 4096, "enforce_eager": True}` as the server's command line."""
    line: list[str] = []
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        if value is True:
            line.append(flag)
        elif isinstance(value, dict | list):
            line += [flag, orjson.dumps(value).decode()]
        elif value is not False and value is not None:
            line += [flag, str(value)]
    return line


class Server:
    """One server process and the thread that watches it."""

    def __init__(
        self, command: Sequence[str], env: Mapping[str, str], start_s: float, max_restarts: int
    ) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._command = [*command, "--host", "127.0.0.1", "--port", str(self.port)]
        self._env = {**os.environ, **env}
        self._start_s, self._max_restarts = start_s, max_restarts
        self.restarts = 0
        self.failure: str | None = None
        self.ready = threading.Event()
        self._stop = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._log = tempfile.NamedTemporaryFile(prefix="vllm-", suffix=".log")  # noqa: SIM115
        self._thread = threading.Thread(target=self._watch, name="vllm-server", daemon=True)
        self._thread.start()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def _watch(self) -> None:
        """Starts the server, and again when it dies, until told to stop or it dies too often."""
        while not self._stop.is_set():
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _LEASH, str(os.getpid()), *self._command],
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            came_up = self._await_health(self._process)
            if came_up:
                self.ready.set()
                while not self._stop.wait(0.2) and self._process.poll() is None:
                    pass
            self._end(self._process)
            if self._stop.is_set():
                return
            if not came_up or self.restarts >= self._max_restarts:
                status = self._process.returncode
                self.failure = f"the vLLM server ended with status {status}:\n{self.tail()}"
                self.ready.set()
                return
            self.restarts += 1

    def _await_health(self, process: subprocess.Popen[bytes]) -> bool:
        deadline = time.monotonic() + self._start_s
        while time.monotonic() < deadline and process.poll() is None and not self._stop.is_set():
            with contextlib.suppress(OSError):
                url = f"http://127.0.0.1:{self.port}/health"
                opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
                with opener.open(url, timeout=5) as reply:
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

    def tail(self, n_chars: int = 2000) -> str:
        """The end of the server's log."""
        with open(self._log.name, "rb") as log:
            return log.read()[-n_chars:].decode("utf-8", "replace")

    def close(self) -> None:
        self._stop.set()
        self._thread.join(30)
        self._log.close()


class Vllm:
    """The engine: some servers, and a client for each."""

    def __init__(
        self,
        model: str,
        *,
        replicas: int = 1,
        tensor_parallel: int = 1,
        options: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
        command: Sequence[str] = (sys.executable, "-m", "vllm.entrypoints.openai.api_server"),
        start_s: float = 1800.0,
        max_restarts: int = 5,
        **client: Any,
    ) -> None:
        self.model = model
        line = [*command, *arguments({"model": model, "served_model_name": model})]
        if tensor_parallel > 1:
            line += arguments({"tensor_parallel_size": tensor_parallel})
        line += arguments(options or {})
        # How long a server may be away while it starts again is the supervisor's to say, by start_s.
        self._client = {**client, "patience_s": math.inf}
        self._asking: list[int] = [0] * replicas
        self._clients: list[OpenAI] = []
        self.servers = [
            Server(
                line, {**(env or {}), **_devices(number, tensor_parallel)}, start_s, max_restarts
            )
            for number in range(replicas)
        ]

    async def start(self) -> None:
        """Waits until all servers are up; TeacherError with the log's end if one does not come up."""
        for server in self.servers:
            while not server.ready.is_set():
                await asyncio.sleep(0.05)
            if server.failure:
                raise TeacherError(server.failure)
        self._clients = [
            OpenAI(server.base_url, self.model, dialect="vllm", **self._client)
            for server in self.servers
        ]

    async def ask(self, request: Request) -> Response:
        number = min(range(len(self.servers)), key=lambda n: (self._dead(n), self._asking[n]))
        self._asking[number] += 1
        try:
            return await self._or_failure(number, request)
        finally:
            self._asking[number] -= 1

    def _dead(self, number: int) -> bool:
        return self.servers[number].failure is not None

    async def _or_failure(self, number: int, request: Request) -> Response:
        """The answer; or, as soon as the server is given up, its failure."""
        answer = asyncio.ensure_future(self._clients[number].ask(request))
        try:
            while True:
                done, _ = await asyncio.wait([answer], timeout=1.0)
                if done:
                    return answer.result()
                failure = self.servers[number].failure
                if failure:
                    raise TeacherError(failure)
        finally:
            answer.cancel()

    async def close(self) -> None:
        for client in self._clients:
            await client.close()
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(None, server.close) for server in self.servers))


def _devices(replica: int, per_replica: int) -> dict[str, str]:
    """The replica's part of the GPUs that this worker sees; nothing where it sees none."""
    visible = [gpu for gpu in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if gpu.strip()]
    mine = visible[replica * per_replica : (replica + 1) * per_replica]
    return {"CUDA_VISIBLE_DEVICES": ",".join(mine)} if mine else {}
