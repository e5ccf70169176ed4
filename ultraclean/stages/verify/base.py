"""The checkpoint from which all arms start: given, of another verification, or trained here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ultraclean import storage
from ultraclean.errors import DataError

if TYPE_CHECKING:
    from ultraclean.stages.verify.anneal import Anneal

LENGTH: Final = 256
BATCH: Final = 10
LR: Final = 5e-3
"""Of a base trained here: what 145 small runs were made with (docs/verification.md)."""


@dataclass(frozen=True)
class Base:
    checkpoint: str
    model: dict[str, Any]
    tokens: int
    length: int
    batch: int
    lr: float
    below: float
    """Places of the default mix below this one were trained on, as far as is known."""
    trained_here: bool
    seconds: float = 0.0


def file_of(reference: str) -> str:
    """The tokenizer.json of a folder that `fit.tokenizer` made, or the file itself."""
    return reference if reference.endswith(".json") else storage.join(reference, "tokenizer.json")


def given_base(stage: Anneal, tokenizer: Any) -> Base | None:
    """The base that a field names, checked against the tokenizer; None if there is none."""
    from ultraclean.train.shards import tokenizer_id

    if stage.base is None:
        return None
    base, made_with = _read(storage.expand(stage.base))
    ours = tokenizer_id(tokenizer)
    if made_with is not None and made_with != ours:
        raise DataError(
            f"the base {base.checkpoint} was trained with the tokenizer {made_with}, and "
            f"{stage.tokenizer} is {ours}: the same ids mean other text; name the tokenizer of the "
            "base"
        )
    if tokenizer.get_vocab_size() > base.model["vocab_size"]:
        raise DataError(
            f"{stage.tokenizer} has {tokenizer.get_vocab_size()} tokens, the base "
            f"{base.checkpoint} an embedding of {base.model['vocab_size']}: name its own tokenizer"
        )
    return base


def _read(folder: str) -> tuple[Base, str | None]:
    """The base in a folder, and the id of its tokenizer."""
    from ultraclean.train import checkpoint

    below, where = 0.0, folder
    if storage.exists(storage.join(folder, "base.json")):
        where = storage.join(folder, "base", storage.read_json(f"{folder}/base.json")["checkpoint"])
    prepared = storage.join(folder, "prepared.json")
    if storage.exists(prepared):
        below = storage.read_json(prepared)["base_below"]
    if not storage.exists(storage.join(where, checkpoint.RECORD)):
        finished = checkpoint.checkpoints(where)
        if not finished:
            raise DataError(
                f"the base {folder} has no finished checkpoint: name a folder with "
                f"{checkpoint.RECORD}, or a run folder of `ultraclean train`"
            )
        where = finished[-1][1]
    record = checkpoint.read_record(where)
    if not storage.exists(storage.join(where, "optimizer.safetensors")):
        raise DataError(f"the base {where} has no optimizer.safetensors, and an anneal goes on")
    spec = record["spec"]
    lr = spec["lr"] * spec["stages"][-1].get("peak", 1.0)
    found = Base(
        where, record["model"], record["tokens"], spec["length"], spec["batch"], lr, below, False
    )
    return found, record["tokenizer"]


def base_spec(stage: Anneal, tokenizer: Any, folder: str) -> dict[str, Any]:
    """Warm-up and a plateau: the end of the stable stage, from which an anneal goes down."""
    from ultraclean.train.config import ModelConfig

    model = {"preset": stage.model} if isinstance(stage.model, str) else dict(stage.model)
    model.setdefault("vocab_size", tokenizer.get_vocab_size())
    length, batch = stage.length or LENGTH, stage.batch or BATCH
    tokens = stage.base_tokens or 15 * stage.tokens
    n_steps = int(tokens / (length * batch))
    stable = {
        "name": "stable",
        "tokens": tokens,
        "mix": {"default": {"path": storage.join(folder, "tokens", "base")}},
        "warmup_steps": max(1, n_steps // 20),
    }
    return {
        "model": ModelConfig.model_validate(model).model_dump(mode="json"),
        "out": storage.join(folder, "base"),
        "stages": [stable],
        "seed": stage.seed or 0,
        "length": length,
        "batch": batch,
        "lr": stage.lr or LR,
        "precision": stage.precision,
    }


def trained_base(folder: str) -> Base:
    """The base that was trained into `folder`."""
    from dataclasses import replace

    base, _ = _read(folder)
    seconds = storage.read_json(storage.join(folder, "base.json"))["seconds"]
    return replace(base, trained_here=True, seconds=seconds)


def describe(base: Base, folder: str) -> dict[str, Any]:
    """What the card says of the base; a path inside the folder is relative to it."""
    return {
        "checkpoint": base.checkpoint.removeprefix(folder.rstrip("/") + "/"),
        "model": base.model,
        "tokens": base.tokens,
        "trained_here": base.trained_here,
        "seconds": base.seconds,
        "length": base.length,
    }
