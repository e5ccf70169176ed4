"""What Ray costs: one cheap stage over gigabytes of text on two workers, beside the bare loop on two cores.

The bare loop is two processes at once without Ray, each over half of the files. The stage is
`filter.length` over Parquet; only the longest texts are kept, so writing is little of it. CPU seconds
are those of all processes, Ray's own among them. A small input shows what is fixed.
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
    - read.parquet: {{path: "{path}/**/files/*.parquet"}}
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
    for n_files in (1, 2) if run.quick else (1, 26):
        folder = BUILD / f"overhead-{n_files}"
        halves = [folder / half for half in ("a", "b")]
        n_bytes = sum(_written(corpus.column, corpus.n_bytes, half, n_files) for half in halves)
        bare, ray = [], []
        for _ in range(rounds):
            bare.append(_seconds(halves, "inline"))
            ray.append(_seconds([folder], "local"))
        wall, cpu = ([[one[i] for one in way] for way in (bare, ray)] for i in (0, 1))
        each = [a / b for a, b in zip(*wall, strict=True)]
        said = "; ".join(
            f"{name}: {statistics.median(wall[i]):.1f} s by the clock, {statistics.median(cpu[i]):.1f} CPU"
            for i, name in enumerate(("bare", "Ray"))
        )
        yield Row(
            "overhead", f"{n_bytes / 1e9:.2f} GB", "Ray, two workers",
            statistics.median(wall[1]), 0, 0, "two processes", statistics.median(wall[0]),
            statistics.median(each), min(each), max(each), agrees=f"{said}; load {machine.load()}",
            unit="s",
        )  # fmt: skip


def _written(column: pa.Array, n_bytes: int, folder: Path, n_files: int) -> int:
    """Files of the corpus over and over, of together so many bytes of text."""
    times = max(1, FILE_BYTES // n_bytes)
    folder = folder / "files"
    folder.mkdir(parents=True, exist_ok=True)
    first = folder / "000.parquet"
    if not first.is_file():
        table = pa.table({"text": pa.chunked_array([column] * times)})
        pq.write_table(table, first, compression="zstd", row_group_size=4096)
    for index in range(1, n_files):
        with contextlib.suppress(FileExistsError):
            (folder / f"{index:03d}.parquet").hardlink_to(first)
    return n_bytes * times * n_files


def _seconds(folders: list[Path], address: str) -> tuple[float, float]:
    """(seconds by the clock, CPU seconds): a process for each folder, all at once."""
    processes, spent = [], {}
    begun = time.monotonic()
    for folder in folders:
        out, file = folder / "run", folder / "pipeline.yaml"
        shutil.rmtree(out, ignore_errors=True)
        file.write_text(PIPELINE.format(path=folder))
        command = [sys.executable, "-c", PROGRAM, str(file), str(out), address]
        processes.append(subprocess.Popen(command))
    while any(process.poll() is None for process in processes):
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                top = psutil.Process(process.pid)
                for one in [top, *top.children(recursive=True)]:
                    times = one.cpu_times()
                    spent[one.pid] = times.user + times.system
        time.sleep(0.1)
    assert not any(process.returncode for process in processes), address
    return time.monotonic() - begun, sum(spent.values())
