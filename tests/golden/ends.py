"""Golden cases of the stages at the ends of a pipeline: sources, sinks and artifacts.

Each function makes its small input in a folder and returns the stage and what it made of it.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ultrachat.dialogue import COLUMNS
from ultrachat.stages.agreement import Agreement
from ultrachat.stages.write import Write
from ultraclean.document import KEY, PATH, POSITION, Batch, keys_of
from ultraclean.inputs import Shard
from ultraclean.stage import Rows, Sink, Source, Stage
from ultraclean.stages.fit.embedding import Embedding
from ultraclean.stages.fit.fasttext import Fasttext
from ultraclean.stages.fit.tokenizer import Tokenizer
from ultraclean.stages.pack.datatrove import Datatrove
from ultraclean.stages.pack.megatron import Megatron
from ultraclean.stages.pack.shards import Shards
from ultraclean.stages.pack.tokens import Tokens
from ultraclean.stages.read.arrow import Arrow
from ultraclean.stages.read.csv import Csv
from ultraclean.stages.read.installed import Installed
from ultraclean.stages.read.jsonl import Jsonl
from ultraclean.stages.read.lance import Lance as ReadLance
from ultraclean.stages.read.parquet import Parquet as ReadParquet
from ultraclean.stages.read.table import Table
from ultraclean.stages.read.text import Text
from ultraclean.stages.read.warc import Warc
from ultraclean.stages.read.wet import Wet
from ultraclean.stages.refine.diversity import Diversity
from ultraclean.stages.verify.registry import Registry, Seed
from ultraclean.stages.write.dataset import Dataset
from ultraclean.stages.write.jsonl import Jsonl as WriteJsonl
from ultraclean.stages.write.lance import Lance as WriteLance
from ultraclean.stages.write.parquet import Parquet as WriteParquet

TEXTS = ["One text.", "Zweiter Text: Grüße.", "第三个文本。", "", "emoji 🙂\r\nand lines\n\n"]


def rows_of(source: Source) -> list[dict[str, Any]]:
    parts = [part for found in source.inputs() for part in source.split(found, 2**20)]
    return [row for batch in source.read(Shard(0, tuple(parts))) for row in batch.data.to_pylist()]


def read_jsonl(folder: Path) -> tuple[Stage, Any]:
    lines = [json.dumps({"id": i, "text": text, "n": i / 2}) for i, text in enumerate(TEXTS)]
    lines += ["not json", "[1]", '{"text": null}', '{"text": 3}']
    (folder / "a.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode(), mtime=0))
    stage = Jsonl(path=f"{folder}/*.gz", columns={"n": "float64"})
    return stage, rows_of(stage)


def read_parquet(folder: Path) -> tuple[Stage, Any]:
    table = pa.table({"text": TEXTS, "id": list("abcde"), "extra": [1, 2, 3, 4, 5]})
    pq.write_table(table, folder / "a.parquet", row_group_size=2)
    stage = ReadParquet(path=str(folder / "a.parquet"))
    return stage, rows_of(stage)


def read_lance(folder: Path) -> tuple[Stage, Any]:
    import lance

    table = pa.table({"text": TEXTS, "id": list("abcde"), "extra": [1, 2, 3, 4, 5]})
    lance.write_dataset(table, str(folder / "a.lance"), max_rows_per_file=2).delete("id = 'b'")
    stage = ReadLance(path=str(folder / "a.lance"))
    return stage, rows_of(stage)


def read_csv(folder: Path) -> tuple[Stage, Any]:
    rows = ["id;text;n", *(f'{i};"{text}";{i}' for i, text in enumerate(TEXTS)), "5;a", '6;"open;1']
    (folder / "a.csv").write_text("\n".join(rows), encoding="utf-8", newline="")
    stage = Csv(path=str(folder / "a.csv"), columns={"n": "int64"})
    return stage, rows_of(stage)


def read_arrow(folder: Path) -> tuple[Stage, Any]:
    table = pa.table({"text": TEXTS, "id": list("abcde"), "extra": [1, 2, 3, 4, 5]})
    with pa.ipc.new_stream(str(folder / "a.arrow"), table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    stage = Arrow(path=str(folder / "a.arrow"), columns={"extra": "int64"})
    return stage, rows_of(stage)


def read_wet(folder: Path) -> tuple[Stage, Any]:
    body = TEXTS[1].encode()
    head = (
        "WARC/1.0\r\nWARC-Type: conversion\r\nWARC-Record-ID: <urn:uuid:1>\r\n"
        "WARC-Target-URI: https://a.example/x\r\nWARC-Date: 2026-01-01T00:00:00Z\r\n"
        f"Content-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    record = head + body + b"\r\n\r\n"
    (folder / "a.wet").write_bytes(record + b"damage\r\n\r\n" + record + record[:-20])
    stage = Wet(path=str(folder / "a.wet"))
    return stage, rows_of(stage)


def read_text(folder: Path) -> tuple[Stage, Any]:
    for number, text in enumerate(TEXTS):
        (folder / f"{number}.txt").write_text(text, encoding="utf-8", newline="")
    stage = Text(path=str(folder))
    return stage, rows_of(stage)


def read_warc(folder: Path) -> tuple[Stage, Any]:
    http = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<p>Hällo"
    body = http.encode()
    head = (
        "WARC/1.0\r\nWARC-Type: response\r\nWARC-Record-ID: <urn:uuid:1>\r\n"
        "WARC-Target-URI: https://a.example/x\r\nWARC-Date: 2026-01-01T00:00:00Z\r\n"
        f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    record = head + body + b"\r\n\r\n"
    (folder / "a.warc").write_bytes(record + b"damage\r\n\r\n" + record + record[:-20])
    stage = Warc(path=str(folder / "a.warc"))
    return stage, rows_of(stage)


def read_installed(folder: Path) -> tuple[Stage, Any]:
    words = "words " * 30
    (folder / "m.py").write_text(f'"""Module. {words}"""\ndef f():\n    """Function. {words}"""\n')
    (folder / "LICENSE").write_text(f"Licence. {words}")
    stage = Installed(path=str(folder))
    return stage, rows_of(stage)


def read_table(folder: Path) -> tuple[Stage, Any]:
    from ultraclean.inputs import Part

    keys = keys_of("golden", "table", np.arange(len(TEXTS)))
    pq.write_table(pa.table({KEY: keys, "text": TEXTS}), folder / "data.parquet")
    stage = Table(tables=("a", "b"))
    part = Part(str(folder / "data.parquet"), "a", 1, "")
    return stage, [r for batch in stage.read(Shard(0, (part,))) for r in batch.data.to_pylist()]


def _written(sink: Sink, folder: Path) -> Path:
    n_rows = len(TEXTS)
    batch = Batch.of(
        id=[str(i) for i in range(n_rows)],
        text=TEXTS,
        metadata=['{"a": 1}', None, None, "{}", None],
        quality=pa.array([0.5, 0.25, None, 1.0, 0.0], pa.float32()),
    )
    keys = keys_of("golden", "sink", np.arange(n_rows))
    origin = {PATH: pa.array(["x"] * n_rows), POSITION: np.arange(n_rows)}
    whole = batch.with_columns({KEY: keys, **origin})
    path = folder / f"out{sink.extension}"
    written = sink.write(str(path), iter([whole.slice(0, 2), whole.slice(2, 3)]))
    assert written.n_docs == n_rows
    return path


def write_parquet(folder: Path) -> tuple[Stage, Any]:
    sink = WriteParquet()
    return sink, pq.read_table(_written(sink, folder)).to_pylist()


def write_jsonl(folder: Path) -> tuple[Stage, Any]:
    sink = WriteJsonl(compression=None)
    return sink, _written(sink, folder).read_text()


class _Listed(Rows):
    """A table in memory."""

    def __init__(self, name: str, texts: list[str]) -> None:
        self.name, self.n_docs, self.digest = name, len(texts), name
        keys = keys_of("golden", name, np.arange(len(texts)))
        self._batch = Batch.of(text=texts).with_columns({KEY: keys})

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[Batch]:
        names = [KEY, "text"] if columns is None else list(columns)
        yield Batch(self._batch.data.select(names))


def write_dataset(folder: Path) -> tuple[Stage, Any]:
    stage = Dataset(partition_by="text", title="Golden", license="odc-by", languages=("en", "de"))
    card = stage.make({"t": _Listed("t", TEXTS)}, str(folder), map)
    sizes = {"n_bytes": 0}  # of Parquet, which another version of Arrow may write otherwise
    parts = [part | sizes for part in card["partitions"]]
    rows = {
        path: pq.ParquetFile(folder / path).read().to_pylist() for p in parts for path in p["files"]
    }
    return stage, [card | sizes | {"partitions": parts}, rows]


def write_lance(folder: Path) -> tuple[Stage, Any]:
    stage = WriteLance(columns=("text",), fragment_rows=2, tag="first")
    card = stage.make({"t": _Listed("t", TEXTS)}, str(folder), map)
    rows = rows_of(ReadLance(path=card.pop("path"), revision="first"))
    return stage, [card | {"n_bytes": 0}, rows]


def fit_fasttext(folder: Path) -> tuple[Stage, Any]:
    stage = Fasttext(positive="good", negative="bad", dim=4, bucket=100, min_count=1, seed=3)
    good = [f"a good sentence about the number {i}" for i in range(40)]
    bad = [f"buy cheap {i} click here now" for i in range(40)]
    inputs = {"good": _Listed("good", good), "bad": _Listed("bad", bad)}
    card = stage.make(inputs, str(folder / "model"), lambda f, items: [f(item) for item in items])
    kept = ("labels", "threshold", "tokenizer", "settings", "counts", "training_set")
    return stage, {name: card.get(name) for name in kept}


def fit_embedding(folder: Path) -> tuple[Stage, Any]:
    """Without the vectors and the head, whose last bits are those of the linear algebra at hand."""
    stage = Embedding(positive="good", negative="bad", dim=4, min_count=1, seed=3)
    good = [f"a good sentence about the number {i} 数" for i in range(40)]
    bad = [f"buy cheap {i} click here now" for i in range(40)]
    inputs = {"good": _Listed("good", good), "bad": _Listed("bad", bad)}
    card = stage.make(inputs, str(folder / "model"), lambda f, items: [f(item) for item in items])
    words = json.loads((folder / "model" / "tokenizer.json").read_text())
    return stage, [{name: card[name] for name in ("settings", "counts", "tables")}, words]


def verify_registry(folder: Path) -> tuple[Stage, Any]:
    said = {"source": "here", "language": "en", "polarity": "positive", "licence": "CC0"}
    stage = Registry(seeds={"t": Seed(**said)})
    return stage, stage.make({"t": _Listed("t", TEXTS)}, str(folder), map)


def fit_tokenizer(folder: Path) -> tuple[Stage, Any]:
    stage = Tokenizer(tables="good", vocab_size=300)
    inputs = {"good": _Listed("good", [f"a good sentence about the number {i}" for i in range(40)])}
    stage.make(inputs, str(folder / "made"), lambda f, items: [f(item) for item in items])
    return stage, (folder / "made" / "tokenizer.json").read_text()


def _packed(folder: Path, kind: type[Shards], **fields: Any) -> tuple[Stage, Any]:
    """All files but the card, which has times in it."""
    fit_tokenizer(folder)
    stage = kind(tokenizer=str(folder / "made"), frequent=(260,), shard_tokens=60, **fields)
    inputs = {"texts": _Listed("texts", [*TEXTS, "a good sentence about 中文 " * 4])}
    target = folder / "packed"
    stage.make(inputs, str(target), lambda f, items: [f(item) for item in items])
    files = sorted(path for path in target.iterdir() if path.name != "card.json")
    return stage, {path.name: path.read_bytes() for path in files}


def pack_tokens(folder: Path) -> tuple[Stage, Any]:
    return _packed(folder, Tokens, length=32)


def pack_megatron(folder: Path) -> tuple[Stage, Any]:
    return _packed(folder, Megatron)


def pack_datatrove(folder: Path) -> tuple[Stage, Any]:
    return _packed(folder, Datatrove, shuffle=True, seed=1)


def chat_write(folder: Path) -> tuple[Stage, Any]:
    turns = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "因为🙂"}]
    batch = Batch.of(messages=pa.array([turns], COLUMNS["messages"]), id=["a"], track=["t"])
    stage = Write(format="sharegpt", also=("track",))
    stage.write(str(folder / "a.jsonl"), iter([batch]))
    return stage, (folder / "a.jsonl").read_bytes()


class _Rated(Rows):
    name, n_docs, digest = "rated", 6, "rated"

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[Batch]:
        del columns
        yield Batch.of(
            a=["1", "2", "3", "", "2", "5"],
            b=[2.0, 2, 3, 1, 4, 4],
            p=[1, 3, 2, 2, 4, 5],
            u=list("xxxyyy"),
        )


def chat_agreement(folder: Path) -> tuple[Stage, Any]:
    stage = Agreement(judges=("a", "b"), people="p", user="u", item="u", n_bootstrap=20)
    return stage, stage.make({"rated": _Rated()}, str(folder), map)


def refine_diversity(folder: Path) -> tuple[Stage, Any]:
    """Without the compressed size, which is the compressor's."""
    stage = Diversity(table="made", against="seeds", sample_words=100)
    made = [f"in this text we see the number {i} 数" for i in range(20)]
    inputs = {"seeds": _Listed("seeds", TEXTS * 4), "made": _Listed("made", made)}
    card = stage.make(inputs, str(folder), lambda f, items: [f(item) for item in items])
    for measured in (*card["measures"].values(), card["shares"]):
        measured.pop("compressed")
    return stage, card


ENDS: tuple[Callable[[Path], tuple[Stage, Any]], ...] = (
    read_jsonl,
    read_parquet,
    read_lance,
    read_csv,
    read_arrow,
    read_wet,
    read_text,
    read_warc,
    read_installed,
    read_table,
    write_parquet,
    write_jsonl,
    write_dataset,
    write_lance,
    fit_fasttext,
    fit_embedding,
    fit_tokenizer,
    verify_registry,
    pack_tokens,
    pack_megatron,
    pack_datatrove,
    refine_diversity,
    chat_write,
    chat_agreement,
)
