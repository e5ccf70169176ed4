"""Documents in memory: an Arrow record batch with remembered views, our own columns, and keys.

Columns that begin with `_` are ours:

| column      | type               | meaning                                                              |
|-------------|--------------------|----------------------------------------------------------------------|
| `_key`      | fixed binary[16]   | identity of a document, the same in every run over the same input    |
| `_parent`   | fixed binary[16]   | key of the document from which a stage made this one                 |
| `_at`       | int64              | shard << 32 | row: a join key inside one run and no more             |
| `_path`     | string             | input file, relative to the root of the glob                         |
| `_position` | int64              | where in the file: byte offset of a line or record, row of a table   |
| `_source`   | string             | table that a union took the row from                                 |
| `_error`    | string             | `Type: message` of a row that could not be read or processed         |
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, Self, TypeVar, runtime_checkable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

KEY: Final = "_key"
PARENT: Final = "_parent"
AT: Final = "_at"
PATH: Final = "_path"
POSITION: Final = "_position"
SOURCE: Final = "_source"
ERROR: Final = "_error"

KEY_TYPE: Final = pa.binary(16)

T = TypeVar("T")


@runtime_checkable
class Filterable(Protocol):
    """A view that can follow its rows when a filter removes some of them."""

    def filter(self, keep: NDArray[np.bool_]) -> Self: ...


class Batch:
    """Some documents: one Arrow record batch, and views of its columns that are computed once.

    A view is a function of one column (`words`, `line_offsets`, ...). The function itself is the
    key, so stages that ask for the same view share it. Rewriting a column forgets its views;
    removing rows keeps the views that know how to `filter` and forgets the others.
    """

    __slots__ = ("_views", "data")

    def __init__(
        self, data: pa.RecordBatch, views: dict[tuple[str, Hashable], Any] | None = None
    ) -> None:
        self.data = data
        self._views: dict[tuple[str, Hashable], Any] = {} if views is None else views

    @classmethod
    def of(cls, **columns: Any) -> Self:
        """A batch from Python lists or Arrow arrays, one keyword per column."""
        return cls(pa.RecordBatch.from_pydict(columns))

    @property
    def num_rows(self) -> int:
        return int(self.data.num_rows)

    @property
    def names(self) -> list[str]:
        return list(self.data.schema.names)

    def __contains__(self, name: str) -> bool:
        return name in self.data.schema.names

    def __getitem__(self, name: str) -> pa.Array:
        return self.data.column(name)

    def view(self, column: str, make: Callable[[pa.Array], T]) -> T:
        """`make(column)`, computed at most once until the column is rewritten.

        `make` must be a module-level function or a hashable value that compares by meaning.
        """
        key = (column, make)
        found: Any = self._views.get(key)
        if found is None:
            found = self._views[key] = make(self[column])
        elif isinstance(found, _Filtered):
            found = self._views[key] = found.view.filter(found.keep)
        return found  # type: ignore[no-any-return]

    def with_columns(self, columns: Mapping[str, pa.Array | list[Any] | NDArray[Any]]) -> Batch:
        """This batch with columns added or rewritten; each must have one value per row."""
        data = self.data
        for name, values in columns.items():
            array = values if isinstance(values, pa.Array) else pa.array(values)
            if len(array) != self.num_rows:
                raise ValueError(
                    f"column {name!r} has {len(array)} values for {self.num_rows} rows"
                )
            index = data.schema.get_field_index(name)
            if index < 0:
                data = data.append_column(name, array)
            else:
                data = data.set_column(index, name, array)
        views = {key: view for key, view in self._views.items() if key[0] not in columns}
        return Batch(data, views)

    def without(self, *names: str) -> Batch:
        kept = [name for name in self.names if name not in names]
        views = {key: view for key, view in self._views.items() if key[0] in kept}
        return Batch(self.data.select(kept), views)

    def filter(self, keep: NDArray[np.bool_]) -> Batch:
        """The rows where `keep` is true, in order."""
        if keep.all():
            return self
        views = {
            key: _Filtered.of(view, keep)
            for key, view in self._views.items()
            if isinstance(view, Filterable | _Filtered)
        }
        return Batch(self.data.filter(pa.array(keep)), views)

    def slice(self, start: int, length: int) -> Batch:
        return Batch(self.data.slice(start, length))


@dataclass(frozen=True, eq=False)
class _Filtered:
    """A view of which the rows in `keep` are left, once somebody asks for it."""

    view: Filterable
    keep: NDArray[np.bool_]

    @classmethod
    def of(cls, view: Filterable | _Filtered, keep: NDArray[np.bool_]) -> Self:
        if not isinstance(view, _Filtered):
            return cls(view, keep)
        both = view.keep.copy()
        both[both] = keep
        return cls(view.view, both)


def texts(column: pa.Array) -> list[str]:
    """A view: the column as Python strings, null as the empty string."""
    return ["" if value is None else value for value in column.to_pylist()]


def n_chars(column: pa.Array) -> NDArray[np.int64]:
    """A view: length in code points, int64[n_docs], null as 0."""
    lengths = pc.fill_null(pc.utf8_length(_measurable(column)), 0)
    return np.asarray(lengths.to_numpy(zero_copy_only=False), dtype=np.int64)


def n_bytes(column: pa.Array) -> NDArray[np.int64]:
    """A view: length in UTF-8 bytes, int64[n_docs], null as 0."""
    lengths = pc.fill_null(pc.binary_length(_measurable(column)), 0)
    return np.asarray(lengths.to_numpy(zero_copy_only=False), dtype=np.int64)


def _measurable(column: pa.Array) -> pa.Array:
    """The column as a type that Arrow has lengths for, which views and dictionaries are not."""
    kinds = (pa.string(), pa.large_string(), pa.binary(), pa.large_binary())
    return column if column.type in kinds else column.cast(pa.large_string())


# --- identity ---------------------------------------------------------------------------------


def keys_of(table: str, path: str, positions: NDArray[np.int64]) -> pa.Array:
    """Keys of documents of one file: binary[16] from (table, path, position).

    `path` is relative to the root of the glob, so a corpus can be moved. For one file the map from
    position to key is one-to-one (both halves are bijections), so keys of one file never collide.
    """
    digest = hashlib.blake2b(f"{table}\0{path}".encode("utf-8", "surrogatepass"), digest_size=16)
    high, low = np.frombuffer(digest.digest(), dtype="<u8")
    position = positions.astype(np.uint64)
    halves = np.empty((len(position), 2), dtype=">u8")
    halves[:, 0] = mix64(position ^ high)
    halves[:, 1] = mix64(position + low)
    return _key_array(halves)


def child_keys(parents: pa.Array, ordinals: NDArray[np.int64]) -> pa.Array:
    """Keys of rows that a stage adds: binary[16] from (parent's key, ordinal)."""
    halves = key_halves(parents)
    ordinal = mix64(ordinals.astype(np.uint64) + np.uint64(0x632BE59BD9B4E019))
    out = np.empty((len(halves), 2), dtype=">u8")
    out[:, 0] = mix64(halves[:, 0] ^ ordinal)
    out[:, 1] = mix64(halves[:, 1] + ordinal)
    return _key_array(out)


def random64(keys: pa.Array, seed: int) -> NDArray[np.uint64]:
    """A random uint64 per document that depends on (seed, key) alone: the same on any executor."""
    halves = key_halves(keys)
    return mix64(mix64(halves[:, 0] ^ np.uint64(seed & (2**64 - 1))) + halves[:, 1])


def key_halves(keys: pa.Array) -> NDArray[np.uint64]:
    """Keys as uint64[n_docs, 2]; comparing rows compares keys."""
    array = keys.combine_chunks() if isinstance(keys, pa.ChunkedArray) else keys
    if array.null_count:
        raise ValueError("a key is null")
    if pa.types.is_fixed_size_binary(array.type):
        start, raw = array.offset * 16, array.buffers()[1]
        values = np.frombuffer(raw, dtype=">u8", offset=start, count=2 * len(array))
    else:
        values = np.frombuffer(b"".join(array.to_pylist()), dtype=">u8")
    return values.reshape(-1, 2).astype(np.uint64)


def mix64(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finaliser (Steele, Lea, Flood 2014): a bijection on uint64 that mixes well."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _key_array(halves: NDArray[Any]) -> pa.Array:
    raw = np.ascontiguousarray(halves).tobytes()
    return pa.Array.from_buffers(KEY_TYPE, len(halves), [None, pa.py_buffer(raw)])
