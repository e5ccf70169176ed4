"""Records of WARC and ARC archives, with every intact record after a damaged stretch.

WARC 1.0 and 1.1 (ISO 28500), ARC 1.0. Other readers die at the first bad header and are silent on
a record that is cut; here a record counts as intact if its bytes are as many as its header says
and the next record, or the end, follows. What lies between intact records is one Damage each.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from ultraclean.stages.read.compressed import DamagedError

HEADER_BYTES: Final = 2**20
BLANK_LINE: Final = re.compile(rb"\n\r?\n")
NO_NEWLINE: Final = re.compile(rb"[^\r\n]")
WARC_START: Final = re.compile(rb"WARC/\d+\.\d+\r?\n")
WARC_NEXT: Final = re.compile(rb"\n(?=WARC/\d+\.\d+\r?\n)")
# URL (which may hold blanks), IP address, date, type, length
ARC_LINE: Final = (
    rb"([a-zA-Z][a-zA-Z0-9+.-]*:[^\n]*) (\d+\.\d+\.\d+\.\d+|[0-9a-fA-F]*:[0-9a-fA-F:.]+) "
    rb"(\d{8,20}) (\S+) ([^ \r\n]+)\r?\n"
)
ARC_START: Final = re.compile(ARC_LINE)
ARC_NEXT: Final = re.compile(rb"\n(?=" + ARC_LINE + rb")")
LENGTH: Final = re.compile(rb"\nContent-Length[ \t]*:[ \t]*(\d+)[ \t]*\r?\n", re.IGNORECASE)
TYPE: Final = re.compile(rb"\nWARC-Type[ \t]*:[ \t]*(\S+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Record:
    """One intact record; `position` counts decompressed bytes from the beginning of the file."""

    position: int
    kind: str
    head: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class Damage:
    """A stretch that is no intact record; `message` is `Type: message`."""

    position: int
    message: str


class _Window:
    """A few records' worth of an archive: bytes that are filled at the end and taken in front."""

    def __init__(self, pieces: Iterable[bytes | DamagedError]) -> None:
        self._pieces = iter(pieces)
        self.data = bytearray()
        self.position = 0
        self.damage: DamagedError | None = None
        self.ended = False

    def fill(self, n_bytes: int) -> bool:
        """Makes at least `n_bytes` available; False where damage or the end comes before."""
        while len(self.data) < n_bytes:
            if self.ended or self.damage is not None:
                return False
            piece = next(self._pieces, None)
            if piece is None:
                self.ended = True
            elif isinstance(piece, DamagedError):
                self.damage = piece
            else:
                self.data += piece
        return True

    def drop(self, n_bytes: int) -> None:
        del self.data[:n_bytes]
        self.position += n_bytes

    def skip_newlines(self) -> bool:
        """To the next byte that is no line end; False where there is none before damage or end."""
        while self.fill(1):
            found = NO_NEWLINE.search(self.data)
            self.drop(len(self.data) if found is None else found.start())
            if found is not None:
                return True
        return False

    def pass_damage(self) -> DamagedError | None:
        """Forgets the damage that was met, so that what follows it can be read."""
        damage, self.damage = self.damage, None
        if damage is not None:
            self.drop(len(self.data))
            # what was lost counts as one byte, so that no two rows share a position
            self.position += 1
        return damage


def records(
    pieces: Iterable[bytes | DamagedError], largest_bytes: int
) -> Iterator[Record | Damage]:
    """All intact records of an archive, and the damaged stretches between them, in order."""
    window = _Window(pieces)
    while True:
        if not window.skip_newlines():
            position = window.position
            damage = window.pass_damage()
            if damage is None:
                return
            yield Damage(position, str(damage))
            continue
        window.fill(16)
        if window.data.startswith(b"WARC/"):
            yield from _warc_record(window, largest_bytes)
        else:
            yield from _arc_record(window, largest_bytes)


def _warc_record(window: _Window, largest_bytes: int) -> Iterator[Record | Damage]:
    end = _header_end(window)
    if end is None:
        yield from _damaged(window, 1, "BadHeader: the record's header has no end")
        return
    head = bytes(window.data[:end])
    length, kind = LENGTH.search(head), TYPE.search(head)
    if not WARC_START.match(head) or length is None or kind is None:
        missing = "Content-Length" if length is None else "WARC-Type"
        what = f"no {missing}" if WARC_START.match(head) else "a bad first line"
        yield from _damaged(window, 1, f"BadHeader: the record's header has {what}")
        return
    name = kind[1].decode("ascii", "replace").lower()
    yield from _body(window, name, head, int(length[1]), largest_bytes, following=WARC_NEXT)


