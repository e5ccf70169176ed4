"""A small tokenizer, shards and specs that the trainer's tests share."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ultraclean.train import Mix, ModelConfig, Stage, TrainSpec, shards
from ultraclean.train.model import MiniCPM4, initialise

WORDS = [
    "the",
    "cat",
    "sat",
    "on",
    "a",
    "mat",
    "and",
    "saw",
    "the",
    "dog",
    "run",
    "in",
    "the",
    "sun",
    "while",
    "it",
    "rained",
    "on",
    "old",
    "town",
    "roads",
]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def sentences(n: int, seed: int) -> list[str]:
    """Texts with some order in them: words follow a fixed random walk."""
    rng = random.Random(seed)
    texts = []
    for _ in range(n):
        at, words = rng.randrange(len(WORDS)), []
        for _ in range(rng.randint(20, 60)):
            words.append(WORDS[at])
            at = (at * 3 + rng.choice([1, 1, 1, 2])) % len(WORDS)
        texts.append(" ".join(words).capitalize() + ".")
    return texts


def make_tokenizer(size: int = 300, seed: int = 1) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    marks = ["<s>", "</s>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=marks,
        initial_alphabet=sorted(alphabet),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sentences(50, seed), trainer)
    return tokenizer


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    return make_tokenizer()


@pytest.fixture(scope="session")
def tokenizer_file(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    tokenizer.save(str(path))
    return str(path)


@pytest.fixture(scope="session")
def text_shards(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """About 20,000 tokens of text."""
    folder = str(tmp_path_factory.mktemp("shards"))
    shards.write_texts(folder, sentences(400, 2), tokenizer)
    return folder


@pytest.fixture(scope="session")
def other_shards(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = str(tmp_path_factory.mktemp("other"))
    shards.write_texts(folder, sentences(200, 3), tokenizer)
    return folder


def number_shards(folder: str, sizes: list[int], vocab: int = 300, per_shard: int = 1000) -> str:
    """Documents of given sizes whose tokens are 0, 1, 2, ... through all of them, modulo `vocab`."""
    entries, at = [], 0
    for number, start in enumerate(range(0, len(sizes), per_shard)):
        documents = []
        for size in sizes[start : start + per_shard]:
            documents.append((np.arange(at, at + size) % vocab, None))
            at += size
        entries.append(shards.write_shard(folder, f"{number:05d}", documents, vocab))
    shards.write_manifest(folder, entries, vocab)
    return folder


TINY = {
    "preset": "tiny",
    "vocab_size": 300,
    "hidden_size": 32,
    "intermediate_size": 80,
    "dim_model_base": 32,
    "max_position_embeddings": 256,
}


def tiny(seed: int = 0, **changes: Any) -> MiniCPM4:
    model = MiniCPM4(ModelConfig.model_validate({**TINY, **changes}))
    initialise(model, seed)
    return model


@pytest.fixture
def make_spec(tmp_path: Path, text_shards: str) -> Callable[..., TrainSpec]:
    """A run of 12 steps in two stages, with fields changed."""

    def make(**changes: Any) -> TrainSpec:
        mix = {"text": Mix(path=text_shards, part=(0, 0.9))}
        given: dict[str, Any] = {
            "model": TINY,
            "out": str(tmp_path / "run"),
            "stages": (
                Stage(name="stable", tokens=8 * 256, mix=mix, warmup_steps=2),
                Stage(name="decay", tokens=4 * 256, mix=mix, decay="linear"),
            ),
            "length": 64,
            "batch": 4,
            "precision": "fp32",
            "device": "cpu",
        }
        return TrainSpec(**{**given, **changes})

    return make


@pytest.fixture(scope="session")
def make_model() -> Callable[..., MiniCPM4]:
    """A very small model with random weights, with fields of its config changed."""
    return tiny


@pytest.fixture(scope="session")
def make_number_shards() -> Callable[..., str]:
    return number_shards


@pytest.fixture(scope="session")
def other_tokenizer_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Another tokenizer of about the same size."""
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    make_tokenizer(290, seed=9).save(str(path))
    return str(path)
