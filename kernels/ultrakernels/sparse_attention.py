"""Block-sparse attention of InfLLM v2 (MiniCPM4, arXiv 2506.07900, section 2.2), trainable.

`sparse_attention` is what a model calls. It runs the CUDA kernels where they can run, Triton's on
other GPUs, and the PyTorch reference (`sparse_attention_reference`) everywhere else, which it says
once, with the reasons. A decoding cache is in `sparse_attention_cache`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ultrakernels import sparse_attention_ops as ops
from ultrakernels import sparse_attention_reference as reference
from ultrakernels import sparse_attention_triton as in_triton
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
        # All lengths are the shape's, so nothing is read from the device.
        need(cu_seqlens is cu_seqlens_k is None, "cu_seqlens", "bounds with a batch", "None")
        need(len(q) == len(k) == len(v), "k, v", f"batches of {len(k)}, {len(v)}", f"{len(q)}")
        states = (q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1))
        chooses = tuple(None if x is None else x.flatten(0, 1) for x in (q_select, k_select))
        q_starts, k_starts = (
            [n * row for row in range(len(q) + 1)] for n in (q.shape[1], k.shape[1])
        )
    else:
        states, chooses = (q, k, v), (q_select, k_select)
        q_starts = starts("cu_seqlens", cu_seqlens, len(q))
        bounds = cu_seqlens if cu_seqlens_k is None else cu_seqlens_k
        k_starts = starts("cu_seqlens_k", bounds, len(k), like=q_starts)
    check_inputs(*states, *chooses, config=config)
    lens = [b - a for a, b in pairwise(k_starts)]
    if decide_lens is not None:
        need(
            len(decide_lens) == len(lens),
            "decide_lens",
            f"{len(decide_lens)} lengths",
            f"{len(lens)}",
        )
        lens = [max(pair) for pair in zip(lens, decide_lens, strict=True)]
    job = _Job(config, q_starts, k_starts, lens, q.shape[-1] ** -0.5 if scale is None else scale)
    reason = "all sequences are dense" if job.all_dense else ops.why_not(q, k.shape[-2], config)
    if reason is None:
        return _by_kernels(job, *states, *chooses).reshape(q.shape)
    backend: Any = reference
    if not job.all_dense:
        backend = second_best(q, config, reason)
    return _one_by_one(backend, job, *states, *chooses).reshape(q.shape)


@dataclass(frozen=True)
class _Job:
    """Packed sequences, and the lengths by which each is dense or sparse."""

    config: SparseConfig
    q_starts: list[int]
    k_starts: list[int]
    decide_lens: list[int]
    scale: float

    @property
    def all_dense(self) -> bool:
        return all(map(self.config.is_dense, self.decide_lens))


def second_best(q: Tensor, config: SparseConfig, reason: str) -> Any:
    """The module to compute with where the CUDA kernels cannot: Triton's, else the reference."""
    why_not = in_triton.why_not(q, config)
    if why_not is None:
        return in_triton
    ops.say_once(f"{reason}; {why_not}")
    return reference


def _one_by_one(
    backend: Any,
    job: _Job,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    q_select: Tensor | None,
    k_select: Tensor | None,
) -> Tensor:
    config, scale = job.config, job.scale
    outs = []
    spans = zip(_spans(job.q_starts), _spans(job.k_starts), job.decide_lens, strict=True)
    for q_span, k_span, decide in spans:
        if config.is_dense(decide):
            outs.append(reference.attend_all(q[q_span], k[k_span], v[k_span], scale=scale))
            continue
        one_q, one_k = q[q_span], k[k_span]
        chosen = _choose(
            one_q if q_select is None else q_select[q_span],
            one_k if k_select is None else k_select[k_span],
            config,
            scale,
            backend,
        )
        at = _positions(one_q, one_k)
        out, lse = backend.attend(
            one_q, one_k, v[k_span], chosen=chosen, at=at, block=config.block_size, scale=scale
        )
        check_numbers(~lse.isfinite(), q=one_q, k=one_k)
        outs.append(out)
    return torch.cat(outs) if outs else torch.empty_like(q)


def _by_kernels(
    job: _Job, q: Tensor, k: Tensor, v: Tensor, q_select: Tensor | None, k_select: Tensor | None
) -> Tensor:
    def on_device(numbers: Sequence[int], kind: torch.dtype = torch.int32) -> Tensor:
        return torch.tensor(numbers, dtype=kind, device=q.device)

    q_bounds, k_bounds = on_device(job.q_starts), on_device(job.k_starts)
    k_starts, k_lens = on_device(job.k_starts[:-1], torch.int64), k_bounds.diff()
    decide_lens = on_device(job.decide_lens)
    longest_q, longest_k = (
        max([0, *(b - a for a, b in pairwise(starts))]) for starts in (job.q_starts, job.k_starts)
    )
    numbers, status = ops.numbers(job.config), ops.new_status(q.device)
    q_by = (q if q_select is None else q_select).detach()
    k_by = (k if k_select is None else k_select).detach()
    fine, coarse = ops.compress(k_by, k_bounds, k_starts, k_lens, longest_k, status)
    lists = ops.select(
        q_by, fine, coarse, q_bounds, k_starts, k_lens, decide_lens, longest_q, 0, numbers, job.scale, status
    )  # fmt: skip
    out: Tensor
    lse: Tensor
    out, lse = ops.attend(
        q, k, v, lists, q_bounds, k_starts, k_lens, decide_lens, longest_q, 0, numbers, job.scale
    )
    if ops.may_wait(q.device):
        ops.raise_for(status)
        check_numbers(~lse.isfinite(), q=q, k=k)
    return out


def select_blocks(
    q: Tensor, k: Tensor, *, config: SparseConfig, scale: float | None = None
) -> Tensor:
    """The blocks that each query of one sequence sees: int32 [Hk, T, list_len], ascending, then -1."""
    check_inputs(q, k, k, None, None, config=config)
    return _choose(q, k, config, q.shape[-1] ** -0.5 if scale is None else scale)


def _choose(
    q: Tensor, k: Tensor, config: SparseConfig, scale: float, backend: Any = reference
) -> Tensor:
    q, k = q.detach(), k.detach()
    fine = reference.compress(k, config.kernel_size, config.kernel_stride, config.kernel_stride)
    coarse = reference.compress(k, config.coarse_size, config.coarse_stride, config.kernel_stride)
    chosen: Tensor = backend.select(q, fine, coarse, _positions(q, k), config=config, scale=scale)
    return chosen


def _positions(q: Tensor, k: Tensor) -> Tensor:
    return torch.arange(len(k) - len(q), len(k), device=q.device)


def _spans(bounds: list[int]) -> list[slice]:
    return [slice(a, b) for a, b in pairwise(bounds)]
