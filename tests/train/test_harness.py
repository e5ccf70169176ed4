"""lm-evaluation-harness and our own evaluator on the same items: the same likelihoods and choices.

    pip install --no-deps lm-eval      (and what it imports; in an environment of its own)
    pytest tests/train/test_harness.py

It is not in the test extra, since it brings some thirty packages; what a run of it said is in
docs/training.md. Everything is local: no data is downloaded.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ultraclean.errors import DataError, MissingExtra
from ultraclean.train.evaluate import Choice, choice_accuracy, cloze_accuracy
from ultraclean.train.harness import harness

N_ITEMS = 40
CHOICES = """
task: {name}_local
dataset_path: json
dataset_kwargs: {{data_files: {{test: "{path}"}}, cache_dir: "{cache}"}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{query}}}}\\nAnswer:"
doc_to_choice: choices
doc_to_target: gold
metric_list: [{{metric: acc}}, {{metric: acc_norm}}]
"""
CLOZE = """
task: lambada_local
dataset_path: json
dataset_kwargs: {{data_files: {{test: "{path}"}}, cache_dir: "{cache}"}}
test_split: test
output_type: loglikelihood
doc_to_text: "{{{{context}}}}"
doc_to_target: "{{{{' ' + continuation}}}}"
metric_list: [{{metric: perplexity}}, {{metric: acc}}]
"""


def test_without_the_package_the_command_is_named(
    monkeypatch: pytest.MonkeyPatch, make_model: Callable[..., Any], tokenizer: Any, tmp_path: Path
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importlib.util, "find_spec", lambda name: None)
        with pytest.raises(MissingExtra, match=r"ultraclean-data\[lm-eval\]"):
            harness(make_model(), tokenizer, ["x.yaml"])
        patch.setattr(importlib.util, "find_spec", lambda name: object())
        with pytest.raises(DataError, match="there is no task file"):
            harness(make_model(), tokenizer, [str(tmp_path / "x.yaml")])


def lines(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        return [json.loads(line) for line in stream][:N_ITEMS]


def answers(found: dict[str, Any]) -> list[list[float]]:
    """The log-likelihood of each choice, by item."""
    (samples,) = found["samples"].values()
    ordered = sorted(samples, key=lambda one: one["doc_id"])
    return [[float(answer[0]) for answer in one["filtered_resps"]] for one in ordered]


@pytest.mark.parametrize("name", ["arc_easy", "openbook_qa", "piqa"])
def test_choices_agree(
    name: str, shared_data: Path, tmp_path: Path, make_model: Callable[..., Any], tokenizer: Any
) -> None:
    pytest.importorskip("lm_eval", reason="lm-eval is not installed: see the top of this file")
    model = make_model(vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=1024)
    path = shared_data / "eval" / f"{name}.jsonl.gz"
    task = tmp_path / "task.yaml"
    task.write_text(CHOICES.format(name=name, path=path, cache=tmp_path / "cache"))
    found = harness(model, tokenizer, [str(task)], limit=N_ITEMS, samples=True)
    items = [
        Choice(f"{row['query']}\nAnswer:", tuple(f" {one}" for one in row["choices"]), row["gold"])
        for row in lines(path)
    ]
    ours = choice_accuracy(model, tokenizer, items)
    for own, theirs in zip(ours["nats"], answers(found), strict=True):
        assert own == pytest.approx(theirs, abs=1e-3)
    assert found["results"][f"{name}_local"]["acc"] == pytest.approx(ours["accuracy"])


def test_cloze_agrees(
    shared_data: Path, tmp_path: Path, make_model: Callable[..., Any], tokenizer: Any
) -> None:
    pytest.importorskip("lm_eval", reason="lm-eval is not installed: see the top of this file")
    model = make_model(vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=1024)
    path = shared_data / "eval" / "lambada.jsonl.gz"
    task = tmp_path / "task.yaml"
    task.write_text(CLOZE.format(path=path, cache=tmp_path / "cache"))
    found = harness(model, tokenizer, [str(task)], limit=N_ITEMS)["lambada_local"]
    items = [(row["context"], f" {row['continuation']}") for row in lines(path)]
    ours = cloze_accuracy(model, tokenizer, items)
    assert found["acc"] == pytest.approx(ours["accuracy"])
    assert found["perplexity"] == pytest.approx(ours["perplexity"], rel=1e-3)
