"""Writes a folder that Hugging Face `datasets` loads as it is: Parquet files and a dataset card.

The layout of huggingface.co/docs/hub/datasets-manual-configuration: files under `data/`, and a
`README.md` whose head names them. With `partition_by` each value of a column has a folder
`data/COLUMN=VALUE` (as Hive writes it, so that pyarrow, polars, DuckDB and Spark know it too) and a
configuration of its own beside `default`, which is all of them. The folder can be uploaded whole.
It is an artifact, not a sink, since the card is about all files: the same rows give the same bytes.
"""

from __future__ import annotations

import contextlib
import json
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from ultraclean import storage
from ultraclean.document import Batch
from ultraclean.errors import DataError
from ultraclean.rowgroups import Regrouper
from ultraclean.stage import Artifact, Rows
from ultraclean.stages.write.rows import selected

NULL: Final = "__HIVE_DEFAULT_PARTITION__"
SIZES: Final = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"),
    (10**7, "1M<n<10M"), (10**8, "10M<n<100M"), (10**9, "100M<n<1B"), (10**10, "1B<n<10B"),
    (10**11, "10B<n<100B"), (10**12, "100B<n<1T"))  # fmt: skip
"""The size categories that the hub knows."""


class Dataset(Artifact):
    """A folder for the hub, or for `datasets.load_dataset(FOLDER)`."""

    stage: ClassVar[str] = "write.dataset"
    paper: ClassVar[str] = "huggingface.co/docs/hub/datasets-manual-configuration"

    columns: tuple[str, ...] | None = Field(
        default=None, description="columns to write, in this order; by default all but our own"
    )
    partition_by: str | None = Field(
        default=None, description="column whose every value has a folder and a configuration"
    )
    max_partitions: int = Field(
        default=1000,
        ge=1,
        description="more values of that column stop the run: each holds a file open",
    )
    split: str = Field(default="train", pattern=r"^\w+$", description="name of the split")
    title: str | None = Field(default=None, description="title of the card; by default the table")
    description: str = Field(default="", description="what the card says of the data, in Markdown")
    license: str | None = Field(default=None, description="licence, as the hub calls it: `odc-by`")
    languages: tuple[str, ...] = Field(default=(), description="ISO 639 codes for the card")
    tags: tuple[str, ...] = Field(default=(), description="tags for the card")
    file_bytes: int = Field(
        default=512 * 2**20, ge=1, description="size of a file to aim for, in bytes"
    )
    row_group_rows: int = Field(default=65536, ge=1, description="most rows of a row group")
    row_group_bytes: int = Field(
        default=64 * 2**20, ge=1, description="a row group ends with the row that reaches this size"
    )
    level: int = Field(default=3, ge=1, le=22, description="zstd level")

    def needs(self) -> tuple[str, ...]:
        wanted = (*(self.columns or ()), *((self.partition_by,) if self.partition_by else ()))
        return tuple(dict.fromkeys(wanted))

    def make(
        self,
        inputs: Mapping[str, Rows],
        folder: str,
        run: Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]],
    ) -> dict[str, Any]:
        del run  # rows of one partition come from everywhere
        (rows,) = inputs.values()
        if not rows.n_docs:
            raise DataError(f"{self.called}: the table {rows.name} has no rows")
        partitions: dict[str, Partition] = {}
        with contextlib.ExitStack() as files:
            for batch in rows.batches():
                self._check(rows.name, batch)
                for value, part in self._split(batch):
                    if value not in partitions:
                        if len(partitions) == self.max_partitions:
                            raise DataError(self._too_many(value))
                        below = f"data/{value}" if value else "data"
                        partitions[value] = Partition(self, folder, below, part.schema, files)
                    partitions[value].add(part)
            for partition in partitions.values():
                partition.end()
        card = self._card(rows, partitions)
        storage.write_bytes(storage.join(folder, "README.md"), readme(self, card).encode())
        return card

    def _check(self, table: str, batch: Batch) -> None:
        for column in self.needs():
            if column not in batch:
                there = ", ".join(name for name in batch.names if not name.startswith("_"))
                message = f"the table {table} has no column {column!r}; there are: {there}"
                raise DataError(f"{self.called}: {message}")

    def _split(self, batch: Batch) -> Iterator[tuple[str, pa.RecordBatch]]:
        """(folder of the partition, its rows) in the order in which values first occur."""
        chosen = selected(batch, self.columns)
        if self.partition_by is None:
            yield "", chosen
            return
        values = pc.dictionary_encode(batch[self.partition_by], null_encoding="encode")
        for number, value in enumerate(values.dictionary.to_pylist()):
            name = NULL if value is None else urllib.parse.quote(_written(value), safe="")
            mine = pc.equal(values.indices, number)
            yield f"{self.partition_by}={name}", chosen.filter(mine)

    def _too_many(self, value: str) -> str:
        return (
            f"{self.called}: {self.partition_by} has more than {self.max_partitions} values (the "
            f"next is {value!r}); partition by another column, or raise max_partitions"
        )

    def _card(self, rows: Rows, partitions: Mapping[str, Partition]) -> dict[str, Any]:
        ordered = sorted(partitions.items())
        schema = ordered[0][1].schema
        return {
            "kind": self.stage,
            "table": rows.name,
            "n_docs": sum(partition.n_docs for _, partition in ordered),
            "n_bytes": sum(size for _, partition in ordered for _, size in partition.files),
            "columns": {field.name: str(field.type) for field in schema},
            "partitions": [
                {
                    "name": name,
                    "n_docs": partition.n_docs,
                    "files": [path for path, _ in partition.files],
                    "n_bytes": sum(size for _, size in partition.files),
                }
                for name, partition in ordered
            ],
        }


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


