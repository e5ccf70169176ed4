"""Takes the text of a page out of its HTML.

Four extractors, alone or in an order of the user's choice: `blocks` is ours (a small model over
blocks of text; `text/blocks.py`), `trafilatura`, `resiliparse` and `justext` are the packages of
these names. docs/extraction.md has what each keeps and drops on pages whose text is known.

Deliberately different from peers: a page that spins or allocates without bound is stopped in a
child process and costs only itself; a page without text is a counted row and not an empty document;
formulas are put into the text as LaTeX before any extractor sees the page (`text/formulas.py`); and
extractors can be united, which Li et al. 2026 (arXiv 2602.19548) found to give up to 71 % more tokens.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, Literal

import pyarrow as pa
from pydantic import Field

from ultraclean.document import ERROR, Batch
from ultraclean.errors import MissingExtra
from ultraclean.guard import Failure, Guard
from ultraclean.stage import Map
from ultraclean.text.extractors import (
    Extracted,
    Extractor,
    Page,
    Settings,
    Union,
    open_extractors,
)
from ultraclean.text.page_about import About

CHARSET: Final = re.compile(r"charset\s*=[\s\\\"']*([\w.:-]+)", re.IGNORECASE)
LANGUAGE: Final = re.compile(r'"(?:content_)?language":\s*"([^"]+)"')
BY: Final = "extractor"
_MODULES: Final = {"trafilatura": "trafilatura", "justext": "justext"}
_PACKAGES: Final = {"trafilatura": ("trafilatura", "lxml"), "justext": ("jusText", "lxml")}


class Html(Map):
    """HTML -> text. Sets `_error` on pages that have no text or could not be processed."""

    stage: ClassVar[str] = "extract.html"
    version: ClassVar[int] = 2
    main: ClassVar[str | None] = "extractor"
    paper: ClassVar[str] = (
        "trafilatura, Barbaresi 2021; Resiliparse, Bevendorff et al. 2018; jusText, Pomikálek 2011; "
        "features of blocks, Kohlschütter et al. 2010; union, arXiv 2602.19548"
    )
    extras: ClassVar[Mapping[str, str]] = {
        "trafilatura": '"ultraclean-data[extract]"',
        "justext": '"ultraclean-data[extract]"',
    }
    packages: ClassVar[tuple[str, ...]] = ("trafilatura", "jusText", "Resiliparse", "lxml")

    extractor: Extractor | tuple[Extractor, ...] = Field(
        default="trafilatura",
        description="blocks (ours, four times as fast as trafilatura), trafilatura, resiliparse "
        "(keeps more of what is not text), justext; or a list, in the order of trust",
    )
    union: Union = Field(
        default="first",
        description="what a list means. first: the next one is asked where the text so far is shorter "
        "than enough_chars; longest: the longest text; lines: the first one's lines and, in their "
        "places, those that only another has",
    )
    enough_chars: int = Field(
        default=200,
        ge=1,
        description="a shorter text is not trusted: trafilatura's default mode is tried after its fast "
        "one, and the next extractor of a list",
    )
    format: Literal["text", "markdown"] = Field(
        default="text",
        description="text: a line for a paragraph; markdown: headings, lists, code, tables, emphasis",
    )
    links: bool = Field(default=False, description="keep the targets of links (markdown)")
    formulas: bool = Field(
        default=True,
        description="MathML, KaTeX, MathJax and pictures of formulas as LaTeX: $inline$, $$display$$",
    )
    about: bool = Field(
        default=False,
        description="add what the page says of itself: title, date (ISO 8601) and language_hint",
    )
    html: str = Field(default="html", description="column with the page, as bytes or as a string")
    into: str = Field(default="text", description="column for the text")
    keep_html: bool = Field(default=False, description="keep the column with the page")
    time_limit_s: float = Field(
        default=5.0,
        gt=0,
        description="CPU seconds that a page may take; once again alone with five times as many",
    )
    memory_limit_mb: int = Field(
        default=2048, ge=64, description="megabytes that the extraction of a page may allocate"
    )

    @property
    def extractors(self) -> tuple[Extractor, ...]:
        return (self.extractor,) if isinstance(self.extractor, str) else self.extractor

    def needs(self) -> tuple[str, ...]:
        return (self.html,)

    def adds(self) -> Mapping[str, pa.DataType]:
        columns = [self.into]
        columns += [BY] if len(self.extractors) > 1 else []
        columns += ["title", "date", "language_hint"] if self.about else []
        return dict.fromkeys(columns, pa.string())

    def removes(self) -> tuple[str, ...]:
        return () if self.keep_html or self.html == self.into else (self.html,)

    def distributions(self) -> tuple[str, ...]:
        found = {package for name in self.extractors for package in _PACKAGES.get(name, ())}
        return ("Resiliparse", *sorted(found))  # which also tells characters

    def missing_extras(self) -> list[MissingExtra]:
        wanted = {_MODULES.get(name) for name in self.extractors}
        return [error for error in super().missing_extras() if error.module in wanted]

    def problems(self) -> list[str]:
        found = []
        if len(set(self.extractors)) < max(len(self.extractors), 1):
            found.append("extractor: the same one twice, or none")
        if self.links and self.format == "text":
            found.append("links: only Markdown has targets of links; add format: markdown")
        return found

    def open(self) -> Callable[[Batch], Batch]:
        settings = Settings(
            self.extractors,
            self.union,
            self.format == "markdown",
            self.links,
            self.formulas,
            self.about,
            self.enough_chars,
        )
        make = functools.partial(open_extractors, settings)
        guard = Guard(make, self.time_limit_s, self.memory_limit_mb)
        return functools.partial(extract, self, guard.map)


def extract(stage: Html, run: Callable[[list[Page]], list[Any]], batch: Batch) -> Batch:
    """The batch with what `run` makes of its pages; rows with an `_error` are left alone."""
    errors = batch[ERROR].to_pylist() if ERROR in batch else [None] * batch.num_rows
    pages = batch[stage.html].to_pylist()
    headers = _headers(batch)
    open_rows = [row for row, page in enumerate(pages) if page and errors[row] is None]
    results = iter(run([(pages[row], *headers[row]) for row in open_rows]))
    done: list[Extracted | None] = [None] * batch.num_rows
    for row, page in enumerate(pages):
        if errors[row] is not None:
            continue
        result = next(results) if page else Extracted("")
        if isinstance(result, Failure):
            errors[row] = str(result)
        elif not result.text:
            errors[row] = f"EmptyExtraction: no text in {len(page or b''):,} bytes of HTML"
        else:
            done[row] = result
    columns = {stage.into: [one.text if one else None for one in done]}
    if len(stage.extractors) > 1:
        columns[BY] = [one.extractor if one else None for one in done]
    if stage.about:
        facts = [one.about if one else About() for one in done]
        columns["title"] = [fact.title for fact in facts]
        columns["date"] = [fact.date for fact in facts]
        columns["language_hint"] = [fact.language for fact in facts]
    columns[ERROR] = errors
    kept = batch if stage.keep_html or stage.html == stage.into else batch.without(stage.html)
    return kept.with_columns(
        {name: pa.array(values, pa.string()) for name, values in columns.items()}
    )


def _headers(batch: Batch) -> list[tuple[str | None, str | None]]:
    """(charset, language) of each row's HTTP header, which `read.warc` leaves in `metadata`."""
    if "metadata" not in batch:
        return [(None, None)] * batch.num_rows
    return [
        (_found(CHARSET, value), _found(LANGUAGE, value)) if value else (None, None)
        for value in batch["metadata"].to_pylist()
    ]


def _found(pattern: re.Pattern[str], value: str) -> str | None:
    found = pattern.search(value)
    return found[1] if found else None
