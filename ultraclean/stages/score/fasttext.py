"""Scores each document with a fastText classifier: the probability that it is what was looked for.

UltraClean's quality score (Ultra-FineWeb, Wang et al. 2025, arXiv 2505.05427): the text is normalised
as for training (`ultraclean.text.classifier`) and the score is P(`label`), always, where fastText's
`predict` gives the probability of whichever label wins, plus 1e-5. A released `.bin` file with its
tokenizer works as it is; so does the folder that `fit.fasttext` made, whose card names its tokenizer.

Different from the published scripts on purpose: all columns and all documents are kept, a worker
holds a folded model of some MB instead of 2 GB, an empty document has a score like any other, and a
newline that is left in the text counts as a space. A document in which the model finds nothing to go
by has no score.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from ultraclean import storage
from ultraclean.document import Batch
from ultraclean.errors import DataError
from ultraclean.stage import Map, ModelRef, Resources
from ultraclean.text import classifier
from ultraclean.text.chain import scorer

_TEXTS_AT_ONCE = 256  # bounds what normalising holds, whatever the size of a batch


class Fasttext(Map):
    """Adds one column, the probability of `label` (float32, 0 to 1)."""

    stage: ClassVar[str] = "score.fasttext"
    main: ClassVar[str | None] = "model"
    paper: ClassVar[str] = "Ultra-FineWeb (arXiv 2505.05427), MiniCPM4 (arXiv 2506.07900) 2.2.1"
    packages: ClassVar[tuple[str, ...]] = ("tokenizers",)

    model: Annotated[str, ModelRef()] = Field(
        description="a table made by fit.fasttext, its folder, or the path of a fastText model"
    )
    tokenizer: str | None = Field(
        default="card",
        description="`card`: what the model's card says; path of a tokenizer.json; `words`; `raw`: "
        "the text as it is; none: normalised without tokens",
    )
    into: str = Field(default="quality", min_length=1, description="column of the score")
    label: str = Field(default="__label__pos", description="label whose probability is the score")

    def needs(self) -> tuple[str, ...]:
        return ("text",)

    def adds(self) -> Mapping[str, pa.DataType]:
        return {self.into: pa.float32()}

    @property
    def resources(self) -> Resources:
        return Resources(model=True)

    def files(self) -> tuple[str, ...]:
        named = self.tokenizer in (None, "card", "words", "raw")
        return () if named else (str(self.tokenizer),)

    def problems(self) -> list[str]:
        """Only of what is there: the model may be an artifact that is yet to be made."""
        if self.model.endswith((".bin", ".ftz")) or "/" in self.model:
            if not storage.is_local(self.model):
                return []
            try:
                return self._problems_of(storage.expand(self.model))
            except (OSError, ValueError, DataError) as error:
                return [str(error)]
        return []

    def _problems_of(self, path: str) -> list[str]:
        from ultrakernels import fasttext_file

        if not storage.exists(path):
            return [f"{path}: there is no such model"]
        model_path, tokenizer = self._parts(path)
        with storage.open_read(model_path) as stream:
            file = fasttext_file.read(stream, model_path)
        names = [label.decode("utf-8", "replace") for label in file.labels]
        found = [] if self._plain_label() in map(_plain, names) else [self._no_label(path, names)]
        try:
            if tokenizer not in (None, "words", "raw"):
                classifier.of_json(storage.read_bytes(tokenizer).decode())
        except FileNotFoundError:
            found.append(f"{tokenizer}: there is no such tokenizer")
        except ValueError as error:
            found.append(f"{tokenizer}: {error}")
        return found

    def open(self) -> Callable[[Batch], Batch]:
        from ultrakernels import fasttext

        path = storage.expand(self.model)
        model_path, tokenizer = self._parts(path)
        try:
            with storage.open_read(model_path) as stream:
                model = fasttext.load(stream, model_path)
            if tokenizer not in (None, "words", "raw"):
                tokenizer = storage.read_bytes(tokenizer).decode()
            read = scorer(model, tokenizer)
        except (OSError, ValueError) as error:
            raise DataError(str(error)) from error
        if self._plain_label() not in model.labels:
            raise DataError(self._no_label(path, model.labels))
        column = model.labels.index(self._plain_label())

        def score(batch: Batch) -> Batch:
            found = np.empty(batch.num_rows, dtype=np.float32)
            for start in range(0, batch.num_rows, _TEXTS_AT_ONCE):
                scores = read(batch["text"].slice(start, _TEXTS_AT_ONCE))
                found[start : start + _TEXTS_AT_ONCE] = scores[:, column]
            return batch.with_columns({self.into: pa.array(found, mask=np.isnan(found))})

        return score

    def _parts(self, path: str) -> tuple[str, str | None]:
        """Path of the model file, and its tokenizer: a path, `words`, `raw` or None."""
        is_file = path.endswith((".bin", ".ftz"))
        model_path = path if is_file else storage.join(path, "model.bin")
        if self.tokenizer != "card":
            named = self.tokenizer in (None, "words", "raw")
            return model_path, self.tokenizer if named else storage.expand(str(self.tokenizer))
        if is_file:
            raise DataError(
                f"{path}: a model file has no card that says which tokenizer it needs; add "
                "`tokenizer:` with the path of its tokenizer.json, `words`, or `raw`"
            )
        card: dict[str, Any] = storage.read_json(storage.join(path, "card.json"))
        if "tokenizer" not in card:
            raise DataError(f"{path}: its card.json names no tokenizer; add `tokenizer:` here")
        tokenizer: str | None = card["tokenizer"]
        if tokenizer in (None, "words", "raw"):
            return model_path, tokenizer
        return model_path, storage.join(path, str(tokenizer))

    def _plain_label(self) -> str:
        return _plain(self.label)

    def _no_label(self, path: str, labels: Any) -> str:
        names = ", ".join(map(_plain, labels))
        return f"{path}: the model has no label {self._plain_label()!r}; it has {names}"


def _plain(label: str) -> str:
    return label.removeprefix("__label__")
