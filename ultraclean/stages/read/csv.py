"""Reads CSV and TSV: plain, gzip, zstd, lz4 or bzip2, told by content.

RFC 4180: fields in quotes may hold separators, line ends and doubled quotes. Deliberately different
from other readers: no type is guessed (declare `columns`), no value is taken for missing but an empty
one of a declared column, `id` or `url`; a row with more or fewer fields than the header, or whose
quotes do not close, is a counted row with its file and byte offset. Blank lines are no rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Final

from pydantic import Field, field_validator

from ultraclean import storage
from ultraclean.document import Batch
from ultraclean.inputs import Shard
from ultraclean.stages.read.columns import (
    LARGEST_BYTES,
    BadValueError,
    Files,
    Rows,
    columns_of,
)
from ultraclean.stages.read.compressed import DamagedError, blocks

SEPARATORS: Final = (",", "\t", ";", "|")


class Csv(Files):
    """CSV files with a header. `_position` is the byte offset of the row (after decompression)."""

    stage: ClassVar[str] = "read.csv"
    main: ClassVar[str | None] = "path"
    paper: ClassVar[str] = "RFC 4180"

    separator: str | None = Field(
        default=None,
        description="one character between fields; none: the one of `,` tab `;` `|` that the first "
        "line has most of",
    )
    names: tuple[str, ...] | None = Field(
        default=None, description="names of the fields where files have no header line"
    )

    @field_validator("separator")
    @classmethod
    def _one_byte(cls, value: str | None) -> str | None:
        if value is not None and (len(value.encode()) != 1 or value in '"\r\n'):
            raise ValueError(f"{value!r} is not one ASCII character, or has a meaning of its own")
        return value

    def read(self, shard: Shard) -> Iterator[Batch]:
        rows = Rows(self.adds())
        for part in shard.parts:
            rows.relative = part.relative
            names = self.names
            with storage.open_read(part.path) as stream:
                for position, separator, record in records(blocks(stream), self.separator):
                    if isinstance(record, DamagedError):
                        rows.error(position, str(record))
                    else:
                        try:
                            values = fields_of(_decoded(record), separator)
                            if names is None:
                                names = _header(values)
                            else:
                                rows.add(position, len(record), self._row(names, values))
                        except BadValueError as error:
                            rows.error(position, str(error))
                            if names is None:
                                break  # without its header a file has no fields
                    if rows.full:
                        yield from rows.take()
        yield from rows.take()

    def _row(self, names: tuple[str, ...], values: list[str]) -> dict[str, Any]:
        if len(values) != len(names):
            raise BadValueError(
                f"FieldCount: {len(values)} fields, where the header has {len(names)}: "
                f"{'|'.join(values)[:60]!r}"
            )
        typed = {name for name, kind in self.columns.items() if kind != "string"}
        empty_is_null = {self.id, self.url, *typed} - {self.text}
        fields = {
            name: None if value == "" and name in empty_is_null else value
            for name, value in zip(names, values, strict=True)
        }
        return columns_of(fields, self)


def records(
    pieces: Iterator[bytes | DamagedError], separator: str | None
) -> Iterator[tuple[int, str, bytes | DamagedError]]:
    """(offset, separator, row without its line end) of each row that is not blank; or the damage."""
    held: list[bytes] = []
    start = 0
    quoted = False
    for position, line in _lines(pieces):
        if isinstance(line, DamagedError):
            if held:
                yield start, separator or ",", DamagedError("CutRow: the row is not whole")
            yield position, separator or ",", line
            held, quoted = [], False
            continue
        if not held:
            start = position
            if not line.strip():
                continue
        separator = separator or _separator(line)
        quoted = _ends_in_quotes(line, quoted, separator.encode())
        held.append(line)
        if not quoted:
            yield start, separator, b"".join(held).rstrip(b"\r\n")
            held = []
        elif position - start > LARGEST_BYTES:
            yield start, separator, DamagedError("TooLarge: a row whose quotes do not close")
            held, quoted = [], False
    if held:
        message = f"OpenQuote: a quote opens that {len(held):,} lines do not close"
        yield start, separator or ",", DamagedError(message)


def _lines(pieces: Iterator[bytes | DamagedError]) -> Iterator[tuple[int, bytes | DamagedError]]:
    """(offset, line with its LF), however the bytes were cut."""
    held: list[bytes] = []
    position = n_held = 0
    for piece in pieces:
        if isinstance(piece, DamagedError):
            yield position, piece
            position += n_held + 1
            held, n_held = [], 0
            continue
        *ended, rest = piece.split(b"\n")
        for end in ended:
            line = b"".join([*held, end, b"\n"])
            yield position, line.removeprefix(b"\xef\xbb\xbf") if position == 0 else line
            position += len(line)
            held, n_held = [], 0
        held.append(rest)
        n_held += len(rest)
    if n_held:
        line = b"".join(held)
        yield position, line.removeprefix(b"\xef\xbb\xbf") if position == 0 else line


def _ends_in_quotes(line: bytes, quoted: bool, separator: bytes) -> bool:
    """Whether a quote is open at the end of a line; `quoted`: whether one was at its beginning."""
    if b'"' not in line:
        return quoted
    at = 0
    if not quoted and line.startswith(b'"'):
        quoted, at = True, 1
    while True:
        if not quoted:
            opened = line.find(separator + b'"', at)
            if opened < 0:
                return False
            quoted, at = True, opened + 2
        close = line.find(b'"', at)
        if close < 0:
            return True
        at = close + 1
        if line.startswith(b'"', at):
            at += 1
        else:
            quoted = False


def _decoded(record: bytes) -> str:
    try:
        return record.decode()
    except UnicodeDecodeError as error:
        byte = record[error.start]
        message = f"InvalidUtf8: byte 0x{byte:02x} at byte {error.start} of the row"
        raise BadValueError(message) from None


def _separator(header: bytes) -> str:
    return max(SEPARATORS, key=lambda separator: header.count(separator.encode()))


def _header(values: list[str]) -> tuple[str, ...]:
    names = tuple(value.strip() for value in values)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadValueError(f"BadHeader: the header has {', '.join(twice)} more than once")
    return names


def fields_of(record: str, separator: str) -> list[str]:
    """The fields of one row; a quote that does not begin a field is a character like others."""
    if '"' not in record:
        return record.split(separator)
    fields = []
    at, end = 0, len(record)
    while True:
        if record.startswith('"', at):
            value, at = _quoted(record, at + 1)
            if at < end and record[at] != separator:
                shown = record[max(0, at - 20) : at + 20]
                raise BadValueError(f"BadQuote: text behind a closing quote: {shown!r}")
        else:
            stop = record.find(separator, at)
            stop = end if stop < 0 else stop
            value, at = record[at:stop], stop
        fields.append(value)
        if at >= end:
            return fields
        at += 1
        if at == end:
            return [*fields, ""]


def _quoted(record: str, start: int) -> tuple[str, int]:
    """(value, place behind the closing quote) of a field whose opening quote is before `start`."""
    search = start
    while (close := record.find('"', search)) >= 0:
        if not record.startswith('""', close):
            return record[start:close].replace('""', '"'), close + 1
        search = close + 2
    raise BadValueError(f"OpenQuote: a quote opens and does not close: {record[start:][:40]!r}")
