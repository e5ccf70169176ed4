"""Drops documents by single heuristics of NeMo Curator and data-juicer: one field a rule, all off at first.

What Gopher, C4, FineWeb and Chinese rule sets have is in the filters of those names; lengths in words and
characters in `filter.length`. Each field says whose rule it is and what its limit is there; with Curator
1.3.0's the numbers are the same as its code gives, and so are data-juicer 1.4.3's, but for `special` and
for listed words: its special characters are a list, here they are all but letters and marks.

All measures are taken for every document; repeated characters, a fifth of the time, where their limit is set.

Deliberately different: a text without what is measured fails no rule (Curator drops or fails on it); of
Curator's phrases of boilerplate the three long cookie notices are left out; words are what lies between
white space in every language (Curator can ask jieba and MeCab).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from pydantic import Field, field_validator

from ultraclean.document import Batch, texts
from ultraclean.stage import Decision, Filter, Rule, absent, at_least, at_most, decide
from ultraclean.stages.filter import listed
from ultraclean.text import heuristics

Lists = Mapping[str | None, frozenset[str]]


def _share(what: str) -> Any:
    return Field(default=None, ge=0, le=1, description=what)


def _count(what: str) -> Any:
    return Field(default=None, ge=0, description=what)


def _files(what: str) -> Any:
    return Field(default=None, description=f"{what}: a file, a word a line; or language -> file")


class Heuristics(Filter):
    stage: ClassVar[str] = "filter.heuristics"
    paper: ClassVar[str] = "NeMo Curator 1.3.0, data-juicer 1.4.3, mC4 (Xue et al. 2021)"

    max_non_alphanumeric_fraction: float | None = _share(
        "characters but ASCII letters, digits, newlines and `?!,.` (Curator NonAlphaNumeric: 0.25)"
    )
    max_digit_fraction: float | None = _share("ASCII digits (Curator Numbers: 0.15)")
    max_white_space_fraction: float | None = _share(
        "spaces, tabs, line ends and backspaces (Curator WhiteSpace: 0.25)"
    )
    max_parenthesis_fraction: float | None = _share(
        "brackets of four kinds (Curator Parentheses: 0.1)"
    )
    min_alphanumeric_fraction: float | None = _share(
        "letters and digits of any script (data-juicer alphanumeric_filter: 0.25)"
    )
    max_special_fraction: float | None = _share(
        "characters but letters and marks (data-juicer special_characters_filter: 0.25, by a list)"
    )
    max_repeated_char_fraction: float | None = _share(
        "the most frequent 10-grams of characters (data-juicer character_repetition_filter: 0.5)"
    )
    max_word_chars: int | None = _count("longest word (Curator LongWord: 1000)")
    min_mean_word_chars: float | None = _count("mean length of words (Curator MeanWordLength: 3)")
    max_mean_word_chars: float | None = _count("mean length of words (Curator MeanWordLength: 10)")
    max_symbol_word_fraction: float | None = _share(
        "words that are ellipses or mostly `#` (Curator SymbolsToWords: 0.1)"
    )
    max_url_fraction: float | None = _share("characters in http URLs (Curator Urls: 0.2)")
    max_urls: int | None = _count("http URLs in the text (our own)")
    url_words: tuple[str, ...] = Field(
        default=(), description="parts of URLs in the text that drop it (Curator: porn)"
    )
    max_boilerplate_fraction: float | None = _share(
        "paragraphs with a phrase of `boilerplate`; `lorem ipsum` is 1 (Curator BoilerPlateString: 0.4)"
    )
    boilerplate: tuple[str, ...] = Field(
        default=(
            *("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies"),
            *("use cookies", "privacy overview", "privacy & cookies policy"),
            "privacy and cookies policy",
        ),
        description="phrases in lower case",
    )
    max_bullet_line_fraction: float | None = _share(
        "lines that begin with a bullet (Curator Bullets: 0.9)"
    )
    max_unended_line_fraction: float | None = _share(
        "lines that do not end in `. ? ! \" '` (Curator Punctuation: 0.85)"
    )
    max_ellipsis_line_fraction: float | None = _share(
        "lines that end in an ellipsis or `read more` (Curator Ellipsis: 0.3)"
    )
    min_mean_line_chars: float | None = _count(
        "characters per line (data-juicer average_line_length_filter: 10)"
    )
    max_mean_line_chars: float | None = _count("characters per line (the same)")
    min_longest_line_chars: int | None = _count(
        "characters of the longest line (data-juicer maximum_line_length_filter: 10)"
    )
    max_longest_line_chars: int | None = _count("characters of the longest line (the same)")
    min_third_line_chars: int | None = _count(
        "characters of the third longest line (mC4: 200; datatrove's C4ParagraphFilter)"
    )
    min_stop_word_fraction: float | None = _share(
        "words of `stop_words` (data-juicer stopwords_filter: 0.3)"
    )
    max_flagged_word_fraction: float | None = _share(
        "words of `flagged_words` (data-juicer flagged_words_filter: 0.045)"
    )
    stop_words: dict[str, str] | str | None = _files("words that prose has")
    flagged_words: dict[str, str] | str | None = _files("words that it should not have")
    language: str = Field(
        default="language", description="column of the language, where lists are by language"
    )
    reasons: ClassVar[tuple[str, ...]] = (
        *("too_many_non_alphanumerics", "too_many_digits", "too_much_white_space"),
        *("too_many_parentheses", "too_few_alphanumerics", "too_many_specials", "repeated_chars"),
        *("long_word", "short_words", "long_words", "too_many_symbol_words", "too_many_url_chars"),
        *("too_many_urls", "url_word", "boilerplate", "bullet_lines", "unended_lines"),
        *("ellipsis_lines", "short_lines", "long_lines", "no_long_line", "too_long_line"),
        *("too_few_long_lines", "too_few_stop_words", "too_many_flagged_words"),
    )

    @field_validator("url_words", "boilerplate", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    def needs(self) -> tuple[str, ...]:
        by_language = isinstance(self.stop_words, dict) or isinstance(self.flagged_words, dict)
        return ("text", self.language) if by_language else ("text",)

    def files(self) -> tuple[str, ...]:
        return (*_paths(self.stop_words).values(), *_paths(self.flagged_words).values())

    def problems(self) -> list[str]:
        found = listed.problems(self.files())
        for limit, name in (
            (self.min_stop_word_fraction, "stop_words"),
            (self.max_flagged_word_fraction, "flagged_words"),
        ):
            if limit is not None and getattr(self, name) is None:
                found.append(f"a limit on {name} is given, but no list: set {name}")
        return found

    def open(self) -> Callable[[Batch], Decision]:
        rules = self._rules()
        stop_words, flagged_words = _read(self.stop_words), _read(self.flagged_words)

        def judge(batch: Batch) -> Decision:
            measured = {
                **heuristics.of_characters(batch),
                **heuristics.of_words(batch),
                **heuristics.of_phrases(batch, self.boilerplate, self.url_words),
                **heuristics.of_lines(batch),
            }
            if self.max_repeated_char_fraction is not None:
                measured |= heuristics.of_repeats(batch)
            for name, lists in (("stop_word", stop_words), ("flagged_word", flagged_words)):
                mine = self._lists(batch, lists)
                rows = batch.view("text", texts)
                measured[f"{name}_fraction"] = heuristics.listed_fraction(rows, mine)
            return decide(measured, rules)

        return judge

    def _lists(self, batch: Batch, lists: Lists) -> list[frozenset[str] | None]:
        """The list that each document is compared with."""
        if None in lists or not lists:
            return [lists.get(None)] * batch.num_rows
        return [lists.get(language) for language in batch[self.language].to_pylist()]

    def _rules(self) -> list[Rule]:
        return [
            at_most(
                "too_many_non_alphanumerics",
                "non_alphanumeric_fraction",
                self.max_non_alphanumeric_fraction,
            ),
            at_most("too_many_digits", "digit_fraction", self.max_digit_fraction),
            at_most("too_much_white_space", "white_space_fraction", self.max_white_space_fraction),
            at_most("too_many_parentheses", "parenthesis_fraction", self.max_parenthesis_fraction),
            at_least(
                "too_few_alphanumerics", "alphanumeric_fraction", self.min_alphanumeric_fraction
            ),
            at_most("too_many_specials", "special_fraction", self.max_special_fraction),
            at_most("repeated_chars", "repeated_char_fraction", self.max_repeated_char_fraction),
            at_most("long_word", "longest_word_chars", self.max_word_chars),
            at_least("short_words", "mean_word_chars", self.min_mean_word_chars),
            at_most("long_words", "mean_word_chars", self.max_mean_word_chars),
            at_most("too_many_symbol_words", "symbol_word_fraction", self.max_symbol_word_fraction),
            at_most("too_many_url_chars", "url_fraction", self.max_url_fraction),
            at_most("too_many_urls", "n_urls", self.max_urls),
            absent("url_word", "url_word"),
            at_most("boilerplate", "boilerplate_fraction", self.max_boilerplate_fraction),
            at_most("bullet_lines", "bullet_line_fraction", self.max_bullet_line_fraction),
            at_most("unended_lines", "unended_line_fraction", self.max_unended_line_fraction),
            at_most("ellipsis_lines", "ellipsis_line_fraction", self.max_ellipsis_line_fraction),
            at_least("short_lines", "mean_line_chars", self.min_mean_line_chars),
            at_most("long_lines", "mean_line_chars", self.max_mean_line_chars),
            at_least("no_long_line", "longest_line_chars", self.min_longest_line_chars),
            at_most("too_long_line", "longest_line_chars", self.max_longest_line_chars),
            at_least("too_few_long_lines", "third_line_chars", self.min_third_line_chars),
            at_least("too_few_stop_words", "stop_word_fraction", self.min_stop_word_fraction),
            at_most(
                "too_many_flagged_words", "flagged_word_fraction", self.max_flagged_word_fraction
            ),
        ]


def _paths(lists: dict[str, str] | str | None) -> Mapping[str | None, str]:
    """Language -> file; None for a list of all languages."""
    if lists is None:
        return {}
    return {None: lists} if isinstance(lists, str) else dict(lists.items())


def _read(lists: dict[str, str] | str | None) -> Lists:
    words = {language: listed.read(path) for language, path in _paths(lists).items()}
    return {language: frozenset(map(str.lower, mine)) for language, mine in words.items()}
