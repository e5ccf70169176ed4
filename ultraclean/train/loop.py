"""The training run, read from top to bottom.

A step: the next samples in the order of `data`, their loss summed over all devices, the learning
rate of `schedule`, a clipped step of AdamW, a line in `log.jsonl`. A loss that is not a number
stops the run; a spike skips its step. Started again with the same spec, a run goes on from its
last checkpoint and, on a CPU, gives the same losses bit for bit.
"""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ultraclean import storage
from ultraclean.errors import DataError, LedgerError, UltracleanError
from ultraclean.train import checkpoint
from ultraclean.train.checkpoint import Progress
from ultraclean.train.convert import check_tokenizer, import_model
from ultraclean.train.data import (
    Batch,
    Position,
    Source,
    collate,
    draw,
    epochs,
    open_sources,
    tokenizer_of,
)
from ultraclean.train.model import MiniCPM4, empty_model, initialise
from ultraclean.train.optim import make_optimizer, set_lr
from ultraclean.train.parallel import World, barrier, join, summed, without_sync, wrap
from ultraclean.train.schedule import multiplier, stage_at, steps_of
from ultraclean.train.spec import TrainSpec

HISTORY = 100
"""Losses by which a spike is recognised; none is before there are half as many."""
PATIENCE = 3
"""Spikes in a row after which the loss has moved rather than spiked, and is accepted."""

PEAK_FLOPS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "4090": 165e12}
"""Dense bf16 products per second by the makers' tables, by a part of the device's name."""


class TrainingStopped(UltracleanError):
    """The loss is not a number: the message says where, and from what to go on."""


@dataclass(frozen=True)
class Trained:
    """What a run leaves: its last checkpoint, the last training loss, the validation by source."""

    checkpoint: str
    step: int
    tokens: int
    loss: float | None
    validation: dict[str, dict[str, float]]


