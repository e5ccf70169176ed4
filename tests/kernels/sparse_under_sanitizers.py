"""All sparse attention kernels on small problems, in a process that sanitizers watch.

Run by test_sparse_build.py with the path of a library built under them. What torch allocates is as
large as the tensors, so that a read or write beside one is seen.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from ultrakernels import sparse_attention_cache as caching
from ultrakernels import sparse_attention_library as native
from ultrakernels import sparse_attention_ops as ops
from ultrakernels.sparse_attention import SparseConfig, sparse_attention

torch.set_num_threads(1)
ops.emulator = native.Library(Path(sys.argv[1]))
ops.emulator.shuffle(5)
made = torch.Generator().manual_seed(0)


def states(length: int, *heads: int) -> list[torch.Tensor]:
    return [torch.randn(length, h, 64, generator=made).to(torch.bfloat16) for h in heads]


def check(name: str, out: torch.Tensor) -> None:
    if not bool(out.isfinite().all()):
        sys.exit(f"{name}: not all numbers were written")
    print(name, flush=True)


for group in (3, 16):
    config = SparseConfig(window_size=64, topk=2 + group // 8, dense_len=70, exact_lse=group == 3)
    q, k, v = states(390, group, 1, 1)
    ends = torch.tensor([0, 7, 64], dtype=torch.int32)
    out = sparse_attention(
        q[:64], k, v, config=config, cu_seqlens=ends, cu_seqlens_k=torch.tensor([0, 67, 390])
    )
    check(f"prompt of groups of {group}", out)
    ops.portable = True
    again = sparse_attention(
        q[:64], k, v, config=config, cu_seqlens=ends, cu_seqlens_k=torch.tensor([0, 67, 390])
    )
    ops.portable = False
    torch.testing.assert_close(again, out, rtol=0, atol=8e-3)
    check(f"prompt of groups of {group}, one warp a product", again)

    cache = caching.new_cache(2, 330, 1, 64, config=config)
    angles = torch.arange(cache.room)[:, None] * torch.rand(32, generator=made)
    seen = [0, 0]
    for step in ([320, 61], [1, 1], [0, 3], [2, 0]):
        q, k, v = states(sum(step), group, 1, 1)
        seen = [a + n for a, n in zip(seen, step, strict=True)]
        out = caching.attend_cached(
            q, k, v, cache, torch.tensor(seen, dtype=torch.int32), config=config, rotation=(angles.cos(), angles.sin()),
            cu_seqlens=torch.tensor([0, *step]).cumsum(0).to(torch.int32), longest_q=max(step),
        )  # fmt: skip
        cache.check()
        check(f"{step} more in the cache, groups of {group}", out)
