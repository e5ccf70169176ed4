"""Stop and go on: weights, optimiser state and data position, whole or not at all.

    <out>/checkpoints/step-00000120/model.safetensors, optimizer.safetensors, checkpoint.json

`checkpoint.json` is written last and holds the sizes of the others: a folder without it is
unfinished and is written again, one whose files have another size is refused. Tensors are saved
whole, not sharded, so a run goes on with any number of devices.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from ultraclean import storage
from ultraclean.errors import DataError
from ultraclean.train.config import ModelConfig
from ultraclean.train.data import Position
from ultraclean.train.model import MiniCPM4, empty_model
from ultraclean.train.parallel import World, barrier, shard_like, whole

RECORD = "checkpoint.json"


@dataclass(frozen=True)
class Progress:
    """All that a run is, besides weights and optimiser state."""

    step: int = 0
    tokens: int = 0
    position: Position = field(default_factory=Position)
    losses: tuple[float, ...] = ()
    """The last accepted losses, by which spikes are recognised."""
    spikes: int = 0
    """Steps in a row that were skipped for a spike."""
    stage: str = ""
    finished_stage: bool = False


def checkpoints(out: str) -> list[tuple[int, str]]:
    """(step, folder) of the finished checkpoints of a run, oldest first."""
    root = storage.join(out, "checkpoints")
    found = []
    for name in storage.names_in(root):
        folder = storage.join(root, name)
        if name.startswith("step-") and storage.exists(storage.join(folder, RECORD)):
            found.append((int(name.removeprefix("step-")), folder))
    return sorted(found)


def save(
    out: str,
    model: MiniCPM4,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    *,
    world: World,
    facts: Mapping[str, Any],
) -> str:
    """Writes a checkpoint; all processes must call it. `facts` go into its record as they are."""
    folder = storage.join(out, "checkpoints", f"step-{progress.step:08d}")
    weights: dict[str, Tensor] = {}
    moments: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        tensor = whole(parameter)  # a collective where parameters are sharded
        states = {key: whole(value) for key, value in sorted(optimizer.state[parameter].items())}
        if world.first:
            weights[name] = tensor
            moments |= {f"{name}/{key}": value for key, value in states.items()}
    if world.first:
        sizes = {
            "model.safetensors": _write(folder, "model.safetensors", weights),
            "optimizer.safetensors": _write(folder, "optimizer.safetensors", moments),
        }
        record = {
            "format": "ultraclean-checkpoint",
            "version": 1,
            "model": model.config.model_dump(mode="json"),
            "step": progress.step,
            "tokens": progress.tokens,
            "stage": progress.stage,
            "finished_stage": progress.finished_stage,
            "drawn": progress.position.drawn,
            "in_stage": progress.position.in_stage,
            "losses": list(progress.losses),
            "spikes": progress.spikes,
            "sizes": sizes,
            **facts,
        }
        storage.write_json(storage.join(folder, RECORD), record)
    barrier(world)
    return folder


def _write(folder: str, name: str, tensors: dict[str, Tensor]) -> int:
    content = save_tensors(tensors)
    storage.write_bytes(storage.join(folder, name), content)
    return len(content)


def forget(out: str, keep: int) -> None:
    """Removes checkpoints beyond the last `keep`, except those at the end of a stage."""
    passing = [
        folder
        for _, folder in checkpoints(out)
        if not storage.read_json(storage.join(folder, RECORD))["finished_stage"]
    ]
    for folder in passing[:-keep]:
        storage.remove(storage.join(folder, RECORD))  # unfinished first, then gone
        storage.remove(folder, recursive=True)


def read_record(folder: str) -> dict[str, Any]:
    """The record of a checkpoint whose files are all there and whole."""
    path = storage.join(folder, RECORD)
    if not storage.exists(path):
        raise DataError(f"{folder} is no finished checkpoint: it has no {RECORD}")
    record: dict[str, Any] = storage.read_json(path)
    for name, size in record["sizes"].items():
        check_size(storage.join(folder, name), size)
    return record


def check_size(path: str, size: int) -> None:
    fs, bare = storage.filesystem(path)
    found = fs.size(bare) if fs.exists(bare) else None
    if found != size:
        has = "is missing" if found is None else f"was cut short: it has {found:,} bytes"
        raise DataError(f"{path} {has}, its record says {size:,}; use an earlier checkpoint")


def progress_of(record: Mapping[str, Any]) -> Progress:
    return Progress(
        step=record["step"],
        tokens=record["tokens"],
        position=Position(dict(record["drawn"]), dict(record["in_stage"])),
        losses=tuple(record["losses"]),
        spikes=record["spikes"],
        stage=record["stage"],
        finished_stage=record["finished_stage"],
    )


def read_tensors(path: str) -> dict[str, Tensor]:
    """All tensors of a safetensors file; one that is cut short is named, with what it lacks."""
    content = storage.read_bytes(path)
    expected = _expected_size(content)
    if expected is None or expected != len(content):
        wanted = "no readable header" if expected is None else f"{expected:,} by its header"
        raise DataError(f"{path} was cut short or is damaged: {len(content):,} bytes, {wanted}")
    tensors: dict[str, Tensor] = load_tensors(content)
    return tensors


def _expected_size(content: bytes) -> int | None:
    if len(content) < 8:
        return None
    (header_bytes,) = struct.unpack("<Q", content[:8])
    if header_bytes > len(content) - 8:
        return None
    try:
        header = json.loads(content[8 : 8 + header_bytes])
    except ValueError:
        return None
    ends = [one["data_offsets"][1] for name, one in header.items() if name != "__metadata__"]
    return 8 + int(header_bytes) + max(ends, default=0)


def load_weights(model: MiniCPM4, tensors: Mapping[str, Tensor], source: str) -> None:
    """Copies weights into the model; names or shapes that do not fit are listed."""
    parameters = dict(model.named_parameters())
    wrong = [f"lacks {name}" for name in parameters.keys() - tensors.keys()]
    wrong += [f"has {name}, which the model lacks" for name in tensors.keys() - parameters.keys()]
    wrong += [
        f"{name} is {list(tensors[name].shape)}, the model's {list(parameters[name].shape)}"
        for name in parameters.keys() & tensors.keys()
        if tensors[name].shape != parameters[name].shape
    ]
    if wrong:
        shown = "; ".join(sorted(wrong)[:5]) + ("; ..." if len(wrong) > 5 else "")
        raise DataError(f"{source} does not fit the model of this run: {shown}")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(shard_like(tensors[name].to(parameter.dtype), parameter))


def load_optimizer(optimizer: torch.optim.Optimizer, model: MiniCPM4, folder: str) -> None:
    """Restores the optimiser's state of every parameter."""
    tensors = read_tensors(storage.join(folder, "optimizer.safetensors"))
    for name, parameter in model.named_parameters():
        # Sorted: safetensors gives its own order in each process, and a later save gathers by it.
        keys = sorted(key for key in tensors if key.rpartition("/")[0] == name)
        if not keys:
            raise DataError(f"{folder}/optimizer.safetensors has no state for {name}")
        optimizer.state[parameter] = {
            key.rpartition("/")[2]: (
                tensors[key].to(parameter.device)
                if tensors[key].dim() == 0
                else shard_like(tensors[key], parameter)
            )
            for key in keys
        }


def read_model(folder: str) -> tuple[MiniCPM4, dict[str, Any]]:
    """The model of one of our checkpoints, on the CPU, and its record."""
    record = read_record(folder)
    model = empty_model(ModelConfig.model_validate(record["model"]))
    load_weights(model, read_tensors(storage.join(folder, "model.safetensors")), folder)
    return model, record
