"""What a run of `dedup.minhash` leaves for later runs: the kept documents, small enough to compare with.

Not a stage. A folder with `index.json` and, for each corpus, parts of two files that go row by row:
`docs` (key, ranks, band keys, number of shingles) and `sets` (the sorted 64-bit shingle hashes) or,
of an index `sketch`, the signature's bytes in `docs`. With 14 x 8 bands and rows a document costs
about 140 bytes and 8 for each different shingle, or about 250 bytes in all as a sketch. An index
`bloom` has filters of band keys (`bloom.py`). A part is read whole and compared with its digest, so that damage is named and never guessed around.

Merging copies parts side by side, removing a corpus forgets its parts: nothing is computed. All
documents of an index count as kept, the corpora in the order of their merging.
"""

from __future__ import annotations

import functools
import hashlib
import io
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ultraclean import storage
from ultraclean.document import AT, KEY
from ultraclean.errors import DataError
from ultraclean.stages.dedup import bloom, kept

if TYPE_CHECKING:
    from ultraclean.exchange import Home, Sketches

FORMAT: Final = 1
MANIFEST: Final = "index.json"


@dataclass(frozen=True)
class Index:
    """A manifest and where it lies."""

    folder: str
    manifest: Mapping[str, Any]

    @property
    def kind(self) -> str:
        return str(self.manifest["kind"])

    @property
    def corpora(self) -> list[dict[str, Any]]:
        return list(self.manifest["corpora"])


def find(path: str) -> str:
    """The manifest of an index: in this folder, or of the one index that this run left."""
    path = storage.expand(path).rstrip("/")
    direct = storage.join(path, MANIFEST)
    if storage.exists(direct):
        return direct
    found = [
        storage.join(path, "index", table, called, MANIFEST)
        for table in storage.names_in(storage.join(path, "index"))
        for called in storage.names_in(storage.join(path, "index", table))
    ]
    found = [manifest for manifest in found if storage.exists(manifest)]
    if len(found) > 1:
        folders = ", ".join(manifest.removesuffix(f"/{MANIFEST}") for manifest in found)
        raise DataError(f"{path} holds several indexes, name one of them: {folders}")
    if not found:
        raise DataError(
            f"{path} holds no index: neither {MANIFEST} nor index/<table>/<stage>/{MANIFEST}; "
            "a run leaves one where dedup.minhash has `index: full` or `index: sketch`"
        )
    return found[0]


def load(path: str) -> Index:
    manifest = find(path)
    try:
        content = storage.read_json(manifest)
        if content["format"] != FORMAT:
            raise DataError(
                f"{manifest} is of format {content['format']}, this version reads {FORMAT}"
            )
        return Index(manifest.removesuffix(f"/{MANIFEST}"), content)
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{manifest} is damaged: {type(error).__name__}: {error}") from None


def describe(index: Index) -> str:
    """What `ultraclean index show` prints."""
    lines = [f"{index.folder}: {index.kind}"]
    for corpus in index.corpora:
        n_docs, n_bytes = corpus["documents"], corpus["bytes"]
        each = f"{n_bytes / max(1, n_docs):.0f} bytes each"
        lines.append(f"  {corpus['name']}: {n_docs:,} documents, {n_bytes:,} bytes, {each}")
    return "\n".join(lines)


def differences(mine: Mapping[str, Any], index: Index) -> list[str]:
    """One line for each parameter in which an index was made otherwise."""
    theirs = index.manifest["parameters"]
    return [
        f"{name}: {mine.get(name)!r} here, {theirs.get(name)!r} in the index"
        for name in dict.fromkeys([*mine, *theirs])
        if mine.get(name) != theirs.get(name)
    ]


def refuse(path: str, differing: Sequence[str]) -> str:
    return f"the index {path} was made with other parameters ({'; '.join(differing)})"


