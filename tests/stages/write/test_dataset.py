"""write.dataset: a folder with a card that names its files, whatever the batches."""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
import yaml

from ultraclean import storage
from ultraclean.document import Batch, keys_of
from ultraclean.errors import DataError
from ultraclean.pipeline import Pipeline
from ultraclean.stage import Rows
from ultraclean.stages.read.jsonl import Jsonl
from ultraclean.stages.write.dataset import NULL, Dataset

LANGUAGES = ["en", "zh", None, "a/b c", "en"]


class Held(Rows):
    """Rows in memory, in batches of a size."""

    def __init__(self, batch: Batch, size: int) -> None:
        self.name, self.n_docs, self.digest = "clean", batch.num_rows, "x"
        self._batch, self._size = batch, size

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[Batch]:
        for start in range(0, self.n_docs, self._size):
            yield self._batch.slice(start, self._size)


def documents(n_docs: int = 200) -> Batch:
    return Batch.of(
        text=[f"document {number} 中 " * (number % 7) for number in range(n_docs)],
        lang=[LANGUAGES[number % 5] for number in range(n_docs)],
        n=list(range(n_docs)),
        _key=keys_of("t", "f", np.arange(n_docs)),
        _path=["f"] * n_docs,
    )


def made(folder: Path, size: int = 64, **fields: Any) -> dict[str, Any]:
    return Dataset(**fields).make({"clean": Held(documents(), size)}, str(folder), map)


def head(folder: Path) -> dict[str, Any]:
    _, front, _ = (folder / "README.md").read_text().split("---\n", 2)
    loaded = yaml.safe_load(front)
    assert isinstance(loaded, dict)
    return loaded


def files_of(folder: Path, config: dict[str, Any]) -> list[str]:
    """The files that `datasets` would load: paths, or globs where `**` is any depth."""
    (split,) = config["data_files"]
    patterns = [split["path"]] if isinstance(split["path"], str) else split["path"]
    every = [str(path.relative_to(folder)) for path in sorted(folder.rglob("*.parquet"))]
    return [
        name
        for name in every
        if any(fnmatch.fnmatch(name, pattern.replace("**/", "*")) or name == pattern for pattern in patterns)
    ]  # fmt: skip


def test_one_folder(tmp_path: Path) -> None:
    card = made(tmp_path, title="Clean: text", license="odc-by", languages=("en", "zh"), description="Made *here*.")  # fmt: skip
    assert card["n_docs"] == 200
    assert card["columns"]["text"] == "string" and "_path" not in card["columns"]
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == [
        "README.md",
        "train-00000.parquet",
    ]
    table = pq.read_table(tmp_path / "data" / "train-00000.parquet")
    assert table["n"].to_pylist() == list(range(200))
    front = head(tmp_path)
    assert front["pretty_name"] == "Clean: text" and front["license"] == "odc-by"
    assert front["language"] == ["en", "zh"] and front["size_categories"] == ["n<1K"]
    (config,) = front["configs"]
    assert files_of(tmp_path, config) == ["data/train-00000.parquet"]
    text = (tmp_path / "README.md").read_text()
    assert "# Clean: text\n\nMade *here*.\n\n200 documents in " in text
    assert "| n | int64 |" in text


def test_partitions(tmp_path: Path) -> None:
    card = made(tmp_path, partition_by="lang", split="test")
    names = ["lang=" + name for name in ("a%2Fb%20c", "en", "zh", NULL)]
    assert {part["name"]: part["n_docs"] for part in card["partitions"]} == dict(
        zip(names, (40, 80, 40, 40), strict=True)
    )
    configs = {config["config_name"]: config for config in head(tmp_path)["configs"]}
    assert next(iter(configs)) == "default" and configs["default"]["default"] is True
    assert set(configs) == {"default", "a%2Fb%20c", "en", "zh", NULL}
    assert len(files_of(tmp_path, configs["default"])) == 4
    assert files_of(tmp_path, configs["en"]) == ["data/lang=en/test-00000.parquet"]
    english = pq.ParquetFile(tmp_path / "data/lang=en/test-00000.parquet").read()
    assert english["n"].to_pylist() == [n for n in range(200) if n % 5 in {0, 4}]
    assert "| lang=zh | 40 |" in (tmp_path / "README.md").read_text()
    # what reads Hive's folders knows the values
    hive = pa.dataset.partitioning(pa.schema([("lang", pa.string())]), flavor="hive")
    whole = pa.dataset.dataset(tmp_path / "data", format="parquet", partitioning=hive)
    assert whole.count_rows(filter=pa.dataset.field("lang") == "a/b c") == 40


@pytest.mark.parametrize("partition_by", [None, "lang"])
def test_batches_do_not_change_a_byte_and_files_have_a_size(
    tmp_path: Path, partition_by: str | None
) -> None:
    digests = set()
    for size in (1, 7, 64, 200):
        folder = tmp_path / f"{size}"
        card = made(folder, size, partition_by=partition_by, file_bytes=3000, row_group_rows=10)
        files = sorted(folder.rglob("*.*"))
        content = b"".join(
            path.name.encode() + path.read_bytes() for path in files if path.is_file()
        )
        digests.add(hashlib.sha256(content).hexdigest())
        n_files = sum(len(part["files"]) for part in card["partitions"])
        assert n_files == len(list(folder.rglob("*.parquet"))) > 4
    assert len(digests) == 1


def test_too_many_values_leave_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"n has more than 50 values .* raise max_partitions"):
        made(tmp_path, partition_by="n", max_partitions=50)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    with pytest.raises(DataError, match="clean has no column 'lnag'; there are: text, lang, n"):
        made(tmp_path, partition_by="lnag")
    with pytest.raises(DataError, match="the table clean has no rows"):
        Dataset().make({"clean": Held(documents(0), 1)}, str(tmp_path), map)


def test_columns(tmp_path: Path) -> None:
    stage = Dataset(columns=("text",), partition_by="lang")
    assert stage.needs() == ("text", "lang")
    assert made(tmp_path, columns=("text",))["columns"] == {"text": "string"}


def test_in_a_pipeline(tmp_path: Path) -> None:
    lines = '{"text": "one", "l": "en"}\n{"text": "zwei", "l": "de"}\n'
    (tmp_path / "in.jsonl").write_text(lines)
    source = Jsonl(path=str(tmp_path / "in.jsonl"), columns={"l": "string"})
    pipeline = Pipeline(name="p", stages=[source, Dataset(partition_by="l", columns=("text", "l"))])
    finished = pipeline.run(str(tmp_path / "out"), address="inline")
    (done,) = [done for done in finished.done.values() if done.card]
    for part in done.card["partitions"]:
        for name in part["files"]:
            assert storage.exists(storage.join(done.folder, name))
    assert storage.exists(storage.join(done.folder, "README.md"))
