"""spaCy's words and sentences, at the price of a look-up in a table.

spaCy's rule tokenizer cuts each run of characters between white space by itself, so its result is
remembered per run. The exception are its special cases (emoticons, contractions), which it looks for
in the sequence of tokens: `:) )` is not what `:)` and `)` are. Runs across whose single space a special
case could match are therefore kept together and remembered as one. White-space tokens are dropped
from words and kept in sentences, as datatrove 0.10.1 does.

spaCy's own time grows with the square of a run of brackets or of letters without white space
(16,000 brackets took more than a minute): drop such documents first, by the whitespace rules.
"""

from __future__ import annotations

import copy
import functools
import itertools
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ultraclean.text import characters
from ultraclean.text.buffers import of_strings, utf8
from ultraclean.text.spacy_letters import stay_whole

if TYPE_CHECKING:
    from ultrakernels.chunk_tokens import Cuts, Spans

GLUE: Final = "\U0010ffff"
"""Stands for a space between runs that stay together; a noncharacter, so no text should have it."""

BREAKS_SPACY: Final = "IS_ALPHA"
"""A token on which spaCy 3.8 raises an error from its second occurrence in a process. datatrove then
removes it from the document; here it always goes, so that results depend on the text alone."""

AT_ONCE: Final = 2000
"""Runs that spaCy is given in one call."""
_NONE: Final = np.zeros(0, dtype=np.int64)

MAX_REMEMBERED: Final = 1_000_000
LONG_RUN: Final = 200


class Cutter:
    """The words of a spaCy rule tokenizer (`spacy.tokenizer.Tokenizer` itself, of any language)."""

    def __init__(self, tokenizer: Any) -> None:
        from spacy.tokenizer import Tokenizer as RuleTokenizer
        from spacy.vocab import Vocab
        from ultrakernels.chunk_tokens import Memory, Pairs

        def like(rules: Any) -> Any:
            # A vocabulary without attributes of words: making them is most of what a new word costs.
            return RuleTokenizer(
                Vocab(),
                rules=rules,
                prefix_search=tokenizer.prefix_search,
                suffix_search=tokenizer.suffix_search,
                infix_finditer=tokenizer.infix_finditer,
                token_match=tokenizer.token_match,
                url_match=tokenizer.url_match,
                faster_heuristics=tokenizer.faster_heuristics,
            )

        self.pairs = _neighbours(like({}), tokenizer.rules)
        self._tokenizer = like(tokenizer.rules)
        self._known_pairs = Pairs(self.pairs)
        self._memory = Memory(self._cuts)
        self._cases = {rule.encode() for rule in tokenizer.rules}
        self._letters_stay_whole = stay_whole(tokenizer)

    def copy(self) -> Self:
        """One that remembers what this one does, and learns by itself."""
        other = copy.copy(self)
        other._memory = self._memory.copy()
        return other

    def spans(self, data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> Spans:
        """The words of texts, as (doc, begin, end) of the bytes; none has white space inside."""
        from ultrakernels.chunk_tokens import chunks

        found = chunks(data, offsets, characters.table(), characters.SPACE, self._known_pairs)
        return self._memory.tokens(data, found)

    def _cuts(self, pieces: Sequence[bytes]) -> Cuts:
        """What spaCy makes of runs; of most letters alone it is known to make one word."""
        from ultrakernels.chunk_tokens import only

        size = np.array([len(piece) for piece in pieces], dtype=np.int64)
        n, whole = np.ones(len(pieces), dtype=np.int64), np.zeros(len(pieces), dtype=np.bool_)
        if self._letters_stay_whole:
            content = np.frombuffer(b"".join(pieces), dtype=np.uint8)
            whole = only(
                content, np.append(0, np.cumsum(size)), characters.table(), characters.ALPHA
            )
            whole &= np.array([piece not in self._cases for piece in pieces])
        asked = np.flatnonzero(~whole).tolist()
        cuts = self._asked([pieces[index] for index in asked])
        n[asked] = cuts[0]
        ends = np.cumsum(n)
        begin, sizes = np.zeros((2, int(ends[-1])), dtype=np.int64)
        sizes[ends[whole] - 1] = size[whole]
        others = np.repeat(~whole, n)
        begin[others], sizes[others] = cuts[1:]
        return n, begin, sizes

    def _asked(self, pieces: Sequence[bytes]) -> Cuts:
        """spaCy's tokens of runs, many in one call: across a line feed no special case matches."""
        from spacy.attrs import IDX, LENGTH

        n, begin, size = np.zeros(len(pieces), dtype=np.int64), [_NONE], [_NONE]
        for start in range(0, len(pieces), AT_ONCE):
            some = pieces[start : start + AT_ONCE]
            joined = b"\n".join(some)
            text = joined.decode()
            with self._tokenizer.vocab.memory_zone():
                of_chars = self._tokenizer(text).to_array([IDX, LENGTH]).astype(np.int64)
            content = np.frombuffer(joined, dtype=np.uint8)
            place = np.append(np.flatnonzero((content & 0xC0) != 0x80), len(joined))
            first, last = place[of_chars[:, 0]], place[of_chars[:, 0] + of_chars[:, 1]]
            words = content[first] != ord("\n")
            first, last = first[words], last[words]
            starts = np.cumsum([0, *(len(piece) + 1 for piece in some[:-1])])
            owner = np.searchsorted(starts, first, side="right") - 1
            n[start : start + len(some)] = np.bincount(owner, minlength=len(some))
            begin.append(first - starts[owner])
            size.append(last - first)
        return n, np.concatenate(begin), np.concatenate(size)


class Tokenizer:
    """spaCy's blank English, with what it remembers. A memory is no state: it never changes a result."""

    def __init__(self) -> None:
        import spacy

        self._nlp = spacy.blank("en")
        sentencizer: Any = self._nlp.add_pipe("sentencizer")
        self._cutter = Cutter(self._nlp.tokenizer)
        self._ends: frozenset[str] = frozenset(sentencizer.punct_chars)
        self._pairs = self._cutter.pairs
        self._spaces = _spaces(self._pairs)
        self._moves: dict[str, tuple[int, int, int, int]] = {}

    def split(
        self, column: pa.Array
    ) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.uint8]]:
        """(doc int64[n_docs + 1], bytes per token, bytes of all tokens side by side)."""
        from ultrakernels.chunk_tokens import side_by_side

        text = utf8(column)
        if BREAKS_SPACY.encode() in text.data.tobytes():
            text = of_strings([self._readable(value or "") for value in column.to_pylist()])
        doc, begin, end = self._cutter.spans(text.data, text.offsets)
        return doc, (end - begin).astype(np.int32), side_by_side(text.data, begin, end)

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


def _neighbours(plain: Any, rules: Iterable[str]) -> frozenset[str]:
    """Pairs of characters around a single space across which a special case could match.

    spaCy looks for the tokens that a case has without special cases. A match across a space has
    one token end there and the next begin, so the characters around the space are those around
    a boundary of tokens in the case. Cases of one token match inside a run only.
    `plain` is the tokenizer without its special cases, which are `rules`.
    """
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