def _header_end(window: _Window) -> int | None:
    """Where the blank line after a header ends; None if there is none in HEADER_BYTES."""
    searched = 0
    while True:
        found = BLANK_LINE.search(window.data, searched)
        if found is not None:
            return found.end() if found.end() <= HEADER_BYTES else None
        searched = max(0, len(window.data) - 2)
        if searched > HEADER_BYTES or not window.fill(len(window.data) + 1):
            return None


def _arc_record(window: _Window, largest_bytes: int) -> Iterator[Record | Damage]:
    while b"\n" not in window.data[:HEADER_BYTES] and len(window.data) < HEADER_BYTES:
        if not window.fill(len(window.data) + 1):
            break
    line = ARC_START.match(window.data[:HEADER_BYTES])
    if line is None:
        yield from _damaged(window, 1, "NoRecord: bytes that begin no record")
        return
    head, length = bytes(line[0]), bytes(line[5])
    if not length.isdigit():
        shown = length.decode("ascii", "replace")
        message = f"BadHeader: the record's length is {shown!r}"
        yield from _damaged(window, len(head), message)
        return
    kind = "filedesc" if head.startswith(b"filedesc:") else "arc"
    yield from _body(window, kind, head, int(length), largest_bytes, following=ARC_NEXT)


def _body(
    window: _Window,
    kind: str,
    head: bytes,
    length: int,
    largest_bytes: int,
    *,
    following: re.Pattern[bytes],
) -> Iterator[Record | Damage]:
    """The record whose header is at the front of the window, if it is intact."""
    position, start = window.position, len(head)
    if length > largest_bytes:
        yield from _damaged(window, start, f"TooLarge: a record of {length:,} bytes")
        return
    whole = window.fill(start + length)
    if whole:
        body = bytes(memoryview(window.data)[start : start + length])
        # line ends, then the next record or the end; a plain archive cut in the middle of a
        # record would else swallow the records that follow
        window.fill(start + length + 64)
        rest = bytes(memoryview(window.data)[start + length : start + length + 2**12])
        after = rest.lstrip(b"\r\n")
        if not after and not _settled(window, start + length):
            yield from _damaged(window, start, str(window.damage))
            return
        begins = rest[:1] in {b"\r", b"\n", b""} and (
            not after or WARC_START.match(after) or ARC_START.match(after)
        )
        if begins or not following.search(body):
            window.drop(start + length)
            yield Record(position, kind, head, body)
            return
    n_there = min(length, len(window.data) - start)
    message = f"TruncatedRecord: {n_there:,} of the record's {length:,} bytes are there"
    if whole:
        message = f"DamagedRecord: the next record begins inside the record's {length:,} bytes"
    elif window.damage is not None:
        message = str(window.damage)
    yield from _damaged(window, start, message)


def _settled(window: _Window, end: int) -> bool:
    """Whether only line ends and then the true end follow, not damage (a wrong checksum)."""
    while window.fill(end + 1):
        if bytes(window.data[end:]).strip(b"\r\n"):
            return True
        end = len(window.data)
    return window.damage is None


def _damaged(window: _Window, n_skipped: int, message: str) -> Iterator[Damage]:
    """One Damage, and the window at the next record, which is looked for behind `n_skipped` bytes."""
    yield Damage(window.position, message)
    # the byte before is kept, as a record begins at the beginning of a line
    window.drop(max(0, n_skipped - 1))
    while True:
        places = [
            found.end()
            for pattern in (WARC_NEXT, ARC_NEXT)
            if (found := pattern.search(window.data)) is not None
        ]
        if places:
            window.drop(min(places))
            return
        # a record's first line may continue beyond what is here
        last = window.data.rfind(b"\n")
        window.drop(max(0, min(last, len(window.data) - 1)))
        if not window.fill(len(window.data) + 1):
            if window.pass_damage() is None:
                window.drop(len(window.data))
                return
            if not window.fill(1):
                return
            if WARC_START.match(window.data) or ARC_START.match(window.data):
                return
