"""spaCy's blank English tokenizer and sentence splitter, at the price of a dictionary look-up.

spaCy tokenises each run of characters between white space by itself, so its result is remembered
per run. The exception are its special cases (emoticons, contractions), which it looks for in the
sequence of tokens: `:) )` is not what `:)` and `)` are. Runs across whose single space a special
case could match are therefore kept together and remembered as one. White-space tokens are dropped
from words and kept in sentences, as datatrove 0.10.1 does.

spaCy's own time grows with the square of a run of brackets or of letters without white space
(16,000 brackets took more than a minute): drop such documents first, by the whitespace rules.
"""

from __future__ import annotations

import functools
import itertools
import re
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

GLUE: Final = "\U0010ffff"
"""Stands for a space between runs that stay together; a noncharacter, so no text should have it."""

BREAKS_SPACY: Final = "IS_ALPHA"
"""A token on which spaCy 3.8 raises an error from its second occurrence in a process. datatrove then
removes it from the document; here it always goes, so that results depend on the text alone."""

MAX_REMEMBERED: Final = 1_000_000
LONG_RUN: Final = 200


class Tokenizer:
    """The tokenizer with what it remembers. A memory is no state: it never changes a result."""

    def __init__(self) -> None:
        import spacy

        self._nlp = spacy.blank("en")
        sentencizer: Any = self._nlp.add_pipe("sentencizer")
        plain: Any = spacy.blank("en").tokenizer
        self._ends: frozenset[str] = frozenset(sentencizer.punct_chars)
        self._pairs = _neighbours(plain)
        self._spaces = _spaces(self._pairs)
        self._sizes: dict[str, tuple[int, ...]] = {}
        self._moves: dict[str, tuple[int, int, int, int]] = {}

    def split(
        self, column: pa.Array
    ) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.uint8]]:
        """(tokens per document, bytes per token, bytes of all tokens side by side)."""
        counts: list[int] = []
        sizes: list[int] = []
        joined: list[str] = []
        remembered = self._sizes
        with self._nlp.memory_zone():
            for value in column.to_pylist():
                text = self._readable(value or "")
                before = len(sizes)
                if GLUE in text:
                    sizes.extend(self._sizes_of(text))
                else:
                    for run in self._spaces.sub(self._glue, text).split():
                        found = remembered.get(run)
                        if found is None:
                            found = self._sizes_of(run.replace(GLUE, " "))
                            _remember(remembered, run, found)
                        sizes.extend(found)
                counts.append(len(sizes) - before)
                joined.append("".join(text.split()))
        return (
            np.array(counts, dtype=np.int64),
            np.array(sizes, dtype=np.int32),
            np.frombuffer("".join(joined).encode(), dtype=np.uint8).copy(),
        )

    def n_sentences(self, lines: list[str]) -> NDArray[np.int64]:
        """Sentences per line as datatrove counts them: at least 1, even of an empty line."""
        counts = np.ones(len(lines), dtype=np.int64)
        with self._nlp.memory_zone():
            for index, line in enumerate(lines):
                counts[index] = self._count_sentences(self._readable(line))
        return counts

    def _glue(self, space: re.Match[str]) -> str:
        text, at = space.string, space.start()
        return GLUE if text[at - 1] + text[at + 1] in self._pairs else " "

    def _readable(self, text: str) -> str:
        if BREAKS_SPACY not in text:
            return text
        try:
            broken = any(token.text == BREAKS_SPACY for token in self._tokens(text))
        except (KeyError, AssertionError):
            broken = True
        return text.replace(BREAKS_SPACY, "") if broken else text

    def _tokens(self, text: str) -> Any:
        return self._nlp.tokenizer(text)

    def _sizes_of(self, text: str) -> tuple[int, ...]:
        texts = [token.text.strip() for token in self._tokens(text)]
        return tuple(len(token.encode()) for token in texts if token)

    def _count_sentences(self, line: str) -> int:
        runs = self._spaces.sub(self._glue, line).split(" ")
        if GLUE in line or any(not run or len(run.split()) != 1 for run in runs):
            # White space that spaCy makes a token of, which can begin a sentence.
            return 1 + self._walk(line, 0)[0]
        seen = moved = 0
        for run in runs:
            moves = self._moves.get(run)
            if moves is None:
                text = run.replace(GLUE, " ")
                moves = (*self._walk(text, 0), *self._walk(text, 1))
                _remember(self._moves, run, moves)
            if seen:
                moved += moves[2]
                seen = moves[3]
            else:
                moved += moves[0]
                seen = moves[1]
        return 1 + moved

    def _walk(self, text: str, seen: int) -> tuple[int, int]:
        """The sentencizer's rule over some tokens: (sentences begun, end seen), from `seen`."""
        moved = 0
        for token in self._tokens(text):
            ends = token.text in self._ends
            if seen and not token.is_punct and not ends:
                moved += 1
                seen = 0
            elif ends:
                seen = 1
        return moved, seen


def _remember(memory: dict[str, Any], run: str, value: Any) -> None:
    if len(run) <= LONG_RUN:
        if len(memory) >= MAX_REMEMBERED:
            memory.clear()
        memory[run] = value


def _neighbours(plain: Any) -> frozenset[str]:
    """Pairs of characters around a single space across which a special case could match.

    spaCy looks for the tokens that a case has without special cases. A match across a space has
    one token end there and the next begin, so the characters around the space are those around
    a boundary of tokens in the case. Cases of one token match inside a run only.
    `plain` is a tokenizer, which loses its special cases here.
    """
    rules = list(plain.rules)
    plain.rules = {}
    pairs: set[str] = set()
    for rule in rules:
        tokens = [token.text for token in plain(rule)]
        pairs.update(left[-1] + right[0] for left, right in itertools.pairwise(tokens))
    return frozenset(pairs)


def _spaces(pairs: frozenset[str]) -> re.Pattern[str]:
    """Spaces that may be between such a pair: few others, so that few need a closer look."""
    kinds = []
    for letters in (True, False):
        group = [pair for pair in pairs if pair[0].isalpha() == letters]
        left, right = ("".join(sorted(map(re.escape, {p[i] for p in group}))) for i in (0, 1))
        kinds.append(f"(?=[{right}])(?<=[{left}] )")
    return re.compile(f" (?:{'|'.join(kinds)})")


@functools.cache
def tokenizer() -> Tokenizer:
    """The tokenizer of this process."""
    return Tokenizer()
