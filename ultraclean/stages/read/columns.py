"""What the sources share: the fields that name a user's columns, and rows collected into batches.

Every source gives the same columns, whatever its files drift to: `id`, `text`, `url`, the declared
`columns`, all other fields as JSON in `metadata`, and our `_path`, `_position`, `_error`. A row that
could not be read has a null text and says why in `_error`; nothing inside a file raises. A batch may
hold rows of several small files, in order.
"""

from __future__ import annotations

import base64
import difflib
import importlib.util
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Final

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from ultraclean import storage
from ultraclean.document import AT, ERROR, KEY, PARENT, PATH, POSITION, SOURCE, Batch
from ultraclean.errors import DataError, MissingExtra
from ultraclean.inputs import Input
from ultraclean.stage import Source

BATCH_ROWS: Final = 1024
BATCH_BYTES: Final = 16 * 2**20
LARGEST_BYTES: Final = 2**30
"""A longer document is an error row: one Arrow string column holds at most 2 GiB."""

OURS: Final = frozenset({KEY, PARENT, AT, PATH, POSITION, SOURCE, ERROR})
FIXED: Final = ("id", "text", "url", "metadata")

TYPES: Final[dict[str, pa.DataType]] = {
    "string": pa.string(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "list<string>": pa.list_(pa.string()),
    "list<int64>": pa.list_(pa.int64()),
    "binary": pa.binary(),
}


class BadValueError(ValueError):
    """A value that is not what its column needs; its text is `Type: message`."""


def _known_types(columns: dict[str, str]) -> dict[str, str]:
    for name, kind in columns.items():
        if name.startswith("_") or name in FIXED:
            raise ValueError(f"the column name {name!r} is taken; names with _ are the library's")
        if kind not in TYPES:
            close = difflib.get_close_matches(kind, TYPES, n=1, cutoff=0.3)
            hint = f", nearest is {close[0]!r}" if close else ""
            raise ValueError(f"unknown type {kind!r} of column {name!r}{hint} ({', '.join(TYPES)})")
    return columns


Columns = Annotated[dict[str, str], AfterValidator(_known_types)]


class Files(Source):
    """A source that reads files: which ones, and what the user calls the columns."""

    path: str = Field(
        description="file, folder or glob (with `**`), on any fsspec path (s3://, hf://datasets/OWNER/NAME/)"
    )
    text: str | None = Field(
        default="text",
        description="the user's field with the text; null: there is none (`chat.read` takes it out of `metadata`)",
    )
    id: str = Field(
        default="id", description="the user's field with the id; without it `file#position`"
    )
    url: str = Field(default="url", description="the user's field with the URL, null where absent")
    columns: Columns = Field(
        default={},
        description="other fields to keep as typed columns: name -> " + ", ".join(TYPES),
    )
    metadata: bool = Field(
        default=True, description="keep all remaining fields as JSON in the column `metadata`"
    )

    def missing_extras(self) -> list[MissingExtra]:
        missing = super().missing_extras()
        if self.path.startswith("hf://") and importlib.util.find_spec("huggingface_hub") is None:
            command = "pip install huggingface_hub"
            missing.append(MissingExtra(self.stage, "huggingface_hub", command))
        return missing

    def top_fields(self) -> set[str]:
        """The user's fields that become columns, and the first step of a dotted path to one."""
        named = {name for name in (self.text, self.id, self.url, *self.columns) if name}
        return named | {name.split(".")[0] for name in named}

    def inputs(self) -> list[Input]:
        found = storage.find(self.path)
        if not found:
            raise DataError(f"{self.stage}: no file matches {self.path!r}")
        return found

    def adds(self) -> Mapping[str, pa.DataType]:
        types = {"id": pa.string(), "text": pa.string(), "url": pa.string()}
        types |= {name: TYPES[kind] for name, kind in self.columns.items()}
        return types | ({"metadata": pa.string()} if self.metadata else {})


class Rows:
    """Rows, collected until they fill a batch; set `relative` to the file that is being read."""

    def __init__(self, types: Mapping[str, pa.DataType]) -> None:
        self.relative = ""
        self._types = types
        self._values: dict[str, list[Any]] = {name: [] for name in types}
        self._paths: list[str] = []
        self._positions: list[int] = []
        self._errors: list[str | None] = []
        self._closed: list[pa.RecordBatch] = []
        self._n_closed = 0
        self._bytes = 0

    def add(self, position: int, n_bytes: int, values: Mapping[str, Any]) -> None:
        """A document; a column that `values` lacks is null, an absent id is made up."""
        for name, column in self._values.items():
            column.append(values.get(name))
        if self._values["id"][-1] is None:
            self._values["id"][-1] = f"{self.relative}#{position}"
        self._paths.append(self.relative)
        self._positions.append(position)
        self._errors.append(None)
        self._bytes += n_bytes

    def error(self, position: int, message: str, id: str | None = None) -> None:
        """A row that could not be read; `message` is `Type: message`."""
        self.add(position, 0, {"id": id})
        self._errors[-1] = message.encode("utf-8", "backslashreplace").decode()

    def add_columns(
        self,
        positions: NDArray[np.int64],
        n_bytes: int,
        values: Sequence[Mapping[str, Any]],
        strings: Mapping[str, pa.Array],
    ) -> None:
        """Documents whose columns `strings` are there already; where one is null, `values` counts."""
        self._close()
        arrays: dict[str, pa.Array] = {}
        one = values[0] if all(each is values[0] for each in values) else None
        for name, kind in self._types.items():
            array = strings.get(name)
            if array is None or array.null_count:
                if one is not None and one.get(name) is None:
                    others = pa.nulls(len(values), kind)
                else:
                    others = pa.array([each.get(name) for each in values], kind)
                if array is None or array.null_count == len(array):
                    array = others
                elif others.null_count < len(others):
                    array = pc.coalesce(array, others)
            arrays[name] = array
        if arrays["id"].null_count:
            made_up = [f"{self.relative}#{position}" for position in positions.tolist()]
            arrays["id"] = pc.coalesce(arrays["id"], pa.array(made_up, pa.string()))
        arrays[PATH] = pa.repeat(self.relative, len(values))
        arrays[POSITION] = pa.array(positions)
        arrays[ERROR] = pa.nulls(len(values), pa.string())
        self._closed.append(pa.RecordBatch.from_pydict(arrays))
        self._n_closed += len(values)
        self._bytes += n_bytes

    @property
    def room(self) -> int:
        """Documents until the batch is full."""
        return BATCH_ROWS - len(self._positions) - self._n_closed

    @property
    def room_bytes(self) -> int:
        """Bytes until the batch is full."""
        return BATCH_BYTES - self._bytes

    @property
    def full(self) -> bool:
        return self.room <= 0 or self.room_bytes <= 0

    def take(self) -> Iterator[Batch]:
        """The collected rows as a batch, if there are any; then it is empty again."""
        self._close()
        if self._closed:
            pieces = self._closed
            yield Batch(pieces[0] if len(pieces) == 1 else pa.concat_batches(pieces))
        self._closed, self._n_closed, self._bytes = [], 0, 0

    def _close(self) -> None:
        """Makes arrays of what was added row by row."""
        if not self._positions:
            return
        arrays = {
            name: pa.array(values, self._types[name]) for name, values in self._values.items()
        }
        arrays[PATH] = pa.array(self._paths, pa.string())
        arrays[POSITION] = pa.array(self._positions, pa.int64())
        arrays[ERROR] = pa.array(self._errors, pa.string())
        self._closed.append(pa.RecordBatch.from_pydict(arrays))
        self._n_closed += len(self._positions)
        self._values = {name: [] for name in self._types}
        self._paths, self._positions, self._errors = [], [], []


def columns_of(fields: dict[str, Any], source: Files) -> dict[str, Any]:
    """A record's fields -> our columns. Takes the fields that it uses out of `fields`.

    Raises BadValueError for a text that is missing, null or no string, and for a declared column whose
    value does not fit its type.
    """
    text = "" if source.text is None else _take(fields, source.text)
    if type(text) is not str:
        raise BadValueError(_no_text(text, fields, str(source.text)))
    values: dict[str, Any] = {"text": text}
    identity, url = _take(fields, source.id), _take(fields, source.url)
    if identity is not None and identity is not _ABSENT:
        values["id"] = clean(as_string(identity))
    if url is not None and url is not _ABSENT:
        values["url"] = clean(as_string(url))
    for name, kind in source.columns.items():
        value = _take(fields, name)
        if value is not None and value is not _ABSENT:
            values[name] = cast(value, kind, name)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise BadValueError(
                f"LoneSurrogate: the text has half of a surrogate pair at character {error.start}"
            ) from None
    if source.metadata:
        values["metadata"] = metadata_of(fields)
    return values


_ABSENT: Final = object()


def _take(fields: dict[str, Any], name: str) -> Any:
    """The field `name`, or along a dotted path into nested objects."""
    if name in fields:
        return fields.pop(name)
    if "." not in name:
        return _ABSENT
    value: Any = fields
    for step in name.split("."):
        if not isinstance(value, dict) or step not in value:
            return _ABSENT
        value = value[step]
    return value


def _no_text(text: Any, fields: dict[str, Any], name: str) -> str:
    if text is None:
        return f"NullText: the field {name!r} is null"
    if text is _ABSENT:
        there = ", ".join(sorted(map(str, fields))[:8]) or "no field at all"
        return f"MissingText: there is no field {name!r} (there is: {there})"
    return f"TextNotString: the field {name!r} is {_json_type(text)}"


def _json_type(value: Any) -> str:
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, list | dict):
        return "an array" if isinstance(value, list) else "an object"
    return f"of type {type(value).__name__}"