# --- reading ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """Rows of an index as a step reads them: a shard of documents that come first, and are kept."""

    folder: str
    files: tuple[tuple[str, str], ...]  # (name, digest) of docs and, of a full index, of sets
    n_rows: int
    shard: int
    corpus: int
    own_ranks: int
    n_ranks: int  # of this run, the corpus's number in front

    def read(self, columns: Sequence[str] | None = None) -> pa.Table | None:
        table = _read(self.folder, *self.files[0])
        if (columns is None or "shingles" in columns) and len(self.files) > 1:
            sets = _read(self.folder, *self.files[1])
            table = table.append_column("shingles", sets["shingles"])
        n = table.num_rows
        ranks = [np.full(n, self.corpus, dtype=np.uint64)]
        ranks += [table[f"rank_{i}"].to_numpy() for i in range(self.own_ranks)]
        ranks += [np.zeros(n, dtype=np.uint64)] * (self.n_ranks - len(ranks))
        table = table.drop_columns([f"rank_{i}" for i in range(self.own_ranks)])
        table = table.append_column(AT, pa.array((self.shard << 32) + np.arange(n)))
        for i, rank in enumerate(ranks):
            table = table.append_column(f"rank_{i}", pa.array(rank))
        return table.append_column(kept.ROLE, pa.array(np.ones(n, dtype=np.int8)))

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        return iter([table] if (table := self.read(columns)) is not None else [])


def parts(indexes: Iterable[Index], first_shard: int, n_ranks: int) -> list[Part]:
    """The parts of all indexes, as shards from `first_shard` on."""
    found: list[Part] = []
    number = 0
    for index in indexes:
        for corpus in index.corpora:
            for part in corpus["parts"]:
                files = tuple((file["path"], file["digest"]) for file in part["files"])
                shard = first_shard + len(found)
                of = (shard, number, corpus["n_ranks"], n_ranks)
                found.append(Part(index.folder, files, part["n_rows"], *of))
            number += 1
    return found


def _read(folder: str, name: str, digest: str) -> pa.Table:
    path = storage.join(folder, name)
    try:
        content = storage.read_bytes(path)
    except FileNotFoundError:
        raise DataError(f"the index partition {path} is missing{_CURE}") from None
    if hashlib.blake2b(content, digest_size=16).hexdigest() != digest:
        raise DataError(
            f"the index partition {path} is corrupt: its {len(content)} bytes are not those that "
            f"were written{_CURE}"
        )
    return pq.read_table(pa.BufferReader(content), use_threads=False)


_CURE: Final = "; copy it back, or take its corpus out with `ultraclean index remove`"


# --- writing ----------------------------------------------------------------------------------------


def write(
    sketches: Sketches,
    kind: str,
    parameters: Mapping[str, Any],
    columns: Sequence[str],
    bloom_rate: float,
) -> dict[str, Any]:
    """Leaves the kept documents of a resolved barrier in its index folder; returns facts for the card."""
    mark = storage.join("", *sketches.folder.rstrip("/").split("/")[-1:])
    target = storage.join(sketches.index_folder, mark)
    more: dict[str, Any] = {}
    if kind == "bloom":
        n_bands = int(parameters["bands"])
        corpus, more = bloom.write(sketches, mark, target, n_bands, bloom_rate)
    else:
        corpus = _written(sketches, kind, mark, target, columns)
    manifest = {"format": FORMAT, "kind": kind, "parameters": dict(parameters), "corpora": [corpus]}
    storage.write_json(storage.join(sketches.index_folder, MANIFEST), manifest)
    return {
        "folder": sketches.index_folder,
        "kind": kind,
        "documents": corpus["documents"],
        "bytes": corpus["bytes"],
        "bytes_per_document": round(corpus["bytes"] / max(1, corpus["documents"]), 1),
        **more,
    }


def _written(
    sketches: Sketches, kind: str, mark: str, target: str, columns: Sequence[str]
) -> dict[str, Any]:
    """The kept documents as a corpus of a manifest, their parts written to `target`."""
    from ultraclean.exchange import Home

    final = Home(tuple(sketches.final), len(sketches.row_counts)) if sketches.final else None
    written = sketches.collect(
        sketches.step(
            "index",
            functools.partial(write_part, final, target, kind == "full"),
            columns=[AT, KEY, "bands", "n_shingles", *columns],
        )
    )
    rows = [] if written is None else written.sort_by("first").to_pylist()
    n_ranks = sum(name.startswith("rank_") for name in columns)
    found = [
        {
            "n_rows": row["n_rows"],
            "files": [
                {"path": storage.join(mark, name), "digest": digest, "n_bytes": n_bytes}
                for name, digest, n_bytes in zip(
                    row["names"], row["digests"], row["sizes"], strict=True
                )
            ],
        }
        for row in rows
    ]
    return {
        "name": sketches.run_name,
        "documents": sum(row["n_rows"] for row in rows),
        "bytes": sum(sum(row["sizes"]) for row in rows),
        "n_ranks": n_ranks,
        "parts": found,
    }


