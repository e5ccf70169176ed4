"""The Triton kernels themselves, and their launches. Importing this needs triton."""

# ruff: noqa: N803 -- constants of a kernel are in capitals
# mypy: disable-error-code="untyped-decorator, no-untyped-def, no-untyped-call, no-any-return"

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from ultrakernels.sparse_attention_config import SparseConfig

interpreted: bool = bool(triton.knobs.runtime.interpret)
ROWS = 64  # of queries times heads in one program of `worths`
WINDOWS = 64
WARPS = 8  # of `attend`: with 4, registers spill at heads of 128


@triton.jit
def worths_kernel(
    q_ptr, fine_ptr, coarse_ptr, at_ptr, out_ptr,
    tokens, n_fine, n_coarse, scale,
    KV: tl.constexpr, GROUP: tl.constexpr, GP: tl.constexpr, TOKENS: tl.constexpr, D: tl.constexpr,
    N: tl.constexpr, FINE_SIZE: tl.constexpr, FINE_STRIDE: tl.constexpr,
    COARSE_SIZE: tl.constexpr, COARSE_STRIDE: tl.constexpr, UPCAST: tl.constexpr,
):  # fmt: skip
    """TOKENS queries times GP heads against all windows, twice: the normaliser, then the worths."""
    first, kv = tl.program_id(0) * TOKENS, tl.program_id(1)
    row = tl.arange(0, TOKENS * GP)
    token, head = first + row // GP, row % GP
    real = (token < tokens) & (head < GROUP)
    size, n = tl.arange(0, D), tl.arange(0, N)
    at = tl.load(at_ptr + token, mask=token < tokens, other=-1)
    q_at = (token.to(tl.int64) * KV * GROUP + kv * GROUP + head) * D
    q = tl.load(q_ptr + q_at[:, None] + size[None, :], mask=real[:, None], other=0.0)
    if UPCAST:
        q = q.to(tl.float32)
    best = tl.full([TOKENS * GP], float("-inf"), tl.float32)
    total = tl.zeros([TOKENS * GP], tl.float32)
    for start in range(0, n_coarse, N):
        w = start + n
        k_at = (w.to(tl.int64) * KV + kv) * D
        k = tl.load(
            coarse_ptr + k_at[:, None] + size[None, :], mask=(w < n_coarse)[:, None], other=0.0
        )
        if UPCAST:
            k = k.to(tl.float32)
        s = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
        ends = w * COARSE_STRIDE + COARSE_SIZE - 1
        s = tl.where((ends[None, :] <= at[:, None]) & (w < n_coarse)[None, :], s, float("-inf"))
        higher = tl.maximum(best, tl.max(s, 1))
        floor = tl.where(higher == float("-inf"), 0.0, higher)
        total = total * tl.exp(best - floor) + tl.sum(tl.exp(s - floor[:, None]), 1)
        best = higher
    lse = tl.where(total > 0, best + tl.log(tl.where(total > 0, total, 1.0)), 0.0)
    lse = tl.where(total != total, total, lse)  # noqa: PLR0124 -- NaN
    some = tl.arange(0, TOKENS)
    for start in range(0, n_fine, N):
        w = start + n
        k_at = (w.to(tl.int64) * KV + kv) * D
        k = tl.load(fine_ptr + k_at[:, None] + size[None, :], mask=(w < n_fine)[:, None], other=0.0)
        if UPCAST:
            k = k.to(tl.float32)
        s = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
        ends = w * FINE_STRIDE + FINE_SIZE - 1
        seen = (ends[None, :] <= at[:, None]) & real[:, None]
        worth = tl.where(seen, tl.exp(s - lse[:, None]), 0.0)
        worth = tl.sum(tl.reshape(worth, [TOKENS, GP, N]), 1)
        t = first + some
        out_at = (kv.to(tl.int64) * tokens + t) * n_fine
        kept = (t < tokens)[:, None] & (w < n_fine)[None, :]
        tl.store(out_ptr + out_at[:, None] + w[None, :], worth, mask=kept)


