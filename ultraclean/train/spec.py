"""What a training run is: a frozen value, the same in Python and in YAML."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ultraclean import markup, storage
from ultraclean.errors import PipelineError, Problem
from ultraclean.stage import Placement
from ultraclean.train.config import ModelConfig


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class Mix(_Frozen):
    """One source of a mix: a folder of token shards, and how much of the tokens it gives."""

    path: str = Field(description="a folder of token shards")
    weight: float = Field(
        default=1.0, gt=0, description="share of the tokens, relative to the rest"
    )
    part: tuple[float, float] = Field(
        default=(0.0, 1.0),
        description="use the documents from this fraction to that one, so that two runs share none",
    )
    max_epochs: float | None = Field(
        default=None,
        gt=0,
        description="refuse to start if the run would repeat the source more often",
    )

    @model_validator(mode="after")
    def _ordered(self) -> Mix:
        low, high = self.part
        if not 0 <= low < high <= 1:
            raise ValueError(f"part is [from, to) within [0, 1], not {list(self.part)}")
        return self


class Stage(_Frozen):
    """A stretch of the run with one mix and one shape of the learning rate."""

    name: str = Field(description="names the checkpoint at its end: stable, decay, sft")
    tokens: float = Field(gt=0, description="tokens of the stage, rounded up to whole steps")
    mix: dict[str, Mix] = Field(
        min_length=1,
        description="sources by name; a name goes on where an earlier stage left its source",
    )
    warmup_steps: int = Field(default=0, ge=0, description="steps of linear rise at the start")
    decay: Literal["linear", "cosine", "exponential"] | None = Field(
        default=None, description="how the learning rate falls; none is a plateau"
    )
    final: float = Field(default=0.02, gt=0, le=1, description="where it ends, as part of the peak")
    peak: float = Field(default=1.0, gt=0, description="its peak, as part of the run's `lr`")


class TrainSpec(_Frozen):
    """A training run. Fields marked as placement say where and how fast, and may change on resume."""

    model: ModelConfig = Field(description="a preset, or {preset: 100M, mtp: true}, or all widths")
    out: Annotated[str, Placement()] = Field(description="the folder of log and checkpoints")
    stages: tuple[Stage, ...] = Field(min_length=1, description="one after the other")
    tokenizer: str | None = Field(
        default=None, description="a tokenizer.json, to be checked against shards and checkpoint"
    )
    seed: int = Field(default=1, description="of the weights and of the order of the data")
    length: int = Field(default=4096, ge=2, description="tokens in one sample")
    batch: int = Field(default=64, ge=1, description="samples in one step, over all devices")
    document_mask: bool = Field(default=True, description="no token sees another document")

    lr: float = Field(default=7e-3, gt=0, description="at the muP base width")
    betas: tuple[float, float] = Field(default=(0.9, 0.95), description="of AdamW")
    eps: float = Field(default=1e-8, gt=0, description="of AdamW")
    weight_decay: float = Field(default=0.1, ge=0, description="of the matrices inside the blocks")
    clip: float | None = Field(default=1.0, gt=0, description="greatest norm of the gradient")
    mtp_weight: float = Field(
        default=0.3,
        ge=0,
        description="of the loss on the token after the next, where the model has it",
    )
    max_spike: float | None = Field(
        default=6.0,
        gt=0,
        description="skip a step whose loss lies this many deviations above the last 100",
    )

    start: str | None = Field(
        default=None, description="a checkpoint of ours or an exported model to start from"
    )
    start_optimizer: bool = Field(
        default=False, description="take the optimiser's state from `start` too, for an anneal"
    )

    validation: dict[str, Mix] = Field(
        default_factory=dict, description="held-out shards whose bits per byte are logged"
    )
    validate_every: int | None = Field(
        default=None,
        ge=1,
        description="steps between validations, besides one at the end of a stage",
    )
    validate_samples: int = Field(default=64, ge=1, description="samples of each held-out source")

    precision: Literal["bf16", "fp32"] = Field(
        default="bf16", description="of products of matrices"
    )
    device: Annotated[Literal["auto", "cpu", "cuda"], Placement()] = Field(
        default="auto", description="cuda where there is one"
    )
    parallel: Annotated[Literal["ddp", "fsdp"], Placement()] = Field(
        default="ddp", description="under torchrun or Ray Train: whole copies, or shards"
    )
    micro_batch: Annotated[int | None, Placement()] = Field(
        default=None, ge=1, description="samples that a device takes at once; by default its share"
    )
    recompute: Annotated[bool, Placement()] = Field(
        default=False, description="activation checkpointing: less memory, a third more work"
    )
    compile: Annotated[bool, Placement()] = Field(default=False, description="torch.compile")
    peak_flops: Annotated[float | None, Placement()] = Field(
        default=None, gt=0, description="of one device, for MFU; known for common GPUs"
    )
    log_every: Annotated[int, Placement()] = Field(
        default=1, ge=1, description="steps per log line"
    )
    checkpoint_every: Annotated[int | None, Placement()] = Field(
        default=None,
        ge=1,
        description="steps between checkpoints; the end of a stage always has one",
    )
    keep: Annotated[int, Placement()] = Field(
        default=1, ge=1, description="checkpoints kept besides those at the ends of stages"
    )

    @model_validator(mode="after")
    def _fits(self) -> TrainSpec:
        if self.length > self.model.max_position_embeddings:
            raise ValueError(
                f"length {self.length} is beyond the model's {self.model.max_position_embeddings}"
            )
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            raise ValueError(f"stages must have different names, not {names}")
        if self.start_optimizer and self.start is None:
            raise ValueError("start_optimizer needs start")
        for stage in self.stages:
            if stage.warmup_steps * self.batch * self.length >= stage.tokens and stage.decay:
                raise ValueError(f"stage {stage.name}: the warm-up leaves no step to decay in")
        return self

    def meaning(self) -> dict[str, Any]:
        """All fields that decide what is trained: a resumed run must agree in them."""
        fields = type(self).model_fields
        placed = {
            name
            for name, field in fields.items()
            if any(isinstance(mark, Placement) for mark in field.metadata)
        }
        return self.model_dump(mode="json", exclude=placed)

    def fingerprint(self) -> str:
        canonical = json.dumps(self.meaning(), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def load_spec(path: str) -> TrainSpec:
    """A spec from a YAML file; each thing wrong is named with file and line."""
    if not storage.exists(path):
        raise PipelineError.one(path, "there is no such file")
    marked = markup.parse(storage.read_bytes(path).decode(), path)
    if marked.problems:
        raise PipelineError(marked.problems)
    if not isinstance(marked.value, dict):
        raise PipelineError.one(f"{path}:1", "a training file is a mapping of fields to values")
    try:
        return TrainSpec.model_validate(marked.value)
    except ValidationError as error:
        raise PipelineError(
            [
                Problem(marked.where(tuple(one["loc"])), _explain(one["loc"], one["msg"]))
                for one in error.errors()
            ]
        ) from None


def _explain(where: tuple[int | str, ...], message: str) -> str:
    address = ".".join(map(str, where))
    message = message.removeprefix("Value error, ")
    if message == "Extra inputs are not permitted":
        message = "there is no such field"
    return f"{address}: {message}" if address else message