def write_part(final: Home | None, target: str, with_sets: bool, table: pa.Table) -> pa.Table:
    """The kept documents of one task as one part: (first `_at`, rows, and names, digests, sizes of files)."""
    keep = pc.is_valid(table["bands"]).to_numpy().copy()
    if final is not None:
        found, place = final.match(table)
        if found is not None:
            keep &= np.append(found["kept"].to_numpy(), True)[place]
    rows = table.filter(pa.array(keep))
    if not rows.num_rows:
        return pa.table({"first": pa.array([], pa.int64())})
    first = rows[AT][0].as_py()
    docs = rows.drop_columns([name for name in (AT, "shingles") if name in rows.column_names])
    files = {"docs": docs} | ({"sets": rows.select(["shingles"])} if with_sets else {})
    names, digests, sizes = [], [], []
    for what, content in files.items():
        name = f"{what}-{first:016x}.parquet"
        sink = io.BytesIO()
        pq.write_table(content, sink, compression="zstd", row_group_size=2**30)
        storage.write_bytes(storage.join(target, name), sink.getvalue())
        names.append(name)
        digests.append(hashlib.blake2b(sink.getvalue(), digest_size=16).hexdigest())
        sizes.append(len(sink.getvalue()))
    told = {"first": [first], "n_rows": [rows.num_rows]}
    return pa.table(told | {"names": [names], "digests": [digests], "sizes": [sizes]})


# --- merging and removing -----------------------------------------------------------------------------


def merge(paths: Sequence[str], target: str) -> Index:
    """Several indexes as one in a new folder, their corpora in this order."""
    indexes = [load(path) for path in paths]
    first, *others = indexes
    for path, other in zip(paths[1:], others, strict=True):
        mine = {"kind": first.kind, **first.manifest["parameters"]}
        theirs = {"kind": other.kind, **other.manifest["parameters"]}
        differing = [
            f"{name}: {mine.get(name)!r} in {paths[0]}, {theirs.get(name)!r} there"
            for name in dict.fromkeys([*mine, *theirs])
            if mine.get(name) != theirs.get(name)
        ]
        if differing:
            raise DataError(refuse(path, differing))
    names = [corpus["name"] for index in indexes for corpus in index.corpora]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"two of these indexes have a corpus of the same name: {', '.join(twice)}")
    if storage.exists(storage.join(target, MANIFEST)):
        raise DataError(f"{target} holds an index already: choose a new folder")
    corpora = []
    for index in indexes:
        for corpus in index.corpora:
            moved = [
                part | {"files": [_copied(index.folder, file, target, corpus["name"]) for file in part["files"]]}
                for part in corpus["parts"]
            ]  # fmt: skip
            corpora.append(corpus | {"parts": moved})
    manifest = {**first.manifest, "corpora": corpora}
    storage.write_json(storage.join(target, MANIFEST), manifest)
    return Index(target, manifest)


def remove(path: str, name: str) -> Index:
    """The index without one of its corpora; its files go after the manifest that no longer names them."""
    index = load(path)
    names = [corpus["name"] for corpus in index.corpora]
    if name not in names:
        raise DataError(f"{path} has no corpus {name!r}; it has: {', '.join(names)}")
    corpora = [corpus for corpus in index.corpora if corpus["name"] != name]
    manifest = {**index.manifest, "corpora": corpora}
    storage.write_json(storage.join(index.folder, MANIFEST), manifest)
    (gone,) = (corpus for corpus in index.corpora if corpus["name"] == name)
    for part in gone["parts"]:
        for file in part["files"]:
            storage.remove(storage.join(index.folder, file["path"]))
    return Index(index.folder, manifest)


def _copied(folder: str, file: Mapping[str, Any], target: str, corpus: str) -> dict[str, Any]:
    path = storage.join(corpus, file["path"].rsplit("/", 1)[-1])
    source = storage.join(folder, file["path"])
    with (
        storage.open_read(source) as stream,
        storage.atomic_write(storage.join(target, path)) as to,
    ):
        shutil.copyfileobj(stream, to)
    return {**file, "path": path}
