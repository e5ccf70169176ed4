"""Trains the minimal MiniCPM4 on token shards of the pipeline, or goes on from a checkpoint.

`ultraclean.train` as a stage: one stretch of warm-up and decay over folders that `pack.tokens` or
`chat.pack` made. A run that needs several stretches, mixes or machines is `ultraclean train`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import Field, ValidationError, model_validator

from ultraclean import storage
from ultraclean.stage import Artifact, ModelRef, Placement, Resources, Rows

if TYPE_CHECKING:
    from ultraclean.train.spec import TrainSpec


class Model(Artifact):
    """Makes a folder with `log.jsonl` and `checkpoints/`, and a card with the losses."""

    stage: ClassVar[str] = "fit.model"
    main: ClassVar[str | None] = "data"
    paper: ClassVar[str] = "MiniCPM4 (arXiv 2506.07900); warm-up, stable, decay (arXiv 2404.06395)"
    extras: ClassVar[Mapping[str, str]] = {"torch": '"ultraclean-data[train]"'}
    packages: ClassVar[tuple[str, ...]] = ("torch",)

    data: Annotated[str | tuple[str, ...], ModelRef()] = Field(
        description="tables made by pack.tokens or chat.pack, or folders of token shards; equal shares"
    )
    model: dict[str, Any] | str = Field(
        default="tiny", description="a preset, or {preset: 100M, vocab_size: 73448}, or all widths"
    )
    start: Annotated[str | None, ModelRef()] = Field(
        default=None, description="a checkpoint of ours or an exported model to start from"
    )
    tokens: float = Field(gt=0, description="tokens to train on, rounded up to whole steps")
    length: int = Field(default=4096, ge=2, description="tokens in one sample; that of chat.pack")
    batch: int = Field(default=8, ge=1, description="samples in one step")
    lr: float = Field(default=7e-3, gt=0, description="at the muP base width")
    warmup_steps: int = Field(default=10, ge=0, description="steps of linear rise at the start")
    seed: int = Field(default=1, description="of the weights and of the order of the data")
    gpus: Annotated[float, Placement()] = Field(default=0, ge=0, description="GPUs of the worker")

    @model_validator(mode="after")
    def _room(self) -> Self:
        steps = math.ceil(self.tokens / (self.length * self.batch))
        if self.warmup_steps >= steps:
            raise ValueError(f"{steps} steps leave nothing after {self.warmup_steps} of warm-up")
        return self

    def problems(self) -> list[str]:
        """What the trainer would refuse: said before a run has made the data."""
        try:
            self.spec("-")
        except ValidationError as error:
            return [str(one["msg"]).removeprefix("Value error, ") for one in error.errors()]
        return []

    @property
    def resources(self) -> Resources:
        return Resources(gpus=self.gpus)

    def make(
        self,
        inputs: Mapping[str, Rows],
        folder: str,
        run: Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]],
    ) -> dict[str, Any]:
        began = time.monotonic()
        (done,) = run(train_one, [self.spec(folder).model_dump(mode="json")])
        card = {
            "kind": self.stage,
            "checkpoint": done["checkpoint"].removeprefix(folder).lstrip("/"),
            "tokens": done["tokens"],
            "steps": done["step"],
            "loss": done["loss"],
            "seconds": round(time.monotonic() - began, 3),
        }
        storage.write_json(storage.join(folder, "card.json"), card)
        return card

    def spec(self, folder: str) -> TrainSpec:
        """The same run as a training file would say it."""
        from ultraclean.train import Mix, Stage, TrainSpec

        sources = (self.data,) if isinstance(self.data, str) else self.data
        mix = {f"source_{at}": Mix(path=storage.expand(path)) for at, path in enumerate(sources)}
        one = Stage(
            name="fit",
            tokens=self.tokens,
            mix=mix,
            warmup_steps=self.warmup_steps,
            decay="linear",
        )
        return TrainSpec(
            model=self.model,  # type: ignore[arg-type]
            out=folder,
            stages=(one,),
            seed=self.seed,
            length=self.length,
            batch=self.batch,
            lr=self.lr,
            start=self.start and storage.expand(self.start),
        )


def train_one(given: dict[str, Any]) -> dict[str, Any]:
    """On a worker: trains, or goes on where a killed run stopped."""
    from ultraclean.train import TrainSpec, train

    return vars(train(TrainSpec.model_validate(given)))
