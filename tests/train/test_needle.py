"""Needles in haystacks: prompts of the exact length, a search, and the command."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from ultrakernels import sparse_attention_reference as reference

from ultraclean.cli import main
from ultraclean.errors import DataError
from ultraclean.train.convert import export_model
from ultraclean.train.model import MiniCPM4
from ultraclean.train.needle import MAX_TOKENS, Found, _prompt, search, table

HAY = "The cat sat on a mat while it rained on old town roads. " * 4


@pytest.mark.parametrize("depth", [0.0, 0.3, 1.0])
def test_prompts_have_the_length_and_the_needle_its_depth(tokenizer: Any, depth: float) -> None:
    straw = tokenizer.encode(HAY).ids
    prompt = _prompt(tokenizer, straw, "violin", "1234567", 500, depth)
    assert len(prompt) == 500 and prompt[0] == tokenizer.token_to_id("<s>")
    text = tokenizer.decode(prompt)
    needle = "\nOne of the special magic numbers for violin is: 1234567.\n"
    assert text.count(needle) == 1 and text.endswith("in the provided text is")
    hay = len(text) - len(needle) - len(text[text.rindex("\nWhat is") :])
    assert text.index(needle) / hay == pytest.approx(depth, abs=0.05)


def test_a_model_that_repeats_the_needle_finds_it(
    make_model: Callable[..., MiniCPM4], tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model(max_position_embeddings=600)
    missed = search(model, tokenizer, HAY, lengths=[300, 600], depths=[0.0, 1.0], trials=2)
    assert [one.length for one in missed] == [300] * 4 + [600] * 4
    assert not any(one.found for one in missed)  # random weights
    assert len({one.number for one in missed}) == 8

    def answers(_engine: Any, requests: list[Any]) -> list[list[int]]:
        text = tokenizer.decode(list(requests[0].prompt))
        number = text.split("violin is: " if "violin is: " in text else " is: ")[1][:7]
        return [tokenizer.encode(f" {number}.").ids]

    monkeypatch.setattr("ultraclean.train.needle.Engine.write", answers)
    found = search(model, tokenizer, HAY, lengths=[300], depths=[0.5])
    assert found[0].found and found[0].written == f" {found[0].number}."


def test_the_table_counts_by_length_and_depth() -> None:
    found = [Found(64, 0.0, "1", "1", True, 1.0), Found(64, 1.0, "1", "2", False, 2.0)]
    assert table(found).splitlines()[2] == "| 64 | 1/1 | 0/1 | 1.5 |"


@pytest.mark.parametrize("attention", ["sparse", "dense"])
def test_a_model_made_by_hand_finds_them_through_few_blocks(
    attention: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """7 blocks of 32 are seen; where blocks are chosen blindly, only the first needle is."""
    made = runpy.run_path(str(Path(__file__).with_name("needle_finder.py")))
    make_finder, tokenizer = made["make_model"], made["make_tokenizer"]()
    few = {"window_size": 128, "topk": 4, "dense_len": 256}
    model = make_finder(tokenizer, 2048, attention=attention, sparse_config=few)
    here: dict[str, Any] = {"lengths": [2048], "depths": [0.0, 0.4, 0.7], "chunk": 512}
    assert all(one.found for one in search(model, tokenizer, HAY, **here))
    if attention == "sparse":
        scores = reference.block_scores
        monkeypatch.setattr(
            reference, "block_scores", lambda *a, **k: torch.zeros_like(scores(*a, **k))
        )
        found = [one.found for one in search(model, tokenizer, HAY, **here)]
        assert found == [True, False, False]


def test_the_command(
    make_model: Callable[..., MiniCPM4], tokenizer_file: str, tmp_path: Path, capsys: Any
) -> None:
    torch.manual_seed(0)
    sparse = {
        "kernel_size": 8, "kernel_stride": 4, "block_size": 16, "window_size": 32, "topk": 2, "dense_len": 64,
    }  # fmt: skip
    model = make_model(attention="sparse", sparse_config=sparse)
    folder, hay, out = (str(tmp_path / name) for name in ("model", "hay.txt", "needle.json"))
    export_model(model, folder, "minicpm", tokenizer_file)
    Path(hay).write_text(HAY)
    arguments = ["needle", folder, hay, "--depth", "0", "0.5", "--out", out]
    assert main([*arguments, "--length", "256", "400", "--beyond"]) == 0
    assert capsys.readouterr().out.startswith("| tokens | depth 0% | depth 50% | seconds |")
    assert [one["length"] for one in json.loads(Path(out).read_text())] == [256] * 2 + [400] * 2
    assert main([*arguments, "--length", "400"]) == 1
    assert "room for 400 tokens is beyond the model's 256" in capsys.readouterr().err
    assert main([*arguments, "--tokenizer", str(tmp_path / "none.json")]) == 1
    assert "name the model's tokenizer with --tokenizer" in capsys.readouterr().err


def test_a_prompt_without_room_and_an_empty_haystack(
    make_model: Callable[..., MiniCPM4], tokenizer: Any
) -> None:
    with pytest.raises(DataError, match="tokens have no room for needle and question"):
        search(make_model(), tokenizer, HAY, lengths=[MAX_TOKENS + 20])
    with pytest.raises(DataError, match="the haystack holds no text"):
        search(make_model(), tokenizer, "", lengths=[200])
