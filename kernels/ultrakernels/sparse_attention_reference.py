"""InfLLM v2 sparse attention in plain PyTorch: the oracle, and what runs where no kernel does.

Every function works on one sequence. T queries stand at absolute positions among L keys; Hq query
heads share Hk key heads in groups of G; D is the size of a head. Scores are computed in float32,
or in float64 for float64 inputs. Nothing depends on how long the sequence will become, so a chunk
of a prompt gives the rows of the whole prompt.

Deliberately different from the published kernels: visibility is by absolute position (theirs loses
the newest window at some lengths), scores stay in float32 (theirs are stored in bfloat16, which
ties most rows at the last place), and ties are broken: higher score first, then the lower block.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ultrakernels.sparse_attention_checks import check_numbers
from ultrakernels.sparse_attention_config import SparseConfig

ELEMENTS_AT_ONCE = 2**26  # of a score matrix: 256 MB in float32


def windows(length: int, size: int, stride: int) -> int:
    """How many full windows `length` keys hold; also how many end before position `length`."""
    return max(0, (length - size) // stride + 1)


def compress(k: Tensor, size: int, stride: int, segment: int) -> Tensor:
    """The mean of every full window, k [L, Hk, D] -> [windows, Hk, D].

    Added up in a fixed order, segments of `segment` keys first: the same bits however many windows
    are computed at once, and as the kernel computes them.
    """
    count = windows(len(k), size, stride)
    last = (count - 1) * stride + size if count else 0
    keys = k[:last].to(_compute_type(k)).reshape(last // segment, segment, *k.shape[1:])
    sums = keys[:, 0]
    for i in range(1, segment):
        sums = sums + keys[:, i]
    step = stride // segment
    total = torch.zeros_like(sums[: count * step : step])
    for i in range(size // segment):
        total = total + sums[i : i + count * step : step][:count]
    return (total / size).to(k.dtype)


def block_scores(
    q: Tensor, fine: Tensor, coarse: Tensor, at: Tensor, *, config: SparseConfig, scale: float
) -> Tensor:
    """What each block is worth to each query, summed over the group: [Hk, T, blocks].

    The score of a window is exp(q . mean key - lse), with lse over the coarse windows; so it may
    exceed 1, and only the order of the scores means something. A block scores as the best of the
    windows that overlap it; a window that is not wholly in the past scores 0.
    """
    return pool(window_worths(q, fine, coarse, at, config=config, scale=scale), at, config)


def window_worths(
    q: Tensor, fine: Tensor, coarse: Tensor, at: Tensor, *, config: SparseConfig, scale: float
) -> Tensor:
    """exp(q . mean key - lse) of each window that is wholly in the past, else 0: [Hk, T, windows]."""
    scores = _scores(q, fine, scale)
    visible = _visible(at, len(fine), config.kernel_size, config.kernel_stride)
    if config.exact_lse:
        lse = scores.masked_fill(~visible, -torch.inf).logsumexp(-1, keepdim=True)
    else:
        rough = _scores(q, coarse, scale)
        seen = _visible(at, len(coarse), config.coarse_size, config.coarse_stride)
        lse = rough.masked_fill(~seen, -torch.inf).logsumexp(-1, keepdim=True)
    # A query that sees a fine window and no coarse one has lse -inf. All its blocks are seen.
    worth = (scores - lse.masked_fill(lse == -torch.inf, 0)).exp()
    return worth.masked_fill(~visible, 0).sum(1)


def pool(worth: Tensor, at: Tensor, config: SparseConfig) -> Tensor:
    """The best of the windows that overlap each block: [Hk, T, windows] -> [Hk, T, blocks]."""
    n_blocks = int(at.max()) // config.block_size + 1 if len(at) else 0
    ratio = config.block_size // config.kernel_stride
    before = config.kernel_size // config.kernel_stride - 1  # windows that reach in from the left
    missing = max(0, n_blocks * ratio - worth.shape[-1])
    worth = functional.pad(worth, (before, missing))[..., : before + n_blocks * ratio]
    return worth.unfold(-1, before + ratio, ratio).amax(-1)


def choose(scores: Tensor, at: Tensor, config: SparseConfig) -> Tensor:
    """The blocks that each query sees, ascending, then -1: int32 [Hk, T, list_len]."""
    n_blocks = scores.shape[-1]
    own = (at // config.block_size)[:, None]
    block = torch.arange(n_blocks, device=at.device)
    forced = (block < config.init_blocks) | (block >= own - config.local_blocks)
    rank = torch.where(block > own, 2, torch.where(forced, 0, 1)).expand(scores.shape)
    # Two stable sorts: by score, equal ones staying in the order of blocks; then by rank.
    order = scores.argsort(dim=-1, descending=True, stable=True)
    order = order.gather(-1, rank.gather(-1, order).argsort(dim=-1, stable=True))
    order = order[..., : config.list_len]
    chosen = torch.where(order > own, n_blocks, order).sort(-1).values
    chosen = functional.pad(chosen, (0, config.list_len - chosen.shape[-1]), value=n_blocks)
    return torch.where(chosen == n_blocks, -1, chosen).to(torch.int32)


@torch.no_grad()
def select(
    q: Tensor, fine: Tensor, coarse: Tensor, at: Tensor, *, config: SparseConfig, scale: float
) -> Tensor:
    """`choose` by `block_scores`, some rows at a time. No gradient runs through a choice."""
    chunks = []
    for rows in _rows(len(q), q.shape[1] * max(1, len(fine))):
        scores = block_scores(q[rows], fine, coarse, at[rows], config=config, scale=scale)
        check_numbers(scores.isnan(), q=q, k=fine)
        chunks.append(choose(scores, at[rows], config))
    if not chunks:
        return torch.empty(fine.shape[1], 0, config.list_len, dtype=torch.int32, device=q.device)
    return torch.cat(chunks, 1)


def attend(
    q: Tensor, k: Tensor, v: Tensor, *, chosen: Tensor | None, at: Tensor, block: int, scale: float
) -> tuple[Tensor, Tensor]:
    """One softmax over the keys of the chosen blocks (None: of all blocks) up to each query.

    -> out [T, Hq, D] in the type of q, lse [T, Hq] in the type of the scores.
    """
    outs, lses = [], []
    for rows in _rows(len(q), q.shape[1] * len(k)):
        scores = _seen_scores(q, k, rows, chosen=chosen, at=at, block=block, scale=scale)
        lse = scores.logsumexp(-1)
        weights = (scores - lse[..., None]).exp()
        out = torch.einsum("kgts,skd->tkgd", weights, v[: scores.shape[-1]].to(weights.dtype))
        outs.append(out.flatten(1, 2).to(q.dtype))
        lses.append(lse.flatten(0, 1).T)
    if not outs:
        return torch.empty_like(q), q.new_empty(q.shape[:2], dtype=_compute_type(q))
    return torch.cat(outs), torch.cat(lses)


def attend_all(q: Tensor, k: Tensor, v: Tensor, *, scale: float) -> Tensor:
    """Dense causal attention by torch's own kernels; the queries are the last of the keys."""
    if not len(q):
        return torch.empty_like(q)
    mask = None
    if 1 < len(q) != len(k):
        at = torch.arange(len(k) - len(q), len(k), device=q.device)
        mask = torch.arange(len(k), device=q.device) <= at[:, None]
    out = functional.scaled_dot_product_attention(
        q.transpose(0, 1)[None],
        k.transpose(0, 1)[None],
        v.transpose(0, 1)[None],
        attn_mask=mask,
        is_causal=mask is None and len(q) > 1,
        scale=scale,
        enable_gqa=q.shape[1] != k.shape[1],
    )
    return out[0].transpose(0, 1)


