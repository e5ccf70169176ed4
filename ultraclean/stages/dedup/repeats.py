"""Takes lines, paragraphs or sentences out of documents that occur elsewhere in the corpus too.

`sentence` with runs of three is what C4 did (Raffel et al. 2020, section 2.2: all but one of any
three-sentence span that occurs more than once); `line` with `normalise: ccnet` is what CCNet calls a
paragraph (Wenzek et al. 2020), and with `normalise: none` what dolma does; `dialect: datatrove` gives
the texts of datatrove 0.10.1's SentenceDedup. Deliberately different from all of them: the occurrence
that stays does not depend on the order of files or on who finished first but is that of highest
priority, then of the lowest key; how often is enough is a field; hashes have 128 bits; and what went
is in the record, document by document.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from ultraclean.document import AT, KEY, Batch, texts
from ultraclean.errors import MissingExtra
from ultraclean.stage import Decision, at_least
from ultraclean.stages.dedup import kept, recurring, removal
from ultraclean.stages.dedup.removal import Cut, Ordered
from ultraclean.text import pieces
from ultraclean.text.buffers import utf8
from ultraclean.text.normalise import NORMALISATIONS, Normalise

if TYPE_CHECKING:
    from ultraclean.exchange import Home, Sketches

Hashed = tuple[NDArray[np.uint64], NDArray[np.int64]]
"""(hashes uint64[n_pieces, 2], zero for what is not compared; doc int64[n_docs + 1])."""


class Repeats(Ordered):
    stage: ClassVar[str] = "dedup.repeats"
    main: ClassVar[str | None] = "grain"
    paper: ClassVar[str] = (
        "C4 (arXiv 1910.10683, section 2.2); CCNet (arXiv 1911.00359); datatrove's SentenceDedup"
    )
    reasons: ClassVar[tuple[str, ...]] = (*removal.REASONS, "few_pieces_after")

    grain: pieces.Grain = Field(
        default="paragraph",
        description="what is compared; paragraphs have blank lines between them",
    )
    run: int = Field(
        default=1,
        ge=1,
        le=100,
        description="pieces in a row that must be the same; C4: 3 sentences",
    )
    min_count: int = Field(default=2, ge=2, description="occurrences from which a run is removed")
    count: Literal["occurrences", "documents"] = Field(
        default="occurrences", description="documents: repeats inside one document count once"
    )
    keep: Literal["first", "none"] = Field(
        default="first", description="first: one occurrence stays; none: all go"
    )
    normalise: Normalise = Field(
        default="lower_space", description="what is passed over when two pieces are compared"
    )
    min_chars: int = Field(
        default=1, ge=1, description="a run with fewer normalised characters is left alone"
    )
    min_pieces: int | None = Field(
        default=None, ge=1, description="pieces that a document must have left if it lost something"
    )
    dialect: Literal["ultraclean", "datatrove"] = Field(
        default="ultraclean",
        description="datatrove: its sentences (spaCy's) and its simplification; needs datatrove",
    )
    language: str = Field(
        default="eng", description="whose sentences the dialect datatrove looks for (ISO 639-3)"
    )

    def missing_extras(self) -> list[MissingExtra]:
        if self.dialect != "datatrove":
            return []
        import importlib.util

        return [
            MissingExtra(self.stage, module, 'pip install "ultraclean-data[datatrove]"')
            for module in ("datatrove", "spacy")
            if importlib.util.find_spec(module) is None
        ]

    def distributions(self) -> tuple[str, ...]:
        return ("datatrove", "spacy") if self.dialect == "datatrove" else ()

    def problems(self) -> list[str]:
        if self.dialect == "datatrove" and self.grain == "paragraph":
            return ["the dialect datatrove has sentences and lines; set `grain`"]
        return []

    def sketch(self) -> Callable[[Batch], pa.RecordBatch]:
        return functools.partial(sketch_rows, self, self._splitter().hashed)

    def resolve(self, sketches: Sketches) -> dict[str, Any]:
        inputs = sketches.in_groups(growth=8)
        n_pieces = recurring.total(sketches, "n_pieces")
        columns = [AT, KEY, "pieces", *kept.rank_names(self.priority)]
        often = recurring.recurring(
            sketches,
            "pieces",
            explode,
            columns,
            inputs,
            n_pieces=n_pieces,
            min_count=self.min_count,
            by_document=self.count == "documents",
        )
        judge = functools.partial(removed, often, self.keep == "first", self.run)
        verdicts = sketches.step("removed", judge, inputs=inputs, columns=[AT, KEY, "pieces"])
        sketches.verdicts("verdicts", verdicts)
        n_removed = sketches.collect(sketches.step("lost", lost, inputs=verdicts))
        return {
            "documents": sketches.n_docs,
            "compared": n_pieces,
            "documents_cut": sum(piece.n_rows for piece in verdicts),
            "removed": 0 if n_removed is None else pc.sum(n_removed["n"]).as_py(),
        }

    def apply(
        self, card: Mapping[str, Any], verdicts: pa.Table | None
    ) -> Callable[[Batch], Decision]:
        return functools.partial(cut_rows, self, self._splitter(), verdicts)

    def _splitter(self) -> Splitter:
        return Theirs(self) if self.dialect == "datatrove" else Ours(self)


# --- the ways to cut ------------------------------------------------------------------------------


class Ours:
    """Pieces by the kernel."""

    def __init__(self, stage: Repeats) -> None:
        self.stage = stage

    def hashed(self, column: pa.Array) -> Hashed:
        found = pieces.cut(column, self.stage.grain)
        strings = NORMALISATIONS[self.stage.normalise](found.strings)
        if self.stage.normalise == "none" and self.stage.grain != "sentence":
            strings = pc.utf8_rtrim(strings, characters="\r\n")
        return _run_hashes(self.stage, strings, found.doc), found.doc

    def counts(self, column: pa.Array) -> NDArray[np.int64]:
        return pieces.cut(column, self.stage.grain).counts

    def cut(self, column: pa.Array, places: Sequence[Sequence[int]]) -> list[Cut]:
        found = pieces.cut(column, self.stage.grain)
        return [Cut(*found.without(row, gone)) for row, gone in enumerate(places)]

    def n_left(self, text: str) -> int:
        return int(pieces.cut(pa.array([text], pa.large_string()), self.stage.grain).counts[0])

    def n_words(self, text: str) -> int:
        return len(text.split())


class Theirs:
    """Pieces as datatrove cuts them; a sentence has the white space before it."""

    def __init__(self, stage: Repeats) -> None:
        if missing := stage.missing_extras():
            raise missing[0]
        from datatrove.utils.text import simplify_text  # type: ignore[import-untyped]
        from datatrove.utils.word_tokenizers import (  # type: ignore[import-untyped]
            load_word_tokenizer,
        )

        self.stage = stage
        self._simplify = simplify_text
        self._tokens = load_word_tokenizer(stage.language)

    def hashed(self, column: pa.Array) -> Hashed:
        found = [self._compared(text) for text in texts(column)]
        doc = np.cumsum([0, *map(len, found)]).astype(np.int64)
        simple = [self._simplify(piece) for some in found for piece in some]
        return _run_hashes(self.stage, pa.array(simple, pa.large_string()), doc), doc

    def _compared(self, text: str) -> list[str]:
        """What is compared. Its places are not always those of `_spans`, which they are taken for."""
        if self.stage.grain == "line":
            return text.splitlines()
        return list(self._tokens.sent_tokenize(text))

    def counts(self, column: pa.Array) -> NDArray[np.int64]:
        return np.array([len(self._compared(text)) for text in texts(column)], dtype=np.int64)

    def cut(self, column: pa.Array, places: Sequence[Sequence[int]]) -> list[Cut]:
        return [
            self._cut(text, set(gone)) for text, gone in zip(texts(column), places, strict=True)
        ]

    def _cut(self, text: str, gone: set[int]) -> Cut:
        if self.stage.grain == "line":
            lines = text.splitlines(keepends=True)
            ends = np.cumsum([0, *map(len, lines)]).tolist()
            left = "\n".join(line for i, line in enumerate(text.splitlines()) if i not in gone)
        else:
            ends = [0, *(stop for _, stop in self._tokens.span_tokenize(text))]
            left = "".join(
                text[ends[i] : ends[i + 1]] for i in range(len(ends) - 1) if i not in gone
            )
        spans = [(ends[i], ends[i + 1]) for i in sorted(gone) if i + 1 < len(ends)]
        return Cut(left.lstrip(), spans)

    def n_left(self, text: str) -> int:
        return len(list(self._tokens.span_tokenize(text)))

    def n_words(self, text: str) -> int:
        return len(self._tokens.word_tokenize(text))


Splitter = Ours | Theirs


def _run_hashes(stage: Repeats, strings: pa.Array, doc: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Hashes of runs of pieces; zero for a run that is not compared."""
    from ultrakernels.span_hashes import run_hashes, span_hashes

    text = utf8(strings)
    hashes = span_hashes(text.data, text.offsets[:-1], text.offsets[1:])
    n_chars = pc.utf8_length(strings).to_numpy(zero_copy_only=False)
    if stage.run > 1:
        hashes = run_hashes(hashes, doc, stage.run)
        total = np.append(0, np.cumsum(n_chars))
        ends = np.minimum(np.arange(len(n_chars)) + stage.run, len(n_chars))
        n_chars = total[ends] - total[: len(n_chars)]
    hashes[n_chars < stage.min_chars] = 0
    return hashes


