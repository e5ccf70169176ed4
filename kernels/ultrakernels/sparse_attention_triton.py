"""InfLLM v2 sparse attention in Triton: for GPUs without nvcc, and the baseline of the CUDA kernels.

`select` and `attend` are those of `sparse_attention_reference`, argument for argument. Deliberately
simple: one program attends for one query and the heads that share its keys, so neighbouring queries
load the same keys again; worths of windows are written out, some rows at a time, and the choice
among blocks is made by the reference. Under TRITON_INTERPRET=1 the kernels run on the CPU.
"""

from __future__ import annotations

import functools
import importlib.util
from typing import Any

import torch
from torch import Tensor

from ultrakernels import sparse_attention_reference as reference
from ultrakernels.sparse_attention_checks import check_numbers
from ultrakernels.sparse_attention_config import SparseConfig

SPLITS = 16  # of the keys of one query, where there are few queries
FEW = 64
WORTHS_AT_ONCE = 2**28  # 1 GB in float32


@functools.cache
def why_not_triton() -> str | None:
    """Why the kernels cannot run here; None where they can."""
    if importlib.util.find_spec("triton") is None:
        return "triton is not installed"
    import triton

    if triton.knobs.runtime.interpret or torch.cuda.is_available():
        return None
    return "torch finds no CUDA device"


def why_not(q: Tensor, config: SparseConfig) -> str | None:
    """Why these kernels cannot compute this; None where they can."""
    reason = why_not_triton()
    if reason is not None:
        return reason
    if q.device.type != "cuda" and not _kernels().interpreted:
        return f"the tensors are on {q.device.type}"
    if q.dtype == torch.float64:
        return "the kernels compute in float32"
    size = q.shape[-1]
    if size < 16 or size & (size - 1):
        return f"the kernels take heads of a power of two, 16 or more, and these have {size}"
    if config.block_size < 16 or config.block_size & (config.block_size - 1):
        return f"the kernels take blocks of a power of two, 16 or more, not {config.block_size}"
    return None


@torch.no_grad()
def select(
    q: Tensor, fine: Tensor, coarse: Tensor, at: Tensor, *, config: SparseConfig, scale: float
) -> Tensor:
    """The blocks that each query sees: int32 [Hk, T, list_len], ascending, then -1."""
    chunks = []
    rows_at_once = max(1, WORTHS_AT_ONCE // max(1, fine.shape[1] * len(fine)))
    for start in range(0, len(q), rows_at_once):
        rows = slice(start, start + rows_at_once)
        worths = _kernels().worths(q[rows], fine, coarse, at[rows], config, scale)
        check_numbers(worths.isnan(), q=q, k=fine)
        chunks.append(reference.choose(reference.pool(worths, at[rows], config), at[rows], config))
    if not chunks:
        return torch.empty(fine.shape[1], 0, config.list_len, dtype=torch.int32, device=q.device)
    return torch.cat(chunks, 1)


def attend(
    q: Tensor, k: Tensor, v: Tensor, *, chosen: Tensor, at: Tensor, block: int, scale: float
) -> tuple[Tensor, Tensor]:
    """One softmax over the keys of the chosen blocks up to each query: out [T, Hq, D], lse [T, Hq]."""
    out, lse = _Attend.apply(q, k, v, chosen, at, block, scale)  # type: ignore[no-untyped-call]
    return out, lse


class _Attend(torch.autograd.Function):
    """Backward passes are the reference's."""

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, chosen: Tensor, at: Tensor, block: int, scale: float
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        ctx.save_for_backward(q, k, v, chosen, at)
        ctx.rest = (block, scale)
        splits = SPLITS if len(q) <= FEW else 1
        outs, lses = _kernels().attend(q, k, v, chosen, at, block, scale, splits)
        out, lse = (outs[0], lses[0]) if splits == 1 else reference.merge(outs, lses)
        ctx.mark_non_differentiable(lse)
        return out.to(q.dtype), lse

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        q, k, v, chosen, at = ctx.saved_tensors
        block, scale = ctx.rest
        gradients = reference.attend_gradients(
            grads[0], q, k, v, chosen=chosen, at=at, block=block, scale=scale
        )
        return (*gradients, None, None, None, None)


@functools.cache
def _kernels() -> Any:
    from ultrakernels import sparse_attention_triton_kernels

    return sparse_attention_triton_kernels