def clean(value: str) -> str:
    """Lone surrogates become U+FFFD, so that Arrow can hold the string."""
    if value.isascii():
        return value
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def as_string(value: Any) -> str:
    return value if isinstance(value, str) else to_json(value)


def cast(value: Any, kind: str, name: str) -> Any:
    """A value as a declared type, where nothing is lost; else BadValueError."""
    try:
        if kind == "string":
            return clean(as_string(value))
        if kind == "int64":
            return _integer(value)
        if kind == "float64" and not isinstance(value, bool):
            return float(value)
        if kind == "bool":
            return {"true": True, "false": False, "1": True, "0": False}[str(value).lower()]
        if kind == "binary":
            return value if isinstance(value, bytes) else base64.b64decode(value, validate=True)
        if kind == "list<int64>" and isinstance(value, list):
            return [None if item is None else _integer(item) for item in value]
        if kind == "list<string>" and isinstance(value, list):
            return [None if item is None else clean(as_string(item)) for item in value]
    except (ValueError, TypeError, KeyError, OverflowError):
        pass
    shown = to_json(value)[:60]
    raise BadValueError(f"ColumnType: the field {name!r} is {shown}, which is no {kind}")


def _integer(value: Any) -> int:
    number = int(value)
    if isinstance(value, bool) or not -(2**63) <= number < 2**63:
        raise ValueError
    if isinstance(value, float) and number != value:
        raise ValueError
    return number


def metadata_of(fields: dict[str, Any]) -> str | None:
    """All other fields as JSON. A field `metadata` that is an object is merged in, not nested."""
    rest = {name: value for name, value in fields.items() if name not in OURS}
    inner = rest.get("metadata", _ABSENT)
    if isinstance(inner, str) and inner.startswith("{"):
        try:
            inner = orjson.loads(inner)
        except ValueError:
            inner = _ABSENT
    if inner is None or isinstance(inner, dict):
        del rest["metadata"]
        rest = {**(inner or {}), **rest}
    return to_json(rest) if rest else None


def to_json(value: Any) -> str:
    try:
        return orjson.dumps(value, default=_other, option=orjson.OPT_NON_STR_KEYS).decode()
    except (TypeError, ValueError):
        # big integers and lone surrogates; what is not finite has no place in JSON
        return json.dumps(_finite(value), default=_other, separators=(",", ":"))


def _other(value: Any) -> str:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(name): _finite(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return value