def train(spec: TrainSpec) -> Trained:  # noqa: PLR0915 -- a run is read from top to bottom
    """Runs a spec to its end, going on from the last checkpoint in `spec.out` if there is one."""
    spec = spec.model_copy(update={"out": storage.expand(spec.out)})
    world = join(spec.device)
    sources = open_sources(spec)
    repeats = epochs(spec, sources)
    _check_tokenizer(spec)
    shares = _split_batch(spec, world)
    last = _last_checkpoint(spec, sources)

    model = _make_model(spec, sources, resumed=last is not None)
    model.recompute = spec.recompute
    model.to(world.device)
    network = wrap(model, spec, world)
    optimizer = make_optimizer(model, spec)
    progress = Progress()
    loss: float | None = None
    validation: dict[str, dict[str, float]] = {}
    if last is not None:
        record = checkpoint.read_record(last)
        progress = checkpoint.progress_of(record)
        loss, validation = record["loss"], record["validation"]
        weights = checkpoint.read_tensors(storage.join(last, "model.safetensors"))
        checkpoint.load_weights(model, weights, last)
        checkpoint.load_optimizer(optimizer, model, last)
    elif spec.start is not None and spec.start_optimizer:
        checkpoint.load_optimizer(optimizer, model, storage.expand(spec.start))

    facts: dict[str, Any] = {
        "tokenizer": tokenizer_of(sources),
        "spec": spec.meaning(),
        "data": {name: source.folder.digest for name, source in sources.items()},
    }
    log = Log(spec.out, world, progress.step)
    n_weights = sum(parameter.numel() for parameter in model.parameters())
    log.line(event="start", step=progress.step, n_weights=n_weights, epochs=repeats)
    tokens_per_step = spec.batch * spec.length
    n_steps = sum(steps_of(stage, tokens_per_step) for stage in spec.stages)
    flops_per_step = spec.model.flops_per_token(spec.length) * tokens_per_step
    peak = spec.peak_flops or peak_flops(world)
    busy_s, busy_steps = 0.0, 0

    for step in range(progress.step, n_steps):
        index, within = stage_at(spec.stages, tokens_per_step, step)
        stage = spec.stages[index]
        if within == 0:
            progress = replace(progress, position=Position(progress.position.drawn))

        began = time.perf_counter()

        # The samples of this step, those of this device, and their loss.
        samples, position = draw(stage.mix, progress.position, spec.batch)
        mine = samples[world.rank :: world.size]
        batches = [
            collate(sources, mine[start:stop], world.device, spec.document_mask)
            for start, stop in shares
        ]
        own_targets = sum(batch.n_targets for batch in batches)
        own_bytes = sum(batch.n_bytes for batch in batches)
        n_targets, n_bytes = summed(world, own_targets, own_bytes)
        own_loss = _backward(network, batches, n_targets, spec, world)
        (loss,) = summed(world, own_loss)

        # Not a number stops, a spike is skipped, the rest is a step of the optimiser.
        if not math.isfinite(loss):
            raise TrainingStopped(_stopped(spec, step, loss, samples))
        spikes = progress.spikes + 1 if _is_spike(loss, progress.losses, spec.max_spike) else 0
        skipped = 0 < spikes <= PATIENCE
        lr = spec.lr * multiplier(stage, steps_of(stage, tokens_per_step), within)
        set_lr(optimizer, lr)
        norm = float(
            nn.utils.clip_grad_norm_(
                model.parameters(), math.inf if spec.clip is None else spec.clip
            )
        )
        if not math.isfinite(norm):
            raise TrainingStopped(_stopped(spec, step, norm, samples, "norm of the gradient"))
        if not skipped:
            optimizer.step()
        optimizer.zero_grad(set_to_none=True)

        # What the run is after this step.
        losses = progress.losses
        if not skipped:  # after a move of the loss the old ones say nothing
            losses = (*(losses if spikes == 0 else ()), loss)[-HISTORY:]
        step_ends_stage = within + 1 == steps_of(stage, tokens_per_step)
        progress = Progress(
            step=step + 1,
            tokens=progress.tokens + tokens_per_step,
            position=position,
            losses=losses,
            spikes=spikes,
            stage=stage.name,
            finished_stage=step_ends_stage,
        )
        busy_s, busy_steps = busy_s + time.perf_counter() - began, busy_steps + 1
        if (step + 1) % spec.log_every == 0 or step_ends_stage or skipped:
            steps_per_s = busy_steps / busy_s
            busy_s, busy_steps = 0.0, 0
            log.line(
                event="step",
                step=step + 1,
                tokens=progress.tokens,
                stage=stage.name,
                loss=loss,
                bits_per_byte=bits_per_byte(loss * n_targets, n_bytes),
                lr=lr,
                grad_norm=norm,
                skipped=skipped,
                tokens_per_s=steps_per_s * tokens_per_step,
                mfu=steps_per_s * flops_per_step / (peak * world.size) if peak else None,
            )

        due = spec.validate_every and (step + 1) % spec.validate_every == 0
        if spec.validation and (due or step_ends_stage):
            validation = validate(network, spec, sources, world)
            log.line(event="validation", step=step + 1, sources=validation)
        due = spec.checkpoint_every and (step + 1) % spec.checkpoint_every == 0
        if due or step_ends_stage:
            facts |= {"loss": loss, "validation": validation}
            last = checkpoint.save(spec.out, model, optimizer, progress, world=world, facts=facts)
            if world.first:
                checkpoint.forget(spec.out, spec.keep)
            log.keep()

    assert last is not None
    return Trained(last, progress.step, progress.tokens, loss, validation)


# --- a step ---------------------------------------------------------------------------------------


