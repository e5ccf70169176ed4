"""One trial on one worker: an anneal from the base, then everything that is measured of it."""

from __future__ import annotations

import functools
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ultraclean import storage


@dataclass(frozen=True)
class Trial:
    """What a worker needs to know; small and picklable."""

    arm: str
    seed: int
    spec: dict[str, Any]
    """A TrainSpec as JSON."""
    texts: str
    guards: tuple[str, ...]
    """Candidates on whose own text the arm is measured too."""
    tokenizer: str
    record: str
    threads: int


def train_base(job: tuple[dict[str, Any], str, int]) -> None:
    """Trains the base and writes `record`: where it is, and what it cost."""
    from ultraclean.train import TrainSpec, train

    given, record, threads = job
    began = time.monotonic()
    with _threads(threads):
        done = train(TrainSpec.model_validate(_local(given)))
    facts = {
        "checkpoint": storage.join("checkpoints", os.path.basename(done.checkpoint)),
        "tokens": done.tokens,
        "loss": done.loss,
        "seconds": round(time.monotonic() - began, 3),
    }
    storage.write_json(record, facts)


def run_trial(trial: Trial) -> None:
    """Anneals, measures, and writes the record; the checkpoint is not kept."""
    from ultraclean.train import TrainSpec, train
    from ultraclean.train.checkpoint import read_model

    began = time.monotonic()
    spec = TrainSpec.model_validate(_local(trial.spec))
    with _threads(trial.threads):
        done = train(spec)
        trained_s = time.monotonic() - began
        model, _ = read_model(done.checkpoint)
        measured = _measure(model, trial, spec.length)
    facts = {
        "arm": trial.arm,
        "seed": trial.seed,
        "tokens": done.tokens,
        "loss": done.loss,
        **measured,
        "train_s": round(trained_s, 3),
        "seconds": round(time.monotonic() - began, 3),
    }
    storage.write_json(trial.record, facts)
    storage.remove(storage.join(spec.out, "checkpoints"), recursive=True)


def _measure(model: Any, trial: Trial, length: int) -> dict[str, Any]:
    import torch

    from ultraclean.train.evaluate import text_bits_per_byte

    model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
    tokenizer = load_tokenizer(trial.tokenizer)
    chosen = _texts(trial.texts)

    def bits(texts: Sequence[str]) -> dict[str, Any]:
        return text_bits_per_byte(model, tokenizer, texts, length)

    natural = {name: bits(texts) for name, texts in chosen["evaluation"].items()}
    return {
        "bits_per_byte": {name: found["bits_per_byte"] for name, found in natural.items()},
        "shuffled": {
            name: bits(texts)["bits_per_byte"] for name, texts in chosen["shuffled"].items()
        },
        "default": bits(chosen["default"])["bits_per_byte"],
        "guards": {
            name: {kind: bits(t)["bits_per_byte"] for kind, t in chosen["guards"][name].items()}
            for name in trial.guards
        },
        "nats": {name: found["nats"] for name, found in natural.items()},
        "bytes": {name: found["bytes"] for name, found in natural.items()},
    }


@functools.lru_cache(maxsize=2)
def _texts(path: str) -> dict[str, Any]:
    found: dict[str, Any] = storage.read_json(path)
    return found


def load_tokenizer(path: str) -> Any:
    """A tokenizer that takes names of control tokens in a text for text, and cuts nothing."""
    from ultraclean.train import shards

    tokenizer = shards.load_tokenizer(path)
    tokenizer.encode_special_tokens = True
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


@contextmanager
def _threads(n_threads: int) -> Iterator[None]:
    """So many threads for torch, and as many as before afterwards."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _local(spec: dict[str, Any]) -> dict[str, Any]:
    """The spec with shards that lie in an object store copied to this machine, once."""
    stages = [
        {**stage, "mix": {k: {**m, "path": _copied(m["path"])} for k, m in stage["mix"].items()}}
        for stage in spec["stages"]
    ]
    return {**spec, "stages": stages}


@functools.lru_cache(maxsize=64)
def _copied(folder: str) -> str:
    if storage.is_local(folder):
        return folder
    here = tempfile.mkdtemp(prefix="ultraclean-verify-")
    for name in storage.names_in(folder):
        content = storage.read_bytes(storage.join(folder, name))
        storage.write_bytes(os.path.join(here, name), content)
    return here
