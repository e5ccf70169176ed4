"""The records of a run folder: what is finished, from which input, with which counts.

Everything lives under fingerprints:

    ledger/<fingerprint>/<unit>.json     the record of one finished unit, put last
    ledger/<fingerprint>/records.jsonl   the same, compacted by the driver
    ledger/<fingerprint>/segment.json    which segment this is: name, stages, versions
    ledger/<fingerprint>/shards.json     (of a reader) files and shards, frozen when first run
    segments/<fingerprint>/...           what the units wrote

A unit is named `<shard>-<input>`, where `<input>` is a digest of what it read, so a unit whose
input changed is another unit. Data exists if and only if a record says so.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ultraclean import storage
from ultraclean.errors import LedgerError

Record = dict[str, Any]

FORMAT = 1
STALE_S = 120.0
COMPACT_EVERY = 1000


def digest(value: Any) -> str:
    """16 hex digits of a JSON-able value."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


@dataclass
class SegmentLedger:
    """The records of one fingerprint."""

    run: str
    fingerprint: str

    @property
    def folder(self) -> str:
        return storage.join(self.run, "ledger", self.fingerprint)

    @property
    def data_folder(self) -> str:
        return storage.join(self.run, "segments", self.fingerprint)

    def describe(self, description: Record) -> None:
        path = storage.join(self.folder, "segment.json")
        if not storage.exists(path):
            storage.write_json(path, description)

    def records(self) -> dict[str, Record]:
        """Unit -> record of everything finished, compacted or not."""
        found: dict[str, Record] = {}
        names = storage.names_in(self.folder)
        if "records.jsonl" in names:
            content = storage.read_bytes(storage.join(self.folder, "records.jsonl"))
            for line in content.decode().splitlines():
                record = json.loads(line)
                found[record["unit"]] = record
        for name in names:
            unit = name.removesuffix(".json")
            if name.endswith(".json") and name[0].isdigit() and unit not in found:
                found[unit] = storage.read_json(storage.join(self.folder, name))
        return found

    def compact(self) -> None:
        """All records in one object; the single ones are removed after it is there."""
        names = [
            name
            for name in storage.names_in(self.folder)
            if name.endswith(".json") and name[0].isdigit()
        ]
        if not names:
            return
        records = self.records()
        lines = [json.dumps(records[unit], ensure_ascii=False) for unit in sorted(records)]
        content = "".join(f"{line}\n" for line in lines).encode()
        storage.write_bytes(storage.join(self.folder, "records.jsonl"), content)
        for name in names:
            storage.remove(storage.join(self.folder, name))


def write_record(path: str, record: Record) -> None:
    storage.write_json(path, {"format": FORMAT, **record})


@contextlib.contextmanager
def lock(run: str) -> Iterator[None]:
    """One run at a time in a folder. A lock is dead if its process is, or if it stopped beating.

    The run that holds the lock calls nothing: a thread renews the lock's time.
    """
    import threading

    path = storage.join(run, "lock.json")
    mine = uuid.uuid4().hex

    def content() -> bytes:
        holder = {"id": mine, "host": socket.gethostname(), "pid": os.getpid()}
        started = _process_start(os.getpid())
        return json.dumps({**holder, "started": started, "time": time.time()}).encode()

    while not storage.create(path, content()):
        holder = _holder(path)
        if holder is not None and _alive(holder):
            raise LedgerError(
                f"{run} is in use by process {holder['pid']} on {holder['host']}: "
                "wait for it, stop it, or choose another --out"
            )
        storage.remove(path)
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(STALE_S / 4):
            with contextlib.suppress(OSError):
                storage.write_bytes(path, content())

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        holder = _holder(path)
        if holder is not None and holder["id"] == mine:
            storage.remove(path)


def _holder(path: str) -> Record | None:
    try:
        holder: Record = storage.read_json(path)
    except FileNotFoundError:
        return None
    except ValueError:
        return {"id": "", "host": "", "pid": 0, "time": 0.0, "started": None}
    return holder


def _alive(holder: Record) -> bool:
    if holder["host"] == socket.gethostname():
        started = _process_start(holder["pid"])
        return started is not None and started == str(holder["started"])
    return time.time() - float(holder["time"]) < STALE_S


def _process_start(pid: int) -> str | None:
    """The start time of a process in clock ticks, which tells a reused number from the old one."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
            return stat.read().rsplit(")", 1)[1].split()[19]
    except (OSError, IndexError):
        return None
