"""Responses kept by content in the run folder, so that a resumed run pays nothing twice.

A worker appends lines `{"key": ..., ...}` to a file of its own; on a local disk a line is in the
system's hands before the response is used, so `kill -9` loses no response that had arrived. On an
object store, which cannot append, lines are put as a new object every 64 responses or 5 seconds.
Workers see each other's files. Kept is what the model said, not what we thought of it: checks are
done anew, and requests that failed are asked again.
"""

from __future__ import annotations

import contextlib
import contextvars
import os
import re
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any, Final

import orjson

from ultraclean import storage
from ultraclean.llm.protocol import Response, Sample, Usage

_FOLDER: contextvars.ContextVar[str | None] = contextvars.ContextVar("responses", default=None)
PREFIX: Final = b'{"key":"'
KEY_CHARS: Final = 32
LINES_PER_OBJECT: Final = 64
SECONDS_PER_OBJECT: Final = 5.0
# Read by pattern, since an index of millions of lines has no time to parse them.
_SPENT: Final = re.compile(
    rb'{"key":"\w+","model":("(?:[^"\\]|\\.)*"),"server_model":"(?:[^"\\]|\\.)*",'
    rb'"usage":{"prompt_tokens":(\d+),"completion_tokens":(\d+)}'
)


@contextlib.contextmanager
def responses_in(folder: str | None) -> Iterator[None]:
    """Within the block, teachers keep their responses in `folder` (any fsspec path)."""
    token = _FOLDER.set(folder)
    try:
        yield
    finally:
        _FOLDER.reset(token)


def current_folder() -> str | None:
    """The folder that `responses_in` named around the caller."""
    return _FOLDER.get()


def encode(key: str, model: str, response: Response) -> bytes:
    """One line, which begins with the key."""
    content = {
        "key": key,
        "model": model,
        "server_model": response.model,
        "usage": response.usage,
        "attempts": response.attempts,
        "seconds": round(response.seconds, 3),
        "samples": [_told(sample) for sample in response.samples],
    }
    return orjson.dumps(content, option=orjson.OPT_APPEND_NEWLINE)


def _told(sample: Sample) -> dict[str, Any]:
    told = {name: getattr(sample, name) for name in _TOLD}
    return {name: value for name, value in told.items() if value}


_TOLD: Final = ("text", "finish", "reasoning", "tool_calls", "refusal", "logprobs")


def decode(line: bytes) -> Response:
    """The response of a line, its samples not yet checked."""
    kept = orjson.loads(line)
    samples = [
        Sample(
            text=sample.get("text", ""),
            finish=sample["finish"],
            reasoning=sample.get("reasoning", ""),
            tool_calls=tuple(sample.get("tool_calls", ())),
            refusal=sample.get("refusal", ""),
            logprobs=tuple(sample.get("logprobs", ())),
        )
        for sample in kept["samples"]
    ]
    usage = Usage(kept["usage"]["prompt_tokens"], kept["usage"]["completion_tokens"])
    return Response(
        tuple(samples),
        model=kept["server_model"],
        usage=usage,
        attempts=kept["attempts"],
        seconds=kept["seconds"],
        cached=True,
    )


def stored(folder: str) -> Iterator[dict[str, Any]]:
    """All whole lines of a folder of responses."""
    for name in _files(folder):
        for line in storage.read_bytes(storage.join(folder, name)).splitlines(keepends=True):
            if _whole(line):
                yield orjson.loads(line)


def _files(folder: str) -> list[str]:
    return [name for name in storage.names_in(folder) if name.endswith(".jsonl")]


def _whole(line: bytes) -> bool:
    """False for the line that a killed writer left half written."""
    return line.startswith(PREFIX) and line.endswith(b"}\n")


