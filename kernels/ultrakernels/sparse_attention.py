"""Block-sparse attention of InfLLM v2 (MiniCPM4, arXiv 2506.07900, section 2.2), trainable.

`sparse_attention` is what a model calls. It runs the CUDA kernels where they can run, and the
PyTorch reference (`sparse_attention_reference`) everywhere else, which it says once, with the
reason. A decoding cache is in `sparse_attention_cache`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

from ultrakernels import sparse_attention_reference as reference
from ultrakernels.sparse_attention_checks import check_inputs, check_numbers, need, starts
from ultrakernels.sparse_attention_config import SparseConfig, parse

__all__ = ["SparseConfig", "parse", "select_blocks", "sparse_attention"]


def sparse_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    config: SparseConfig,
    cu_seqlens: Tensor | None = None,
    cu_seqlens_k: Tensor | None = None,
    decide_lens: Sequence[int] | None = None,
    scale: float | None = None,
    q_select: Tensor | None = None,
    k_select: Tensor | None = None,
) -> Tensor:
    """Causal attention of q over k and v, sparse for every sequence of `dense_len` keys or more.

    q [tokens, Hq, D] and k, v [tokens, Hk, D] hold sequences one after another, bounded by
    `cu_seqlens` (int32, [sequences + 1]; None: one sequence). With four dimensions, [batch, tokens,
    heads, D], each row of the batch is a sequence. Where a sequence has more keys than queries
    (`cu_seqlens_k`), the queries are its last: a chunk of a prompt after those before it.

    `decide_lens` are the lengths by which sequences are dense or sparse, where these are not the
    lengths of the keys: a chunk of a prompt gives the lengths of the whole prompts, and equals the
    same rows computed in one go. `q_select` and `k_select` choose the blocks in place of q and k
    (`use_nope`). Differentiable in q, k, v; no gradient runs through the choice of blocks.
    """
    if q.dim() == k.dim() == v.dim() == 4:
        need(cu_seqlens is cu_seqlens_k is None, "cu_seqlens", "bounds with a batch", "None")
        need(len(q) == len(k) == len(v), "k, v", f"batches of {len(k)}, {len(v)}", f"{len(q)}")
        batch = torch.arange(len(q) + 1, dtype=torch.int32)
        out = sparse_attention(
            q.flatten(0, 1),
            k.flatten(0, 1),
            v.flatten(0, 1),
            config=config,
            cu_seqlens=batch * q.shape[1],
            cu_seqlens_k=batch * k.shape[1],
            decide_lens=decide_lens,
            scale=scale,
            q_select=None if q_select is None else q_select.flatten(0, 1),
            k_select=None if k_select is None else k_select.flatten(0, 1),
        )
        return out.view(q.shape)
    cu_seqlens_k = cu_seqlens if cu_seqlens_k is None else cu_seqlens_k
    check_inputs(q, k, v, config=config, q_select=q_select, k_select=k_select)
    q_starts = starts("cu_seqlens", cu_seqlens, len(q))
    k_starts = starts("cu_seqlens_k", cu_seqlens_k, len(k), like=q_starts)
    if decide_lens is not None:
        rows = len(q_starts) - 1
        need(len(decide_lens) == rows, "decide_lens", f"{len(decide_lens)} lengths", f"{rows}")
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    outs = []
    for row, (q_span, k_span) in enumerate(zip(_spans(q_starts), _spans(k_starts), strict=True)):
        length = k_span.stop - k_span.start
        decide = length if decide_lens is None else max(length, decide_lens[row])
        if config.is_dense(decide):
            outs.append(_dense(q[q_span], k[k_span], v[k_span], scale))
            continue
        one_q, one_k = q[q_span], k[k_span]
        chosen = _choose(
            one_q if q_select is None else q_select[q_span],
            one_k if k_select is None else k_select[k_span],
            config,
            scale,
        )
        at = _positions(one_q, one_k)
        out, lse = reference.attend(
            one_q, one_k, v[k_span], chosen=chosen, at=at, block=config.block_size, scale=scale
        )
        check_numbers(~lse.isfinite(), q=one_q, k=one_k)
        outs.append(out)
    return torch.cat(outs) if outs else torch.empty_like(q)


def select_blocks(
    q: Tensor, k: Tensor, *, config: SparseConfig, scale: float | None = None
) -> Tensor:
    """The blocks that each query of one sequence sees: int32 [Hk, T, list_len], ascending, then -1."""
    check_inputs(q, k, k, config=config)
    return _choose(q, k, config, q.shape[-1] ** -0.5 if scale is None else scale)


def _choose(q: Tensor, k: Tensor, config: SparseConfig, scale: float) -> Tensor:
    q, k = q.detach(), k.detach()
    fine = reference.compress(k, config.kernel_size, config.kernel_stride, config.kernel_stride)
    coarse = reference.compress(k, config.coarse_size, config.coarse_stride, config.kernel_stride)
    return reference.select(q, fine, coarse, _positions(q, k), config=config, scale=scale)


def _positions(q: Tensor, k: Tensor) -> Tensor:
    return torch.arange(len(k) - len(q), len(k), device=q.device)


def _dense(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    if not len(q):
        return torch.empty_like(q)
    mask = None
    if len(q) != len(k):
        mask = torch.arange(len(k), device=q.device) <= _positions(q, k)[:, None]
    out = functional.scaled_dot_product_attention(
        q.transpose(0, 1)[None],
        k.transpose(0, 1)[None],
        v.transpose(0, 1)[None],
        attn_mask=mask,
        is_causal=mask is None,
        scale=scale,
        enable_gqa=q.shape[1] != k.shape[1],
    )
    return out[0].transpose(0, 1)


def _spans(bounds: list[int]) -> list[slice]:
    return [slice(a, b) for a, b in pairwise(bounds)]