def _backward(
    network: nn.Module, batches: Sequence[Batch], n_targets: float, spec: TrainSpec, world: World
) -> float:
    """Gradients of the mean loss over all targets of the step; this device's part of that mean."""
    total = torch.zeros((), device=world.device)
    for number, batch in enumerate(batches):
        with without_sync(network, last=number == len(batches) - 1):
            with autocast(spec.precision, world.device):
                losses: tuple[Tensor, ...] = network(batch.tokens, batch.targets, batch.documents)
            nll = losses[0].sum() / max(n_targets, 1)
            objective = nll
            if len(losses) > 1:
                objective = nll + spec.mtp_weight * losses[1].sum() / max(n_targets, 1)
            (objective * world.size).backward()  # type: ignore[no-untyped-call]
        total += nll.detach()
    return float(total)


def autocast(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """bf16 products of matrices over float32 weights, or nothing."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def bits_per_byte(nats: float, n_bytes: float) -> float | None:
    """Total loss in nats over bytes of text; None where the shards do not know their bytes."""
    return nats / math.log(2) / n_bytes if n_bytes else None


def _is_spike(loss: float, losses: Sequence[float], max_spike: float | None) -> bool:
    if max_spike is None or len(losses) < HISTORY // 2:
        return False
    mean, deviation = statistics.fmean(losses), statistics.pstdev(losses)
    return loss > mean + max_spike * max(deviation, 0.01)


@torch.no_grad()
def validate(
    network: nn.Module, spec: TrainSpec, sources: dict[str, Source], world: World
) -> dict[str, dict[str, float]]:
    """Loss and bits per byte of each held-out source, over the same samples every time."""
    found = {}
    n_rows = spec.micro_batch or max(1, spec.batch // world.size)
    for name in spec.validation:
        full = f"validation.{name}"
        n_samples = min(spec.validate_samples, sources[full].n_samples)
        # Every process runs the same number of batches: sharded weights are gathered in step.
        nats, n_targets, n_bytes = 0.0, 0, 0
        for start in range(0, n_samples, n_rows * world.size):
            mine = range(start + world.rank * n_rows, start + (world.rank + 1) * n_rows)
            rows = [(full, one % n_samples) for one in mine]
            n_counted = sum(one < n_samples for one in mine)
            batch = collate(sources, rows, world.device, spec.document_mask, n_counted)
            with autocast(spec.precision, world.device):
                nats += float(network(batch.tokens, batch.targets, batch.documents)[0].sum())
            n_targets, n_bytes = n_targets + batch.n_targets, n_bytes + batch.n_bytes
        nats, all_targets, all_bytes = summed(world, nats, n_targets, n_bytes)
        found[name] = {"loss": nats / max(all_targets, 1)}
        if (bits := bits_per_byte(nats, all_bytes)) is not None:
            found[name]["bits_per_byte"] = bits
    return found


# --- before the first step ------------------------------------------------------------------------


def _make_model(spec: TrainSpec, sources: dict[str, Source], resumed: bool) -> MiniCPM4:
    """New weights, or those of `start` if the run begins."""
    if spec.start is None or resumed:
        model = empty_model(spec.model)
        if not resumed:
            initialise(model, spec.seed)
        return model
    start = storage.expand(spec.start)
    if storage.exists(storage.join(start, checkpoint.RECORD)):
        made_with = checkpoint.read_record(start)["tokenizer"]
        ours = tokenizer_of(sources)
        if made_with and ours and made_with != ours:
            raise DataError(
                f"the checkpoint {spec.start} was trained with the tokenizer {made_with}, the "
                f"shards were made by {ours}: the same ids mean other text"
            )
    # What may differ from the checkpoint is how it runs, not what its weights are.
    changes = spec.model.model_dump(
        include={"attention", "sparse_config", "ternary_group", "mtp", "rope_scaling"}
        | {"max_position_embeddings"}
    )
    model = import_model(start, **changes)
    different = [
        f"{name} is {getattr(model.config, name)}, not {value}"
        for name, value in spec.model
        if getattr(model.config, name) != value and name != "initializer_range"
    ]
    if different:
        raise DataError(
            f"the model of {spec.start} is not that of the spec: {'; '.join(different)}"
        )
    return model


def _check_tokenizer(spec: TrainSpec) -> None:
    if spec.tokenizer is not None:
        check_tokenizer(spec.tokenizer, spec.model, "the spec")


def _split_batch(spec: TrainSpec, world: World) -> list[tuple[int, int]]:
    """The micro-batches of one device: (start, stop) within its samples of a step."""
    own, rest = divmod(spec.batch, world.size)
    if rest:
        raise DataError(f"a batch of {spec.batch} samples does not divide by {world.size} devices")
    size = min(spec.micro_batch or own, own)
    return [(start, min(start + size, own)) for start in range(0, own, size)]


def _last_checkpoint(spec: TrainSpec, sources: dict[str, Source]) -> str | None:
    """The checkpoint to go on from; an error if it is of another run or of other data."""
    found = checkpoint.checkpoints(spec.out)
    if not found:
        return None
    record = checkpoint.read_record(found[-1][1])
    # Read as a spec, so that a field which is newer than the checkpoint has its default.
    before = TrainSpec.model_validate({**record["spec"], "out": spec.out}).meaning()
    keys = sorted(key for key, value in spec.meaning().items() if before[key] != value)
    if keys:
        raise LedgerError(
            f"{spec.out} holds another run: {', '.join(keys)} differ from those of its checkpoint "
            f"{found[-1][1]}; take another folder as out"
        )
    changed = [
        f"{name} ({source.folder.path})"
        for name, source in sources.items()
        if record["data"].get(name) != source.folder.digest
    ]
    if changed:
        raise LedgerError(f"the shards of {', '.join(changed)} changed since {found[-1][1]}")
    return found[-1][1]


def _stopped(
    spec: TrainSpec, step: int, value: float, samples: list[tuple[str, int]], what: str = "loss"
) -> str:
    found = checkpoint.checkpoints(spec.out)
    go_on = f"the last checkpoint is {found[-1][1]}" if found else "there is no checkpoint yet"
    taken: dict[str, list[int]] = {}
    for name, number in samples:
        taken.setdefault(name, []).append(number)
    where = ", ".join(f"{name} {min(n)}-{max(n)}" for name, n in taken.items())
    return (
        f"the {what} is {value} at step {step + 1} (samples {where}); {go_on}. "
        "A smaller lr, a longer warm-up, or a look at these samples may help"
    )


def peak_flops(world: World) -> float | None:
    """Dense bf16 products per second of this device by the tables of its maker, if known."""
    if world.device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(world.device)
    return next((flops for part, flops in PEAK_FLOPS.items() if part in name), None)


class Log:
    """`log.jsonl` of a run, cut back to the step from which the run goes on.

    An object store cannot append: there the file is written anew with each checkpoint.
    """

    def __init__(self, out: str, world: World, step: int) -> None:
        self.path = storage.join(out, "log.jsonl")
        self.first = world.first
        if self.first:
            before = storage.read_bytes(self.path) if storage.exists(self.path) else b""
            self.content = _cut_back(before, step)
            storage.write_bytes(self.path, self.content)
        barrier(world)

    def line(self, **facts: Any) -> None:
        """Adds one line; only the first process writes."""
        if not self.first:
            return
        line = json.dumps(facts).encode() + b"\n"
        if storage.is_local(self.path):
            fs, bare = storage.filesystem(self.path)
            with fs.open(bare, "ab") as stream:
                stream.write(line)
        else:
            self.content += line

    def keep(self) -> None:
        """Makes sure of all lines so far."""
        if self.first and not storage.is_local(self.path):
            storage.write_bytes(self.path, self.content)


def _cut_back(lines: bytes, step: int) -> bytes:
    """The lines up to a step; one that a kill cut short is dropped."""
    whole = [one for one in lines.splitlines(keepends=True) if one.endswith(b"\n")]
    return b"".join(one for one in whole if json.loads(one)["step"] <= step)
