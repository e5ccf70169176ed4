from __future__ import annotations

import json
import warnings

import pytest

from ultraclean.train.bench import main


def test_both_train_to_the_same_losses(capsys: pytest.CaptureFixture[str]) -> None:
    """In float32 on a CPU; the numbers of a GPU are in docs/training.md when there are some."""
    pytest.importorskip("transformers")
    arguments = "tiny --length 32 --batch 2 --steps 6 --n-warm 2 --precision fp32 --device cpu"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of transformers
        assert main(arguments.split()) == 0
    ours, theirs = map(json.loads, capsys.readouterr().out.splitlines())
    assert (ours["name"], theirs["name"]) == ("ours", "transformers")
    assert ours["losses"] == pytest.approx(theirs["losses"], abs=1e-3)
    assert ours["losses"][-1] < ours["losses"][0]
    assert ours["tokens_per_s"] > 0 and ours["peak_gb"] > 0
