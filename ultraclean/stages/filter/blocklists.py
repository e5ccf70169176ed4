"""Lists of blocked domains and addresses: entries and files, and folders of UT1.

UT1 are the University of Toulouse's lists (dsi.ut-capitole.fr/blacklists, CC BY-SA 4.0), one folder a
category, with files `domains` and `urls`, plain or gzip; datatrove's and RefinedWeb's were made of them.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator
from typing import Final

from ultraclean import storage
from ultraclean.errors import DataError

UT1_FILES: Final = ("domains", "urls")


def read(entries: Iterable[str]) -> list[str]:
    """Inline entries, and those of files `@PATH`; blank lines and those that begin with `#` are left out."""
    found: list[str] = []
    for entry in entries:
        if entry.startswith("@"):
            lines = (line.strip() for line in _text(entry[1:]).splitlines())
            found.extend(line for line in lines if not line.startswith("#"))
        else:
            found.append(entry.strip())
    return [entry for entry in found if entry]


def problem(path: str) -> str | None:
    """What is wrong with a file of a list, if it is on this machine."""
    try:
        if storage.is_local(path) and not _text(path).strip():
            return f"the list {path} has no entries"
    except DataError as error:
        return str(error)
    return None


def _text(path: str) -> str:
    """A list; some are in Latin-1, of which what is no UTF-8 matches nothing."""
    try:
        raw = storage.read_bytes(storage.expand(path))
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
    except FileNotFoundError:
        raise DataError(f"the list {path} is not there") from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"the list {path} cannot be read: {error}") from None
    if b"\0" in raw[:4096]:
        raise DataError(f"the list {path} is no text: it has zero bytes")
    return raw.decode("utf-8", "replace")


def ut1_files(folder: str, categories: Iterable[str], kind: str) -> list[str]:
    """The files `domains` or `urls` of those categories, as paths."""
    return [path for name in categories for path in _ut1(folder, name, kind)]


def _ut1(folder: str, category: str, kind: str) -> Iterator[str]:
    root = storage.join(folder, category)
    here = storage.names_in(storage.expand(root))
    yield from (storage.join(root, name) for name in (kind, f"{kind}.gz") if name in here)


def ut1_problems(folder: str, categories: Iterable[str]) -> list[str]:
    """Categories that are not in the folder, or have neither file."""
    try:
        there = storage.names_in(storage.expand(folder))
    except (OSError, DataError) as error:
        return [f"the folder {folder} cannot be read: {error}"]
    if not there:
        return [f"the folder {folder} of UT1 is not there, or is empty"]
    found = []
    for name in categories:
        if name not in there:
            found.append(f"{folder} has no category {name!r}; it has {', '.join(there[:60])}")
        elif not any(list(_ut1(folder, name, kind)) for kind in UT1_FILES):
            found.append(f"{folder}/{name} has neither `domains` nor `urls`, plain or .gz")
    return found
