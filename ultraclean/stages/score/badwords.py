"""Counts bad words, by lists as files: of all languages, or of each document's own.

The lists are yours (LDNOOBW's, with which C4 was made, are of this form: an entry a line). Words match
as in C4 and datatrove 0.10.1: in lower case, where no letter or digit stands before or after, and
in scripts without spaces anywhere. Which is decided by the entry, not by the language of the list, so
a Latin abbreviation in a Chinese list does not match inside of words. Counts, not a verdict:
`filter.where: n_badwords == 0` is C4's rule, `badword_fraction < 0.01` a milder one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field, field_validator

from ultraclean import storage
from ultraclean.document import Batch, texts
from ultraclean.errors import DataError
from ultraclean.stage import Map
from ultraclean.text import lists


class Badwords(Map):
    """Adds the number of matches (int64), and the fraction of the characters in them (float32)."""

    stage: ClassVar[str] = "score.badwords"
    version: ClassVar[int] = 2
    main: ClassVar[str | None] = "lists"
    paper: ClassVar[str] = "C4 (Raffel et al. 2020), matching of datatrove 0.10.1"

    lists: dict[str, str] | tuple[str, ...] = Field(
        min_length=1,
        description="file or files of words, one a line; or language -> file, then each document "
        "is compared with the list of its own language only",
    )
    language: str = Field(
        default="language", description="column of the language, where lists are by language"
    )
    allowed: tuple[str, ...] = Field(
        default=(), description="entries of the lists that do not count (datatrove: 性 in zh)"
    )
    into: str = Field(default="n_badwords", min_length=1, description="column of the number")
    fraction_into: str = Field(
        default="badword_fraction", min_length=1, description="column of the fraction"
    )

    @field_validator("lists", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    def needs(self) -> tuple[str, ...]:
        return ("text", self.language) if isinstance(self.lists, dict) else ("text",)

    def adds(self) -> Mapping[str, pa.DataType]:
        return {self.into: pa.int64(), self.fraction_into: pa.float32()}

    def files(self) -> tuple[str, ...]:
        return tuple(self.lists.values()) if isinstance(self.lists, dict) else self.lists

    def problems(self) -> list[str]:
        found = []
        for path in self.files():
            try:
                if storage.is_local(path) and not self._words(path):
                    found.append(f"the list {path} has no entries")
            except DataError as error:
                found.append(str(error))
        return found

    def open(self) -> Callable[[Batch], Batch]:
        if isinstance(self.lists, dict):
            found = {name: lists.pattern(self._words(path)) for name, path in self.lists.items()}
            return lambda batch: self._count(batch, [found.get(n) for n in _names(self, batch)])
        every = lists.pattern([word for path in self.lists for word in self._words(path)])
        return lambda batch: self._count(batch, [every] * batch.num_rows)

    def _count(self, batch: Batch, patterns: list[re.Pattern[str] | None]) -> Batch:
        n_found = np.zeros(batch.num_rows, dtype=np.int64)
        fraction = np.zeros(batch.num_rows, dtype=np.float32)
        for row, (text, pattern) in enumerate(zip(texts(batch["text"]), patterns, strict=True)):
            if pattern is not None and text:
                sizes = [len(match[0]) for match in pattern.finditer(text.lower())]
                n_found[row], fraction[row] = len(sizes), sum(sizes) / len(text)
        return batch.with_columns({self.into: n_found, self.fraction_into: fraction})

    def _words(self, path: str) -> list[str]:
        try:
            words = lists.entries(storage.read_bytes(storage.expand(path)))
        except (OSError, ValueError) as error:
            raise DataError(f"the list {path} cannot be read: {error}") from None
        return [word for word in words if word not in self.allowed]


def _names(stage: Badwords, batch: Batch) -> list[Any]:
    return list(batch[stage.language].to_pylist())