# --- sketches and steps ---------------------------------------------------------------------------


def sketch_rows(
    stage: Repeats, hashed: Callable[[pa.Array], Hashed], batch: Batch
) -> pa.RecordBatch:
    """`pieces`: 16 bytes per piece of a document, zero where it is not compared; and ranks."""
    hashes, doc = hashed(batch[stage.column])
    blob = pa.Array.from_buffers(
        pa.large_binary(),
        batch.num_rows,
        [None, pa.py_buffer(doc * 16), pa.py_buffer(np.ascontiguousarray(hashes))],
    )
    compared = np.append(0, np.cumsum(hashes.any(axis=1)))
    counts = pa.array(compared[doc[1:]] - compared[doc[:-1]], pa.int64())
    columns = {"pieces": blob, "n_pieces": counts}
    return pa.RecordBatch.from_pydict(columns | kept.ranks(stage.called, batch, stage.priority))


def explode(table: pa.Table) -> recurring.Occurrences:
    """The hashes of all pieces that are compared."""
    blob = table["pieces"].combine_chunks()
    offsets = np.frombuffer(blob.buffers()[1], np.int64, len(blob) + 1, blob.offset * 8)
    raw = blob.buffers()[2]
    first, last = int(offsets[0]), int(offsets[-1])
    content = np.frombuffer(raw, np.uint64, (last - first) // 8, first) if last > first else None
    hashes = np.zeros((0, 2), np.uint64) if content is None else content.reshape(-1, 2)
    counts = np.diff(offsets) // 16
    row = np.repeat(np.arange(len(blob)), counts)
    place = np.arange(len(hashes)) - np.repeat((offsets[:-1] - first) // 16, counts)
    compared = hashes.any(axis=1)
    return recurring.Occurrences(row[compared], place[compared], hashes[compared])


def removed(often: Home, keep_first: bool, run: int, table: pa.Table) -> pa.Table:
    """(`_at`, `places` that go, `same_as`) of the documents of one task that lose something.

    `same_as` is where the first occurrence of the first run that goes is, null if it is in the same
    document.
    """
    judged = recurring.judge(explode, often, keep_first, table)
    key = table[KEY].combine_chunks().take(pa.array(judged.row, pa.int64()))
    other = pc.if_else(pc.equal(key, judged.best_key), pa.scalar(None, key.type), judged.best_key)
    starts = np.unique(judged.row, return_index=True)[1]
    row = np.repeat(judged.row, run)
    place = np.repeat(judged.place, run) + np.tile(np.arange(run), len(judged.row))
    both = np.unique(np.stack([row, place], axis=1), axis=0)
    rows, places = recurring.lists(both[:, 0], both[:, 1], pa.int64())
    same_as = other.take(pa.array(starts, pa.int64()))
    return pa.table(
        {AT: table[AT].combine_chunks().take(pa.array(rows, pa.int64())), "places": places, "same_as": same_as}
    )  # fmt: skip


def lost(table: pa.Table) -> pa.Table:
    return pa.table({"n": pa.array([pc.sum(pc.list_value_length(table["places"])).as_py() or 0])})


def cut_rows(
    stage: Repeats, splitter: Splitter, verdicts: pa.Table | None, batch: Batch
) -> Decision:
    from ultrakernels import order

    column = batch[stage.column]
    cuts: dict[int, Cut] = {}
    numbers: dict[str, NDArray[Any]] = {"n_pieces": splitter.counts(column)}
    numbers |= {name: np.zeros(batch.num_rows) for name in ("n_removed", "n_pieces_left")}
    numbers["n_pieces_left"] += numbers["n_pieces"]
    if verdicts is not None and verdicts.num_rows:
        where = order.locate(verdicts[AT].to_numpy(), batch[AT].to_numpy())
        rows = np.flatnonzero(where >= 0)
        mine = verdicts.take(pa.array(where[rows]))
        found = splitter.cut(column.take(pa.array(rows)), mine["places"].to_pylist())
        for row, cut, same_as, places in zip(
            rows.tolist(),
            found,
            mine["same_as"].to_pylist(),
            mine["places"].to_pylist(),
            strict=True,
        ):
            cuts[row] = Cut(cut.text, cut.spans, same_as)
            numbers["n_removed"][row] = len(places)
            numbers["n_pieces_left"][row] = splitter.n_left(cut.text)
    more = [at_least("few_pieces_after", "n_pieces_left", stage.min_pieces)]
    return removal.decided(stage, batch, cuts, numbers, more, splitter.n_words)
