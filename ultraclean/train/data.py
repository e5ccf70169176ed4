"""Which sample when: a mix of sources whose order depends on nothing but the seed.

Sample n of a run is decided by counting, not by drawing: it comes from the source that is furthest
behind its weight, and is the next of that source's own order, a keyed permutation per epoch. So a
position is a few integers, a run can go on at any step with any number of devices, and two runs
that share a source see its samples in the same order whatever else they mix in (`verify.anneal`
rests on that).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ultraclean.errors import DataError
from ultraclean.train.model import IGNORED
from ultraclean.train.schedule import steps_of
from ultraclean.train.shards import TokenFolder, load_tokenizer, open_folder, tokenizer_id
from ultraclean.train.spec import Mix, Stage, TrainSpec

_MASK = 2**64 - 1


@dataclass(frozen=True)
class Position:
    """How far a run has come in its data: samples taken of each source, in all and in this stage."""

    drawn: dict[str, int] = field(default_factory=dict)
    in_stage: dict[str, int] = field(default_factory=dict)


def draw(
    mix: Mapping[str, Mix], position: Position, n_samples: int
) -> tuple[list[tuple[str, int]], Position]:
    """The next samples, as (source, how many of it were taken before), and the position after."""
    total = sum(source.weight for source in mix.values())
    shares = {name: source.weight / total for name, source in mix.items()}
    drawn, in_stage = dict(position.drawn), dict(position.in_stage)
    taken = sum(in_stage.values())
    samples = []
    for number in range(taken + 1, taken + n_samples + 1):
        name = max(shares, key=lambda name: shares[name] * number - in_stage.get(name, 0))
        samples.append((name, drawn.get(name, 0)))
        drawn[name] = drawn.get(name, 0) + 1
        in_stage[name] = in_stage.get(name, 0) + 1
    return samples, Position(drawn, in_stage)


def permuted(index: int, n: int, key: int) -> int:
    """Where a keyed permutation of range(n) sends `index`: a Feistel network, walked into range.

    Unlike a shuffled list it takes no memory, however many samples there are.
    """
    half = max(1, (max(n - 1, 1).bit_length() + 1) // 2)
    mask = (1 << half) - 1
    while True:
        left, right = index >> half, index & mask
        for step in range(6):
            mixed = ((right + 1) * 0x9E3779B97F4A7C15 ^ (key + step * 0xD1B54A32D192ED03)) & _MASK
            mixed = ((mixed ^ (mixed >> 31)) * 0xBF58476D1CE4E5B9) & _MASK
            left, right = right, left ^ ((mixed ^ (mixed >> 29)) & mask)
        index = (left << half) | right
        if index < n:
            return index


@dataclass(frozen=True)
class Source:
    """A part of a folder of shards, cut into samples of `length` tokens."""

    name: str
    folder: TokenFolder
    start: int
    stop: int
    length: int
    seed: int

    @property
    def n_samples(self) -> int:
        return (self.stop - self.start) // self.length

    def sample(self, taken: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """The sample after `taken` others: tokens, targets and documents, int64[length] each."""
        epoch, within = divmod(taken, self.n_samples)
        key = _key(self.seed, self.name, epoch)
        start = self.start + permuted(within, self.n_samples, key) * self.length
        # The last target of a sample is the first token of the next, where there is one.
        window = self.folder.window(start, min(self.length + 1, self.stop - start))
        tokens = window.tokens[: self.length].astype(np.int64)
        documents = window.documents[: self.length]
        targets = np.full(self.length, IGNORED, dtype=np.int64)
        n_next = len(window.tokens) - 1
        counts = window.counts[1:] & (window.documents[1:] == window.documents[:-1])
        targets[:n_next] = np.where(counts, window.tokens[1:].astype(np.int64), IGNORED)
        return tokens, targets, documents - documents[0]


def _key(seed: int, name: str, epoch: int) -> int:
    text = f"{seed} {name} {epoch}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")


def open_source(name: str, mix: Mix, length: int, seed: int) -> Source:
    """A source of a mix; an error if not even one sample fits."""
    folder = open_folder(mix.path)
    n_docs = len(folder.ends)
    low, high = (round(fraction * n_docs) for fraction in mix.part)
    bounds = np.concatenate([[0], folder.ends])
    start, stop = int(bounds[low]), int(bounds[high])
    if (packed := folder.manifest.get("length")) is not None:
        if packed != length:
            raise DataError(
                f"the source {name} ({mix.path}) is packed into samples of {packed} tokens, and the "
                f"run's length is {length}: pack it again, or set length"
            )
        start, stop = start // length * length, stop // length * length
    source = Source(name, folder, start, stop, length, seed)
    if source.n_samples == 0:
        raise DataError(
            f"the source {name} ({mix.path}) has {source.stop - source.start} tokens in the part "
            f"{list(mix.part)}; one sample takes {length}"
        )
    return source


@dataclass(frozen=True)
class Batch:
    """Samples on a device. `n_bytes` is the text of the targets that count, 0 where unknown."""

    tokens: Tensor
    targets: Tensor
    documents: Tensor | None
    n_targets: int
    n_bytes: int


def collate(
    sources: Mapping[str, Source],
    samples: Sequence[tuple[str, int]],
    device: torch.device,
    document_mask: bool,
    n_counted: int | None = None,
) -> Batch:
    """The samples as tensors int64[n, length]; rows from `n_counted` on only fill the shape."""
    rows = [sources[name].sample(taken) for name, taken in samples]
    tokens, targets, documents = (np.stack(part) for part in zip(*rows, strict=True))
    targets[n_counted if n_counted is not None else len(targets) :] = IGNORED
    sizes = next(iter(sources.values())).folder.token_bytes
    counted = targets[targets != IGNORED]
    n_bytes = int(sizes[counted].sum()) if sizes is not None else 0

    def move(array: NDArray[Any]) -> Tensor:
        tensor = torch.from_numpy(array)
        if device.type == "cuda":
            return tensor.pin_memory().to(device, non_blocking=True)
        return tensor

    masked = move(documents) if document_mask else None
    return Batch(move(tokens), move(targets), masked, len(counted), n_bytes)


# --- checks before the expensive part ------------------------------------------------------------


def open_sources(spec: TrainSpec) -> dict[str, Source]:
    """Every source of every stage and of the validation, checked against model and tokenizer.

    Validation sources are under `validation.<name>`. A source with the same name in two stages
    must be the same folder and part: it goes on where the earlier stage left it.
    """
    named: dict[str, Mix] = {}
    for stage in spec.stages:
        for name, mix in stage.mix.items():
            before = named.setdefault(name, mix)
            if (before.path, before.part) != (mix.path, mix.part):
                raise DataError(
                    f"stage {stage.name}: the source {name} is {mix.path} {list(mix.part)}, but was "
                    f"{before.path} {list(before.part)} in an earlier stage: give it another name"
                )
    named |= {f"validation.{name}": mix for name, mix in spec.validation.items()}
    sources = {name: open_source(name, mix, spec.length, spec.seed) for name, mix in named.items()}
    _check_vocabulary(spec, sources)
    return sources


def _check_vocabulary(spec: TrainSpec, sources: Mapping[str, Source]) -> None:
    wanted: str | None = None
    wanted_by = ""
    if spec.tokenizer is not None:
        tokenizer = load_tokenizer(spec.tokenizer)
        wanted, wanted_by = tokenizer_id(tokenizer), spec.tokenizer
        if (found := tokenizer.get_vocab_size()) > spec.model.vocab_size:
            raise DataError(
                f"{spec.tokenizer} has {found} tokens, the model's embedding "
                f"{spec.model.vocab_size} rows: set model.vocab_size"
            )
    for name, source in sources.items():
        manifest = source.folder.manifest
        if source.folder.vocab_size > spec.model.vocab_size:
            raise DataError(
                f"the source {name} ({source.folder.path}) has a vocabulary of "
                f"{source.folder.vocab_size}, the model one of {spec.model.vocab_size}"
            )
        made_by = manifest["tokenizer"]
        if made_by is None:
            continue
        if wanted is None:
            wanted, wanted_by = made_by, f"the source {name}"
        elif made_by != wanted:
            raise DataError(
                f"the source {name} ({source.folder.path}) was made by the tokenizer {made_by}, "
                f"but {wanted_by} is of {wanted}: the same ids mean other text; "
                "tokenise the source again"
            )


def tokenizer_of(sources: Mapping[str, Source]) -> str | None:
    """The id of the one tokenizer behind the shards, None where they do not say."""
    found = (source.folder.manifest["tokenizer"] for source in sources.values())
    return next((tokenizer for tokenizer in found if tokenizer is not None), None)


def epochs(spec: TrainSpec, sources: Mapping[str, Source]) -> dict[str, float]:
    """How often the whole run goes through each source; beyond its `max_epochs` is an error."""
    position = Position()
    limits: dict[str, float] = {}
    for stage in spec.stages:
        n_samples = steps_of(stage, spec.batch * spec.length) * spec.batch
        drawn = dict(position.drawn)
        for name, share in _shares(stage).items():
            drawn[name] = drawn.get(name, 0) + round(share * n_samples)
            if (limit := stage.mix[name].max_epochs) is not None:
                limits[name] = min(limit, limits.get(name, limit))
        position = Position(drawn)
    repeats = {name: taken / sources[name].n_samples for name, taken in position.drawn.items()}
    for name, limit in limits.items():
        if repeats[name] > limit:
            raise DataError(
                f"the source {name} ({sources[name].folder.path}) would be seen "
                f"{repeats[name]:.1f} times, and max_epochs is {limit:g}: it has "
                f"{sources[name].n_samples * spec.length:,} tokens; give it more, a smaller weight, "
                "or fewer tokens to the stage"
            )
    return repeats


def _shares(stage: Stage) -> dict[str, float]:
    total = sum(source.weight for source in stage.mix.values())
    return {name: source.weight / total for name, source in stage.mix.items()}