def worths(
    q: Tensor, fine: Tensor, coarse: Tensor, at: Tensor, config: SparseConfig, scale: float
) -> Tensor:
    """`reference.window_worths`: float32 [Hk, T, windows]."""
    tokens, heads, size = q.shape
    kv = fine.shape[1]
    group = heads // kv
    padded = triton.next_power_of_2(group)
    together = max(1, ROWS // padded)
    fine_of = (config.kernel_size, config.kernel_stride)
    coarse_of = (config.coarse_size, config.coarse_stride)
    if config.exact_lse:
        coarse, coarse_of = fine, fine_of
    out = q.new_empty(kv, tokens, len(fine), dtype=torch.float32)
    grid = (triton.cdiv(tokens, together), kv)
    worths_kernel[grid](
        q.contiguous(), fine.contiguous(), coarse.contiguous(), at.to(torch.int32), out,
        tokens, len(fine), len(coarse), scale,
        KV=kv, GROUP=group, GP=padded, TOKENS=together, D=size, N=WINDOWS,
        FINE_SIZE=fine_of[0], FINE_STRIDE=fine_of[1],
        COARSE_SIZE=coarse_of[0], COARSE_STRIDE=coarse_of[1], UPCAST=interpreted,
    )  # fmt: skip
    return out


@triton.jit
def attend_kernel(
    q_ptr, k_ptr, v_ptr, list_ptr, at_ptr, out_ptr, lse_ptr,
    tokens, scale, k_row, k_head, v_row, v_head,
    KV: tl.constexpr, GROUP: tl.constexpr, GP: tl.constexpr, D: tl.constexpr,
    BLOCK: tl.constexpr, LISTED: tl.constexpr, SPLITS: tl.constexpr, UPCAST: tl.constexpr,
):  # fmt: skip
    """One query, the heads of one group, every SPLITS-th block of its list."""
    token, kv, split = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    head, size, n = tl.arange(0, GP), tl.arange(0, D), tl.arange(0, BLOCK)
    at = tl.load(at_ptr + token)
    q_at = (token.to(tl.int64) * KV * GROUP + kv * GROUP + head) * D
    q = tl.load(q_ptr + q_at[:, None] + size[None, :], mask=(head < GROUP)[:, None], other=0.0)
    if UPCAST:
        q = q.to(tl.float32)
    best = tl.full([GP], float("-inf"), tl.float32)
    total = tl.zeros([GP], tl.float32)
    out = tl.zeros([D, GP], tl.float32)
    listed = list_ptr + (kv.to(tl.int64) * tokens + token) * LISTED
    for i in range(split, LISTED, SPLITS):
        block = tl.load(listed + i)
        if block >= 0:  # its first key is never after the query
            key = block * BLOCK + n
            seen = key <= at
            rows = key.to(tl.int64)
            k_at = rows[:, None] * k_row + kv * k_head + size[None, :]
            v_at = rows[:, None] * v_row + kv * v_head + size[None, :]
            k = tl.load(k_ptr + k_at, mask=seen[:, None], other=0.0)
            v = tl.load(v_ptr + v_at, mask=seen[:, None], other=0.0)
            if UPCAST:
                k = k.to(tl.float32)
                v = v.to(tl.float32)
            # Keys are the long side of both products: 64 rows are what wgmma multiplies by.
            s = tl.dot(k, tl.trans(q), input_precision="ieee") * scale
            s = tl.where(seen[:, None], s, float("-inf"))
            higher = tl.maximum(best, tl.max(s, 0))
            weight = tl.exp(s - higher[None, :])
            fade = tl.exp(best - higher)
            total = total * fade + tl.sum(weight, 0)
            out = out * fade[None, :]
            out += tl.dot(tl.trans(v), weight.to(v.dtype), input_precision="ieee")
            best = higher
    empty = best == float("-inf")
    out = tl.where(empty[None, :], 0.0, out / tl.where(empty, 1.0, total)[None, :])
    lse = tl.where(empty, float("-inf"), best + tl.log(tl.where(empty, 1.0, total)))
    at_out = (split.to(tl.int64) * tokens + token) * KV * GROUP + kv * GROUP + head
    tl.store(out_ptr + at_out[None, :] * D + size[:, None], out, mask=(head < GROUP)[None, :])
    tl.store(lse_ptr + at_out, lse, mask=head < GROUP)


def attend(
    q: Tensor, k: Tensor, v: Tensor, lists: Tensor, at: Tensor, block: int, scale: float, splits: int
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Partial results over disjoint parts of the lists: outs [splits, T, Hq, D], lses [splits, T, Hq]."""
    tokens, heads, size = q.shape
    kv = k.shape[1]
    k, v = (x if x.stride(-1) == 1 else x.contiguous() for x in (k, v))
    outs = q.new_empty(splits, tokens, heads, size, dtype=torch.float32)
    lses = q.new_empty(splits, tokens, heads, dtype=torch.float32)
    if tokens:
        attend_kernel[(tokens, kv, splits)](
            q.contiguous(), k, v, lists.contiguous(), at.to(torch.int32), outs, lses,
            tokens, scale, k.stride(0), k.stride(1), v.stride(0), v.stride(1),
            KV=kv, GROUP=heads // kv, GP=max(16, triton.next_power_of_2(heads // kv)), D=size,
            BLOCK=block, LISTED=lists.shape[2], SPLITS=splits, UPCAST=interpreted,
            num_warps=WARPS,
        )  # fmt: skip
    return outs, lses
