"""Drops documents that have a bad word of their language, or keeps some of them.

C4's rule (Raffel et al. 2020, section 2.2; mC4 for other languages) as datatrove 0.10.1's
C4BadWordsFilter decides: in the text in lower case an entry counts where no letter, digit or `_` stands
beside it, in Japanese, Thai and Chinese wherever it stands; entries are taken as written, so one with a
capital never matches. The lists are yours: LDNOOBW's, of which datatrove fetches some, are a folder of
files named by language. `score.badwords` counts instead, for milder rules.

Deliberately different: `keep_fraction` draws by the document's key, so that it is the same however a run
is cut (datatrove draws in the order of a task); a language without a list is kept or dropped, and never
ends the run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

import numpy as np
import pyarrow.compute as pc
from pydantic import Field

from ultraclean import storage
from ultraclean.document import KEY, Batch, random64, texts
from ultraclean.errors import DataError
from ultraclean.stage import Decision, Filter, absent, at_most, decide
from ultraclean.stages.filter import listed
from ultraclean.text import lists


class Badwords(Filter):
    stage: ClassVar[str] = "filter.badwords"
    main: ClassVar[str | None] = "lists"
    paper: ClassVar[str] = "Raffel et al. 2020 (C4), 2.2; semantics of datatrove 0.10.1"
    reasons: ClassVar[tuple[str, ...]] = ("no_list", "badwords")

    lists: dict[str, str] | str = Field(
        min_length=1,
        description="language -> file of words, one a line; or a folder of such files, named `en` or "
        "`en.txt`, plain or gzip",
    )
    language: str | None = Field(
        default="language", description="column of the language; none: all have the default one"
    )
    default_language: str = Field(
        default="en", min_length=1, description="language of documents that have none"
    )
    no_list: Literal["keep", "drop"] = Field(
        default="keep", description="what becomes of documents in a language without a list"
    )
    allowed: tuple[str, ...] = Field(
        default=("sm", "グロ", "女の子", "性"),
        description="entries of the lists that do not count; the default is datatrove's",
    )
    max_badwords: int = Field(default=0, ge=0, description="most bad words, each time it occurs")
    keep_fraction: float = Field(
        default=0, ge=0, le=1, description="share of the documents with bad words that stays"
    )
    seed: int | None = Field(
        default=None, description="of that share; none: by the pipeline's and the stage's name"
    )

    def needs(self) -> tuple[str, ...]:
        return ("text",) if self.language is None else ("text", self.language)

    def files(self) -> tuple[str, ...]:
        return tuple(self._paths().values())

    def problems(self) -> list[str]:
        try:
            paths = self._paths()
        except (OSError, DataError) as error:
            return [f"the folder {self.lists} cannot be read: {error}"]
        if not paths:
            return [
                f"the folder {self.lists} of lists is not there, or has no files `LANGUAGE.txt`"
            ]
        return listed.problems(paths.values())

    def open(self) -> Callable[[Batch], Decision]:
        patterns = {name: self._pattern(name, path) for name, path in self._paths().items()}
        rules = [
            absent("no_list", "no_list", self.no_list == "drop"),
            at_most("badwords", "n_badwords_judged", self.max_badwords),
        ]

        def judge(batch: Batch) -> Decision:
            rows = batch.view("text", texts)
            languages = self._languages(batch)
            found = np.array(
                [
                    _count(patterns.get(language), text)
                    for text, language in zip(rows, languages, strict=True)
                ],
                dtype=np.int64,
            )
            judged = found
            if self.keep_fraction > 0:
                draws = (random64(batch[KEY], self.seed or 0) >> np.uint64(11)) / 2**53
                judged = np.where(draws < self.keep_fraction, 0, found)
            missing = np.array([language not in patterns for language in languages], dtype=np.int64)
            measured = {"no_list": missing, "n_badwords": found, "n_badwords_judged": judged}
            return decide(measured, rules)

        return judge

    def _languages(self, batch: Batch) -> list[str]:
        if self.language is None:
            return [self.default_language] * batch.num_rows
        named: list[str] = pc.fill_null(batch[self.language], self.default_language).to_pylist()
        return named

    def _paths(self) -> Mapping[str, str]:
        """Language -> file."""
        if not isinstance(self.lists, str):
            return self.lists
        names = storage.names_in(storage.expand(self.lists))
        endings = re.compile(r"(\.txt)?(\.gz)?$")
        languages = {name: endings.sub("", name) for name in names}
        return {
            language: storage.join(self.lists, name)
            for name, language in languages.items()
            if re.fullmatch(r"[a-z]{2,3}(-[A-Za-z-]+)?", language)
        }

    def _pattern(self, language: str, path: str) -> re.Pattern[str] | None:
        words = set(listed.read(path)) - set(self.allowed)
        return lists.as_written(words, anywhere=language in ("ja", "th", "zh"))


def _count(pattern: re.Pattern[str] | None, text: str) -> int:
    return 0 if pattern is None else sum(1 for _ in pattern.finditer(text.lower()))