@torch.no_grad()
def attend_gradients(
    d_out: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    chosen: Tensor | None,
    at: Tensor,
    block: int,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of `attend` in q, k and v, written out for where autograd does not run."""
    kind = _compute_type(q)
    d_q = torch.zeros_like(q)
    d_k, d_v = (torch.zeros_like(x, dtype=kind) for x in (k, v))
    for rows in _rows(len(q), q.shape[1] * len(k)):
        scores = _seen_scores(q, k, rows, chosen=chosen, at=at, block=block, scale=scale)
        upto, weights = scores.shape[-1], scores.softmax(-1)
        grouped_q, grouped_d = (_grouped(x[rows], k.shape[1]) for x in (q, d_out))
        d_v[:upto] += torch.einsum("kgts,tkgd->skd", weights, grouped_d)
        d_weights = torch.einsum("tkgd,skd->kgts", grouped_d, v[:upto].to(kind))
        d_scores = weights * (d_weights - (weights * d_weights).sum(-1, keepdim=True)) * scale
        d_q[rows] = (
            torch.einsum("kgts,skd->tkgd", d_scores, k[:upto].to(kind)).flatten(1, 2).to(q.dtype)
        )
        d_k[:upto] += torch.einsum("kgts,tkgd->skd", d_scores, grouped_q)
    return d_q, d_k.to(k.dtype), d_v.to(v.dtype)


def merge(outs: Tensor, lses: Tensor) -> tuple[Tensor, Tensor]:
    """Attention over disjoint sets of keys [parts, ..., D], [parts, ...] as one over all of them."""
    lse = lses.logsumexp(0)
    weights = (lses - lse.masked_fill(lse == -torch.inf, 0)).exp()
    return (weights[..., None].to(outs.dtype) * outs).sum(0), lse


def _seen_scores(
    q: Tensor,
    k: Tensor,
    rows: slice,
    *,
    chosen: Tensor | None,
    at: Tensor,
    block: int,
    scale: float,
) -> Tensor:
    """Scores of some queries, -inf for the keys that they do not see: [Hk, G, T, keys]."""
    upto = int(at[rows].max()) + 1
    seen = (torch.arange(upto, device=q.device) <= at[rows, None])[None]
    if chosen is not None:
        seen = seen & _listed(chosen[:, rows], upto, block)
    return _scores(q[rows], k[:upto], scale).masked_fill(~seen[:, None], -torch.inf)


def _scores(q: Tensor, k: Tensor, scale: float) -> Tensor:
    """q [T, Hq, D] . k [S, Hk, D] -> [Hk, G, T, S]"""
    grouped = _grouped(q, k.shape[1])
    return torch.einsum("tkgd,skd->kgts", grouped, k.to(grouped.dtype)) * scale


def _grouped(x: Tensor, kv_heads: int) -> Tensor:
    """[T, Hq, D] -> [T, Hk, G, D], in the type of the scores."""
    shape = (len(x), kv_heads, x.shape[1] // kv_heads, x.shape[2])
    return x.to(_compute_type(x)).reshape(shape)


def _visible(at: Tensor, n_windows: int, size: int, stride: int) -> Tensor:
    """[T, windows]: the last key of the window is not after the query."""
    ends = torch.arange(n_windows, device=at.device) * stride + size - 1
    return ends <= at[:, None]


def _listed(chosen: Tensor, upto: int, block: int) -> Tensor:
    """[Hk, T, upto]: the key is in a chosen block."""
    n_blocks = (upto + block - 1) // block
    blocks = torch.zeros(*chosen.shape[:2], n_blocks + 1, dtype=torch.bool, device=chosen.device)
    blocks.scatter_(-1, torch.where(chosen < 0, n_blocks, chosen).long(), True)
    return blocks[..., :n_blocks].repeat_interleave(block, -1)[..., :upto]


def _rows(n_rows: int, elements_a_row: int) -> list[slice]:
    step = max(1, ELEMENTS_AT_ONCE // max(1, elements_a_row))
    return [slice(start, min(start + step, n_rows)) for start in range(0, n_rows, step)]


def _compute_type(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32
