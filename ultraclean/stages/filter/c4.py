"""Removes lines that are not sentences, and drops documents that have little left.

Raffel et al. 2020 (C4, JMLR 21-140), section 2.2, in one of three readings (`dialect`; the lines are
judged by `ultraclean.text.c4_lines`):

- `datatrove` 0.10.1: a line goes if a word is very long, if it does not end in `. ? ! " '` or ends in
  `...`, if it has few words (counted before Wikipedia's citations are cut out of it), or if it speaks
  of JavaScript or of cookies and policies; a surviving line with `lorem ipsum` or `{` drops the
  document at once. The kept lines, stripped, are the new text.
- `dclm` (mlfoundations/dclm, c4.yaml): the same steps one after another over the whole text; `…` ends
  a line and is an ellipsis, `'` does not end one, empty lines stay, five words a line, three sentences.
- `dolma` 1.2.1 (tagger c4_v2, configs/c4-replication): `lorem ipsum`, `{` and JavaScript anywhere drop
  the document; lines without an end or with few words are cut out, and nothing else is looked at.

Deliberately different: off is None (datatrove: -1); lines are always lines (datatrove can take
sentences instead); sentences are counted without spaCy unless `sentences: spacy` asks for
datatrove's count, and DCLM's, by a model of NLTK, is not reproduced. Where lower-casing makes a text
longer (`İ`), dolma cuts at shifted places and ours does not. In the dialect datatrove the numbers of a
document that a line dropped end with that line.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ultraclean.document import Batch, texts
from ultraclean.stage import Decision, absent, at_least, decide
from ultraclean.stages.filter.rule_set import RuleSet
from ultraclean.text import characters
from ultraclean.text.buffers import utf8
from ultraclean.text.c4_lines import CAUSES, DIALECTS, LineRules, datatrove_line
from ultraclean.text.sentences import CLOSING, SentenceSplitter, n_sentences

FLAGS: Mapping[str, tuple[str, ...]] = {
    "datatrove": ("lorem_ipsum", "curly_bracket"),
    "dclm": ("lorem_ipsum", "curly_bracket", "empty"),
    "dolma": ("curly_bracket", "lorem_ipsum", "javascript"),
}
"""What drops a document whatever is left of it, in the order in which the dialect asks."""
NOT_IN_DOLMA: Mapping[str, Any] = {"max_word_chars": None, "citations": False, "policy": False}

Cleaned = tuple[dict[str, NDArray[np.int64]], pa.Array]
"""What was counted, and the texts that are left, large_string."""


@functools.cache
def _table() -> NDArray[np.uint8]:
    """See `ultrakernels.sentence_lines`."""
    from ultrakernels import sentence_lines as kernel

    table = characters.table() & np.uint8(characters.SPACE | characters.LINE_BREAK)
    table[characters.those(r"\d+", str.isdecimal)] |= np.uint8(kernel.DIGIT)
    table[[ord(char) for char in characters.TERMINAL]] |= np.uint8(kernel.TERMINAL)
    table[[ord(char) for char in CLOSING]] |= np.uint8(kernel.CLOSING)
    return table


@functools.cache
def _leads() -> NDArray[np.uint8]:
    return characters.leads_of(_table())


class C4(RuleSet):
    stage: ClassVar[str] = "filter.c4"
    paper: ClassVar[str] = "Raffel et al. 2020 (C4), 2.2; as datatrove, DCLM or dolma"
    reasons: ClassVar[tuple[str, ...]] = (
        *(*FLAGS["datatrove"], "too_few_sentences"),
        *("empty", "javascript"),
    )
    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "dclm": {"min_sentences": 3, "min_line_words": 5},
        "dolma": {"min_sentences": None, **NOT_IN_DOLMA},
    }

    dialect: Literal["datatrove", "dclm", "dolma"] = Field(
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
    javascript: bool = Field(
        default=True, description="remove lines (dolma: drop documents) that mention JavaScript"
    )
    curly_bracket: bool = Field(default=True, description="drop documents with `{`")
    policy: bool = Field(
        default=True, description="remove lines about terms of use, privacy and cookies"
    )

    @property
    def splitter(self) -> str:
        return self.sentences

    @model_validator(mode="after")
    def _dialect_has_the_rules(self) -> Self:
        for name, off in NOT_IN_DOLMA.items():
            if self.dialect == "dolma" and getattr(self, name) != off:
                raise ValueError(f"{name}: the dialect dolma has no such rule")
        return self

    def open(self) -> Callable[[Batch], Decision]:
        quick = self.dialect == "datatrove" and self.sentences == "punctuation"
        rules = [
            *(absent(reason, reason) for reason in FLAGS[self.dialect]),
            at_least("too_few_sentences", "n_sentences", self.min_sentences),
        ]

        def judge(batch: Batch) -> Decision:
            if quick:
                measured, cleaned = self._quick(batch["text"])
            else:
                measured, cleaned = self._slow(batch.view("text", texts))
            return decide(measured, rules, {"text": cleaned.cast(batch["text"].type)})

        return judge

    def _quick(self, column: pa.Array) -> Cleaned:
        """By the kernel; a document of which it is unsure by Python."""
        from ultrakernels import sentence_lines as kernel

        text = utf8(column)
        names = [*CAUSES["datatrove"][:3], "lorem_ipsum", "javascript", "curly_bracket", "policy"]
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
        blank = datatrove_line(self._line_rules(), "")[1]
        data, ends, causes, n_lines, n_sentences, unsure = kernel.sentence_lines(
            text.data,
            text.offsets,
            _table(),
            _leads(),
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
        for cause in CAUSES["datatrove"]:
            measured[f"n_lines_{cause}"] = causes[:, names.index(cause)]
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
        clean, rules = DIALECTS[self.dialect], self._line_rules()
        rows = [clean(rules, text) for text in documents]

        def counted(cause: str) -> NDArray[np.int64]:
            return np.array([row.counts[cause] for row in rows], dtype=np.int64)

        measured = {name: counted(name) for name in FLAGS[self.dialect]}
        measured["n_sentences"] = self._sentences([row.lines for row in rows])
        measured["n_lines"] = counted("n_lines")
        measured |= {f"n_lines_{cause}": counted(cause) for cause in CAUSES[self.dialect]}
        return measured, pa.array([row.text for row in rows], pa.large_string())

    def _line_rules(self) -> LineRules:
        return LineRules(**{field.name: getattr(self, field.name) for field in fields(LineRules)})

    def _sentences(self, documents: list[list[str]]) -> NDArray[np.int64]:
        """Sentences in the kept lines of each document, int64[n_docs]."""
        counts = n_sentences([line for kept in documents for line in kept], self.sentences)
        total = np.zeros(len(counts) + 1, dtype=np.int64)
        np.cumsum(counts, out=total[1:])
        ends = np.zeros(len(documents) + 1, dtype=np.int64)
        np.cumsum([len(kept) for kept in documents], out=ends[1:])
        return np.diff(total[ends])
