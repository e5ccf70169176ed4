"""An OpenAI-compatible server for tests, in a thread: quick, slow, failing, or lying, as told.

Also a program that takes vLLM's command line, for the tests of the supervisor.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Behaviour = Callable[[dict[str, Any], int], "tuple[int, Any] | None"]


def completion(text: str | None, *, finish: str = "stop", **message: Any) -> dict[str, Any]:
    return choices(
        [{"message": {"role": "assistant", "content": text, **message}, "finish_reason": finish}]
    )


def choices(listed: list[dict[str, Any]], model: str = "tiny") -> dict[str, Any]:
    usage = {"prompt_tokens": 7, "completion_tokens": 3}
    return {
        "id": "x",
        "object": "chat.completion",
        "model": model,
        "choices": listed,
        "usage": usage,
    }


def echo(body: dict[str, Any], number: int) -> tuple[int, Any]:
    return 200, completion("echo: " + body["messages"][-1]["content"])


class FakeServer:
    """`behave(body, number of this request)` gives (status, JSON or bytes), or None to hang up."""

    def __init__(
        self, behave: Behaviour = echo, *, models: tuple[str, ...] = ("tiny",), port: int = 0
    ) -> None:
        self.behave, self.models = behave, models
        self.port = port
        self.bodies: list[dict[str, Any]] = []
        self.heads: list[str] = []
        self.delay_s = 0.0
        self.active = 0
        self.most_active = 0
        self.chunked = False
        self.headers = ""
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            asyncio.start_server(self._client, "127.0.0.1", self.port, backlog=2000)
        )
        self.port = server.sockets[0].getsockname()[1]
        self._gate = asyncio.Semaphore(10**6)
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.01))
        self._loop.close()

    def limit_slots(self, slots: int) -> None:
        """So many at once; the others wait, as in vLLM."""
        self._gate = asyncio.Semaphore(slots)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = 0
                for line in head.split("\r\n"):
                    if line.lower().startswith("content-length:"):
                        length = int(line.split(":")[1])
                raw = await reader.readexactly(length)
                reply = await self._reply(head, raw)
                if reply is None:
                    break
                writer.write(reply)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _reply(self, head: str, raw: bytes) -> bytes | None:
        if head.startswith("GET /health"):
            return b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
        if head.startswith("GET /v1/models"):
            return self._http(200, {"data": [{"id": name} for name in self.models]})
        body = json.loads(raw)
        self.bodies.append(body)
        self.heads.append(head)
        number = len(self.bodies) - 1
        self.active += 1
        self.most_active = max(self.most_active, self.active)
        async with self._gate:
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
        self.active -= 1
        answer = self.behave(body, number)
        return None if answer is None else self._http(*answer)

    def _http(self, status: int, content: Any) -> bytes:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{self.headers}"
        if self.chunked:
            half = len(body) // 2
            parts = [part for part in (body[:half], body[half:]) if part]
            wire = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
            return f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + wire
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def main() -> None:
    """A stand-in for `python -m vllm.entrypoints.openai.api_server`.

    Asked to `die` it kills itself, but only the first of those that share the folder `MARKS`.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--fail", action="store_true")
    options, _ = parser.parse_known_args()
    if options.fail:
        raise SystemExit("ValueError: the model has no such file")
    marks = Path(os.environ["MARKS"])
    first = not any(marks.iterdir())
    (marks / str(os.getpid())).touch()
    if not first:
        time.sleep(float(os.environ.get("SLOW_RESTART", "0")))

    def behave(body: dict[str, Any], number: int) -> tuple[int, Any] | None:
        if first and body["messages"][-1]["content"] == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        return echo(body, number)

    FakeServer(behave, port=options.port).delay_s = float(os.environ.get("DELAY", "0"))
    threading.Event().wait()


if __name__ == "__main__":
    main()
