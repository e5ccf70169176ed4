"""Reads JSON lines: plain, gzip, zstd, lz4 or bzip2, told by content.

One JSON object a line (jsonlines.org). Deliberately different from other readers: a line that is
not an object with a string of text is a counted row with its file and byte offset, never an
exception; a cut or corrupt archive gives the lines before the damage, then one such row, then the
lines of the next intact gzip member. Blank lines are no rows. Of a key that occurs twice the last counts, `NaN` and `Infinity` are null.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from ultraclean import storage
from ultraclean.document import Batch
from ultraclean.inputs import Input, Part, Shard
from ultraclean.stages.read.columns import (
    LARGEST_BYTES,
    BadValueError,
    Files,
    Rows,
    columns_of,
)
from ultraclean.stages.read.compressed import BLOCK, DamagedError, blocks, compression

if TYPE_CHECKING:
    from ultrakernels.json_lines import Strings

DEEPEST: Final = 200
MOST_KNOWN: Final = 1000
RUN: Final = 2**20
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class Jsonl(Files):
    """JSON lines. `_position` is the byte offset of the line (after decompression)."""

    stage: ClassVar[str] = "read.jsonl"
    main: ClassVar[str | None] = "path"
    paper: ClassVar[str] = "jsonlines.org"

    def split(self, found: Input, shard_bytes: int) -> list[Part]:
        """Byte ranges of a plain file; a part owns the lines that start in it."""
        if found.size <= shard_bytes or _is_compressed(found.path):
            return [Part(found.path, found.relative, found.size, found.stamp)]
        n_parts = -(-found.size // shard_bytes)
        cuts = [found.size * index // n_parts for index in range(n_parts)]
        stops: list[int | None] = [*cuts[1:], None]
        return [
            Part(found.path, found.relative, found.size, found.stamp, start, stop)
            for start, stop in zip(cuts, stops, strict=True)
        ]

    def read(self, shard: Shard) -> Iterator[Batch]:
        rows = Rows(self.adds())
        known: dict[bytes, dict[str, Any] | None] = {}
        for part in shard.parts:
            rows.relative = part.relative
            with storage.open_read(part.path) as stream:
                for position, found in _runs(stream, part):
                    if isinstance(found, DamagedError):
                        rows.error(position, str(found))
                        continue
                    for _ in self._add_lines(rows, position, found, part.stop, known):
                        yield from rows.take()
        yield from rows.take()

    def _add_lines(
        self,
        rows: Rows,
        position: int,
        run: bytes,
        stop: int | None,
        known: dict[bytes, dict[str, Any] | None],
    ) -> Iterator[None]:
        """Adds the lines of a run that begin before `stop`; yields wherever a batch is full.

        `known` remembers what was made of the rest of a line without its strings, which repeats.
        """
        from ultrakernels.json_lines import string_fields

        if position == 0 and run.startswith(BYTE_ORDER_MARK):
            end = run.find(b"\n") + 1 or len(run)
            self._add(rows, 0, run[len(BYTE_ORDER_MARK) : end].removesuffix(b"\n"))
            position, run = end, run[end:]
        columns = {"text": self.text, "id": self.id, "url": self.url}
        ours = {mine: theirs for mine, theirs in columns.items() if theirs is not None}
        names = list(dict.fromkeys(ours.values()))
        lines = string_fields(np.frombuffer(run, dtype=np.uint8), [name.encode() for name in names])
        begins = np.append(0, lines.ends[:-1]) + position
        n_lines = len(begins) if stop is None else int(np.searchsorted(begins, stop))
        values = self._values_of(lines, n_lines, known)
        at = 0
        while at < n_lines:
            if values[at] is None:
                begin, end = int(begins[at]) - position, int(lines.ends[at])
                self._add(rows, position + begin, run[begin:end].removesuffix(b"\n"))
                at += 1
            else:
                first = at
                enough = np.searchsorted(lines.ends, begins[at] - position + rows.room_bytes) + 1
                most = min(n_lines, at + rows.room, int(enough))
                while at < most and values[at] is not None:
                    at += 1
                n_bytes = int(lines.ends[at - 1] - begins[first] + position)
                strings = {name: _strings(lines, k, first, at) for k, name in enumerate(names)}
                found = {mine: strings[theirs] for mine, theirs in ours.items()}
                rows.add_columns(begins[first:at], n_bytes, values[first:at], found)
            if rows.full:
                yield

    def _values_of(
        self, lines: Strings, n_lines: int, known: dict[bytes, dict[str, Any] | None]
    ) -> list[Any]:
        """The columns of each line but its strings; None of a line that is to be parsed whole."""
        content, begin = lines.rest.tobytes(), 0
        whole = ~lines.sound if self.text is None else ~(lines.sound & lines.found[0])
        values: list[Any] = []
        for end, is_whole in zip(lines.rest_ends[:n_lines].tolist(), whole.tolist(), strict=False):
            rest = content[begin:end]
            begin = end
            if is_whole:
                values.append(None)
                continue
            try:
                values.append(known[rest])
                continue
            except KeyError:
                pass
            made = None
            with contextlib.suppress(BadValueError):
                made = columns_of(parse(rest), self)
            values.append(made)
            if len(known) < MOST_KNOWN:
                known[rest] = made
        return values

    def _add(self, rows: Rows, position: int, line: bytes) -> None:
        if not line or line.isspace():
            return
        fields: Any = None
        try:
            fields = parse(line)
            if type(fields) is not dict:
                raise BadValueError(f"NotObject: the line is JSON, but no object: {_start(line)}")
            rows.add(position, len(line), columns_of(fields, self))
        except BadValueError as error:
            found = fields.get(self.id) if type(fields) is dict else None
            rows.error(position, str(error), found if isinstance(found, str) else None)


def parse(line: bytes) -> Any:
    """The value of a line; BadValueError where it is not JSON."""
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return _parse_slowly(line)
    # orjson makes a float of an integer beyond 64 bits, and loses its digits
    return _parse_slowly(line) if _has_huge_float(value, 0) else value


def _parse_slowly(line: bytes) -> Any:
    try:
        decoded = line.decode("utf-8")
        value = json.loads(decoded, parse_constant=lambda _: None)
    except UnicodeDecodeError as error:
        byte = line[error.start]
        message = f"InvalidUtf8: byte 0x{byte:02x} at byte {error.start} of the line"
        raise BadValueError(message) from None
    except RecursionError:
        message = f"TooDeep: values are nested more than {DEEPEST} deep"
        raise BadValueError(message) from None
    except ValueError as error:
        raise BadValueError(f"NotJson: {error}: {_start(line)}") from None
    _has_huge_float(value, 0)  # for its bound on depth
    return value


def _has_huge_float(value: Any, depth: int) -> bool:
    # a fixed bound, since Python's own depends on how deep the caller is
    if depth > DEEPEST:
        raise BadValueError(f"TooDeep: values are nested more than {DEEPEST} deep")
    if type(value) is float:
        return abs(value) >= 2**63
    if type(value) is dict:
        return any(_has_huge_float(item, depth + 1) for item in value.values())
    return type(value) is list and any(_has_huge_float(item, depth + 1) for item in value)


def _start(line: bytes) -> str:
    return repr(line[:60].decode("utf-8", "replace"))


def _strings(lines: Strings, key: int, first: int, last: int) -> pa.Array:
    """The strings under a key of some lines, null where they have none."""
    offsets = np.ascontiguousarray(lines.offsets[key, first : last + 1])
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(lines.texts[key])]
    array = pa.Array.from_buffers(pa.string(), last - first, buffers)
    there = lines.found[key, first:last]
    if not there.any():
        return pa.nulls(last - first, pa.string())
    return array if there.all() else pc.if_else(pa.array(there), array, None)


def _is_compressed(path: str) -> bool:
    with storage.open_read(path) as stream:
        return compression(stream.read(4)) is not None


def _runs(stream: IO[bytes], part: Part) -> Iterator[tuple[int, bytes | DamagedError]]:
    """(offset, whole lines) from the part's first line on; at damage (offset, what happened)."""
    position = part.start
    source: Iterator[bytes | DamagedError]
    if part.start == 0:
        source = _larger(blocks(stream))
    else:
        # the byte before decides whether a line starts right here
        position = part.start - 1
        stream.seek(position)
        source = iter(lambda: stream.read(BLOCK), b"")
    held: list[bytes] = []
    n_held = 0
    skipping = part.start > 0
    for block in source:
        if isinstance(block, DamagedError):
            yield position, block
            # what was lost counts as one byte, so that no two rows share a position
            position += n_held + 1
            held, n_held, skipping = [], 0, False
            continue
        at, last = 0, block.rfind(b"\n") + 1
        first = block.find(b"\n") + 1
        if first and (skipping or n_held + first - 1 > LARGEST_BYTES):
            if not skipping:
                yield position, _too_large(n_held + first - 1)
            position += n_held + first
            held, n_held, skipping, at = [], 0, False, first
        if last > at:
            run = b"".join([*held, block[at:last]])
            yield position, run
            position += len(run)
            held, n_held, at = [], 0, last
        if part.stop is not None and position >= part.stop:
            return
        rest = block[at:]
        n_held += len(rest)
        # of a line that is too long only the length is of use
        if not skipping and n_held <= LARGEST_BYTES:
            held.append(rest)
    if n_held > LARGEST_BYTES and not skipping:
        yield position, _too_large(n_held)
    elif n_held and not skipping:
        yield position, b"".join(held)


def _larger(source: Iterator[bytes | DamagedError]) -> Iterator[bytes | DamagedError]:
    """Small blocks put together, so that a call of the kernel is worth its price."""
    held: list[bytes] = []
    n_held = 0
    for block in source:
        if not isinstance(block, DamagedError):
            held.append(block)
            n_held += len(block)
            if n_held < RUN:
                continue
        if held:
            yield b"".join(held)
        held, n_held = [], 0
        if isinstance(block, DamagedError):
            yield block
    if held:
        yield b"".join(held)


def _too_large(n_line: int) -> DamagedError:
    return DamagedError(f"TooLarge: a line of {n_line:,} bytes")
