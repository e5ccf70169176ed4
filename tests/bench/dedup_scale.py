"""How `dedup.minhash` grows: time, memory of a worker, and bytes shuffled, from 10^5 to 10^8 documents.

    python tests/bench/dedup_scale.py synthetic 1e8 --folder /tmp/scale --workers 2
    python tests/bench/dedup_scale.py real 1e7 --folder /tmp/scale --warcs debian --workers 2
    python tests/bench/dedup_scale.py table /tmp/scale/*.json

`synthetic` makes band keys whose clusters are known, so the counts of the card are checked exactly;
they are made when a task reads them and take no disk. `real` cuts windows of 100 words out of the
text of Debian's documentation (`debian_corpus.py`), edits some, and sketches them by the stage.
Each run leaves one JSON; `table` prints those as the rows of docs/deduplication.md.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ultraclean.document import AT, KEY, mix64
from ultraclean.exchange import Piece, Sketches
from ultraclean.executors.base import in_order
from ultraclean.stages.dedup.minhash import Minhash, binary_rows

SHARD = 1_000_000
CYCLE = np.repeat(np.arange(13), [1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 4])
"""Twenty documents in a row: nine alone, two pairs, three alike, and four."""


@dataclass(frozen=True)
class Made:
    """Synthetic sketches `start` to `stop` of `total`: rows of one shard."""

    start: int
    stop: int
    total: int
    bands: int

    @property
    def n_rows(self) -> int:
        return self.stop - self.start

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        number = np.arange(self.start, self.stop)
        made: dict[str, Any] = {AT: (number // SHARD << 32) + number % SHARD}
        wanted = columns or (AT, KEY, "bands")
        if KEY in wanted:
            halves = mix64(np.stack([number, number + 2**40], axis=1).astype(np.uint64))
            made[KEY] = binary_rows(halves.astype(">u8").view(np.uint8))
        if "bands" in wanted:
            made["bands"] = binary_rows(self._bands(number).view(np.uint8))
        return pa.table({name: made[name] for name in wanted})

    def _bands(self, number: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Band 0 is the family's for all its members, another band in three of four."""
        family = families(number, self.total).astype(np.uint64)
        keys = np.empty((len(number), self.bands), dtype=np.uint64)
        for band in range(self.bands):
            salt = np.uint64(band << 56)
            own = mix64((number.astype(np.uint64) + np.uint64(1 << 48)) ^ salt)
            shared = mix64(family ^ salt)
            keys[:, band] = np.where((own & np.uint64(3) > 0) | (band == 0), shared, own)
        return keys


