"""Reading: Parquet, JSON lines in zstd, WARC in gzip; our sources beside the usual readers.

Ours check UTF-8, give every document its position and report each bad row; the peers are timed to
the point where a column of texts (or the payload of every record) is in memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from bench.corpora import BUILD, Corpus
from bench.measure import Row, Way, interleaved
from bench.measure import rows as table
from ultraclean.inputs import Part, Shard
from ultraclean.stages.read.jsonl import Jsonl
from ultraclean.stages.read.parquet import Parquet
from ultraclean.stages.read.warc import Warc

if TYPE_CHECKING:
    from bench.__main__ import Run


def rows(run: Run) -> Iterator[Row]:
    folder = BUILD / "files"
    folder.mkdir(parents=True, exist_ok=True)
    for corpus in run.corpora:
        if corpus.name in ("english", "chinese"):
            yield from _parquet(corpus, folder, run.rounds)
            yield from _jsonl(corpus, folder, run.rounds)
    if run.debian is not None and any(run.debian.glob("debian-*.warc.gz")):
        yield from _warc(run.debian, folder, run)


def _texts(source: Any, path: Path) -> Callable[[], int]:
    size = path.stat().st_size
    shard = Shard(0, (Part(str(path), path.name, size, ""),))
    return lambda: sum(batch.num_rows for batch in source.read(shard))


def _way(name: str, run: Callable[[], Any], corpus: Corpus, goal: float | None = None) -> Way:
    return Way(name, run, corpus.n_bytes, len(corpus.texts), goal)


def _compared(corpus: Corpus, ours: Way, peers: list[Way], rounds: int, goal: float) -> list[Row]:
    found, *others = interleaved([ours, *peers], rounds)
    for peer, other in zip(peers, others, strict=True):
        peer.agrees = f"{found} and {other} documents"
    return table("files", corpus.name, ours, peers, goal)


def _parquet(corpus: Corpus, folder: Path, rounds: int) -> list[Row]:
    import polars as pl

    path = folder / f"{corpus.name}.parquet"
    ids = [f"{corpus.name}-{row}" for row in range(len(corpus.texts))]
    pq.write_table(
        pa.table({"id": ids, "text": corpus.column}), path, compression="zstd", row_group_size=4096
    )
    ours = _way("read.parquet", _texts(Parquet(path=str(path)), path), corpus)
    peers = [
        _way("polars", lambda: pl.read_parquet(path).height, corpus),
        _way("pyarrow", lambda: pq.read_table(path, use_threads=False).num_rows, corpus),
    ]
    return _compared(corpus, ours, peers, rounds, 500)


def _jsonl(corpus: Corpus, folder: Path, rounds: int) -> list[Row]:
    import orjson
    import polars as pl
    import zstandard

    path = folder / f"{corpus.name}.jsonl.zst"
    lines = "".join(
        json.dumps({"id": f"{corpus.name}-{row}", "text": text}) + "\n"
        for row, text in enumerate(corpus.texts)
    )
    path.write_bytes(zstandard.ZstdCompressor(level=3).compress(lines.encode()))

    def by_orjson() -> int:
        with zstandard.open(path, "rb") as stream:
            return len([orjson.loads(line)["text"] for line in stream.read().splitlines()])

    ours = _way("read.jsonl, zstd", _texts(Jsonl(path=str(path)), path), corpus)
    peers = [
        _way("polars", lambda: pl.read_ndjson(path).height, corpus),
        _way("zstandard and orjson", by_orjson, corpus),
    ]
    return _compared(corpus, ours, peers, rounds, 200)


def _warc(debian: Path, folder: Path, run: Run) -> list[Row]:
    from fastwarc.warc import ArchiveIterator, WarcRecordType
    from warcio.archiveiterator import ArchiveIterator as Warcio

    path, most = folder / "part.warc.gz", 4 * 10**6 if run.quick else 40 * 10**6
    source = sorted(debian.glob("debian-*.warc.gz"))[0]
    path.write_bytes(_whole_members(source, most))

    def by_warcio() -> tuple[int, int]:
        with path.open("rb") as stream:
            sizes = [
                len(record.content_stream().read())
                for record in Warcio(stream)
                if record.rec_type == "response"
            ]
        return len(sizes), sum(sizes)

    def by_fastwarc() -> int:
        with path.open("rb") as stream:
            kinds = WarcRecordType.response
            return len([r.reader.read() for r in ArchiveIterator(stream, record_types=kinds)])

    count, size = by_warcio()
    ours = Way("read.warc", _texts(Warc(path=str(path)), path), size, count)
    peers = [Way("warcio", lambda: by_warcio()[0], size, count, 3),
             Way("fastwarc", by_fastwarc, size, count)]  # fmt: skip
    found, *others = interleaved([ours, *peers], run.rounds)
    for peer, other in zip(peers, others, strict=True):
        peer.agrees = f"{found} and {other} pages"
    return table("files", "HTML", ours, peers)


def _whole_members(path: Path, most: int) -> bytes:
    """The first gzip members of a file, of together at most about `most` bytes."""
    with path.open("rb") as stream:
        head = stream.read(most)
    return head[: head.rindex(b"\x1f\x8b\x08\x00")]
