"""The index of `dedup.minhash` as Bloom filters: whether a band key is known, and nothing else.

Not a stage. For streams in which nobody asks which document a copy is of: a few dozen bytes a document
in the place of hundreds. A corpus is some filters, each of the keys of one partition and of a size for
one task; a document of a later run goes if a filter has one of its band keys. A key is never missed; an unrelated
document goes wrongly with the probability that was asked for, whatever the size of the corpus.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ultraclean import storage
from ultraclean.document import AT, KEY_TYPE, mix64
from ultraclean.errors import DataError
from ultraclean.stages.dedup import kept

if TYPE_CHECKING:
    from ultraclean.exchange import Home, Piece, Sketches

_PLACES: Final = np.uint64(0xD6E8FEB86659FD93)  # partitions are not told by the bits of the filters
BYTES_PER_KEY: Final = 8 + 8 + 8  # of a task that makes a filter or asks one: key, address, filter


def write(
    sketches: Sketches, mark: str, target: str, n_bands: int, rate: float
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Leaves the filters of the kept documents in `target`; (corpus for the manifest, facts for the card)."""
    from ultraclean.exchange import Home

    final = Home(tuple(sketches.final), len(sketches.row_counts)) if sketches.final else None
    n_partitions = sketches.partitions_for(BYTES_PER_KEY * n_bands)
    keys = sketches.step(
        "bloom-keys",
        functools.partial(kept_keys, final),
        by=functools.partial(partition, n_partitions),
        n_partitions=n_partitions,
        columns=[AT, "bands"],
    )
    n_docs = sum(piece.n_rows for piece in keys) // n_bands
    make = functools.partial(write_filter, target, n_partitions, rate / n_bands)
    made = sketches.collect(sketches.step("bloom-filters", make, inputs=keys))
    rows = {} if made is None else {row["partition"]: row for row in made.to_pylist()}
    parts = [
        {
            "n_rows": rows[number]["n_keys"],
            "n_functions": rows[number]["n_functions"],
            "files": [
                {
                    "path": storage.join(mark, rows[number]["name"]),
                    "digest": rows[number]["digest"],
                    "n_bytes": rows[number]["n_bytes"],
                }
            ],
        }
        if number in rows
        else {"n_rows": 0, "n_functions": 1, "files": []}
        for number in range(n_partitions)
    ]
    n_bytes = sum(row["n_bytes"] for row in rows.values())
    corpus = {"name": sketches.run_name, "documents": n_docs, "bytes": n_bytes, "n_ranks": 0}
    return corpus | {"parts": parts, "rate": rate}, {"false_positive_rate": rate}


def kept_keys(final: Home | None, table: pa.Table) -> pa.Table:
    """Every band key of every kept document."""
    keep = pc.is_valid(table["bands"]).to_numpy().copy()
    if final is not None:
        found, place = final.match(table)
        if found is not None:
            keep &= np.append(found["kept"].to_numpy(zero_copy_only=False), True)[place]
    return keys_of(table.filter(pa.array(keep))).select(["key"])


def keys_of(table: pa.Table) -> pa.Table:
    """(`_at`, key) for each band of each document, null bands left out."""
    rows = table.filter(pc.is_valid(table["bands"]))
    keys = kept.byte_rows(rows["bands"]).view(np.uint64) if rows.num_rows else np.zeros((0, 1), np.uint64)  # fmt: skip
    at = np.repeat(rows[AT].to_numpy(), keys.shape[1])
    return pa.table({AT: at, "key": keys.ravel()})


def partition(n_partitions: int, table: pa.Table) -> NDArray[np.int64]:
    with np.errstate(over="ignore"):
        spread = mix64(table["key"].to_numpy() * _PLACES)
    return (spread % np.uint64(n_partitions)).astype(np.int64)


