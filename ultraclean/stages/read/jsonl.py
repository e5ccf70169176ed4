"""Reads JSON lines: plain, gzip, zstd, lz4 or bzip2, told by content.

One JSON object a line (jsonlines.org). Deliberately different from other readers: a line that is
not an object with a string of text is a counted row with its file and byte offset, never an
exception; a cut or corrupt archive gives the lines before the damage, then one such row, then the
lines of the next intact gzip member. Blank lines are no rows. Of a key that occurs twice the last counts, `NaN` and `Infinity` are null.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import IO, Any, ClassVar, Final

import orjson

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

DEEPEST: Final = 200


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
        for part in shard.parts:
            rows.relative = part.relative
            with storage.open_read(part.path) as stream:
                for position, line in _lines(stream, part):
                    if isinstance(line, DamagedError):
                        rows.error(position, str(line))
                    else:
                        self._add(rows, position, line)
                    if rows.full:
                        yield from rows.take()
        yield from rows.take()

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


def _is_compressed(path: str) -> bool:
    with storage.open_read(path) as stream:
        return compression(stream.read(4)) is not None


def _lines(stream: IO[bytes], part: Part) -> Iterator[tuple[int, bytes | DamagedError]]:
    """(offset, line) of the lines that start in the part; at damage (offset, what happened)."""
    position = part.start
    source: Iterator[bytes | DamagedError]
    if part.start == 0:
        source = blocks(stream)
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
        *ended, rest = block.split(b"\n")
        for piece in ended:
            n_line = n_held + len(piece)
            if not skipping:
                yield position, _whole(held, piece, n_line, position)
            position += n_line + 1
            held, n_held, skipping = [], 0, False
            if part.stop is not None and position >= part.stop:
                return
        n_held += len(rest)
        # of a line that is too long only the length is of use
        if not skipping and n_held <= LARGEST_BYTES:
            held.append(rest)
    if n_held and not skipping:
        yield position, _whole(held, b"", n_held, position)


def _whole(held: list[bytes], piece: bytes, n_line: int, position: int) -> bytes | DamagedError:
    if n_line > LARGEST_BYTES:
        return DamagedError(f"TooLarge: a line of {n_line:,} bytes")
    line = b"".join([*held, piece]) if held else piece
    return line.removeprefix(b"\xef\xbb\xbf") if position == 0 else line
