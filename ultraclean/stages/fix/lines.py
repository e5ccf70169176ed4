"""Puts line ends, trailing blanks and runs of empty lines in order.

Ours; every pipeline that reads pages from several systems has such a step. Deliberately small:
indentation and blanks within a line carry meaning (code, tables, verse) and stay.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from ultraclean.document import Batch
from ultraclean.stage import Map


class Lines(Map):
    """CRLF and CR become LF; blanks at line ends go; empty lines in a row are few."""

    stage: ClassVar[str] = "fix.lines"

    column: str = Field(default="text", description="column to put in order")
    strip_trailing: bool = Field(
        default=True, description="remove blanks (of any script) and tabs at line ends"
    )
    max_empty_lines: int | None = Field(
        default=2, ge=0, description="most empty lines in a row; null leaves them"
    )
    strip_ends: bool = Field(
        default=True, description="remove empty lines at the beginning and end of the text"
    )

    def needs(self) -> tuple[str, ...]:
        return (self.column,)

    def open(self) -> Callable[[Batch], Batch]:
        return functools.partial(_in_order, self)


def _in_order(stage: Lines, batch: Batch) -> Batch:
    before = batch[stage.column]
    after: pa.Array = pc.replace_substring_regex(before, "\r\n?", "\n")
    if stage.strip_trailing:
        after = pc.replace_substring_regex(after, r"[\t\p{Zs}]+(\n|\z)", r"\1")
    if stage.max_empty_lines is not None:
        n_ends = stage.max_empty_lines + 1
        after = pc.replace_substring_regex(after, rf"\n{{{n_ends},}}", "\n" * n_ends)
    if stage.strip_ends:
        after = pc.replace_substring_regex(after, r"\A\n+|\n+\z", "")
    return batch if after.equals(before) else batch.with_columns({stage.column: after})
