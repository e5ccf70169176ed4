"""Drops documents that hold items of evaluations: runs of 13 words in common, by default.

The 13 words are those of GPT-3 (Brown et al. 2020, appendix C); the share of an item that decides
is that of Tulu 3 (arXiv 2411.15124), whose limit is 0.5 with 8 words, ours by default any match.
`dialect: datatrove` looks for the 12-grams of datatrove 0.10.1's NGramsDecontIndexer and drops what
its NGramsDecontFilter does. Deliberately different from all of them: nothing is fetched, the items
are files of yours; a short question is looked for whole; and each decision says which item was found,
and how much of it. An item's number is the line of its file; a benchmark's is its place in
`benchmarks`, from 0, the files of a glob by name. Both are among a run's numbers, for each document
that holds anything.

A run tells both ways. Of each document that goes, dropped/ has in `detail` which items were found, what
share of them, and the words. Of each benchmark, the card of the stage in run.json and in the report
says how many of its items were found and in how many documents, and which items. Where nothing of any
benchmark is found in a whole run there is an alarm: more often than not the index is wrong.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator

from ultraclean import storage
from ultraclean.document import Batch
from ultraclean.errors import DataError, MissingExtra
from ultraclean.stage import Decision, Filter, at_most, decide
from ultraclean.stages.filter.benchmark_items import ANSWER, QUERY, items_of, name_of, problem_of
from ultraclean.text.contamination import (
    Index,
    Item,
    Match,
    Tokens,
    Words,
    covered_words,
    matches,
)

MOST_MARKED: Final = 20
"""Items of one document that `detail` and the column `into` tell of."""


class Benchmark(BaseModel):
    """Files of one schema, where the names of the stage's `query` and `answer` do not fit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str = Field(description="file, folder or glob of JSON lines")
    query: tuple[str, ...] | None = Field(default=None, description="fields of the question")
    answer: tuple[str, ...] | None = Field(default=None, description="fields of the answer")

    @field_validator("query", "answer", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value


class Decontaminate(Filter):
    version: ClassVar[int] = 2
    stage: ClassVar[str] = "filter.decontaminate"
    main: ClassVar[str | None] = "benchmarks"
    paper: ClassVar[str] = "Brown et al. 2020 (GPT-3), appendix C; datatrove 0.10.1 as a dialect"
    reasons: ClassVar[tuple[str, ...]] = ("contaminated", "contaminated_document")
    extras: ClassVar[Mapping[str, str]] = {"spacy": '"ultraclean-data[datatrove]"'}

    benchmarks: tuple[str | Benchmark, ...] = Field(
        min_length=1,
        description="files, folders or globs of JSON lines, an item a line; or {path, query, answer}",
    )
    query: tuple[str, ...] = Field(
        default=QUERY, description="fields of an item that may hold its question"
    )
    answer: tuple[str, ...] = Field(
        default=ANSWER, description="fields that may hold its answer, or the number of a choice"
    )
    column: str = Field(default="text", description="column to look in")
    dialogue: bool = Field(
        default=False,
        description="the column is a JSON list of messages, whose contents are looked in as one text; "
        "a column of Arrow lists of messages always is",
    )
    dialect: Literal["ultraclean", "datatrove"] = Field(
        default="ultraclean", description="datatrove: its 12-grams of spaCy's tokens, exactly"
    )
    ngram: int | None = Field(
        default=None, ge=2, le=100, description="words in a row; none: 13, with datatrove 12"
    )
    min_words: int = Field(
        default=8,
        ge=2,
        description="a question or answer of fewer than `ngram` words, but at least so many, is looked "
        "for whole",
    )
    max_item_fraction: float | None = Field(
        default=0.0, ge=0, le=1, description="largest share of an item's words that may be found"
    )
    max_document_fraction: float | None = Field(
        default=None, ge=0, le=1, description="largest share of a document's words that items cover"
    )
    into: str | None = Field(
        default=None,
        description="column for what was found in the documents that are kept, as JSON",
    )

    @field_validator("benchmarks", "query", "answer", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return (value,) if isinstance(value, str | dict | Benchmark) else value

    def needs(self) -> tuple[str, ...]:
        return (self.column,)

    def adds(self) -> Mapping[str, pa.DataType]:
        return {self.into: pa.string()} if self.into else {}

    def missing_extras(self) -> list[MissingExtra]:
        return super().missing_extras() if self.dialect == "datatrove" else []

    def distributions(self) -> tuple[str, ...]:
        return ("spacy",) if self.dialect == "datatrove" else ()

    def files(self) -> tuple[str, ...]:
        """The files, found; a glob that cannot be looked up stays as it is."""
        found: list[str] = []
        for benchmark in self._benchmarks():
            try:
                found += [one.path for one in storage.find(benchmark.path)] or [benchmark.path]
            except (DataError, OSError):
                found.append(benchmark.path)
        return tuple(found)

    def problems(self) -> list[str]:
        found = []
        for benchmark in self._benchmarks():
            if not storage.is_local(benchmark.path):
                continue
            query, answer = self._names(benchmark)
            try:
                files = [one.path for one in storage.find(benchmark.path)]
            except DataError as error:
                found.append(str(error))
                continue
            if not files:
                found.append(f"no benchmark file matches {benchmark.path!r}")
            found += [
                problem
                for path in files
                if (problem := problem_of(path, query, answer)) is not None
            ]
        return found

    def open(self) -> Callable[[Batch], Decision]:
        return functools.partial(_judge, self, self.load())

    def load(self) -> Loaded:
        """The items of all files and their index."""
        names: list[str] = []
        items: list[Item] = []
        for benchmark in self._benchmarks():
            files = storage.find(benchmark.path)
            if not files:
                raise DataError(f"{self.stage}: no benchmark file matches {benchmark.path!r}")
            for file in files:
                items += items_of(file.path, len(names), *self._names(benchmark))
                names.append(file.path)
        ngram = self.ngram or (12 if self.dialect == "datatrove" else 13)
        index: Index = (
            Tokens(items, ngram)
            if self.dialect == "datatrove"
            else Words(items, ngram, self.min_words)
        )
        loaded = Loaded(tuple(map(name_of, names)), items, index)
        for number, path in enumerate(names):
            if not loaded.n_items[number]:
                raise DataError(f"{path}: {self._nothing_to_find(ngram)}")
        return loaded

    def card(self, n_docs: int, found: Mapping[str, int]) -> dict[str, Any]:
        """A row per benchmark, and a row per item that was found, the most frequent first."""
        try:
            loaded = self.load()
        except (DataError, OSError) as error:  # a file that is gone since the run read it
            return {"alarms": [f"{self.called}: what was found cannot be told: {error}"]}
        items: list[tuple[int, int, int]] = []
        for name, n in found.items():
            benchmark, _, line = name.partition(":")
            if line:
                items.append((int(benchmark), int(line), n))
        n_found = Counter(benchmark for benchmark, _, _ in items)
        benchmarks = [
            {
                "benchmark": name,
                "items": loaded.n_items[number],
                "found": n_found[number],
                "documents": found.get(str(number), 0),
            }
            for number, name in enumerate(loaded.names)
        ]
        rows = [
            {"benchmark": loaded.names[benchmark], "item": line, "documents": n}
            for benchmark, line, n in sorted(items, key=lambda one: (-one[2], one[:2]))
        ]
        card: dict[str, Any] = {"benchmarks": benchmarks, "items": rows}
        if n_docs and not items:
            card["alarms"] = [
                f"{self.called}: none of the {sum(loaded.n_items):,} items of "
                f"{', '.join(loaded.names)} was found in any of {n_docs:,} documents. If that is a "
                "surprise, look at the fields that `query` and `answer` name, and at the language"
            ]
        return card

    def _nothing_to_find(self, ngram: int) -> str:
        words = f"{min(ngram, self.min_words)} words"
        if self.dialect == "datatrove":
            words = f"{ngram} words in a row of which one is its answer's"
        return (
            f"no item has {words}, so none could ever be found; lower `min_words` or `ngram`, "
            "name other fields, or leave the file out"
        )

    def _benchmarks(self) -> list[Benchmark]:
        return [Benchmark(path=one) if isinstance(one, str) else one for one in self.benchmarks]

    def _names(self, benchmark: Benchmark) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return benchmark.query or self.query, benchmark.answer or self.answer


@dataclass(frozen=True, eq=False)
class Loaded:
    """The items that are looked for."""

    names: tuple[str, ...]
    """Of each benchmark the name."""
    items: list[Item]
    index: Index

    @functools.cached_property
    def n_items(self) -> list[int]:
        """Of each benchmark the items that can be found at all."""
        counts = [0] * len(self.names)
        for number in {place.item for places in self.index.places for place in places}:
            counts[self.items[number].benchmark] += 1
        return counts


def _judge(stage: Decontaminate, loaded: Loaded, batch: Batch) -> Decision:
    column = batch[stage.column]
    if stage.dialogue or pa.types.is_nested(column.type):
        column = pa.array([spoken(value) for value in column.to_pylist()], pa.large_string())
    hits = loaded.index.find(column)
    found = matches(loaded.index, hits)
    measured: dict[str, NDArray[Any]] = {
        "item_fraction": np.zeros(batch.num_rows),
        "document_fraction": np.zeros(batch.num_rows),
        "n_items": np.zeros(batch.num_rows, dtype=np.int64),
        **{name: np.full(batch.num_rows, np.nan) for name in ("benchmark", "item", "first_word")},
    }
    of_doc: dict[int, list[Match]] = {}
    for match in found:
        of_doc.setdefault(match.doc, []).append(match)
    for doc, n_words in covered_words(found).items():
        best = of_doc[doc][0]
        measured["item_fraction"][doc] = best.fraction
        measured["document_fraction"][doc] = n_words / hits.n_words[doc]
        measured["n_items"][doc] = len(of_doc[doc])
        measured["benchmark"][doc] = loaded.items[best.item].benchmark
        measured["item"][doc] = loaded.items[best.item].line
        measured["first_word"][doc] = best.word
    rules = [
        at_most("contaminated", "item_fraction", stage.max_item_fraction),
        at_most("contaminated_document", "document_fraction", stage.max_document_fraction),
    ]
    columns = {}
    if stage.into:
        columns[stage.into] = _told(loaded, of_doc, column, np.ones(batch.num_rows, dtype=bool))
    decision = decide(measured, rules, columns)
    detail = _told(loaded, of_doc, column, ~decision.keep)
    return dataclasses.replace(decision, detail=detail, found=_counts(loaded, of_doc))


def _counts(loaded: Loaded, of_doc: Mapping[int, list[Match]]) -> dict[str, int]:
    """Documents of each benchmark (`2`), and of each of its items (`2:17`), of which any was found."""
    counts: Counter[str] = Counter()
    for found in of_doc.values():
        items = [loaded.items[match.item] for match in found]
        counts.update({f"{item.benchmark}:{item.line}" for item in items})
        counts.update({str(item.benchmark) for item in items})
    return dict(counts)


def _told(
    loaded: Loaded, of_doc: Mapping[int, list[Match]], column: pa.Array, wanted: NDArray[np.bool_]
) -> pa.Array:
    """string[n_docs]: what was found in the wanted documents, null in the others."""
    told: list[str | None] = [None] * len(column)
    for doc, found in of_doc.items():
        if wanted[doc]:
            told[doc] = told_of(loaded, found, column[doc].as_py())
    return pa.array(told, pa.string())


def told_of(loaded: Loaded, found: list[Match], text: str) -> str:
    """What was found in one document, as JSON: benchmark, item, share of it, and the words."""
    words = loaded.index.words(text)
    rows = [
        {
            "benchmark": loaded.names[loaded.items[match.item].benchmark],
            "item": loaded.items[match.item].line,
            "fraction": round(match.fraction, 6),
            "words": [" ".join(words[start:stop]) for start, stop in match.spans],
            "at": [start for start, _ in match.spans],
        }
        for match in found[:MOST_MARKED]
    ]
    return json.dumps(rows, ensure_ascii=False)


def spoken(dialogue: str | list[Any] | None) -> str:
    """The contents of all messages, a line each; what is no list of messages, as it stands.

    A question and its answer are two messages, and an n-gram may reach from one into the other.
    """
    messages: Any = dialogue or []
    if isinstance(messages, str):
        try:
            messages = json.loads(messages)
        except ValueError:
            return str(dialogue)
        if not isinstance(messages, list):
            return str(dialogue)
    return "\n".join(filter(None, map(_content, messages)))


def _content(message: Any) -> str:
    """The text of a message: a string, or the texts of its parts."""
    if isinstance(message, dict):
        value = next((message[key] for key in ("content", "value", "text") if key in message), "")
        return (
            _content(value) if isinstance(value, list) else value if isinstance(value, str) else ""
        )
    if isinstance(message, list):
        return "\n".join(filter(None, map(_content, message)))
    return message if isinstance(message, str) else ""
