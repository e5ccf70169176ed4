"""Sparse attention against a cache of fixed size, for generation.

A cache holds the keys, values and compressed keys of one layer for a number of sequences. Nothing in
it moves or grows, and lengths live on the device, so a decoding step can be recorded in a CUDA graph
and replayed. Prompts may come in chunks of any size; sequences may differ in length.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ultrakernels import sparse_attention_ops as ops
from ultrakernels import sparse_attention_reference as reference
from ultrakernels import sparse_attention_tiles as tiles
from ultrakernels.sparse_attention import second_best
from ultrakernels.sparse_attention_checks import check_inputs, need, starts
from ultrakernels.sparse_attention_config import SparseConfig

FEW = 8  # so many queries a sequence, or fewer, are decoded: work is split over keys, not queries
SPLITS = 16


@dataclass(frozen=True)
class LayerCache:
    """States [sequences, room, heads, size] of one layer; `room` is the longest length."""

    k: Tensor
    v: Tensor
    fine: Tensor
    coarse: Tensor
    starts: Tensor
    counters: Tensor
    status: Tensor

    @property
    def room(self) -> int:
        return self.k.shape[1]

    def check(self) -> None:
        """Waits for the device; an error if it met NaN or more keys than there is room for."""
        ops.raise_for(self.status)


def new_cache(
    sequences: int,
    longest: int,
    kv_heads: int,
    size: int,
    *,
    config: SparseConfig,
    dtype: torch.dtype = torch.bfloat16,
    device: torch.device | str = "cpu",
) -> LayerCache:
    """Room for `longest` keys of each sequence, rounded up to whole coarse windows."""
    for name, number in (("sequences", sequences), ("longest", longest), ("kv_heads", kv_heads)):
        need(number >= 1, name, number, "1 or more")
    step = config.coarse_stride
    room = (longest + step - 1) // step * step

    def states(rows: int) -> Tensor:
        return torch.zeros(sequences, rows, kv_heads, size, dtype=dtype, device=device)

    return LayerCache(
        k=states(room),
        v=states(room),
        fine=states(room // config.kernel_stride),
        coarse=states(room // step),
        starts=torch.arange(sequences, device=device) * room,
        counters=torch.zeros(2 * FEW * sequences * kv_heads, dtype=torch.int32, device=device),
        status=ops.new_status(torch.device(device)),
    )


def attend_cached(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cache: LayerCache,
    lengths: Tensor,
    *,
    config: SparseConfig,
    cu_seqlens: Tensor,
    longest_q: int,
    decide_lens: Tensor | None = None,
    rotation: tuple[Tensor, Tensor] | None = None,
    scale: float | None = None,
) -> Tensor:
    """New tokens of each sequence go into the cache, and attend to it: [tokens, Hq, D].

    q, k, v are packed, the new tokens of sequence s in rows cu_seqlens[s] to cu_seqlens[s + 1] (none
    for a sequence that waits), at most `longest_q` of each. `lengths` (int32, on the device) count
    them already. `rotation` holds cosines and sines [positions, D / 2] in float32: q and k are then
    states before RoPE. `decide_lens` as in `sparse_attention`, on the device.

    On a GPU a full cache and NaN show in `cache.check()`; a prompt is checked at once.
    """
    check_inputs(q, k, v, None, None, config=config)
    need(not config.use_nope, "config.use_nope", True, "False: the cache keeps rotated keys only")
    need(k.shape[1:] == cache.k.shape[2:], "k", tuple(k.shape), f"heads {tuple(cache.k.shape[2:])}")
    need(k.dtype == cache.k.dtype, "k", k.dtype, f"{cache.k.dtype} as the cache has")
    need(len(lengths) == len(cache.k), "lengths", f"{len(lengths)}", f"{len(cache.k)} sequences")
    need(lengths.dtype == torch.int32, "lengths", lengths.dtype, "torch.int32")
    need(len(cu_seqlens) == len(cache.k) + 1, "cu_seqlens", len(cu_seqlens), f"{len(cache.k) + 1}")
    if rotation is not None:
        for name, x in zip(("rotation[0]", "rotation[1]"), rotation, strict=True):
            right = x.shape[1:] == (q.shape[2] // 2,) and len(x) >= cache.room
            need(right, name, tuple(x.shape), f"[{cache.room} or more, {q.shape[2] // 2}]")
            need(x.dtype == torch.float32, name, x.dtype, "torch.float32")
            need(x.is_contiguous(), name, f"strides {x.stride()}", "contiguous rows")
    decide_lens = lengths if decide_lens is None else decide_lens
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    reason = ops.why_not(q, k.shape[1], config)
    if reason is not None:
        may_be_sparse = not config.is_dense(cache.room)
        backend: Any = second_best(q, config, reason) if may_be_sparse else reference
        return _one_by_one(
            backend, q, k, v, cache, lengths,
            config=config, cu_seqlens=cu_seqlens, decide_lens=decide_lens, rotation=rotation, scale=scale,
        )  # fmt: skip

    cosines, sines = rotation or (None, None)
    cached = [x.flatten(0, 1) for x in (cache.k, cache.v, cache.fine, cache.coarse)]
    q = ops.append(
        q, k, v, cosines, sines, *cached,
        cu_seqlens, cache.starts, lengths, longest_q, cache.room, cache.status,
    )  # fmt: skip
    where = (cu_seqlens, cache.starts, lengths, decide_lens, longest_q)
    numbers = ops.numbers(config)
    if longest_q <= FEW:
        n_blocks = cache.room // config.block_size
        out: Tensor = ops.decode(
            q, *cached, cache.counters, *where, n_blocks, SPLITS, numbers, scale, cache.status
        )[0]
        return out
    lists = ops.select(q, *cached[2:], *where, cache.room, numbers, scale, cache.status)
    out = ops.attend(q, *cached[:2], lists, *where, cache.room, numbers, scale)[0]
    if ops.may_wait(q.device):
        cache.check()
    return out


def rotate(x: Tensor, at: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """RoPE of x [tokens, heads, D] at positions, the two halves of a head as pairs, in float32."""
    cosines, sines = (part[at][:, None] for part in rotation)
    low, high = x.float().chunk(2, -1)
    turned = torch.cat([low * cosines - high * sines, high * cosines + low * sines], -1)
    return turned.to(x.dtype)


def _one_by_one(
    backend: Any,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cache: LayerCache,
    lengths: Tensor,
    *,
    config: SparseConfig,
    cu_seqlens: Tensor,
    decide_lens: Tensor,
    rotation: tuple[Tensor, Tensor] | None,
    scale: float,
) -> Tensor:
    bounds = starts("cu_seqlens", cu_seqlens, len(q))
    spans, ends = list(pairwise(bounds)), lengths.tolist()
    for s, ((first, end), length) in enumerate(zip(spans, ends, strict=True)):
        new, most = end - first, cache.room
        need(length >= new, "lengths", f"{length} in sequence {s}", f"{new} new ones or more")
        need(length <= most, "cache", f"{length} keys in sequence {s}", f"{most} or fewer")
    news = cu_seqlens.diff()
    at = torch.arange(len(q), device=q.device)
    at += (lengths - cu_seqlens[1:]).repeat_interleave(news, output_size=len(q))
    if rotation is not None:
        q, k = rotate(q, at, rotation), rotate(k, at, rotation)
    outs = []
    for s, ((first, end), length, decide) in enumerate(
        zip(spans, ends, decide_lens.tolist(), strict=True)
    ):
        before, rows = length - (end - first), slice(first, end)
        cache.k[s, before:length] = k[rows]
        cache.v[s, before:length] = v[rows]
        keys, values = cache.k[s, :length], cache.v[s, :length]
        if not config.is_dense(cache.room):  # else no window is ever asked for
            _compress(cache, s, before, length, config)
        if config.is_dense(decide):
            outs.append(reference.attend_all(q[rows], keys, values, scale=scale))
            continue
        fine = cache.fine[s, : reference.windows(length, config.kernel_size, config.kernel_stride)]
        coarse = cache.coarse[
            s, : reference.windows(length, config.coarse_size, config.coarse_stride)
        ]
        chosen = backend.select(q[rows], fine, coarse, at[rows], config=config, scale=scale)
        here: dict[str, Any] = {
            "chosen": chosen,
            "at": at[rows],
            "block": config.block_size,
            "scale": scale,
        }
        if backend is reference:
            outs.append(tiles.attend(q[rows], keys, values, **here))
        else:
            outs.append(backend.attend(q[rows], keys, values, **here)[0])
    return torch.cat(outs) if outs else torch.empty_like(q)


def _compress(cache: LayerCache, s: int, before: int, length: int, config: SparseConfig) -> None:
    """The means of the windows that the new keys of sequence s complete."""
    for means, size, stride in (
        (cache.fine[s], config.kernel_size, config.kernel_stride),
        (cache.coarse[s], config.coarse_size, config.coarse_stride),
    ):
        known, now = (reference.windows(n, size, stride) for n in (before, length))
        means[known:now] = reference.compress(
            cache.k[s, known * stride : length], size, stride, config.kernel_stride
        )
