"""FineWeb-2's rules with the thresholds of one language, from a file of the FineWeb-2 project.

Penedo et al. 2025 (FineWeb-2, arXiv 2506.20920): for each of 1,900 languages the limits of Gopher's
repetition, FineWeb's and Gopher's quality rules and the stop words were fitted to its texts. The
files are `configs/LANGUAGE.yml` of github.com/huggingface/fineweb-2 (Apache-2.0); name the folder of
your copy, or have it read over the network: `github://huggingface:fineweb-2@main/configs`. The rules,
their order and those that are off are the pipeline's of that project, in datatrove 0.10.1's reading.

Deliberately different: words are those of `words`, not those of datatrove's tokenizer for the
language (44 packages; for scripts with spaces `uniseg` is near); all shares are measured for every
document.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

import numpy as np
import pyarrow as pa
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ultraclean import storage
from ultraclean.document import Batch
from ultraclean.errors import DataError
from ultraclean.stage import Decision, Rule, absent, at_least, at_most, decide
from ultraclean.stages.filter.rule_set import SplitsWords
from ultraclean.text import prose, repetition, web
from ultraclean.text.characters import TERMINAL
from ultraclean.text.lines import NonblankLines
from ultraclean.text.words import SPLITTERS, word_list

SHORT_LINE_CHARS: Final = 30
MAX_REPEATED_LINE_CHARS: Final = 0.1
MIN_STOP_WORDS: Final = 2


class Thresholds(BaseModel):
    """One file of FineWeb-2, as it names things."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    dup_line_frac: float
    dup_n_grams: list[list[float]]
    language_score: float
    line_punct_thr: float
    max_avg_word_length: float
    max_non_alpha_words_ratio: float
    min_avg_word_length: float
    new_line_ratio: float
    stopwords: list[str]
    top_n_grams: list[list[float]]


