"""Removes documents that were read under one address: URLs that are the same once normalised.

Scheme, `www.`, default port, user, fragment, final slash, order of the parameters and parameters that
only say where a reader came from make no difference, each by a field. Of the copies the one with the
highest priority is kept (a date: the newest crawl; a length: the longest text), then the lowest key.
RefinedWeb (arXiv 2306.01116, G.3) removes URLs seen in earlier parts; datatrove's URL deduplication
compares them as they are, which is `dedup.exact: {column: url}`. A document without a URL is kept.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
from pydantic import Field

from ultraclean.document import Batch, texts
from ultraclean.stage import Barrier, Decision
from ultraclean.stages.dedup import hashed, kept
from ultraclean.text.urls import TRACKING, Form, canonical

if TYPE_CHECKING:
    from ultraclean.exchange import Sketches


class Url(Barrier):
    stage: ClassVar[str] = "dedup.url"
    main: ClassVar[str | None] = "column"
    paper: ClassVar[str] = "RFC 3986, section 6; compare datatrove's url deduplication"
    reasons: ClassVar[tuple[str, ...]] = ("same_url",)

    column: str = Field(default="url", description="the address")
    scheme: bool = Field(default=False, description="http and https are different addresses")
    www: bool = Field(default=False, description="www.a.org and a.org are different addresses")
    slash: bool = Field(default=False, description="a final slash makes a different address")
    fragment: bool = Field(
        default=False, description="what follows # makes a different address; #! always does"
    )
    query: bool = Field(
        default=True, description="what follows ? makes a different address, `tracking` aside"
    )
    tracking: tuple[str, ...] = Field(
        default=TRACKING, description="names of parameters that make no difference; * ends a prefix"
    )
    priority: tuple[str, ...] = Field(
        default=(),
        description="columns (numbers, dates) whose highest value marks the kept copy; then the lowest key",
    )
    max_cluster: int | None = Field(
        default=None, ge=2, description="a cluster with more documents raises an alarm"
    )

    def needs(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.column, *self.priority)))

    def sketch(self) -> Callable[[Batch], pa.RecordBatch]:
        form = Form(
            self.scheme, self.www, self.slash, self.fragment, self.query, tuple(self.tracking)
        )
        contents = functools.partial(addresses, form)
        return hashed.sketcher(self.called, self.column, contents, self.priority)

    def resolve(self, sketches: Sketches) -> dict[str, Any]:
        return hashed.resolve(self.called, sketches, self.priority, self.max_cluster)

    def apply(
        self, card: Mapping[str, Any], verdicts: pa.Table | None
    ) -> Callable[[Batch], Decision]:
        return kept.decisions(self.reasons, verdicts)


def addresses(form: Form, column: pa.Array) -> pa.Array:
    return pa.array([canonical(url, form) for url in texts(column)], pa.large_string())
