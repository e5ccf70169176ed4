"""A trained model gives one text through dense attention, the sparse reference and the kernels."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from ultrakernels import sparse_attention_library as native
from ultrakernels import sparse_attention_ops as ops

from ultraclean.train.config import ModelConfig
from ultraclean.train.inference import Engine, Writing
from ultraclean.train.model import MiniCPM4, initialise

SPARSE: dict[str, Any] = {"window_size": 64, "topk": 2, "dense_len": -1}
PERIOD = 37
N = 210


def a_model(**changes: Any) -> MiniCPM4:
    return MiniCPM4(
        ModelConfig(
            vocab_size=64, hidden_size=128, intermediate_size=192, num_hidden_layers=2,
            num_attention_heads=2, num_key_value_heads=1, head_dim=64, dim_model_base=128,
            max_position_embeddings=512, tie_word_embeddings=True, **changes,
        )
    )  # fmt: skip


@pytest.fixture(scope="module")
def trained() -> dict[str, torch.Tensor]:
    """A few steps with sparse attention, on sequences that come round again and again."""
    torch.manual_seed(0)
    model = a_model(attention="sparse", sparse_config=SPARSE)
    initialise(model, 1)
    steps = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(40):
        turn = torch.arange(N + 1) * 5 + step
        row = (turn % PERIOD)[None]
        (losses,) = model(row[:, :-1], row[:, 1:])
        steps.zero_grad()
        losses.mean().backward()
        steps.step()
    assert float(losses.detach().mean()) < 0.5
    return model.state_dict()


def written(model: MiniCPM4, weights: dict[str, torch.Tensor], dtype: torch.dtype) -> list[list[int]]:  # fmt: skip
    model.load_state_dict(weights)
    prompts = [[(i * 5 + start) % PERIOD for i in range(n)] for start, n in ((3, 202), (8, 70))]
    engine = Engine(model.to(dtype), places=2, room=256, chunk=128)
    return engine.write([Writing(prompt, max_tokens=4) for prompt in prompts])


def test_one_text_three_ways(
    trained: dict[str, torch.Tensor], library: native.Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Greedy texts are equal token for token: float32 dense and sparse, bfloat16 by the kernels.

    At most 3 of 4 blocks are seen; the model has learnt to need less. The kernels read the prompts in
    chunks and write in the way that a CUDA graph would record.
    """
    sparse = {"attention": "sparse", "sparse_config": SPARSE}
    dense = written(a_model(), trained, torch.float32)
    assert dense == written(a_model(**sparse), trained, torch.float32)
    assert dense[0] == [(i * 5 + 3) % PERIOD for i in range(202, 206)]
    monkeypatch.setattr(ops, "emulator", library)
    assert dense == written(a_model(**sparse), trained, torch.bfloat16)
