from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from ultraclean.errors import MissingExtra
from ultraclean.train import ModelConfig, need_torch
from ultraclean.train.config import PRESETS
from ultraclean.train.model import MiniCPM4


@pytest.mark.parametrize(
    ("preset", "millions"),
    [("tiny", 0.086), ("30M", 31.5), ("100M", 106.2), ("0.5B", 358.6), ("8B", 7650.0)],
)
def test_presets_have_the_published_sizes(preset: str, millions: float) -> None:
    assert ModelConfig.preset(preset).block_weights / 1e6 == pytest.approx(millions, rel=0.02)


def test_block_weights_are_those_of_the_network() -> None:
    for changes in ({}, {"mtp": True}):
        config = ModelConfig.preset("tiny", **changes)
        model = MiniCPM4(config)
        found = sum(p.numel() for n, p in model.named_parameters() if p.dim() == 2)
        assert found == config.block_weights + config.vocab_size * config.hidden_size


def test_flops_are_six_per_weight_and_token() -> None:
    config = ModelConfig.preset("0.5B")
    per_weight = config.flops_per_token(2) / (config.block_weights + 73448 * 1024)
    assert per_weight == pytest.approx(6, rel=1e-3)
    assert config.flops_per_token(4096) > 1.3 * config.flops_per_token(2)


def test_a_preset_can_be_changed_and_a_wrong_one_is_named() -> None:
    assert ModelConfig.model_validate("tiny").hidden_size == 64
    assert ModelConfig.preset("tiny", vocab_size=512).vocab_size == 512
    with pytest.raises(ValidationError, match=f"no preset '1B'; there are: {', '.join(PRESETS)}"):
        ModelConfig.preset("1B")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_key_value_heads": 3}, "multiple of num_key_value_heads"),
        ({"num_attention_heads": 6, "num_key_value_heads": 2}, "hidden_size must be a multiple"),
        ({"head_dim": 5}, "the head width 5 must be even"),
        (
            {
                "rope_scaling": {
                    "short_factor": [1.0],
                    "long_factor": [1.0] * 8,
                    "original_max_position_embeddings": 8,
                }
            },
            "short_factor has 1 factors; a head of width 16 needs 8",
        ),
        ({"attention": "sparse", "sparse_config": {"use_nope": True}}, "use_nope"),
    ],
)
def test_what_does_not_fit_is_said(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ModelConfig.preset("tiny", **changes)


def test_the_package_is_light_and_its_names_load_on_use() -> None:
    script = (
        "import sys, ultraclean.train as t; assert 'torch' not in sys.modules;"
        "assert 'transformers' not in sys.modules; t.TrainSpec; t.ModelConfig.preset('8B');"
        "assert 'torch' not in sys.modules; assert callable(t.train) and 'torch' in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_without_torch_the_command_to_type_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r'pip install "ultraclean-data\[train\]"'):
        need_torch()
