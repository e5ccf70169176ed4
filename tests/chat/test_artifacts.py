"""Yields by track and reason, dialogues as training shards, and a model that is trained on them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from ultrachat.dialogue import COLUMNS, Call, Dialogue, Turn
from ultrachat.stages.pack import Pack, plain
from ultrachat.stages.yields import Yields
from ultraclean.document import Batch
from ultraclean.errors import DataError
from ultraclean.stage import Rows
from ultraclean.stages.fit.model import Model

TOOL = {"name": "add", "parameters": {}}
DIALOGUES = [
    Dialogue((Turn("user", f"What is {n} and {n}?"), Turn("assistant", f"It is {2 * n}.")))
    for n in range(40)
] + [
    Dialogue(
        (
            Turn("user", "Add 1 and 2."),
            Turn("assistant", "", "Use add.", (Call("add", '{"a": 1, "b": 2}'),)),
            Turn("tool", "3"),
            Turn("assistant", "Three."),
        ),
        (TOOL,),
    )
]


class Made(Rows):
    name = "made"
    n_docs = len(DIALOGUES)

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[Batch]:
        rows = [one.row() for one in DIALOGUES]
        yield Batch.of(
            messages=pa.array([row["messages"] for row in rows], COLUMNS["messages"]),
            tools=pa.array([row["tools"] for row in rows], pa.string()),
        )


def run(function: object, items: object) -> object:
    return map(function, items)  # type: ignore[arg-type, call-overload]


def tokenizer(folder: Path) -> Path:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = ["<s>", "<|im_start|>", "<|im_end|>"]
    made.train_from_iterator(
        [], trainers.BpeTrainer(vocab_size=300, special_tokens=special, initial_alphabet=alphabet)
    )
    made.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"


def test_yields_by_track_and_reason(tmp_path: Path) -> None:
    class Tried(Made):
        def batches(self, columns: Sequence[str] | None = None) -> Iterator[Batch]:
            yield Batch.of(
                track=["a", "a", "a", "b"], problem=[None, "cut: x", "cut", "refused: no"]
            )

    card = Yields(tables="t").make({"t": Tried()}, str(tmp_path), run)  # type: ignore[arg-type]
    assert card["tracks"]["a"] == {
        "attempts": 3,
        "dialogues": 1,
        "yield": 0.3333,
        "rejected": {"cut": 2},
    }
    assert card["alarms"] == ["the track b yields nothing"]
    assert json.loads((tmp_path / "card.json").read_text()) == card


def test_dialogues_are_packed_and_trained_on(tmp_path: Path) -> None:
    from ultraclean.train import shards

    pack = Pack(tokenizer=str(tokenizer(tmp_path)), length=256)
    card = pack.make({"made": Made()}, str(tmp_path / "packed"), run)  # type: ignore[arg-type]
    assert card["n_dialogues"] == 41 and card["n_too_long"] == 0
    assert (tmp_path / "packed" / "tokenizer.json").exists() and shards
    model = {"preset": "tiny", "vocab_size": 300}
    fit = Model(
        data=str(tmp_path / "packed"), model=model, tokens=4096, length=256, batch=2, warmup_steps=2
    )
    done = fit.make({}, str(tmp_path / "model"), run)  # type: ignore[arg-type]
    assert done["tokens"] >= 4096 and np.isfinite(done["loss"])
    assert (tmp_path / "model" / done["checkpoint"] / "model.safetensors").exists()


def test_nothing_that_fits_is_an_error(tmp_path: Path) -> None:
    pack = Pack(tokenizer=str(tokenizer(tmp_path)), length=8)
    with pytest.raises(DataError, match="no dialogue of made fits into 8 tokens"):
        pack.make({"made": Made()}, str(tmp_path / "packed"), run)  # type: ignore[arg-type]


def test_tools_and_calls_stand_in_the_text() -> None:
    said = plain(DIALOGUES[-1])
    assert [one["role"] for one in said] == ["system", "user", "assistant", "tool", "assistant"]
    assert '"add"' in said[0]["content"] and "add(a=1, b=2)" in said[2]["content"]
    assert said[2]["content"].startswith("<|thought_start|>")


def test_a_warm_up_that_leaves_no_step_is_an_error_of_the_file() -> None:
    with pytest.raises(ValueError, match="10 steps leave nothing after 10 of warm-up"):
        Model(data="x", tokens=2e4, length=1024, batch=2)


def test_what_the_trainer_would_refuse_is_said_by_check() -> None:
    long = Model(data="x", tokens=2e6, length=2048)
    assert long.problems() == ["length 2048 is beyond the model's 1024"]
    room = {"preset": "tiny", "max_position_embeddings": 2048}
    assert not Model(data="x", tokens=2e6, length=2048, model=room).problems()
    assert Model(data="x", tokens=2e6, model={"preset": "huge"}).problems()
