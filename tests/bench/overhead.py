"""What Ray costs: one cheap stage over gigabytes of text on two workers, beside the same in one process.

The stage is `filter.length` over Parquet; only the longest texts are kept, so writing is little of it. Each run
is a process of its own. CPU seconds are those of all its processes, Ray's own among them; wall seconds
mean something only where two cores are free, so the load is said. A small input shows what is fixed.
"""

from __future__ import annotations

import contextlib
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from bench import machine
from bench.corpora import BUILD
from bench.measure import Row

if TYPE_CHECKING:
    from bench.__main__ import Run

PIPELINE = """
name: overhead
drops: none
tables:
  out:
    - read.parquet: {{path: "{path}/*.parquet"}}
    - filter.length: {{min_words: 3000}}
    - write.parquet
"""
PROGRAM = "import sys; from ultraclean import Pipeline; Pipeline.load(sys.argv[1]).run(sys.argv[2], address=sys.argv[3])"  # fmt: skip
FILE_BYTES = 100_000_000


def rows(run: Run) -> Iterator[Row]:
    corpus = run.corpus("english")
    if corpus is None:
        return
    rounds = 1 if run.quick else 2
    for n_files in (1, 3) if run.quick else (2, 24):
        folder = BUILD / f"overhead-{n_files}"
        n_bytes = _written(corpus.column, corpus.n_bytes, folder, n_files)
        spent: dict[str, list[tuple[float, float]]] = {"inline": [], "local": []}
        for _ in range(rounds):
            for address, found in spent.items():
                found.append(_seconds(folder, address))
        wall, cpu = ({a: [one[i] for one in found] for a, found in spent.items()} for i in (0, 1))
        each = [a / b for a, b in zip(cpu["inline"], cpu["local"], strict=True)]
        said = "; ".join(
            f"{name}: {statistics.median(wall[name]):.1f} s by the clock, {statistics.median(cpu[name]):.1f} CPU"
            for name in spent
        )
        yield Row(
            "overhead", f"{n_bytes / 1e9:.2f} GB", "Ray, two workers",
            statistics.median(cpu["local"]), 0, 0, "one process", statistics.median(cpu["inline"]),
            statistics.median(each), min(each), max(each), agrees=f"{said}; load {machine.load()}",
            unit="CPU s",
        )  # fmt: skip


def _written(column: pa.Array, n_bytes: int, folder: Path, n_files: int) -> int:
    """Files of the corpus over and over, of together so many bytes of text."""
    times = max(1, FILE_BYTES // n_bytes)
    folder.mkdir(parents=True, exist_ok=True)
    first = folder / "000.parquet"
    if not first.is_file():
        table = pa.table({"text": pa.chunked_array([column] * times)})
        pq.write_table(table, first, compression="zstd", row_group_size=4096)
    for index in range(1, n_files):
        with contextlib.suppress(FileExistsError):
            (folder / f"{index:03d}.parquet").hardlink_to(first)
    return n_bytes * times * n_files


def _seconds(folder: Path, address: str) -> tuple[float, float]:
    """(seconds by the clock, CPU seconds of the process and of all it started)."""
    out, file = folder / "run", folder / "pipeline.yaml"
    shutil.rmtree(out, ignore_errors=True)
    file.write_text(PIPELINE.format(path=folder))
    begun = time.monotonic()
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(file), str(out), address])
    spent: dict[int, float] = {}
    top = psutil.Process(process.pid)
    while process.poll() is None:
        try:
            for one in [top, *top.children(recursive=True)]:
                times = one.cpu_times()
                spent[one.pid] = times.user + times.system
        except psutil.NoSuchProcess:
            pass
        time.sleep(0.1)
    assert process.returncode == 0, address
    return time.monotonic() - begun, sum(spent.values())