def write_filter(target: str, n_partitions: int, rate: float, table: pa.Table) -> pa.Table:
    from ultrakernels import bloom

    number = int(partition(n_partitions, table.slice(0, 1))[0])
    keys = np.unique(table["key"].to_numpy())
    n_words, n_functions = bloom.bloom_size(len(keys), rate)
    words = np.zeros(n_words, dtype=np.uint64)
    bloom.add(words, n_functions, keys)
    content = words.astype("<u8").tobytes()
    name = f"bloom-{number:05d}.bin"
    storage.write_bytes(storage.join(target, name), content)
    told = {"partition": number, "name": name, "n_keys": len(keys), "n_functions": n_functions}
    digest = hashlib.blake2b(content, digest_size=16).hexdigest()
    return pa.Table.from_pylist([told | {"digest": digest, "n_bytes": len(content)}])


# --- asking ---------------------------------------------------------------------------------------


def known(
    sketches: Sketches, folders: Sequence[str], corpora: Sequence[Mapping[str, Any]]
) -> list[Piece]:
    """Verdict rows of the documents of which a corpus knows a band key, with the first such corpus."""
    found: list[Piece] = []
    for number, (folder, corpus) in enumerate(zip(folders, corpora, strict=True)):
        parts = corpus["parts"]
        asked = sketches.step(
            f"bloom-ask-{number}",
            keys_of,
            by=functools.partial(partition, len(parts)),
            n_partitions=len(parts),
            columns=[AT, "bands"],
        )
        answer = functools.partial(hits, folder, tuple(map(_told, parts)), number)
        found += sketches.step(f"bloom-answer-{number}", answer, inputs=asked)
    home = sketches.home("bloom-home", found)
    return sketches.step("bloom-first", first_corpus, inputs=home.groups)


def _told(part: Mapping[str, Any]) -> tuple[int, str, str]:
    """(functions, path, digest); no path where no key came to a partition."""
    if not part["files"]:
        return (1, "", "")
    return (part["n_functions"], part["files"][0]["path"], part["files"][0]["digest"])


def hits(
    folder: str, parts: tuple[tuple[int, str, str], ...], corpus: int, table: pa.Table
) -> pa.Table:
    """(`_at`, corpus) of the documents that asked for a key which a filter has."""
    from ultrakernels import bloom

    number = int(partition(len(parts), table.slice(0, 1))[0])
    n_functions, name, digest = parts[number]
    at = np.zeros(0, dtype=np.int64)
    if name:
        words = _read(storage.join(folder, name), digest)
        there = bloom.has(words, n_functions, table["key"].to_numpy())
        at = np.unique(table[AT].to_numpy()[there])
    return pa.table({AT: at, "corpus": np.full(len(at), corpus, dtype=np.int32)})


def _read(path: str, digest: str) -> NDArray[np.uint64]:
    content = storage.read_optional(path)
    if content is None or hashlib.blake2b(content, digest_size=16).hexdigest() != digest:
        what = "is missing" if content is None else "is corrupt"
        raise DataError(
            f"the index partition {path} {what}; copy it back, or take its corpus out with "
            "`ultraclean index remove`"
        )
    return np.frombuffer(content, dtype="<u8").astype(np.uint64)


def first_corpus(table: pa.Table) -> pa.Table:
    """One verdict a document: dropped, as a copy of something in the first corpus that knows it."""
    rows = table.sort_by([(AT, "ascending"), ("corpus", "ascending")])
    _, first = np.unique(rows[AT].to_numpy(), return_index=True)
    rows = rows.take(pa.array(first))
    n = rows.num_rows
    return pa.table(
        {
            AT: rows[AT],
            "kept": np.zeros(n, dtype=np.bool_),
            "same_as": pa.nulls(n, KEY_TYPE),
            "similarity": np.full(n, np.nan),
            "cluster_size": np.ones(n, dtype=np.int64),
            "kept_at": np.full(n, -1, dtype=np.int64),
            "corpus": rows["corpus"],
            "estimated": np.zeros(n, dtype=np.bool_),
        }
    )
