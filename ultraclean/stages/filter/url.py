"""Drops documents by their address: blocked domains, hosts, URLs, words and parts of words.

The rules and their order are those of datatrove 0.10.1's URLFilter, with which FineWeb was made,
on your own lists: none is bundled. Words are compared as they stand in the URL, with list entries
in lower case, so `/XXX/` passes where `xxx` is listed; parts of words are found in the URL without
anything but letters and digits, in lower case.

Deliberately different: a listed domain covers every host below it (datatrove: only the host that
equals it, and hosts whose registered domain it is, for which it needs the public suffix list); for
an entry that is a registered domain, which block lists consist of, the decisions are the same.
Hosts are compared in lower case. A document without a URL is kept unless `require_url`
(datatrove stops).
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field, field_validator

from ultraclean import storage
from ultraclean.document import Batch, texts
from ultraclean.errors import DataError
from ultraclean.stage import Decision, Filter, absent, below, decide
from ultraclean.text import urls

LISTS: Final = ("domains", "hosts", "urls", "words", "soft_words", "word_parts")
PARTS_PER_PATTERN: Final = 500


def _entries(what: str) -> Any:
    return Field(default=(), description=f"{what}; an entry `@PATH` is a file, an entry a line")


class Url(Filter):
    stage: ClassVar[str] = "filter.url"
    paper: ClassVar[str] = "Penedo et al. 2024 (FineWeb), 3.2; rules of datatrove 0.10.1"
    reasons: ClassVar[tuple[str, ...]] = (
        "no_url",
        "blocked_domain",
        "blocked_host",
        "blocked_url",
        "blocked_word",
        "soft_blocked_words",
        "blocked_word_part",
    )

    column: str = Field(default="url", min_length=1, description="column of the URL")
    domains: tuple[str, ...] = _entries("domains whose every host is blocked")
    hosts: tuple[str, ...] = _entries("hosts that are blocked, but not those below them")
    urls: tuple[str, ...] = _entries("whole URLs, exactly as written")
    words: tuple[str, ...] = _entries("words of which one in the URL blocks it")
    soft_words: tuple[str, ...] = _entries("words of which several in the URL block it")
    soft_words_to_block: int = Field(
        default=2, ge=1, description="how many different `soft_words` block a URL"
    )
    word_parts: tuple[str, ...] = _entries("letters and digits that block a URL wherever they are")
    require_url: bool = Field(default=False, description="drop documents without a URL")

    @field_validator(*LISTS, mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    def needs(self) -> tuple[str, ...]:
        return (self.column,)

    def files(self) -> tuple[str, ...]:
        return tuple(
            entry[1:] for name in LISTS for entry in getattr(self, name) if entry.startswith("@")
        )

    def problems(self) -> list[str]:
        found = []
        for path in self.files():
            try:
                if storage.is_local(path) and not storage.exists(storage.expand(path)):
                    found.append(f"the list {path} is not there")
            except DataError as error:
                found.append(str(error))
        if not any(getattr(self, name) for name in LISTS) and not self.require_url:
            found.append(f"nothing is blocked: give one of {', '.join(LISTS)}, or require_url")
        return found

    def open(self) -> Callable[[Batch], Decision]:
        domains, hosts = (_lowered(getattr(self, name)) for name in ("domains", "hosts"))
        exact = set(_read(self.urls))
        words, soft_words = (_squeezed(getattr(self, name)) for name in ("words", "soft_words"))
        patterns = _patterns(_squeezed(self.word_parts))
        rules = [
            absent("no_url", "no_url", self.require_url),
            absent("blocked_domain", "domain"),
            absent("blocked_host", "host"),
            absent("blocked_url", "url"),
            absent("blocked_word", "word"),
            below("soft_blocked_words", "n_soft_words", self.soft_words_to_block),
            absent("blocked_word_part", "word_part"),
        ]

        def judge(batch: Batch) -> Decision:
            column = batch[self.column]
            rows = batch.view(self.column, texts)
            found_hosts = [urls.host(url) for url in rows]
            found_words = [urls.words(url) for url in rows] if words or soft_words else []
            measured = {
                "no_url": _flags(not url for url in rows),
                "domain": _flags(
                    bool(domains) and not domains.isdisjoint(urls.domains(host))
                    for host in found_hosts
                ),
                "host": _flags(host in hosts for host in found_hosts),
                "url": _flags(url in exact for url in rows),
                "word": _zeros(rows),
                "n_soft_words": _zeros(rows),
                "word_part": _any_matches(column, patterns),
            }
            if found_words:
                measured["word"] = _flags(not words.isdisjoint(mine) for mine in found_words)
                measured["n_soft_words"] = np.array(
                    [len(soft_words & mine) for mine in found_words], dtype=np.int64
                )
            return decide(measured, rules)

        return judge


def _read(entries: Iterable[str]) -> list[str]:
    """Inline entries, and those of files; blank lines and lines that begin with `#` are left out."""
    found: list[str] = []
    for entry in entries:
        if not entry.startswith("@"):
            found.append(entry.strip())
            continue
        raw = storage.read_bytes(storage.expand(entry[1:]))
        if entry.endswith(".gz"):
            raw = gzip.decompress(raw)
        lines = (line.strip() for line in raw.decode("utf-8", "replace").splitlines())
        found.extend(line for line in lines if not line.startswith("#"))
    return [entry for entry in found if entry]


def _lowered(entries: Iterable[str]) -> set[str]:
    return {entry.lower().rstrip(".") for entry in _read(entries)}


def _squeezed(entries: Iterable[str]) -> set[str]:
    return {urls.squeezed(entry) for entry in _read(entries)} - {""}


def _patterns(parts: set[str]) -> list[str]:
    """Alternations that RE2 can hold; the parts have letters and digits only."""
    ordered = sorted(parts)
    return [
        "|".join(ordered[start : start + PARTS_PER_PATTERN])
        for start in range(0, len(ordered), PARTS_PER_PATTERN)
    ]


def _any_matches(column: pa.Array, patterns: list[str]) -> NDArray[np.int64]:
    found = np.zeros(len(column), dtype=np.int64)
    if patterns:
        bare = pc.replace_substring_regex(pc.fill_null(column, ""), r"[^a-zA-Z0-9]+", "")
        bare = pc.ascii_lower(bare)
        for pattern in patterns:
            matches = pc.match_substring_regex(bare, pattern)
            found |= matches.to_numpy(zero_copy_only=False).astype(np.int64)
    return found


def _flags(values: Iterable[bool]) -> NDArray[np.int64]:
    return np.array([int(value) for value in values], dtype=np.int64)


def _zeros(rows: list[str]) -> NDArray[np.int64]:
    return np.zeros(len(rows), dtype=np.int64)