class Fineweb2(SplitsWords):
    stage: ClassVar[str] = "filter.fineweb2"
    paper: ClassVar[str] = (
        "Penedo et al. 2025 (FineWeb-2, arXiv 2506.20920); rules of datatrove 0.10.1"
    )
    reasons: ClassVar[tuple[str, ...]] = (
        "language_score",
        "empty",
        "repeated_lines",
        *(f"top_{n}gram" for n in repetition.TOP_SIZES),
        *(f"repeated_{n}grams" for n in repetition.REPEATED_SIZES),
        "blank",
        "few_ended_lines",
        "repeated_line_chars",
        "list",
        "too_few_words",
        "too_many_words",
        "short_words",
        "long_words",
        "too_many_hashes",
        "too_many_ellipses",
        "too_many_bullet_lines",
        "too_many_ellipsis_lines",
        "too_few_alphabetic_words",
        "too_few_stop_words",
    )

    configs: str = Field(
        min_length=1, description="folder of FineWeb-2's files LANGUAGE.yml, or one such file"
    )
    language: str = Field(
        min_length=1, description="language and script, as the files are named: `deu_Latn`"
    )
    score: str | None = Field(
        default=None,
        description="column of the language's score, of which the file has the minimum; none: not "
        "tested",
    )

    @property
    def path(self) -> str:
        """The file with the thresholds."""
        if self.configs.endswith((".yml", ".yaml")):
            return self.configs
        return f"{self.configs.rstrip('/')}/{self.language}.yml"

    def needs(self) -> tuple[str, ...]:
        return ("text",) if self.score is None else ("text", self.score)

    def files(self) -> tuple[str, ...]:
        return (self.path,)

    def problems(self) -> list[str]:
        try:
            if storage.is_local(self.path):
                self._thresholds()
        except DataError as error:
            return [str(error)]
        return []

    def open(self) -> Callable[[Batch], Decision]:
        limits = self._thresholds()
        split = SPLITTERS[self.words]
        look = NonblankLines(TERMINAL, SHORT_LINE_CHARS)
        stop_words = word_list(limits.stopwords)
        rules = self._rules(limits)

        def judge(batch: Batch) -> Decision:
            repeated = repetition.datatrove(batch, split)
            lines = web.measure(batch, self.words, look)
            measured = {
                **prose.datatrove(batch, split, stop_words),
                **{name: value for name, value in repeated.items() if "paragraph" not in name},
                "empty": repeated["empty"],
                "blank": lines["empty"],
                "ended_line_fraction": lines["ended_line_fraction"],
                "newlines_per_word": lines["newlines_per_word"],
                "repeated_line_char_fraction": lines["repeated_line_char_fraction"],
            }
            if self.score is not None:
                score = batch[self.score].cast(pa.float64()).fill_null(np.nan)
                measured["language_score"] = score.to_numpy(zero_copy_only=False)
            return decide(measured, rules)

        return judge

    def _rules(self, limits: Thresholds) -> list[Rule]:
        minimum = None if self.score is None else limits.language_score
        top, repeated = (_by_size(pairs) for pairs in (limits.top_n_grams, limits.dup_n_grams))
        return [
            at_least("language_score", "language_score", minimum),
            absent("empty", "empty"),
            at_most("repeated_lines", "repeated_line_fraction", _or_off(limits.dup_line_frac)),
            *(
                at_most(f"top_{n}gram", f"top_{n}gram_fraction", top.get(n))
                for n in repetition.TOP_SIZES
            ),
            *(
                at_most(f"repeated_{n}grams", f"repeated_{n}gram_fraction", repeated.get(n))
                for n in repetition.REPEATED_SIZES
            ),
            absent("blank", "blank"),
            at_least("few_ended_lines", "ended_line_fraction", limits.line_punct_thr),
            at_most("repeated_line_chars", "repeated_line_char_fraction", MAX_REPEATED_LINE_CHARS),
            at_most("list", "newlines_per_word", limits.new_line_ratio),
            at_least("too_few_words", "n_words", 50),
            at_most("too_many_words", "n_words", 100_000),
            at_least("short_words", "mean_word_chars", _or_off(limits.min_avg_word_length)),
            at_most("long_words", "mean_word_chars", _or_off(limits.max_avg_word_length)),
            at_most("too_many_hashes", "hash_fraction", 0.1),
            at_most("too_many_ellipses", "ellipsis_fraction", 0.1),
            at_most("too_many_bullet_lines", "bullet_line_fraction", 0.9),
            at_most("too_many_ellipsis_lines", "ellipsis_line_fraction", 0.3),
            at_least(
                "too_few_alphabetic_words",
                "alphabetic_word_fraction",
                _or_off(limits.max_non_alpha_words_ratio),
            ),
            at_least("too_few_stop_words", "n_stop_words", MIN_STOP_WORDS),
        ]

    def _thresholds(self) -> Thresholds:
        try:
            raw = storage.read_bytes(storage.expand(self.path))
        except (OSError, DataError):
            raise DataError(self._unknown()) from None
        try:
            found = yaml.safe_load(raw)
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise DataError(f"{self.path} is no YAML: {error}") from None
        expected = ", ".join(Thresholds.model_fields)
        if not isinstance(found, dict):
            raise DataError(f"{self.path} is no file of thresholds of FineWeb-2: {expected}")
        try:
            return Thresholds.model_validate(found)
        except ValidationError as error:
            wrong = "; ".join(f"{e['loc'][0]}: {e['msg']}" for e in error.errors())
            raise DataError(
                f"{self.path} is no file of thresholds of FineWeb-2 ({wrong}); it has "
                f"{', '.join(map(str, found))}, expected are {expected}"
            ) from None

    def _unknown(self) -> str:
        """The file is not there: is it the folder, or the language?"""
        if self.path == self.configs:
            return f"the file of thresholds {self.path} is not there"
        names = [found.relative for found in self._there()]
        known = sorted(name.removesuffix(".yml") for name in names)
        if not known:
            return f"the folder {self.configs} has no files LANGUAGE.yml: it should be FineWeb-2's `configs`"
        near = difflib.get_close_matches(self.language, known, n=3, cutoff=0.5)
        hint = (
            f"did you mean {' or '.join(near)}?"
            if near
            else f"there are {', '.join(known[:10])} ..."
        )
        return f"no thresholds for the language {self.language!r} in {self.configs}; {hint}"

    def _there(self) -> list[Any]:
        try:
            return list(storage.find(f"{self.configs.rstrip('/')}/*.yml"))
        except (OSError, DataError):
            return []


def _or_off(limit: float) -> float | None:
    """datatrove takes 0 for off."""
    return limit or None


def _by_size(pairs: list[list[float]]) -> Mapping[int, float | None]:
    return {int(n): _or_off(limit) for n, limit in pairs}
