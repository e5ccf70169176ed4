"""Attention: rotary positions with LongRoPE factors, shared keys, and who may see whom.

Dense attention is torch's own `scaled_dot_product_attention`. Sparse attention is InfLLM v2 from
`ultrakernels.sparse_attention`: each query sees the first block, its own neighbourhood and the
blocks whose averaged keys score highest; sequences below `dense_len` stay dense.

Shapes: B sequences, T tokens, S keys, H query heads, K key heads, E width of a head.
"""

# ruff: noqa: N803, N806 -- a tensor's name ends in its shape

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ultraclean.train.config import ModelConfig, SparseConfig


def rotation(config: ModelConfig, start: int, stop: int, device: torch.device) -> Tensor:
    """Cosines and sines of the positions `start` to `stop`: float32[2, stop - start, E].

    The long factors hold for every position once the sequence ends beyond the length trained
    first, as in the released model; the sum of squares is then raised a little (LongRoPE, eq. 4).
    """
    width = config.head_width
    frequency = config.rope_theta ** (
        -torch.arange(0, width, 2, dtype=torch.float32, device=device) / width
    )
    amplitude = 1.0
    if scaling := config.rope_scaling:
        trained = scaling.original_max_position_embeddings
        factors = scaling.long_factor if stop > trained else scaling.short_factor
        frequency = frequency / torch.tensor(factors, dtype=torch.float32, device=device)
        longer = config.max_position_embeddings / trained
        if longer > 1:
            amplitude = math.sqrt(1 + math.log(longer) / math.log(trained))
    angle = torch.outer(torch.arange(start, stop, dtype=torch.float32, device=device), frequency)
    angle = torch.cat([angle, angle], dim=-1)
    return torch.stack([angle.cos(), angle.sin()]) * amplitude


def rotate(x_BHTE: Tensor, turn_2TE: Tensor) -> Tensor:
    """Turns the pairs (e, e + E/2) of each head by the angle of its position, in float32."""
    x = x_BHTE.float()
    left, right = x.chunk(2, dim=-1)
    return (x * turn_2TE[0] + torch.cat([-right, left], dim=-1) * turn_2TE[1]).to(x_BHTE.dtype)


@dataclass(frozen=True)
class Sight:
    """Who sees whom in one forward pass, worked out once for all layers.

    `seen` is None for plain causal attention, else bool[B or 1, 1, T, S], True where a query sees
    a key. `ends`, for sparse kernels, are the document ends in the rows laid one after the other.
    """

    seen: Tensor | None
    ends: Tensor | None


def sight(config: ModelConfig, documents_BT: Tensor | None) -> Sight:
    """Causal sight, within documents if they are given."""
    if documents_BT is None:
        return Sight(None, None)
    same = documents_BT[:, :, None] == documents_BT[:, None, :]
    ends = None if config.blocks is None else document_ends(documents_BT)  # waits for the device
    return Sight(same.tril()[:, None], ends)


def document_ends(documents_BT: Tensor) -> Tensor:
    """int32[n + 1]: 0 and the end of each document, in the rows laid one after the other."""
    n_rows, length = documents_BT.shape
    last = torch.ones_like(documents_BT, dtype=torch.bool)
    last[:, :-1] = documents_BT[:, 1:] != documents_BT[:, :-1]
    ends = last.reshape(n_rows * length).nonzero().squeeze(1) + 1
    return functional.pad(ends, (1, 0)).to(torch.int32)


def attend(
    config: ModelConfig, q_BHTE: Tensor, k_BKSE: Tensor, v_BKSE: Tensor, who: Sight
) -> Tensor:
    """[B, H, T, E]: each query's mean of the values that it sees."""
    if (chosen := config.blocks) and k_BKSE.shape[2] >= chosen.dense_len:
        return _sparse(chosen, q_BHTE, k_BKSE, v_BKSE, who)
    group = config.num_attention_heads // config.num_key_value_heads
    if who.seen is not None:  # torch's kernels with a mask do not share keys on a GPU
        k_BKSE = k_BKSE.repeat_interleave(group, dim=1)
        v_BKSE = v_BKSE.repeat_interleave(group, dim=1)
    return functional.scaled_dot_product_attention(
        q_BHTE,
        k_BKSE,
        v_BKSE,
        attn_mask=who.seen,
        is_causal=who.seen is None,
        enable_gqa=group > 1 and who.seen is None,
    )


def _sparse(
    chosen: SparseConfig, q_BHTE: Tensor, k_BKSE: Tensor, v_BKSE: Tensor, who: Sight
) -> Tensor:
    from ultrakernels.sparse_attention import SparseConfig as KernelConfig
    from ultrakernels.sparse_attention import sparse_attention

    blocks = KernelConfig(**chosen.model_dump())
    q_BTHE, k_BSKE, v_BSKE = (x.transpose(1, 2) for x in (q_BHTE, k_BKSE, v_BKSE))
    if who.ends is None:  # each row is one sequence
        y_BTHE = sparse_attention(q_BTHE, k_BSKE, v_BSKE, config=blocks)
        return y_BTHE.transpose(1, 2)
    y_NHE = sparse_attention(
        q_BTHE.flatten(0, 1),
        k_BSKE.flatten(0, 1),
        v_BSKE.flatten(0, 1),
        config=blocks,
        cu_seqlens=who.ends,
    )
    return y_NHE.view(q_BTHE.shape).transpose(1, 2)
