"""Scores documents by static embeddings and a linear head: a probability, or a grade of 0 to 5.

It reads what `fit.embedding` made. Of a regression the score is the number itself, and `rounded_into`
holds it as a whole number within the grades that were trained on, as FineWeb-Edu's `int_score` does
(Penedo et al. 2024, arXiv 2406.17557): `filter.where: int_score >= 3` is its rule. Any folder in model2vec's
layout serves for `vector_into` alone. A document in which the model finds no token has no score.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ultraclean import storage
from ultraclean.document import Batch, texts
from ultraclean.errors import DataError
from ultraclean.stage import Map, ModelRef, Resources
from ultraclean.text import embedding, linear

_TEXTS_AT_ONCE: Final = 256  # bounds the encodings in memory, whatever the size of a batch


class Embedding(Map):
    """Adds the score (float32), and where asked its whole number (int64) and the vector (list of float32)."""

    stage: ClassVar[str] = "score.embedding"
    main: ClassVar[str | None] = "model"
    paper: ClassVar[str] = "FineWeb-Edu (arXiv 2406.17557); UltraData-Math L2; layout of model2vec"
    packages: ClassVar[tuple[str, ...]] = ("tokenizers", "safetensors")

    model: Annotated[str, ModelRef()] = Field(
        description="a table made by fit.embedding, or a folder in model2vec's layout"
    )
    into: str | None = Field(
        default="quality", min_length=1, description="column of the score; null: none"
    )
    rounded_into: str | None = Field(
        default=None, min_length=1, description="column of the grade as a whole number"
    )
    vector_into: str | None = Field(
        default=None, min_length=1, description="column of the document's vector"
    )
    max_tokens: int | None = Field(
        default=None, ge=1, description="tokens of a document that are read; none: as in training"
    )

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not (self.into or self.rounded_into or self.vector_into):
            raise ValueError("name a column: into, rounded_into or vector_into")
        return self

    def needs(self) -> tuple[str, ...]:
        return ("text",)

    def adds(self) -> Mapping[str, pa.DataType]:
        types = {
            self.into: pa.float32(),
            self.rounded_into: pa.int64(),
            self.vector_into: pa.list_(pa.float32()),
        }
        return {name: kind for name, kind in types.items() if name is not None}

    @property
    def resources(self) -> Resources:
        return Resources(model=True)

    def problems(self) -> list[str]:
        """Only of a folder that is there: the model may be an artifact that is yet to be made."""
        try:
            path = storage.expand(self.model)
            if "/" in path and storage.is_local(path):
                self._load(path)
        except (OSError, DataError) as error:
            return [str(error)]
        return []

    def open(self) -> Callable[[Batch], Batch]:
        model, head = self._load(storage.expand(self.model))

        def score(batch: Batch) -> Batch:
            column = batch["text"]
            parts = [
                model.vectors(texts(column.slice(start, _TEXTS_AT_ONCE)))
                for start in range(0, len(column), _TEXTS_AT_ONCE)
            ]
            empty = np.empty((0, model.table.shape[1]), dtype=np.float32)
            return batch.with_columns(self._columns(np.concatenate([empty, *parts]), head))

        return score

    def _columns(self, vectors: NDArray[np.float32], head: Head | None) -> dict[str, pa.Array]:
        nothing = ~vectors.any(axis=1)
        columns: dict[str, pa.Array] = {}
        if head is not None:
            found = head.linear(vectors)
            if self.into:
                columns[self.into] = pa.array(found.astype(np.float32), mask=nothing)
            if self.rounded_into:
                rounded = np.rint(np.clip(found, head.lowest, head.highest)).astype(np.int64)
                columns[self.rounded_into] = pa.array(rounded, mask=nothing)
        if self.vector_into:
            width = vectors.shape[1]
            offsets = pa.array(np.arange(0, vectors.size + 1, width), pa.int32())
            columns[self.vector_into] = pa.ListArray.from_arrays(offsets, vectors.reshape(-1))
        return columns

    def _load(self, path: str) -> tuple[embedding.StaticModel, Head | None]:
        def read(name: str) -> bytes | None:
            return storage.read_optional(storage.join(path, name))

        try:
            head = _head(read("head.json")) if self.into or self.rounded_into else None
            max_tokens = self.max_tokens or (head.max_tokens if head else None)
            model = embedding.of_folder(read, max_tokens)
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: {error}") from error
        dim = model.table.shape[1]
        if head is not None and len(head.linear.weight) != dim:
            raise DataError(
                f"{path}: head.json is for vectors of {len(head.linear.weight)} numbers, those of "
                f"model.safetensors have {dim}"
            )
        return model, head


@dataclass(frozen=True)
class Head:
    """What makes a score of a vector, and between which grades."""

    linear: linear.Head
    lowest: float
    highest: float
    max_tokens: int | None


def _head(content: bytes | None) -> Head:
    """The content of head.json; ValueError if it is none."""
    if content is None:
        raise ValueError(
            "there is no head.json, so this model gives vectors but no score: train one with "
            "fit.embedding (`base:` takes this folder), or set `into: null` and `vector_into`"
        )
    try:
        told = json.loads(content)
        weight = np.array(told["weight"], dtype=np.float64)
        head = linear.Head(weight, float(told["bias"]), told["task"] == "classification")
        return Head(head, float(told["lowest"]), float(told["highest"]), told["max_tokens"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"head.json is not one that fit.embedding wrote: {error!r}") from None