class Cache:
    """The responses of one folder: an index of all files, and one file that this process writes."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._local = storage.is_local(folder)
        self._name = f"{os.uname().nodename}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._lock = threading.Lock()
        self._index: dict[bytes, tuple[str, int, int]] = {}
        self._read_to: dict[str, int] = {}
        self._refreshed = 0.0
        self._out: int | None = None
        self._written = 0
        self._waiting: list[bytes] = []
        self._put_at = time.monotonic()
        self._n_objects = 0
        self._mine: dict[bytes, bytes] = {}
        self._spent: dict[str, list[int]] = {}
        self.refresh()

    def get(self, key: str) -> Response | None:
        """The kept response, or None."""
        with self._lock:
            line = self._mine.get(bytes.fromhex(key))
            place = self._index.get(bytes.fromhex(key))
        if line is not None:
            return decode(line)
        return None if place is None else decode(self._line(*place))

    def find(self, key: str) -> Response | None:
        """The kept response, also if another worker has kept it meanwhile."""
        kept = self.get(key)
        if kept is None:
            self.refresh()
            kept = self.get(key)
        return kept

    def spent(self, model: str) -> tuple[int, int]:
        """Tokens of prompts and of answers that this model has been paid for, as far as was read."""
        with self._lock:
            return tuple(self._spent.get(model, (0, 0)))  # type: ignore[return-value]

    def _count(self, line: bytes) -> None:
        kept = _SPENT.match(line)
        if kept:
            model = str(orjson.loads(kept[1]))
            total = self._spent.setdefault(model, [0, 0])
            total[0] += int(kept[2])
            total[1] += int(kept[3])

    def put(self, key: str, model: str, response: Response) -> None:
        """Keeps a response; on a local disk it is safe from `kill -9` when this returns."""
        line = encode(key, model, response)
        with self._lock:
            self._count(line)
            if self._local:
                self._append(key, line)
                return
            self._mine[bytes.fromhex(key)] = line
            self._waiting.append(line)
            late = time.monotonic() - self._put_at > SECONDS_PER_OBJECT
            if late or len(self._waiting) >= LINES_PER_OBJECT:
                self._flush()

    def refresh(self) -> None:
        """Reads what other workers have written since the last look."""
        with self._lock:
            if time.monotonic() - self._refreshed < (0.2 if self._local else 5.0):
                return
            for name in _files(self.folder):
                if not name.startswith(self._name):
                    self._scan(name)
            self._refreshed = time.monotonic()

    def close(self) -> None:
        with self._lock:
            self._flush()
            if self._out is not None:
                os.close(self._out)
                self._out = None

    def _append(self, key: str, line: bytes) -> None:
        name = f"{self._name}.jsonl"
        if self._out is None:
            fs, bare = storage.filesystem(self.folder)
            fs.makedirs(bare, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            self._out = os.open(os.path.join(bare, name), flags, 0o644)
            self._written = os.lseek(self._out, 0, os.SEEK_END)
        left = memoryview(line)
        while left:
            left = left[os.write(self._out, left) :]
        self._index[bytes.fromhex(key)] = (name, self._written, len(line))
        self._written += len(line)

    def _flush(self) -> None:
        if not self._waiting:
            return
        path = storage.join(self.folder, f"{self._name}-{self._n_objects:06d}.jsonl")
        storage.write_bytes(path, b"".join(self._waiting))
        start = 0
        for line in self._waiting:
            key = bytes.fromhex(line[len(PREFIX) : len(PREFIX) + KEY_CHARS].decode())
            self._index[key] = (path.rsplit("/", 1)[1], start, len(line))
            self._mine.pop(key, None)
            start += len(line)
        self._n_objects += 1
        self._waiting.clear()
        self._put_at = time.monotonic()

    def _scan(self, name: str) -> None:
        """Indexes the lines of a file from where the last scan ended; a torn line is left out."""
        start = self._read_to.get(name, 0)
        if start and not self._local:
            return  # an object never grows
        at = start
        with storage.open_read(storage.join(self.folder, name)) as stream:
            stream.seek(start)
            for line in stream:
                if not line.endswith(b"\n"):
                    break
                if _whole(line):
                    key = bytes.fromhex(line[len(PREFIX) : len(PREFIX) + KEY_CHARS].decode())
                    self._index.setdefault(key, (name, at, len(line)))
                    self._count(line)
                at += len(line)
        self._read_to[name] = at

    def _line(self, name: str, start: int, length: int) -> bytes:
        with storage.open_read(storage.join(self.folder, name)) as stream:
            stream.seek(start)
            return stream.read(length)


def recorded(folder: str) -> dict[str, Response]:
    """All kept responses by key: the recording of a `scripted` teacher."""
    return {line["key"]: decode(orjson.dumps(line)) for line in stored(folder)}
