"""Scores documents by a transformer with a classification head: grades, classes, toxicity, languages.

Any checkpoint that transformers loads for sequence classification, from a folder or `hf://OWNER/NAME`:
FineWeb-Edu's regression (Penedo et al. 2024, arXiv 2406.17557: the first 512 tokens, `int_score` between 0
and 5), the grades and classes of Nemotron-CC's kind, several toxicities at once. What the outputs mean is
told by the config's `problem_type`. Different from those scripts: of longer texts `windows` can read more
than the beginning, batches are cut by tokens, and padding never changes a score (float32: within 1e-5).
Bfloat16, which `dtype: auto` takes on GPUs, agrees with float32 in about two digits. A document in which the
tokenizer finds no token has no score. NeMo Curator's own classifiers (an encoder and a linear head on its
first token: quality, domain, content type) are read, too; other models that bring code of their own are refused.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ultraclean import storage
from ultraclean.document import Batch, texts
from ultraclean.errors import DataError
from ultraclean.stage import Map, Placement, Resources
from ultraclean.text import checkpoint, transformer

_FILES: Final = (".json", ".txt", ".model", ".safetensors")


class Transformer(Map):
    """Adds the score (float32), or one per named label; where asked its whole number and the label."""

    stage: ClassVar[str] = "score.transformer"
    main: ClassVar[str | None] = "model"
    paper: ClassVar[str] = "FineWeb-Edu (arXiv 2406.17557); transformers' text-classification"
    extras: ClassVar[Mapping[str, str]] = {
        "torch": '"ultraclean-data[transformers]"',
        "transformers": '"ultraclean-data[transformers]"',
    }
    packages: ClassVar[tuple[str, ...]] = ("transformers", "torch", "tokenizers")
    accelerated: ClassVar[bool] = True
    deterministic: ClassVar[bool] = False  # the last bits depend on the device and on the batch

    model: str = Field(
        description="folder of a checkpoint for sequence classification, or hf://OWNER/NAME"
    )
    encoder: str | None = Field(
        default=None,
        description="for NeMo Curator's own classifiers: folder with the config.json of the encoder that "
        "theirs names as base_model; off: that one on the hub",
    )
    problem_type: checkpoint.ProblemType | None = Field(
        default=None,
        description="what the outputs are: a number, one class (softmax), several (sigmoid each); "
        "off: as config.json says",
    )
    into: str | dict[str, str] | None = Field(
        default="quality",
        description="column of the number, or of the best label's score; or label -> column",
    )
    rounded_into: str | None = Field(
        default=None,
        min_length=1,
        description="regression: column of the grade as a whole number (FineWeb-Edu: int_score)",
    )
    grades: tuple[int, int] = Field(
        default=(0, 5), description="lowest and highest grade of `rounded_into`"
    )
    label_into: str | None = Field(
        default=None, min_length=1, description="column of the best label, as config.json calls it"
    )
    max_tokens: int = Field(default=512, ge=8, description="tokens of a window, special ones among")
    windows: transformer.Windows = Field(
        default="first",
        description="of a longer text: the first window (as FineWeb-Edu), or the mean (by tokens) or "
        "the highest value of each output over its windows",
    )
    max_windows: int = Field(
        default=16, ge=1, description="windows of a text that mean and max read, from its start"
    )
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto", description="numbers of the model; auto: bfloat16 on a GPU, else float32"
    )
    device: Annotated[transformer.Device, Placement()] = Field(
        default="auto", description="auto: a GPU where the cluster has one now; cuda: nothing else"
    )
    gpus: Annotated[float, Placement()] = Field(
        default=1.0, gt=0, description="GPUs of a worker that has any; 0.5 puts two on one"
    )
    batch_tokens: Annotated[int, Placement()] = Field(
        default=16384, ge=1, description="padded tokens that are run together at most"
    )

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not (self.into or self.rounded_into or self.label_into):
            raise ValueError("name a column: into, rounded_into or label_into")
        if self.grades[0] >= self.grades[1]:
            raise ValueError("grades are the lowest, then the highest")
        names = [*self._by_label().values(), self.rounded_into, self.label_into]
        names += [self.into] if isinstance(self.into, str) else []
        given = [name for name in names if name is not None]
        if "" in given or len(set(given)) < len(given):
            raise ValueError(f"two columns of one name, or an empty one: {', '.join(given)}")
        return self

    def needs(self) -> tuple[str, ...]:
        return ("text",)

    def adds(self) -> Mapping[str, pa.DataType]:
        names = [self.into] if isinstance(self.into, str) else self._by_label().values()
        types = {name: pa.float32() for name in names}
        types |= {self.rounded_into: pa.int64()} if self.rounded_into else {}
        return types | ({self.label_into: pa.string()} if self.label_into else {})

    @property
    def resources(self) -> Resources:
        if self.device == "auto":
            return Resources(model=True, spare_gpus=self.gpus)
        return Resources(model=True, gpus=self.gpus if self.device == "cuda" else 0.0)

    def files(self) -> tuple[str, ...]:
        return (self.model,) if self.encoder is None else (self.model, self.encoder)

    def problems(self) -> list[str]:
        """What is wrong with a local folder, without loading it."""
        path = storage.expand(self.model)
        if not storage.is_local(path):
            return []
        problem = checkpoint.problem_of(Path(path))
        if problem is not None:
            return [problem]
        config = checkpoint.config_of(Path(path))
        encoder = storage.expand(self.encoder) if self.encoder and config.encoder else None
        try:
            self._fits(config)
            if encoder is not None and storage.is_local(encoder):
                with self._encoder_of(config):
                    pass
        except ValueError as error:
            return [f"{path}: {error}"]
        return []

    def open(self) -> Callable[[Batch], Batch]:
        path = storage.expand(self.model)
        reading = transformer.Reading(
            self.max_tokens, self.windows, self.max_windows, self.batch_tokens
        )
        try:
            with storage.local_folder(path, _FILES) as folder:
                config = checkpoint.config_of(Path(folder))
                self._fits(config)
                with self._encoder_of(config) as encoder:
                    model = transformer.load(
                        Path(folder), encoder, reading, self.problem_type, self.device, self.dtype
                    )
        except (OSError, ValueError) as error:
            raise DataError(f"{self.called}: {path}: {error}") from error

        def score(batch: Batch) -> Batch:
            values = model(texts(batch["text"]))
            return batch.with_columns(self._columns(values, model.labels))

        return score

    @contextlib.contextmanager
    def _encoder_of(self, config: checkpoint.Config) -> Iterator[Path | None]:
        if config.encoder is None:
            yield None
            return
        path = storage.expand(self.encoder or f"hf://{config.encoder}")
        with storage.local_folder(path, ("config.json",)) as folder:
            if not (Path(folder) / "config.json").is_file():
                raise ValueError(
                    f"there is no config.json of its encoder {config.encoder} in {path}"
                )
            yield Path(folder)

    def _by_label(self) -> dict[str, str]:
        return self.into if isinstance(self.into, dict) else {}

    def _fits(self, config: checkpoint.Config) -> None:
        """ValueError where the fields ask for what the model does not give."""
        kind = transformer.kind_of(config, self.problem_type)
        unknown = [label for label in self._by_label() if label not in config.labels]
        if unknown:
            there = ", ".join(config.labels)
            raise ValueError(f"there is no label {unknown[0]!r}; there are: {there}")
        if self.rounded_into and (kind != "regression" or len(config.labels) != 1):
            raise ValueError(f"rounded_into is for a regression of one number, this is {kind}")
        if kind == "regression" and len(config.labels) > 1 and isinstance(self.into, str):
            there = ", ".join(config.labels)
            raise ValueError(f"several numbers: name columns, `into: {{label: column}}` ({there})")
        if config.max_positions is not None and self.max_tokens > config.max_positions:
            message = f"max_tokens is {self.max_tokens}, the model reads {config.max_positions}"
            raise ValueError(message)

    def _columns(
        self, values: NDArray[np.float32], labels: tuple[str, ...]
    ) -> dict[str, pa.Array | NDArray[np.float32]]:
        """`values` are float32[n_docs, n_labels], NaN where a document has no token."""
        nothing = np.isnan(values[:, 0])
        known = np.where(nothing[:, None], 0, values)
        columns: dict[str, pa.Array | NDArray[np.float32]] = {}
        if isinstance(self.into, str):
            columns[self.into] = pa.array(known.max(axis=1), pa.float32(), mask=nothing)
        for label, name in self._by_label().items():
            columns[name] = pa.array(known[:, labels.index(label)], pa.float32(), mask=nothing)
        if self.rounded_into:
            whole = np.rint(np.clip(known[:, 0], *self.grades)).astype(np.int64)
            columns[self.rounded_into] = pa.array(whole, mask=nothing)
        if self.label_into:
            best = np.array(labels, dtype=object)[known.argmax(axis=1)]
            columns[self.label_into] = pa.array(best, pa.string(), mask=nothing)
        return columns
