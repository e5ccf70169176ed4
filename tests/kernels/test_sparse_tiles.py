"""Attention over gathered blocks equals the reference, which scores every key."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from ultrakernels import sparse_attention_reference as reference
from ultrakernels import sparse_attention_tiles as tiles
from ultrakernels.sparse_attention import SparseConfig, select_blocks

torch.set_num_threads(1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize(("length", "queries"), [(40, 40), (1300, 300), (1300, 1), (1281, 129)])
def test_gathered_blocks_give_the_reference(dtype: torch.dtype, length: int, queries: int) -> None:
    config = SparseConfig(window_size=128, topk=4, dense_len=-1)
    made = torch.Generator().manual_seed(length + queries)
    q, k, v = (torch.randn(length, h, 64, generator=made).to(dtype) for h in (6, 2, 2))
    chosen = select_blocks(q, k, config=config)[:, -queries:]
    at = torch.arange(length - queries, length)
    here: dict[str, Any] = {"chosen": chosen, "at": at, "block": 64, "scale": 0.125}
    expected, _ = reference.attend(q[-queries:], k, v, **here)
    found = tiles.attend(q[-queries:], k, v, **here)
    assert found.dtype == dtype and found.shape == expected.shape
    close = {torch.float32: 1e-6, torch.float64: 1e-14, torch.bfloat16: 1e-2}[dtype]
    torch.testing.assert_close(found, expected, rtol=close, atol=close)


def test_rows_need_not_be_neighbours_and_no_rows_are_no_rows() -> None:
    made = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(n, 1, 16, generator=made) for n in (3, 200, 200))
    chosen = torch.tensor([[[2, 3, -1], [0, -1, -1], [0, 1, 2]]], dtype=torch.int32)
    at = torch.tensor([199, 5, 140])
    here: dict[str, Any] = {"chosen": chosen, "at": at, "block": 64, "scale": 0.25}
    expected, _ = reference.attend(q, k, v, **here)
    torch.testing.assert_close(tiles.attend(q, k, v, **here), expected)
    nothing = {**here, "chosen": chosen[:, :0], "at": at[:0]}
    assert tiles.attend(q[:0], k, v, **nothing).shape == (0, 1, 16)
