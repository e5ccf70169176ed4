"""Removes lines that are not sentences, and drops documents that have little left.

Raffel et al. 2020 (C4, JMLR 21-140), section 2.2, in the reading of datatrove 0.10.1: a line goes
if a word is very long, if it does not end in `. ? ! " '` or ends in `...`, if it has few words
(counted before Wikipedia's citations are cut out of it), or if it speaks of JavaScript or of
cookies and policies; a surviving line with `lorem ipsum` or `{` drops the document at once.
The kept lines, stripped, are the new text.

Deliberately different: off is None (datatrove: -1); lines are always lines (datatrove can take
sentences instead); sentences are counted without spaCy unless `sentences: spacy` asks for
datatrove's count. The numbers of a document that a line dropped end with that line.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import ClassVar, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from ultraclean.document import Batch, texts
from ultraclean.errors import MissingExtra
from ultraclean.stage import Decision, Filter, absent, at_least, decide
from ultraclean.text import characters
from ultraclean.text.buffers import utf8
from ultraclean.text.sentences import CLOSING, SentenceSplitter, n_sentences

CITATION: Final = re.compile(r"\[\d*]|\[edit]|\[citation needed]")
LINE_ENDS: Final = (".", "?", "!", '"', "'")
POLICIES: Final = (
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
)
CAUSES: Final = ("long_word", "no_end_mark", "few_words", "javascript", "policy")


Cleaned = tuple[dict[str, NDArray[np.int64]], pa.Array]
"""What was counted, and the texts that are left, large_string."""


@functools.cache
def _table() -> NDArray[np.uint8]:
    """See `ultrakernels.sentence_lines`."""
    from ultrakernels import sentence_lines as kernel

    table = characters.table() & np.uint8(characters.SPACE | characters.LINE_BREAK)
    codes = range(len(table))
    table[[code for code in codes if chr(code).isdecimal()]] |= np.uint8(kernel.DIGIT)
    table[[ord(char) for char in characters.TERMINAL]] |= np.uint8(kernel.TERMINAL)
    table[[ord(char) for char in CLOSING]] |= np.uint8(kernel.CLOSING)
    return table


class C4(Filter):
    stage: ClassVar[str] = "filter.c4"
    paper: ClassVar[str] = "Raffel et al. 2020 (C4), 2.2; semantics of datatrove 0.10.1"
    reasons: ClassVar[tuple[str, ...]] = ("lorem_ipsum", "curly_bracket", "too_few_sentences")
    extras: ClassVar[Mapping[str, str]] = {"spacy": '"ultraclean-data[datatrove]"'}

    dialect: Literal["datatrove"] = Field(
        default="datatrove", description="whose reading of the rules to follow"
    )
    sentences: SentenceSplitter = Field(
        default="punctuation",
        description="how sentences are counted: `punctuation` at the ends of words, `spacy` as "
        "datatrove does",
    )
    min_sentences: int | None = Field(
        default=5, ge=0, description="fewest sentences in the lines that are kept"
    )
    min_line_words: int | None = Field(default=3, ge=0, description="fewest words of a kept line")
    max_word_chars: int | None = Field(
        default=1000, ge=0, description="a line with a longer word is removed"
    )
    end_mark: bool = Field(
        default=True, description="remove lines without a sentence's end, or with an ellipsis there"
    )
    citations: bool = Field(
        default=True, description="cut Wikipedia's citations out of lines: `[1]`, `[edit]`"
    )
    lorem_ipsum: bool = Field(default=True, description="drop documents with `lorem ipsum`")
    javascript: bool = Field(default=True, description="remove lines that mention JavaScript")
    curly_bracket: bool = Field(default=True, description="drop documents with `{`")
    policy: bool = Field(
        default=True, description="remove lines about terms of use, privacy and cookies"
    )

    def needs(self) -> tuple[str, ...]:
        return ("text",)

    def missing_extras(self) -> list[MissingExtra]:
        return super().missing_extras() if self.sentences == "spacy" else []

    def distributions(self) -> tuple[str, ...]:
        return ("spacy",) if self.sentences == "spacy" else ()

    def open(self) -> Callable[[Batch], Decision]:
        rules = [
            absent("lorem_ipsum", "lorem_ipsum"),
            absent("curly_bracket", "curly_bracket"),
            at_least("too_few_sentences", "n_sentences", self.min_sentences),
        ]

        def judge(batch: Batch) -> Decision:
            if self.sentences == "punctuation":
                measured, cleaned = self._quick(batch["text"])
            else:
                measured, cleaned = self._slow(batch.view("text", texts))
            rewritten = cleaned.cast(batch["text"].type)
            return dataclasses.replace(decide(measured, rules), columns={"text": rewritten})

        return judge

    def _quick(self, column: pa.Array) -> Cleaned:
        """By the kernel; a document of which it is unsure by Python."""
        from ultrakernels import sentence_lines as kernel

        text = utf8(column)
        names = [*CAUSES[:3], "lorem_ipsum", "javascript", "curly_bracket", "policy"]
        wanted = np.array(
            [
                self.max_word_chars is not None,
                self.end_mark,
                self.min_line_words is not None,
                self.lorem_ipsum,
                self.javascript,
                self.curly_bracket,
                self.policy,
            ]
        )
        blank = self._line("")[1]
        data, ends, causes, n_lines, n_sentences, unsure = kernel.sentence_lines(
            text.data,
            text.offsets,
            _table(),
            wanted,
            self.max_word_chars or 0,
            self.min_line_words or 0,
            self.citations,
            kernel.KEPT if blank is None else names.index(blank),
        )
        buffers = [None, pa.py_buffer(ends), pa.py_buffer(data)]
        cleaned = pa.Array.from_buffers(pa.large_string(), len(column), buffers)
        measured = {name: causes[:, names.index(name)] for name in ("lorem_ipsum", "curly_bracket")}
        measured |= {"n_sentences": n_sentences, "n_lines": n_lines}
        measured |= {f"n_lines_{cause}": causes[:, names.index(cause)] for cause in CAUSES}
        if unsure.any():
            mask = pa.array(unsure)
            # Arrow cannot filter string_view
            exact, mended = self._slow(texts(column.cast(pa.large_string()).filter(mask)))
            cleaned = pc.replace_with_mask(cleaned, mask, mended)
            for name, values in measured.items():
                values[unsure] = exact[name]
        return measured, cleaned

    def _slow(self, documents: list[str]) -> Cleaned:
        """Line by line, in Python."""
        rows = [self._lines(text) for text in documents]
        measured = {
            name: np.array([counts[name] for _, counts in rows], dtype=np.int64)
            for name in ("lorem_ipsum", "curly_bracket")
        }
        measured["n_sentences"] = self._sentences([kept for kept, _ in rows])
        measured["n_lines"] = np.array([c["n_lines"] for _, c in rows], dtype=np.int64)
        for cause in CAUSES:
            removed = [counts[cause] for _, counts in rows]
            measured[f"n_lines_{cause}"] = np.array(removed, dtype=np.int64)
        cleaned = ["\n".join(kept).strip() for kept, _ in rows]
        return measured, pa.array(cleaned, pa.large_string())

    def _sentences(self, documents: list[list[str]]) -> NDArray[np.int64]:
        """Sentences in the kept lines of each document, int64[n_docs]."""
        counts = n_sentences([line for kept in documents for line in kept], self.sentences)
        total = np.zeros(len(counts) + 1, dtype=np.int64)
        np.cumsum(counts, out=total[1:])
        ends = np.zeros(len(documents) + 1, dtype=np.int64)
        np.cumsum([len(kept) for kept in documents], out=ends[1:])
        return np.diff(total[ends])

    def _lines(self, text: str) -> tuple[list[str], Counter[str]]:
        """The kept lines, and how many went for which cause; stops at a line that drops the text."""
        kept: list[str] = []
        counts: Counter[str] = Counter()
        lines = text.splitlines()
        counts["n_lines"] = len(lines)
        blank = self._line("")[1]
        for number, raw in enumerate(lines):
            stripped = raw.strip()
            line, cause = self._line(stripped) if stripped else ("", blank)
            if cause is None:
                kept.append(line)
                continue
            counts[cause] += 1
            if cause in ("lorem_ipsum", "curly_bracket"):
                counts["n_lines"] = number + 1
                break
        return kept, counts

    def _line(self, line: str) -> tuple[str, str | None]:
        """The line without citations, and why it, or its document, goes; None keeps it."""
        words = line.split()
        longest = self.max_word_chars
        # No word is longer than its line, and few lines are so long.
        if longest is not None and len(line) > longest and max(map(len, words)) > longest:
            return line, "long_word"
        if self.citations and "[" in line:
            line = CITATION.sub("", line)
        if self.end_mark and (not line.endswith(LINE_ENDS) or line.endswith("...")):
            return line, "no_end_mark"
        if self.min_line_words is not None and len(words) < self.min_line_words:
            return line, "few_words"
        lower = line.lower()
        if self.lorem_ipsum and "lorem ipsum" in lower:
            return line, "lorem_ipsum"
        if self.javascript and "javascript" in lower:
            return line, "javascript"
        if self.curly_bracket and "{" in line:
            return line, "curly_bracket"
        if self.policy and any(phrase in lower for phrase in POLICIES):
            return line, "policy"
        return line, None
