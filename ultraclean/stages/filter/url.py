"""Drops documents by their address: blocked domains, hosts, URLs, words and parts of words.

The rules and their order are those of datatrove 0.10.1's URLFilter, with which FineWeb was made,
on your own lists: none is bundled, but those that datatrove carries can be named, and UT1's folders.
Words are compared as they stand in the URL, with list entries in lower case, so `/XXX/` passes where
`xxx` is listed; parts of words are found in the URL without anything but letters and digits, in lower
case.

Deliberately different: a listed domain covers every host below it. `dialect: datatrove` has it cover
only the host that equals it, and hosts whose registered domain it is, by the public suffix list that
the installed tldextract carries (datatrove asks for a newer one over the network); hosts are compared
as they are written there, here in lower case. A document without a URL is kept unless `require_url`
(datatrove stops). UT1's `urls` cover what begins with them, as in squidGuard, for which they are made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field, field_validator

from ultraclean.document import Batch, texts
from ultraclean.errors import MissingExtra
from ultraclean.stage import Decision, Filter, absent, below, decide
from ultraclean.stages.filter import blocklists
from ultraclean.text import urls

LISTS: Final = ("domains", "hosts", "urls", "words", "soft_words", "word_parts")
PARTS_PER_PATTERN: Final = 500

InDomains = Callable[[list[str], list[str]], tuple[list[bool], list[bool]]]
"""URLs and their hosts -> which are blocked by a domain, and which as a host."""


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

    extras: ClassVar[Mapping[str, str]] = {"tldextract": '"ultraclean-data[datatrove]"'}

    dialect: Literal["ultraclean", "datatrove"] = Field(
        default="ultraclean",
        description="what a listed domain covers: every host below it, or "
        "what datatrove has it cover",
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
    ut1: str | None = Field(
        default=None, description="folder of UT1's lists, a folder a category in it"
    )
    categories: tuple[str, ...] = Field(
        default=(), description="categories of UT1: adult, phishing, malware ..."
    )
    require_url: bool = Field(default=False, description="drop documents without a URL")

    @field_validator(*LISTS, "categories", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    def needs(self) -> tuple[str, ...]:
        return (self.column,)

    def missing_extras(self) -> list[MissingExtra]:
        return super().missing_extras() if self.dialect == "datatrove" else []

    def distributions(self) -> tuple[str, ...]:
        return ("tldextract",) if self.dialect == "datatrove" else ()

    def files(self) -> tuple[str, ...]:
        named = [entry[1:] for name in LISTS for entry in getattr(self, name) if entry[:1] == "@"]
        return (*named, *self._ut1("domains"), *self._ut1("urls"))

    def problems(self) -> list[str]:
        found = [] if self.ut1 is None else blocklists.ut1_problems(self.ut1, self.categories)
        found += [wrong for path in self.files() if (wrong := blocklists.problem(path))]
        if bool(self.ut1) != bool(self.categories):
            found.append("give both ut1, a folder, and categories, which of it to block")
        if not any(getattr(self, name) for name in (*LISTS, "ut1")) and not self.require_url:
            found.append(f"nothing is blocked: give one of {', '.join(LISTS)}, ut1, or require_url")
        return found

    def _ut1(self, kind: str) -> list[str]:
        return [] if self.ut1 is None else blocklists.ut1_files(self.ut1, self.categories, kind)

    def _domains(self) -> InDomains:
        entries = (*self.domains, *(f"@{path}" for path in self._ut1("domains")))
        if self.dialect == "datatrove":
            return _registered(set(blocklists.read(entries)))
        return _covered(_lowered(entries))

    def open(self) -> Callable[[Batch], Decision]:
        in_domains = self._domains()
        hosts = _lowered(self.hosts)
        exact = set(blocklists.read(self.urls))
        prefixes = _lowered(f"@{path}" for path in self._ut1("urls"))
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
            domain, host = in_domains(rows, found_hosts)
            measured = {
                "no_url": _flags(not url for url in rows),
                "domain": _flags(domain),
                "host": _flags(
                    ours or name in hosts for ours, name in zip(host, found_hosts, strict=True)
                ),
                "url": _flags(
                    url in exact or (bool(prefixes) and not prefixes.isdisjoint(urls.prefixes(url)))
                    for url in rows
                ),
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


def _covered(listed: set[str]) -> InDomains:
    """Hosts at or below a listed domain."""

    def find(rows: list[str], hosts: list[str]) -> tuple[list[bool], list[bool]]:
        found = [bool(listed) and not listed.isdisjoint(urls.domains(name)) for name in hosts]
        return found, [False] * len(rows)

    return find


def _registered(listed: set[str]) -> InDomains:
    """datatrove: hosts of which the registered domain, or the whole, is listed."""
    from tldextract import TLDExtract

    extract = TLDExtract(suffix_list_urls=(), cache_dir=None)

    def find(rows: list[str], hosts: list[str]) -> tuple[list[bool], list[bool]]:
        parts = [extract(url) for url in rows]
        return (
            [part.top_domain_under_public_suffix in listed for part in parts],
            [part.fqdn in listed for part in parts],
        )

    return find


def _lowered(entries: Iterable[str]) -> set[str]:
    return {entry.lower().rstrip(".") for entry in blocklists.read(entries)}


def _squeezed(entries: Iterable[str]) -> set[str]:
    return {urls.squeezed(entry) for entry in blocklists.read(entries)} - {""}


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