class Partition:
    """The files of one folder, of which the last is open."""

    def __init__(
        self,
        stage: Dataset,
        folder: str,
        below: str,
        schema: pa.Schema,
        files: contextlib.ExitStack,
    ) -> None:
        self.schema = schema
        self.n_docs = 0
        self.files: list[tuple[str, int]] = []
        """(path below the dataset's folder, bytes) of each file that is whole."""
        self._stage, self._folder, self._below = stage, folder, below
        self._all_files = files
        self._regroup = Regrouper(schema, stage.row_group_rows, stage.row_group_bytes)
        self._file: contextlib.ExitStack | None = None
        self._stream: Any = None
        self._writer: Any = None

    def add(self, rows: pa.RecordBatch) -> None:
        self.n_docs += rows.num_rows
        if rows.schema != self.schema:
            arrays = [rows.column(field.name).cast(field.type) for field in self.schema]
            rows = pa.RecordBatch.from_arrays(arrays, schema=self.schema)
        for group in self._regroup.add(rows):
            self._write(group)

    def end(self) -> None:
        for group in self._regroup.rest():
            self._write(group)
        if self._file is not None:
            self._close()

    def _write(self, group: pa.Table) -> None:
        if self._file is None:
            self._open()
        self._writer.write_table(group, row_group_size=max(1, group.num_rows))
        # row groups end at rows that do not depend on batches, and so do files
        if self._stream.tell() >= self._stage.file_bytes:
            self._close()

    def _open(self) -> None:
        import pyarrow.parquet as pq

        path = storage.join(self._folder, self._name)
        self._file = self._all_files.enter_context(contextlib.ExitStack())
        self._stream = self._file.enter_context(storage.atomic_write(path))
        self._writer = pq.ParquetWriter(
            self._stream,
            self.schema,
            compression="zstd",
            compression_level=self._stage.level,
            store_schema=False,
            version="2.6",
        )

    def _close(self) -> None:
        assert self._file is not None
        self._writer.close()
        name, size = self._name, self._stream.tell()
        self._file.close()
        self._file = None
        self.files.append((name, size))

    @property
    def _name(self) -> str:
        return f"{self._below}/{self._stage.split}-{len(self.files):05d}.parquet"


def readme(stage: Dataset, card: Mapping[str, Any]) -> str:
    """The dataset card: a head that `datasets` and the hub read, and a text for people."""
    title = stage.title or card["table"]
    configs: list[dict[str, Any]] = [_config(stage, "default", "data/**/*.parquet", default=True)]
    if stage.partition_by:
        # a glob must not read what a folder is called
        configs += [
            _config(stage, _config_name(part["name"]), part["files"]) for part in card["partitions"]
        ]
    size = next((name for most, name in SIZES if card["n_docs"] < most), "n>1T")
    head: dict[str, Any] = {
        "pretty_name": title,
        **({"license": stage.license} if stage.license else {}),
        **({"language": list(stage.languages)} if stage.languages else {}),
        **({"tags": list(stage.tags)} if stage.tags else {}),
        "size_categories": [size],
        "configs": configs,
    }
    # JSON values are YAML values: nothing needs to be escaped twice
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in head.items()]
    parts = [
        "---\n" + "\n".join(lines) + "\n---",
        f"# {title}",
        stage.description.strip(),
        f"{card['n_docs']:,} documents in {card['n_bytes']:,} bytes of Parquet.",
        _table(("column", "type"), list(card["columns"].items())),
    ]
    if stage.partition_by:
        rows = [(p["name"], f"{p['n_docs']:,}", f"{p['n_bytes']:,}") for p in card["partitions"]]
        parts.append(_table((stage.partition_by, "documents", "bytes"), rows))
    return "\n\n".join(part for part in parts if part) + "\n"


def _config(
    stage: Dataset, name: str, files: str | list[str], *, default: bool = False
) -> dict[str, Any]:
    found = {"config_name": name, "data_files": [{"split": stage.split, "path": files}]}
    return found | ({"default": True} if default else {})


def _config_name(partition: str) -> str:
    """The value alone; the name `default` is taken."""
    value = partition.split("=", 1)[1]
    return value if value != "default" else partition


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)  # fmt: skip
