"""Times MinHash signatures on a GPU beside a CPU core's, of documents of 100 to 1,500 words.

    python kernels/bench/minhash.py                # on a GPU
    python kernels/bench/minhash.py --documents 20000 --rounds 9

First the two are compared bit for bit. Then, in turns, A B A B: all of it from text, on one core; all of it
with the minima on the GPU; words and shingles alone, which stay on the CPU; and the kernel with its
copies alone. Medians, and ratios of the same round.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
import pyarrow as pa
from ultrakernels import minhash, minhash_triton
from ultrakernels.shingles import text_buffers, tops


def main() -> int:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--documents", type=int, default=50_000)
    options.add_argument("--rounds", type=int, default=7)
    chosen = options.parse_args()
    reason = minhash_triton.why_not()
    if reason is not None:
        print(f"nothing was measured: {reason}")
        return 1
    column = documents(chosen.documents)
    a, b = minhash.parameters(1, 112)
    here, there = minhash.signatures(column, 5, a, b), minhash_triton.signatures(column, 5, a, b)
    assert np.array_equal(here[0], there[0]) and np.array_equal(here[1], there[1])
    offsets, data = text_buffers(column)
    found = np.empty(len(data) // 2 + len(column) + 1, dtype=np.uint32)
    bounds = np.zeros(len(column) + 1, dtype=np.int64)
    ways: dict[str, Callable[[], object]] = {
        "CPU": lambda: minhash.signatures(column, 5, a, b),
        "CPU and GPU": lambda: minhash_triton.signatures(column, 5, a, b),
        "its words, on the CPU": lambda: tops(offsets.view(np.uint64), data, 5, found, bounds[1:]),
        "its minima, on the GPU": lambda: minhash_triton.minima(found[: bounds[-1]], bounds, a, b),
    }
    tops(offsets.view(np.uint64), data, 5, found, bounds[1:])
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(chosen.rounds):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            took[name].append(time.perf_counter() - started)
    print(f"{chosen.documents:,} documents, {bounds[-1]:,} shingles, 112 permutations")
    for name, times in took.items():
        ratios = [cpu / mine for cpu, mine in zip(took["CPU"], times, strict=True)]
        speed = chosen.documents / statistics.median(times)
        print(f"{name:24} {speed:12,.0f} documents/s  {statistics.median(ratios):6.2f} x")
    return 0


def documents(count: int) -> pa.Array:
    draw = random.Random(1)
    words = ["".join(draw.choices("etaoinshrdlu", k=draw.randrange(2, 10))) for _ in range(20_000)]
    texts = (" ".join(draw.choices(words, k=draw.randrange(100, 1500))) for _ in range(count))
    return pa.array(texts, pa.large_string())


if __name__ == "__main__":
    sys.exit(main())
