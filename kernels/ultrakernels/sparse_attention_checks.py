"""What the arguments of sparse attention must be; an error names the one that is not."""

from __future__ import annotations

import torch
from torch import Tensor

from ultrakernels.sparse_attention_config import SparseConfig

TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def check_inputs(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    q_select: Tensor | None,
    k_select: Tensor | None,
    *,
    config: SparseConfig,
) -> None:
    """Types, devices and shapes that fit each other."""
    need(q.dim() == 3, "q", tuple(q.shape), "[tokens, heads, head size] (or a batch of these)")
    need(k.dim() == 3, "k", tuple(k.shape), "[tokens, heads, head size], as q has")
    need(q.dtype in TYPES, "q", q.dtype, f"one of {', '.join(map(str, TYPES))}")
    heads, kv_heads, size = q.shape[1], k.shape[1], q.shape[2]
    need(kv_heads >= 1 and heads >= 1, "k", f"{kv_heads} heads", "1 head or more")
    need(heads % kv_heads == 0, "q", f"{heads} heads", f"a multiple of the {kv_heads} heads of k")
    need(k.shape[2] == size, "k", f"head size {k.shape[2]}", f"{size} as q has")
    need(v.shape == k.shape, "v", tuple(v.shape), f"{tuple(k.shape)} as k has")
    for name, x in (("k", k), ("v", v)):
        _like(name, x, q)
    for name, other, model in (("q_select", q_select, q), ("k_select", k_select, k)):
        if other is None:
            need(not config.use_nope, name, None, "the states before RoPE, as config.use_nope says")
            continue
        got = tuple(other.shape)
        need(got == tuple(model.shape), name, got, f"{tuple(model.shape)} as {name[0]} has")
        _like(name, other, q)


def starts(
    name: str, bounds: Tensor | None, total: int, like: list[int] | None = None
) -> list[int]:
    """Where each of the packed sequences starts, and the end of the last."""
    if bounds is None:
        need(like is None or len(like) == 2, name, None, "bounds as cu_seqlens has")
        return [0, total]
    need(bounds.dim() == 1 and len(bounds) >= 1, name, tuple(bounds.shape), "[sequences + 1]")
    need(not bounds.dtype.is_floating_point, name, bounds.dtype, "torch.int32")
    found: list[int] = bounds.tolist()
    need(found[0] == 0, name, f"a first bound of {found[0]}", "0")
    need(found == sorted(found), name, _short(found), "ascending bounds")
    need(found[-1] == total, name, f"a last bound of {found[-1]}", f"{total}, the tokens packed")
    if like is not None:
        need(len(found) == len(like), name, f"{len(found)} bounds", f"{len(like)} as cu_seqlens")
        for row in range(len(found) - 1):
            queries, keys = like[row + 1] - like[row], found[row + 1] - found[row]
            need(
                keys >= queries,
                name,
                f"{keys} keys in sequence {row}",
                f"{queries} or more: its queries are the last of its keys",
            )
    return found


def check_numbers(bad_scores: Tensor, **inputs: Tensor) -> None:
    """An error where scores are no numbers, which names the input that brought it in."""
    if not bool(bad_scores.any()):
        return
    for name, x in inputs.items():
        bad = (~x.isfinite()).nonzero()
        need(not len(bad), name, f"{len(bad)} NaN or inf, first at {bad[:1].tolist()}", "numbers")
    first, second = inputs
    raise ValueError(f"{first}, {second}: got NaN in the scores, needs scores that do not overflow")


def need(holds: bool, name: str, got: object, needs: str) -> None:
    if not holds:
        raise ValueError(f"{name}: got {got}, needs {needs}")


def _like(name: str, x: Tensor, q: Tensor) -> None:
    need(x.dtype == q.dtype, name, x.dtype, f"{q.dtype} as q has")
    need(x.device == q.device, name, x.device, f"{q.device} as q has")


def _short(numbers: list[int]) -> str:
    return str(numbers) if len(numbers) <= 8 else f"{str(numbers[:8])[:-1]}, ...]"
