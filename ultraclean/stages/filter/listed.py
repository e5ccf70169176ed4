"""Lists of words, domains or addresses that filters read from files: an entry a line, plain or gzip."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from ultraclean import storage
from ultraclean.errors import DataError
from ultraclean.text import lists


def read(path: str) -> list[str]:
    """The entries of the list at `path`; DataError where it is not there, is broken, or is no text."""
    try:
        return lists.entries(storage.read_bytes(storage.expand(path)))
    except (OSError, ValueError, zlib.error) as error:
        raise DataError(f"the list {path} cannot be read: {error}") from None


def problems(paths: Iterable[str]) -> list[str]:
    """What is wrong with those of the lists that are on this machine."""
    found = []
    for path in paths:
        try:
            if storage.is_local(path) and not read(path):
                found.append(f"the list {path} has no entries")
        except DataError as error:
            found.append(str(error))
    return found
