"""Looks, records and the card, with made-up trials: no training."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from ultraclean import storage
from ultraclean.stages.verify import card as cards
from ultraclean.stages.verify.anneal import Anneal, Job
from ultraclean.stages.verify.base import Base, describe
from ultraclean.stages.verify.trial import Trial
from ultraclean.train import ModelConfig

SETS = ("news", "fiction", "web")
MODEL = ModelConfig.preset("tiny").model_dump(mode="json")
BASE = Base("base", MODEL, 600_000, 256, 10, 5e-3, 0.5, True, 30.0)
TEXT_BYTES = [400, 300, 500]


class Scripted:
    """Trials whose gains are given: (mean, deviation, change of the order advantage) by arm."""

    def __init__(self, **arms: tuple[float, float, float]) -> None:
        self.arms = {"control": (0.0, 0.0, 0.0), **arms}
        self.done: list[tuple[str, int]] = []

    def __call__(self, function: Callable[[Any], Any], items: Sequence[Trial]) -> list[None]:
        for trial in items:
            self.done.append((trial.arm, trial.seed))
            storage.write_json(trial.record, self.record(trial))
        return [None] * len(items)

    def record(self, trial: Trial) -> dict[str, Any]:
        arm = trial.arm.replace(".", "_")
        mean, deviation, order = self.arms[arm]
        gain = random.Random(f"{arm} {trial.seed}").gauss(mean, deviation)
        bits = dict.fromkeys(SETS, 3.0 - gain)
        return {
            "arm": trial.arm,
            "seed": trial.seed,
            "tokens": 40_960,
            "bits_per_byte": bits,
            "shuffled": {name: bits[name] + 1.0 + order for name in SETS},
            "default": 2.5 + gain / 10,
            "guards": {name: {"seen": 3.0 - gain, "held_out": 3.0 - gain} for name in trial.guards},
            "nats": {name: [-bits[name] * n * 0.6931472 for n in TEXT_BYTES] for name in SETS},
            "bytes": dict.fromkeys(SETS, TEXT_BYTES),
            "train_s": 2.0,
            "seconds": 3.0,
        }


def job(folder: Path, script: Scripted, *candidates: str) -> tuple[cards.Looks, dict[str, Any]]:
    stage = Anneal(
        candidates=candidates, default="mix", tokenizer="t", evaluation=dict.fromkeys(SETS, "x")
    )
    made = Job(stage, str(folder), BASE, "t", script)
    looks = made.looks()
    prepared = {"tables": {}, "evaluation": {}}
    records = made.records(looks.n_seeds)
    return looks, cards.card(stage, prepared, describe(BASE, str(folder)), looks, records)


NULL = {"null": (0.0, 0.003, 0.0)}


def test_a_clear_job_ends_at_the_first_look(tmp_path: Path) -> None:
    script = Scripted(good=(0.06, 0.004, 0.01), good_placebo=(0.03, 0.004, -0.09), **NULL)
    looks, card = job(tmp_path, script, "good")
    assert looks.n_seeds == 3 and len(script.done) == 12
    assert (card["accepted"], card["rejected"], card["undecided"]) == (["good"], [], [])
    assert card["valid"] and "good accepted after 3 seeds" in card["reason"]
    assert card["verdicts"][0]["over_texts"] == pytest.approx([card["verdicts"][0]["mean"]] * 2)
    assert card["cost"]["tokens"] == 12 * 40_960
    assert card["cost"]["saving"] == pytest.approx(1 - (491_520 + 6e5) / (491_520 + 12 * 6e5))
    assert "| good | accepted | 3 |" in card["table"]
    assert json.loads(json.dumps(card, allow_nan=False)) == card


def test_only_what_is_undecided_gets_more_seeds(tmp_path: Path) -> None:
    script = Scripted(
        good=(0.2, 0.001, 0.0),
        good_placebo=(0.1, 0.001, -0.1),
        fair=(0.006, 0.01, 0.0),
        fair_placebo=(0.0, 0.001, -0.1),
        **NULL,
    )
    looks, card = job(tmp_path, script, "good", "fair")
    assert looks.n_seeds == 8 and card["undecided"] == ["fair"]
    n_trials = {arm: sum(done == arm for done, _ in script.done) for arm, _ in script.done}
    expected = {"good": 3, "good.placebo": 3, "fair": 8, "fair.placebo": 8, "null": 8, "control": 8}
    assert n_trials == expected
    assert (
        card["verdicts"][1]["seeds_to_decide"] is None or "seeds" in card["verdicts"][1]["reason"]
    )
    assert card["looks"] == [3, 5, 8]


def test_finished_trials_are_not_run_again(tmp_path: Path) -> None:
    arms = {"good": (0.06, 0.004, 0.0), "good_placebo": (0.03, 0.004, -0.09), **NULL}
    first, again = Scripted(**arms), Scripted(**arms)
    _, card = job(tmp_path, first, "good")
    (tmp_path / "trials" / "good.01.json").unlink()
    assert job(tmp_path, again, "good")[1] == card
    assert again.done == [("good", 1)]


@pytest.mark.parametrize(
    ("arms", "named"),
    [
        ({"null": (0.05, 0.002, 0.0), "good_placebo": (0.03, 0.004, -0.09)}, "the null arm"),
        ({"good_placebo": (0.03, 0.002, 0.0), **NULL}, "the placebo of good"),
    ],
)
def test_a_job_that_is_fooled_says_nothing_of_candidates(
    tmp_path: Path, arms: dict[str, tuple[float, float, float]], named: str
) -> None:
    _, card = job(tmp_path, Scripted(good=(0.06, 0.004, 0.0), **arms), "good")
    assert not card["valid"] and card["verdicts"] == []
    assert card["accepted"] == card["rejected"] == card["undecided"] == []
    assert card["reason"].startswith("invalid") and named in card["reason"]
    assert "| good |" not in card["table"]


def test_a_loss_on_the_default_mix_is_a_warning(tmp_path: Path) -> None:
    script = Scripted(good=(0.06, 0.004, 0.0), good_placebo=(0.0, 0.004, -0.09), **NULL)
    script.record = _forgetful(script.record)  # type: ignore[method-assign]
    _, card = job(tmp_path, script, "good")
    assert card["accepted"] == ["good"]
    assert "default mix loses" in card["warnings"][0]


def _forgetful(record: Callable[[Trial], dict[str, Any]]) -> Callable[[Trial], dict[str, Any]]:
    def worse(trial: Trial) -> dict[str, Any]:
        return {**record(trial), "default": 4.0 if trial.arm == "good" else 2.5}

    return worse
