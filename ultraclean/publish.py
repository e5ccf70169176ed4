"""Shows what was dropped and measured: dropped/<table>/ and numbers/<table>/ for the present pipeline.

The units' own files stay in segments/ under their fingerprints; these folders are copies, packed
into fewer files, so that a plain glob over them never mixes two versions of a pipeline.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from ultraclean import storage
from ultraclean.ledger import digest
from ultraclean.rowgroups import HashedFile, Regrouper
from ultraclean.unit import read_parquet

if TYPE_CHECKING:
    from ultraclean.executors import Executor
    from ultraclean.finished import Done, Finished

FILE_BYTES = 256 * 2**20


def replace_folder(out: str, name: str, extension: str, state: str) -> None:
    """Makes way for what a folder shows: removes files of another state, which can be made again.

    The segments from which they were written stay, so this deletes copies only.
    """
    path = storage.join(out, "ledger", "shown.json")
    shown = storage.read_json(path) if storage.exists(path) else {}
    key = f"{name}/*{extension}"
    if shown.get(key) == state:
        return
    folder = storage.join(out, name)
    for file in storage.names_in(folder):
        if file.endswith(extension):
            storage.remove(storage.join(folder, file))
    storage.write_json(path, {**shown, key: state})


@dataclass(frozen=True)
class Copy:
    """Some of our files, to be packed into one."""

    paths: tuple[str, ...]
    target: str


def publish(finished: Finished, executor: Executor) -> None:
    """Brings dropped/ and numbers/ to the state of the run."""
    copies: list[Copy] = []
    for what in ("dropped", "numbers"):
        by_table: dict[str, list[Done]] = {}
        for done in finished.done.values():
            if done.segment.kind == "rows":
                by_table.setdefault(done.segment.table, []).append(done)
        for table, segments in by_table.items():
            state = digest([what, [done.digest for done in segments]])
            folder = f"{what}/{table}"
            replace_folder(finished.out, folder, ".parquet", state)
            for done in segments:
                copies += _copies(finished.out, folder, what, done)
    for _ in executor.map(run_copy, copies):
        pass


def _copies(out: str, folder: str, what: str, done: Done) -> list[Copy]:
    number = done.segment.name.split("/")[1]
    groups: list[list[str]] = []
    size = FILE_BYTES
    for record in done.records:
        entry = record[what]
        if entry is None:
            continue
        if size + entry["n_bytes"] > FILE_BYTES:
            groups.append([])
            size = 0
        groups[-1].append(entry["path"])
        size += entry["n_bytes"]
    return [
        Copy(tuple(paths), storage.join(out, folder, f"{number}-{index:05d}.parquet"))
        for index, paths in enumerate(groups)
    ]


def run_copy(copy: Copy) -> None:
    """Writes one packed file, unless it is there: its folder is of the present state."""
    if storage.exists(copy.target):
        return
    file: HashedFile | None = None
    regroup: Regrouper | None = None
    for path in copy.paths:
        for batch in read_parquet(path):
            if file is None or regroup is None:
                schema: pa.Schema = batch.data.schema
                file, regroup = HashedFile(copy.target, schema), Regrouper(schema)
            for group in regroup.add(batch.data):
                file.write(group)
    if file is not None and regroup is not None:
        for group in regroup.rest():
            file.write(group)
        file.close()