def families(number: NDArray[np.int64], total: int) -> NDArray[np.int64]:
    """The family of each document; members lie far from one another. A thousandth is one family."""
    place = number * 7_368_787 % total  # a prime that divides no power of ten: a permutation
    block, rest = np.divmod(place, len(CYCLE))
    return np.where(place < total // 1000, 0, 1 + block * 13 + CYCLE[rest])


def truth(total: int) -> tuple[int, int]:
    """(clusters of two or more, documents that they lose)."""
    hot = total // 1000
    assert hot % len(CYCLE) == total % len(CYCLE) == 0
    cycles = (total - hot) // len(CYCLE)
    return cycles * 4 + 1, cycles * (1 + 1 + 2 + 3) + hot - 1


class MadeSketches(Sketches):
    """Sketches that are made as they are read, cut so that a task holds `memory_bytes`."""

    total: int = 0
    bands: int = 14

    def packed(self, bytes_per_row: float | None = None) -> list[Any]:
        step = min(SHARD, max(1, int(self.memory_bytes / (bytes_per_row or 512))))
        return [
            Made(start, min(start + step, (start // SHARD + 1) * SHARD, self.total), self.total, self.bands)
            for shard in range(0, self.total, SHARD)
            for start in range(shard, min(shard + SHARD, self.total), step)
        ]  # fmt: skip


def synthetic(total: int, folder: Path, memory_bytes: int, run: Any) -> dict[str, Any]:
    counts = [min(SHARD, total - start) for start in range(0, total, SHARD)]
    sketches = MadeSketches([Piece((), total)], counts, str(folder / "steps"), run, memory_bytes)
    sketches.total = total
    stage = Minhash(estimate=False, max_cluster=None)
    card = stage.resolve(sketches)
    assert (card["clusters"], card["dropped"]) == truth(total), (card, truth(total))
    return {"card": card, "steps": sketches.steps}


# --- real text --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cut:
    """Windows of real text, a third of them edited copies of another; rows of one shard."""

    shard: int
    n_rows: int
    text: str  # a file of UTF-8 text, read by memory map

    def batch(self) -> pa.RecordBatch:
        raw = np.memmap(self.text, dtype=np.uint8, mode="r")
        number = np.arange(self.n_rows) + self.shard * SHARD
        draw = mix64(number.astype(np.uint64))
        copied = draw % np.uint64(3) == 0
        origin = np.where(copied, number // 7, number)  # a copy is of an earlier document
        origin = np.where(
            copied & (mix64(origin.astype(np.uint64)) % np.uint64(3) == 0), number, origin
        )
        start = (
            mix64(origin.astype(np.uint64) + np.uint64(2**32)) % np.uint64(len(raw) - 700)
        ).astype(np.int64)
        width = 600
        content = raw[start[:, None] + np.arange(width)]
        # Edits: a letter overwritten at 0, 1, 3 or 10 places.
        places = np.array([0, 1, 3, 10])[(draw >> np.uint64(8)).astype(np.int64) & 3] * (
            origin != number
        )
        for i in range(10):
            rows = np.flatnonzero(places > i)
            where = (mix64(draw[rows] + np.uint64(i)) % np.uint64(width)).astype(np.int64)
            content[rows, where] = 97 + (
                mix64(draw[rows] ^ np.uint64(i + 1)) % np.uint64(26)
            ).astype(np.uint8)
        content[:, ::1][content >= 128] = 32
        offsets = np.arange(self.n_rows + 1, dtype=np.int32) * width
        text = pa.Array.from_buffers(
            pa.string(),
            self.n_rows,
            [None, pa.py_buffer(offsets.tobytes()), pa.py_buffer(content.tobytes())],
        )
        return pa.RecordBatch.from_pydict({"text": text})


def sketch_shard(stage: Minhash, item: tuple[Cut, str]) -> tuple[Piece, float]:
    from ultraclean.document import Batch, keys_of
    from ultraclean.rowgroups import Output

    cut, path = item
    begun = time.process_time()
    sketch = stage.sketch()
    output = None
    part = cut.batch()
    for start in range(0, cut.n_rows, 50_000):
        rows = sketch(Batch(part.slice(start, 50_000)))
        at = (cut.shard << 32) + np.arange(start, start + rows.num_rows)
        rows = rows.append_column(AT, pa.array(at)).append_column(
            KEY, keys_of("real", str(cut.shard), at)
        )
        output = output or Output(path, rows.schema)
        output.add(rows)
    output.close()
    entry = output.entry()
    groups = tuple((path, g) for g in range(entry["n_groups"]))
    return Piece(groups, cut.n_rows), time.process_time() - begun


def real(
    total: int, folder: Path, memory_bytes: int, run: Any, text: Path, verify: float | None
) -> dict[str, Any]:
    import functools

    stage = Minhash(verify=verify, estimate=False, max_cluster=None)
    size = min(SHARD, max(1, total // 4), 250_000)
    items = [
        (
            Cut(shard, min(size, total - start), str(text)),
            str(folder / f"sketch-{shard:05d}.parquet"),
        )
        for shard, start in enumerate(range(0, total, size))
    ]
    begun = time.perf_counter()
    made = list(run(functools.partial(sketch_shard, stage), items))
    sketched = {"seconds": time.perf_counter() - begun, "cpu_seconds": sum(cpu for _, cpu in made)}
    sketched["bytes"] = sum(Path(path).stat().st_size for _, path in items)
    pieces = [piece for piece, _ in made]
    counts = [piece.n_rows for piece in pieces]
    sketches = Sketches(pieces, counts, str(folder / "steps"), run, memory_bytes)
    card = stage.resolve(sketches)
    return {"card": card, "steps": sketches.steps, "sketch": sketched}


def plain_text(warcs: list[Path], target: Path) -> None:
    """The words of the pages, tags cut out roughly, one space between: enough to cut documents from."""
    import re

    from ultraclean.stages.read import warc as _  # noqa: F401
    from ultraclean.stages.read.warc import Warc

    n_bytes = 0
    with target.open("wb") as file:
        for path in warcs:
            source = Warc(path=str(path))
            from ultraclean.inputs import Shard

            parts = [part for found in source.inputs() for part in source.split(found, 2**30)]
            for batch in source.read(Shard(0, tuple(parts))):
                for html in batch["html"].to_pylist():
                    text = (html or b"").decode("utf-8", "ignore")
                    page = re.sub(r"(?s)<(script|style).*?</\1>|<[^>]*>|&#?\w+;", " ", text)
                    line = " ".join(page.split()).encode("ascii", "ignore")
                    file.write(line + b" ")
                    n_bytes += len(line)
            if n_bytes > 400e6:
                return


# --- the command ------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["synthetic", "real", "table"])
    parser.add_argument("rest", nargs="+", help="documents, or JSON files")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--warcs", type=Path, help="folder of debian_corpus.py")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--verify", type=float)
    parser.add_argument("--memory", type=float, default=256 * 2**20, help="memory_bytes of a task")
    arguments = parser.parse_args()
    if arguments.what == "table":
        runs = [json.loads(Path(path).read_text()) for path in arguments.rest]
        print(f"{table(runs)}\n\n{steps_table(runs)}")
        return
    total = int(float(arguments.rest[0]))
    name = f"{arguments.what}-{total:.0e}-{arguments.nodes}x{arguments.workers}"
    name += "-verify" if arguments.verify else ""
    folder = arguments.folder / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with cluster(arguments.nodes, arguments.workers) as run:
        begun = time.perf_counter()
        if arguments.what == "synthetic":
            found = synthetic(total, folder, int(arguments.memory), run)
        else:
            text = arguments.folder / "debian.txt"
            if not text.exists():
                plain_text(sorted(arguments.warcs.glob("*.warc.gz")), text)
            begun = time.perf_counter()
            found = real(total, folder, int(arguments.memory), run, text, arguments.verify)
        found |= {
            "name": name, "documents": total, "seconds": time.perf_counter() - begun,
            "nodes": arguments.nodes, "workers": arguments.workers, "memory_bytes": arguments.memory,
            "disk_bytes": sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()),
        }  # fmt: skip
    (arguments.folder / f"{name}.json").write_text(json.dumps(found, indent=1))
    shutil.rmtree(folder)
    print(table([found]))


@contextlib.contextmanager
def cluster(n_nodes: int, n_workers: int) -> Iterator[Any]:
    """A map over a Ray of `n_nodes` raylets on this machine; `inline` with no workers."""
    from ultraclean.executors import InlineExecutor
    from ultraclean.executors.ray import RayExecutor

    if n_workers == 0:
        yield in_order(InlineExecutor())
        return
    if n_nodes == 1:
        executor = RayExecutor("local", num_cpus=n_workers, object_store_memory=200 * 2**20)
        yield in_order(executor)
        executor.close()
        return
    from ray.cluster_utils import Cluster

    head = {"num_cpus": n_workers, "object_store_memory": 100 * 2**20}
    several = Cluster(initialize_head=True, head_node_args=head)
    for _ in range(n_nodes - 1):
        several.add_node(num_cpus=n_workers, object_store_memory=100 * 2**20)
    executor = RayExecutor(several.address)
    yield in_order(executor)
    executor.close()
    several.shutdown()


def table(runs: list[dict[str, Any]]) -> str:
    lines = [
        "| run | documents | clusters | dropped | seconds | task seconds | most memory of a task | shuffled | per document |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for run in sorted(runs, key=lambda run: (run["name"].split("-")[0], run["documents"])):
        steps, card = run["steps"], run["card"]
        shuffled = sum(step["bytes"] for step in steps)
        lines.append(
            f"| {run['name']} | {run['documents']:.0e} | {card['clusters']:,} | {card['dropped']:,} "
            f"| {run['seconds']:.0f} | {sum(step['seconds'] for step in steps):.0f} "
            f"| {max(step['peak_bytes'] for step in steps) / 2**20:.0f} MiB "
            f"| {shuffled / 1e9:.2f} GB | {shuffled / run['documents']:.0f} B |"
        )
    return "\n".join(lines)


def steps_table(runs: list[dict[str, Any]]) -> str:
    """Of each step of each run: tasks, CPU seconds, most memory of a task, bytes per document."""
    runs = sorted(runs, key=lambda run: (run["name"].split("-")[0], run["documents"]))
    names = list(dict.fromkeys(step["step"] for run in runs for step in run["steps"]))
    lines = [
        f"| step | {' | '.join(run['name'] for run in runs)} |",
        "|---" * (len(runs) + 1) + "|",
    ]
    for name in names:
        cells = []
        for run in runs:
            step = next((one for one in run["steps"] if one["step"] == name), None)
            cells.append(
                "-"
                if step is None
                else f"{step['tasks']}, {step['cpu_seconds']:.0f} s, {step['peak_bytes'] / 2**20:.0f} MiB, "
                f"{step['bytes'] / run['documents']:.0f} B"
            )
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
