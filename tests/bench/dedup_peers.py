"""text-dedup and datatrove beside `dedup.minhash` on the same documents: a table of docs/deduplication.md.

    python -m venv PEERS && PEERS/bin/pip install text-dedup==0.4.0
    python tests/bench/dedup_peers.py --warcs debian --data ../shared/data --folder /tmp/peers --python PEERS/bin/python

Pages of two kernel and two Boost releases, the articles with planted pairs and planted chains, all in one input.
Every tool uses 14 bands of 8 rows over word 5-grams, one process, and is judged by what it kept: exact
similarities of all pairs, over our words, by a product of sparse matrices. Tools take turns, twice; CPU seconds are the lower ones.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse
from dedup_quality import chain_texts, releases
from numpy.typing import NDArray
from ultrakernels.shingles import shingle_sets

SIMILAR = 0.7
N_PAGES = 3000
OURS = """
name: out
stages:
  - read.parquet: {{path: "{source}"}}
  - dedup.minhash: {{{settings}}}
  - write.parquet
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("warcs", "data", "folder", "python"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--source", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.source:
        datatrove(arguments.source, arguments.folder)
        return
    folder = arguments.folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    pages = list(releases(arguments.warcs).values())[:N_PAGES]
    lines = (arguments.data / "dedup" / "articles_1000.train").read_text().splitlines()
    articles = [line.split(" ", 1)[1] for line in lines]
    parts = {"pages": pages, "articles": articles, "chains": chain_texts()}
    texts = [text for part in parts.values() for text in part]
    ids = [str(row) for row in range(len(texts))]
    pq.write_table(pa.table({"id": ids, "text": texts}), folder / "in.parquet")
    pairs = similar_pairs(texts)
    ends = np.cumsum([len(part) for part in parts.values()])
    print(f"{len(texts):,} documents, {len(pairs):,} pairs of {SIMILAR} or more\n")
    costs: dict[str, list[tuple[float, float]]] = {}
    kept: dict[str, NDArray[np.bool_]] = {}
    for turn in range(2):
        for name, (command, kept_by) in tools(arguments).items():
            out = folder / f"{name.replace(' ', '-')}-{turn}"
            costs.setdefault(name, []).append(measured(command(out), out))
            found = np.zeros(len(texts), dtype=bool)
            found[[int(row) for row in kept_by(out)]] = True
            assert turn == 0 or (kept[name] == found).all(), f"{name} is not repeatable"
            kept[name] = found
    shown(kept, costs, pairs, dict(zip(parts, ends.tolist(), strict=True)))
    if lost(kept["ours, verify"], pairs).any():
        sys.exit("a document was lost")


# --- truth ------------------------------------------------------------------------------------------


def similar_pairs(texts: list[str]) -> NDArray[np.int64]:
    """All pairs of `SIMILAR` or more, int64[n_pairs, 2], by the sets themselves."""
    sets = shingle_sets(pa.array(texts), 5)
    _, columns = np.unique(sets.values.to_numpy(), return_inverse=True)
    ones = np.ones(len(columns), dtype=np.int32)
    matrix = scipy.sparse.csr_matrix((ones, columns, sets.offsets.to_numpy()))
    sizes = np.diff(matrix.indptr)
    found = []
    for start in range(0, matrix.shape[0], 500):
        shared = (matrix[start : start + 500] @ matrix.T).tocoo()
        left, right, both = shared.row + start, shared.col, shared.data
        near = both >= SIMILAR * (sizes[left] + sizes[right] - both)
        found.append(np.stack([left, right], axis=1)[near & (left < right)])
    return np.concatenate(found).astype(np.int64)


def lost(kept: NDArray[np.bool_], pairs: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Documents that were dropped and have no kept copy."""
    saved = np.zeros(len(kept), dtype=bool)
    for one, other in ((0, 1), (1, 0)):
        saved[pairs[kept[pairs[:, other]], one]] = True
    return ~kept & ~saved


# --- tools ------------------------------------------------------------------------------------------

Tool = tuple[Callable[[Path], list[str]], Callable[[Path], list[str]]]


def tools(arguments: argparse.Namespace) -> dict[str, Tool]:
    """Name -> (command that writes into a folder, ids of what it kept)."""
    source = arguments.folder / "in.parquet"

    def ours(settings: str) -> Callable[[Path], list[str]]:
        def command(out: Path) -> list[str]:
            path = out.with_suffix(".yaml")
            path.write_text(OURS.format(source=source, settings=settings))
            run = [sys.executable, "-m", "ultraclean", "run", str(path), "--out", str(out)]
            return [*run, "--address", "inline"]

        return command

    def text_dedup(out: Path) -> list[str]:
        module = [str(arguments.python), "-m", "text_dedup.minhash", "--path", "parquet"]
        files = ["--data_files", str(source), "--split", "train", "--cache_dir", f"{out}-cache"]
        settings = ["--ngram", "5", "--num_perm", "112", "--b", "14", "--r", "8", "--num_proc", "1"]
        return [*module, *files, "--output", str(out), "--column", "text", *settings]

    def their_minhash(out: Path) -> list[str]:
        told = [f"--{name}={getattr(arguments, name)}" for name in ("warcs", "data", "python")]
        return [sys.executable, __file__, *told, f"--folder={out}", f"--source={source}"]

    return {
        "ours, verify": (ours(f"verify: {SIMILAR}"), kept_by_us),
        "ours, closure": (ours(""), kept_by_us),
        "text-dedup": (text_dedup, kept_by_text_dedup),
        "datatrove": (their_minhash, kept_by_datatrove),
    }


def kept_by_us(out: Path) -> list[str]:
    files = sorted((out / "tables" / "out").glob("*.parquet"))
    return [row for file in files for row in pq.read_table(file)["id"].to_pylist()]


def kept_by_text_dedup(out: Path) -> list[str]:
    rows: list[str] = []
    for file in sorted(out.glob("*.arrow")):
        with pa.memory_map(str(file)) as stream:
            rows += pa.ipc.open_stream(stream).read_all()["id"].to_pylist()
    return rows


def kept_by_datatrove(out: Path) -> list[str]:
    return list(json.loads((out / "kept.json").read_text()))


def datatrove(source: Path, out: Path) -> None:
    """datatrove's four steps with its defaults, one after the other in this process."""
    import xxhash
    from datatrove.data import Document
    from datatrove.pipeline.dedup import minhash
    from datatrove.utils.hashing import HashConfig

    config = minhash.MinhashConfig(hash_config=HashConfig(precision=64))
    folders = [str(out / name) for name in ("signatures", "buckets", "remove")]
    signatures = minhash.MinhashDedupSignature(folders[0], config)
    # datatrove 0.10.1 hands str to xxhash, which version 4 no longer takes.
    signatures._hash_func = lambda text: xxhash.xxh64_intdigest(text.encode())
    table = pq.read_table(source)
    documents = [Document(text=row["text"], id=row["id"]) for row in table.to_pylist()]
    signatures.run(iter(documents))
    for bucket in range(config.num_buckets):
        step = minhash.MinhashDedupBuckets(folders[0], folders[1], config=config)
        step.run(rank=bucket, world_size=config.num_buckets)
    minhash.MinhashDedupCluster(folders[1], folders[2], config=config).run()
    kept = minhash.MinhashDedupFilter(folders[2]).run(iter(documents))
    (out / "kept.json").write_text(json.dumps([document.id for document in kept]))


# --- the table --------------------------------------------------------------------------------------


MEASURE = """
import json, resource, subprocess, sys
code = subprocess.run(sys.argv[2:], stdout=open(sys.argv[1], "w"), stderr=subprocess.STDOUT).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([code, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]))
"""


def measured(command: list[str], out: Path) -> tuple[float, float]:
    """(CPU seconds, MiB of the largest process) of a command with its children."""
    # A small process starts it: a child's memory is counted from that of the process it was forked from.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    start = [sys.executable, "-c", MEASURE, f"{out}.log", *command]
    done = subprocess.run(start, stdout=subprocess.PIPE, env=environment, check=True)
    code, seconds, memory = json.loads(done.stdout)
    log = Path(f"{out}.log").read_text()
    if code:
        sys.exit(f"{command} failed:\n{log[-3000:]}")
    # Ours resets the kernel's mark for each unit, and says what the largest took.
    said = re.findall(r"most memory of a unit ([\d,]+) MiB", log)
    return seconds, max([memory, *(float(one.replace(",", "")) for one in said)])


def shown(
    kept: dict[str, NDArray[np.bool_]],
    costs: dict[str, list[tuple[float, float]]],
    pairs: NDArray[np.int64],
    ends: dict[str, int],
) -> None:
    print("| | documents | pairs | found | missed | dropped | without a kept copy of 0.7 |")
    print("|---|---|---|---|---|---|---|")
    start = 0
    for part, end in ends.items():
        inside = (pairs >= start).all(axis=1) & (pairs < end).all(axis=1)
        for name, keeps in kept.items():
            # A pair is missed where both stay.
            missed = int((keeps[pairs[inside, 0]] & keeps[pairs[inside, 1]]).sum())
            gone = int((~keeps[start:end]).sum())
            unlike = int(lost(keeps, pairs)[start:end].sum())
            counts: tuple[Any, ...] = (end - start, inside.sum(), inside.sum() - missed, missed)
            counts += (gone, unlike)
            print(f"| {part}: {name} | {' | '.join(f'{count:,}' for count in counts)} |")
        start = end
    print("\n| | CPU seconds | MiB |\n|---|---|---|")
    for name, cost in costs.items():
        print(f"| {name} | {min(cost)[0]:.1f} | {max(memory for _, memory in cost):.0f} |")


if __name__ == "__main__":
    main()
