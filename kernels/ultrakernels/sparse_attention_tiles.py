"""Attention to chosen blocks on a CPU, without the scores of the keys that nobody chose.

Neighbouring queries choose nearly the same blocks: of each tile of them the union is gathered, and
torch's own attention runs over it under a mask. The same numbers as `sparse_attention_reference.attend`
but for the rounding of sums; for inference, since no gradient is asked for there.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

TILE = 128  # queries


def attend(
    q: Tensor, k: Tensor, v: Tensor, *, chosen: Tensor, at: Tensor, block: int, scale: float
) -> Tensor:
    """q [T, Hq, D] at positions `at` over k, v [L, Hk, D]; chosen [Hk, T, blocks], then -1: [T, Hq, D]."""
    out, group = torch.empty_like(q), q.shape[1] // k.shape[1]
    within = torch.arange(block, device=q.device)
    for head, lists in enumerate(chosen.long()):
        heads = slice(head * group, (head + 1) * group)
        for start in range(0, len(q), TILE):
            rows = slice(start, start + TILE)
            listed = lists[rows]
            union = listed[listed >= 0].unique()
            keys = (union[:, None] * block + within).flatten()
            # One column more takes the -1 that end a list.
            seen = torch.zeros(len(listed), len(union) + 1, dtype=torch.bool, device=q.device)
            column = torch.searchsorted(union, listed.clamp(min=0))
            seen.scatter_(1, torch.where(listed < 0, len(union), column), True)
            mask = seen[:, :-1].repeat_interleave(block, 1) & (keys <= at[rows, None])
            gathered = keys.clamp(max=len(k) - 1)
            shape = (1, group, len(keys), q.shape[2])
            out[rows, heads] = functional.scaled_dot_product_attention(
                q[rows, heads].transpose(0, 1)[None],
                k[gathered, head].expand(shape),
                v[gathered, head].expand(shape),
                attn_mask=mask,
                scale=scale,
            )[0].transpose(0, 1)
    return out
