"""vLLM servers of a node, shared by its workers; requests go to the least busy one.

A server is `python -m vllm.entrypoints.openai.api_server`, which `ultraclean.llm.keeper` starts and
watches. When one dies it is started again, and the requests that it had are sent again by the client's
own retries. Servers end when the last worker that asks them is gone, also by `kill -9`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import math
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from ultraclean.llm import keeper
from ultraclean.llm.openai import OpenAI
from ultraclean.llm.protocol import Request, Response, TeacherError

KEEPER_S: Final = 180.0
"""How long to look for a keeper: the one before may still be ending its servers."""

_THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")


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


@dataclass
class State:
    """What the keeper has told of one server."""

    base_url: str = ""
    pid: int | None = None
    restarts: int = 0
    ready: bool = False
    failure: str | None = None


class Vllm:
    """The engine: the node's servers for these settings, and a client for each."""

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
        linger_s: float = 0.0,
        **client: Any,
    ) -> None:
        self.model = model
        line = [*command, *arguments({"model": model, "served_model_name": model})]
        if tensor_parallel > 1:
            line += arguments({"tensor_parallel_size": tensor_parallel})
        line += arguments(options or {})
        # How long a server may be away while it starts again is the keeper's to say, by start_s.
        self._client = {**client, "patience_s": math.inf}
        added = [{**(env or {}), **_devices(n, tensor_parallel)} for n in range(replicas)]
        named = {"command": line, "start_s": start_s, "max_restarts": max_restarts}
        named |= {"linger_s": linger_s}
        # The rest of the environment (Ray's job and worker numbers) does not make other servers.
        self._folder = _folder(orjson.dumps([named, added, os.environ.get("PATH")]))
        self._settings = {**named, "envs": [{**_environment(), **one} for one in added]}
        self.servers = [State() for _ in range(replicas)]
        self._asking: Counter[str] = Counter()
        self._clients: dict[str, OpenAI] = {}
        self._listening: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Waits until all servers are up; TeacherError with the log's end if one does not come up."""
        reader, writer = await self._find_keeper()
        self._listening = asyncio.ensure_future(self._listen(reader, writer))
        while not all(server.ready for server in self.servers):
            failure = next((one.failure for one in self.servers if one.failure), None)
            if failure or self._listening.done():
                self._listening.cancel()
                raise TeacherError(failure or "the keeper of the servers cannot be reached")
            await asyncio.sleep(0.05)

    async def _find_keeper(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the keeper, which is started where there is none."""
        deadline = time.monotonic() + KEEPER_S
        started = -math.inf
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_unix_connection(str(self._folder / "socket"))
                line = await reader.readline()
                if line:  # a keeper that is ending says nothing
                    self._told(line)
                    return reader, writer
                writer.close()
            if time.monotonic() - started > 5.0:
                self._start_keeper()
                started = time.monotonic()
            await asyncio.sleep(0.05)
        said = (self._folder / "keeper.log").read_text(errors="replace")[-2000:]
        raise TeacherError(f"no process that keeps servers has come up in {KEEPER_S:g} s:\n{said}")

    def _start_keeper(self) -> None:
        with open(self._folder / "keeper.log", "ab") as log:
            subprocess.run(
                [sys.executable, "-I", "-S", keeper.__file__, str(self._folder)],
                input=orjson.dumps(self._settings),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                check=False,
            )

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Takes down what becomes of the servers; finds another keeper when this one is gone."""
        try:
            while True:
                while line := await reader.readline():
                    self._told(line)
                writer.close()
                reader, writer = await self._find_keeper()
        finally:
            writer.close()

    def _told(self, line: bytes) -> None:
        for server, told in zip(self.servers, orjson.loads(line), strict=True):
            server.base_url = told.pop("url")
            for name, value in told.items():
                setattr(server, name, value)

    async def ask(self, request: Request) -> Response:
        while True:
            server = min(self.servers, key=lambda one: (one.failure is not None, self._asking[one.base_url]))  # fmt: skip
            url = server.base_url
            self._asking[url] += 1
            try:
                response = await self._or_failure(server, url, request)
            finally:
                self._asking[url] -= 1
            if response is not None:
                return response

    async def _or_failure(self, server: State, url: str, request: Request) -> Response | None:
        """The answer; the server's failure as soon as it is given up; None if it is gone with its keeper."""
        if url not in self._clients:
            self._clients[url] = OpenAI(url, self.model, dialect="vllm", **self._client)
        answer = asyncio.ensure_future(self._clients[url].ask(request))
        try:
            while True:
                done, _ = await asyncio.wait([answer], timeout=1.0)
                if done:
                    return answer.result()
                if server.failure:
                    raise TeacherError(server.failure)
                if self._listening is not None and self._listening.done():
                    self._listening.result()  # no keeper can be had: its error
                if server.base_url != url:
                    return None
        finally:
            answer.cancel()

    async def close(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
        for client in self._clients.values():
            await client.close()


def _folder(settings: bytes) -> Path:
    """Where the keeper for these settings is found: a folder of this user on this node."""
    name = hashlib.blake2b(settings, digest_size=8).hexdigest()
    home = Path(tempfile.gettempdir()) / f"ultraclean-teachers-{os.getuid()}"
    folder = home / name
    for one in (home, folder):
        one.mkdir(mode=0o700, exist_ok=True)
        if one.stat().st_uid != os.getuid():
            raise TeacherError(f"{one} belongs to somebody else: set TMPDIR to a folder of yours")
    return folder


def _environment() -> dict[str, str]:
    """This process's, but for the one thread that a worker of Ray's is held to: a server is no worker."""
    held = _THREADS if "RAY_JOB_ID" in os.environ else ()
    return {name: value for name, value in os.environ.items() if name not in held}


def _devices(replica: int, per_replica: int) -> dict[str, str]:
    """The replica's part of the GPUs that this worker sees; nothing where it sees none."""
    visible = [gpu for gpu in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if gpu.strip()]
    mine = visible[replica * per_replica : (replica + 1) * per_replica]
    return {"CUDA_VISIBLE_DEVICES": ",".join(mine)} if mine else {}
