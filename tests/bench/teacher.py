"""What a teacher's client costs: requests a second against a server that answers at once.

    python tests/bench/teacher.py                          # our client, against a bare server
    python tests/bench/teacher.py --peer distilabel=PYTHON --peer curator=PYTHON     # ours and others in turns
    python tests/bench/teacher.py --server URL --model M --peer vllm=PYTHON          # against a real server

The bare server parses heads and lengths and sends the same completion always, in a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from ultraclean.llm import Request, Sampling, Teacher

REPLY = json.dumps(
    {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "An answer."},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 100, "completion_tokens": 3, "total_tokens": 103},
    }
).encode()
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
MODELS = b'{"data": [{"id": "m"}]}'


class AtOnce(asyncio.Protocol):
    """Answers each request as soon as its last byte is there."""

    def connection_made(self, transport: Any) -> None:
        self.transport, self.buffer = transport, b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self.buffer) < end + 4 + length:
                return
            body = MODELS if head.startswith(b"get") else REPLY
            self.buffer = self.buffer[end + 4 + length :]
            self.transport.write(HEAD % len(body) + body)


def serve(port: Any) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(AtOnce, "127.0.0.1", 0)
        port.value = server.sockets[0].getsockname()[1]
        await server.serve_forever()

    asyncio.run(main())


def measure(teacher: Teacher, n: int, batches: int, round_: int) -> tuple[float, int]:
    """Requests a second and answer tokens, with so many batches in flight."""
    body = "word " * 100
    with teacher.open() as ask:
        ask.generate([Request.of(f"warm {round_} {k}") for k in range(64)])
        sampling = teacher.sampling
        parts = [
            [Request.of(f"{round_} {part} {k} {body}", sampling=sampling) for k in range(n)]
            for part in range(batches)
        ]
        before = ask.meter.completion_tokens
        threads = [threading.Thread(target=ask.generate, args=(part,)) for part in parts]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return n * batches / (time.perf_counter() - began), ask.meter.completion_tokens - before


def in_turns(given: argparse.Namespace, url: str) -> None:
    """A B C A B C, each in a process of its own; a row per client: medians, and shares of ours."""
    pythons = {"ours": sys.executable, **dict(peer.split("=", 1) for peer in given.peer)}
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in pythons}
    script = str(Path(__file__).parent / "teacher_peer.py")
    for _ in range(given.rounds):
        for name, python in pythons.items():
            command = [python, script, name, url, given.model, str(given.n), str(given.tokens)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(f"{name}: {done.stderr[-2000:]}{done.stdout[-1000:]}")
            found[name].append(json.loads(done.stdout.strip().rsplit("\n", 1)[-1]))
    print(
        "| client | requests/s, median | least to most | CPU us a request | answered | ours : its, round by round |"
    )
    print("|---|---|---|---|---|---|")
    for name, runs in found.items():
        rates = [one["n"] / one["seconds"] for one in runs]
        mine = [one["n"] / one["seconds"] for one in found["ours"]]
        ratios = [a / b for a, b in zip(mine, rates, strict=True)]
        cpu = statistics.median(one["cpu_s"] / one["n"] for one in runs) * 1e6
        answered = min(one["answered"] / one["n"] for one in runs)
        print(
            f"| {name} {runs[0]['version']} | {statistics.median(rates):,.1f} | {min(rates):,.1f} to "
            f"{max(rates):,.1f} | {cpu:,.0f} | {answered:.0%} | {statistics.median(ratios):.2f} "
            f"({min(ratios):.2f} to {max(ratios):.2f}) |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", help="address of a real server, with /v1")
    parser.add_argument("--model", default="m")
    parser.add_argument("--n", type=int, default=5000, help="requests in a batch")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=64, help="length of an answer")
    parser.add_argument("--peer", action="append", default=[], help="CLIENT=PYTHON that has it")
    given = parser.parse_args()
    url, process = given.server, None
    if url is None:
        port = multiprocessing.Value("i", 0)
        process = multiprocessing.Process(target=serve, args=(port,), daemon=True)
        process.start()
        while not port.value:
            time.sleep(0.01)
        url = f"http://127.0.0.1:{port.value}/v1"
    if given.peer:
        in_turns(given, url)
        if process is not None:
            process.terminate()
        return
    extra = {"ignore_eos": True} if given.server else {}
    teacher = Teacher(
        model=given.model,
        base_url=url,
        extra_body=extra,
        sampling=Sampling(max_tokens=given.tokens, temperature=0),
    )
    for batches in (1, 2):
        began_cpu = time.process_time()
        found = [measure(teacher, given.n, batches, r) for r in range(given.rounds)]
        cpu_us = (time.process_time() - began_cpu) / (given.n * batches * given.rounds) * 1e6
        rates = [rate for rate, _ in found]
        print(
            f"{batches} batches in flight: median {statistics.median(rates):,.0f} requests/s "
            f"({min(rates):,.0f} to {max(rates):,.0f}), {cpu_us:.0f} us of CPU a request"
        )
    if process is not None:
        process.terminate()


if __name__ == "__main__":
    main()
