"""Drops documents whose removal was asked for: lists of ids, keys, URLs and domains, as files.

Our own. In a table of its own (`read.table: clean`, then this) a longer list costs one pass over the
finished rows: the segments before it are reused. It drops rather too much than too little: URLs are
compared without scheme, `www.`, fragment and the path's final slash, a URL that ends in `/*` stands for all
below it, and a domain for every host below it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, field_validator

from ultraclean import storage
from ultraclean.document import KEY, Batch, texts
from ultraclean.errors import DataError
from ultraclean.stage import Decision, Filter, absent, decide
from ultraclean.text import lists, urls

LISTS: Final = ("ids", "keys", "urls", "domains")


def _files(what: str) -> Any:
    return Field(
        default=(), description=f"file or files of {what}, one a line; plain or gzip, # comments"
    )


class Takedown(Filter):
    stage: ClassVar[str] = "filter.takedown"
    paper: ClassVar[str] = "our own"
    reasons: ClassVar[tuple[str, ...]] = (
        "taken_down_id",
        "taken_down_key",
        "taken_down_url",
        "taken_down_domain",
    )

    ids: tuple[str, ...] = _files("ids")
    keys: tuple[str, ...] = _files("keys (`_key` in hex, as `trace` and dropped/ show them)")
    urls: tuple[str, ...] = _files("URLs; one that ends in /* stands for all below it")
    domains: tuple[str, ...] = _files("domains")
    id_column: str = Field(default="id", min_length=1, description="column of the ids")
    url_column: str = Field(default="url", min_length=1, description="column of the URLs")

    @field_validator(*LISTS, mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    def needs(self) -> tuple[str, ...]:
        by_id = (self.id_column,) if self.ids else ()
        by_url = (self.url_column,) if self.urls or self.domains else ()
        return by_id + by_url

    def files(self) -> tuple[str, ...]:
        return tuple(path for name in LISTS for path in getattr(self, name))

    def problems(self) -> list[str]:
        if not self.files():
            return [f"no list is given: set one of {', '.join(LISTS)}"]
        found = []
        for name in LISTS:
            try:
                local = [path for path in getattr(self, name) if storage.is_local(path)]
                _check(name, _read(local))
            except DataError as error:
                found.append(str(error))
        return found

    def open(self) -> Callable[[Batch], Decision]:
        ids = set(_read(self.ids))
        keys = {bytes.fromhex(key) for key in _check("keys", _read(self.keys))}
        exact: set[str] = set()
        below: set[str] = set()
        for entry in _read(self.urls):
            known = below if entry.endswith("/*") else exact
            known.add(plain_url(entry.removesuffix("/*")))
        domains = {entry.lower().strip(".") for entry in _read(self.domains)}
        rules = [
            absent("taken_down_id", "id"),
            absent("taken_down_key", "key"),
            absent("taken_down_url", "url"),
            absent("taken_down_domain", "domain"),
        ]

        def judge(batch: Batch) -> Decision:
            zeros = np.zeros(batch.num_rows, dtype=np.int64)
            measured = dict.fromkeys(("id", "key", "url", "domain"), zeros)
            if ids:
                names = texts(batch[self.id_column].cast(pa.string()))
                measured["id"] = _flags(name in ids for name in names)
            if keys and KEY in batch:
                measured["key"] = _flags(key in keys for key in batch[KEY].to_pylist())
            if exact or below or domains:
                rows = batch.view(self.url_column, texts)
                plain = [plain_url(url) for url in rows]
                measured["url"] = _flags(
                    url in exact or not below.isdisjoint(_above(url)) for url in plain
                )
                measured["domain"] = _flags(
                    not domains.isdisjoint(urls.domains(urls.host(url))) for url in rows
                )
            return decide(measured, rules)

        return judge


def plain_url(url: str) -> str:
    """Host without `www.`, path and query: what two spellings of one address share."""
    host = urls.host(url).removeprefix("www.")
    rest = url.strip().split("#", maxsplit=1)[0].split("://", maxsplit=1)[-1].removeprefix("//")
    before, mark, query = rest.partition("?")
    path = before.partition("/")[2].rstrip("/")
    return f"{host}/{path}".rstrip("/") + mark + query


def _above(url: str) -> list[str]:
    """A plain URL and every folder above it."""
    parts = url.split("?", maxsplit=1)[0].split("/")
    return [url, *("/".join(parts[:stop]) for stop in range(1, len(parts) + 1))]


def _read(paths: Iterable[str]) -> list[str]:
    found: list[str] = []
    for path in paths:
        try:
            found += lists.entries(storage.read_bytes(storage.expand(path)))
        except (OSError, ValueError) as error:
            raise DataError(f"the list {path} cannot be read: {error}") from None
    return found


def _check(name: str, entries: list[str]) -> list[str]:
    """The entries; DataError if they are keys and one is none."""
    if name == "keys":
        for entry in entries:
            if len(entry) != 32 or set(entry.lower()) - set("0123456789abcdef"):
                raise DataError(f"{entry!r} in a list of keys is not 32 hexadecimal digits")
    return entries


def _flags(values: Iterable[bool]) -> NDArray[np.int64]:
    return np.array([int(value) for value in values], dtype=np.int64)
