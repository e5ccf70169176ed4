"""The sparse attention reference against loops written from the definition, and its properties."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from ultrakernels import sparse_attention as sparse
from ultrakernels import sparse_attention_reference as reference
from ultrakernels.sparse_attention import SparseConfig, select_blocks, sparse_attention

torch.set_num_threads(1)
# 1 first block, the query's own and 2 before it, 2 others: 6 blocks of 64 in all
SMALL = SparseConfig(window_size=128, topk=4, dense_len=-1)


def random_states(
    length: int, *, heads: int = 4, kv_heads: int = 2, size: int = 16, seed: int = 0, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    made = torch.Generator().manual_seed(seed)
    shapes = [(length, heads, size), (length, kv_heads, size), (length, kv_heads, size)]
    q, k, v = (torch.randn(shape, generator=made, dtype=torch.float64) for shape in shapes)
    return (q * 2).to(dtype), k.to(dtype), v.to(dtype)


def sets(chosen: Tensor) -> list[list[set[int]]]:
    return [[set(row) - {-1} for row in head] for head in chosen.tolist()]


def brute_force(
    q: NDArray[np.float64], k: NDArray[np.float64], config: SparseConfig
) -> list[list[list[int]]]:
    """Section 1 of the definition, one query and one block at a time."""
    length, heads, size = q.shape
    kv_heads = k.shape[1]
    group = heads // kv_heads
    found: list[list[list[int]]] = []
    for head in range(kv_heads):
        rows = []
        for i in range(length):
            worth: dict[int, float] = {}
            for h in range(head * group, (head + 1) * group):
                pools = [(config.coarse_size, config.coarse_stride), (config.kernel_size, config.kernel_stride)]  # fmt: skip
                scores = []
                for window, stride in pools:
                    seen = [j for j in range(length) if stride * j + window - 1 <= i]
                    means = [k[stride * j : stride * j + window, head].mean(0) for j in seen]
                    scores.append([float(q[i, h] @ mean) / math.sqrt(size) for mean in means])
                rough, exact = scores
                total = exact if config.exact_lse else rough
                lse = math.log(sum(map(math.exp, total))) if total else 0.0
                for j, score in enumerate(exact):
                    worth[j] = worth.get(j, 0.0) + math.exp(score - lse)
            own = i // config.block_size
            rank = []
            for b in range(own + 1):
                ratio = config.block_size // config.kernel_stride
                reach = config.kernel_size // config.kernel_stride - 1
                over = range(ratio * b - reach, ratio * (b + 1))
                score = max((worth.get(j, 0.0) for j in over), default=0.0)
                forced = b < config.init_blocks or own - config.local_blocks <= b
                rank.append((not forced, -score, b))
            rows.append(sorted(b for _, _, b in sorted(rank)[: config.list_len]))
        found.append(rows)
    return found


@pytest.mark.parametrize("length", [0, 31, 32, 47, 48, 127, 128, 191, 192])
def test_only_full_windows_are_compressed(length: int) -> None:
    k = torch.randn(length, 2, 8)
    fine, coarse = reference.compress(k, 32, 16, 16), reference.compress(k, 128, 64, 16)
    assert len(fine) == (length // 16 - 1 if length >= 32 else 0)
    assert len(coarse) == (length // 64 - 1 if length >= 128 else 0)
    for j in range(len(fine)):
        torch.testing.assert_close(fine[j], k[16 * j : 16 * j + 32].mean(0))
    for m in range(len(coarse)):
        torch.testing.assert_close(coarse[m], k[64 * m : 64 * m + 128].mean(0))


@pytest.mark.parametrize(("size", "stride"), [(32, 16), (128, 64)])
def test_a_window_is_visible_when_its_last_key_is_not_in_the_future(size: int, stride: int) -> None:
    for i in range(300):
        ends = [stride * j + size - 1 for j in range(40)]
        assert reference.windows(i + 1, size, stride) == sum(end <= i for end in ends)
    seen = reference._visible(torch.arange(300), 40, size, stride)
    counts = [reference.windows(i + 1, size, stride) for i in range(300)]
    assert seen.sum(-1).tolist() == [min(count, 40) for count in counts]


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("window", [0, 128])
def test_the_choice_is_that_of_the_definition(exact: bool, window: int) -> None:
    config = replace(SMALL, exact_lse=exact, window_size=window, topk=3)
    q, k, _ = random_states(467, size=8)
    chosen = select_blocks(q, k, config=config)
    expected = brute_force(q.numpy(), k.numpy(), config)
    assert [[[b for b in row if b >= 0] for row in head] for head in chosen.tolist()] == expected


def test_forced_blocks_are_in_and_nothing_of_the_future_is() -> None:
    q, k, _ = random_states(900)
    chosen = select_blocks(q, k, config=SMALL)
    assert chosen.dtype == torch.int32
    assert chosen.shape == (2, 900, SMALL.list_len)
    for head in chosen.tolist():
        for i, row in enumerate(head):
            blocks = [b for b in row if b >= 0]
            own = i // 64
            assert blocks == sorted(set(blocks)) and row == blocks + [-1] * (6 - len(blocks))
            assert {0, *range(max(0, own - 2), own + 1)} <= set(blocks)
            assert max(blocks) == own and len(blocks) == min(6, own + 1)


def test_the_default_numbers_see_33_local_blocks_and_96_in_all() -> None:
    config = SparseConfig()
    at = torch.tensor([64 * 200 + 5])
    blocks = reference.choose(torch.rand(1, 1, 201), at, config)[0, 0].tolist()
    assert len(blocks) == 96 and blocks[0] == 0 and blocks[-33:] == list(range(168, 201))
    assert min(64 * 168, 64 * 200 + 5 - 2047) == 64 * 168  # the window of 2048 keys is covered


def test_few_blocks_are_dense_attention() -> None:
    q, k, v = random_states(6 * 64)
    out = sparse_attention(q, k, v, config=SMALL)
    torch.testing.assert_close(out, dense(q, k, v))


def dense(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    parts = (x.transpose(0, 1)[None] for x in (q, k, v))
    out = functional.scaled_dot_product_attention(*parts, is_causal=True, enable_gqa=True)
    return out[0].transpose(0, 1)


def test_many_blocks_are_not_dense_attention() -> None:
    q, k, v = random_states(900)
    out, full = sparse_attention(q, k, v, config=SMALL), dense(q, k, v)
    torch.testing.assert_close(out[: 6 * 64], full[: 6 * 64])
    assert ((out - full).abs().amax((1, 2))[7 * 64 :] > 1e-3).float().mean() > 0.9


def test_the_future_changes_nothing() -> None:
    q, k, v = random_states(900)
    out, chosen = sparse_attention(q, k, v, config=SMALL), select_blocks(q, k, config=SMALL)
    for cut in (431, 640, 703, 899):
        other = [x.clone() for x in (q, k, v)]
        for x in other:
            x[cut:] = torch.randn_like(x[cut:]) * 5
        assert torch.equal(select_blocks(*other[:2], config=SMALL)[:, :cut], chosen[:, :cut])
        torch.testing.assert_close(sparse_attention(*other, config=SMALL)[:cut], out[:cut])


def test_a_last_row_alone_is_the_row_of_the_prompt() -> None:
    q, k, v = random_states(760)
    out, chosen = sparse_attention(q, k, v, config=SMALL), select_blocks(q, k, config=SMALL)
    for n in (
        1,
        15,
        127,
        128,
        415,
        511,
        512,
        640,
        759,
        760,
    ):  # L % 16 == 15 is the public kernel's trap
        row = sparse_attention(
            q[n - 1 : n], k[:n], v[:n],
            config=SMALL, cu_seqlens=torch.tensor([0, 1]), cu_seqlens_k=torch.tensor([0, n]),
        )  # fmt: skip
        torch.testing.assert_close(row[0], out[n - 1])
        alone = select_blocks(q[n - 1 : n], k[:n], config=SMALL)
        assert torch.equal(alone[:, 0], chosen[:, n - 1])


@pytest.mark.parametrize("step", [1, 63, 64, 200])
def test_chunks_of_a_prompt_are_the_prompt(step: int) -> None:
    q, k, v = random_states(520)
    config = replace(SMALL, dense_len=500, topk=3)
    whole = sparse_attention(q, k, v, config=config)
    rows = range(0, 520, step) if step > 1 else range(380, 520)
    for start in rows:
        end = min(start + step, 520)
        chunk = sparse_attention(
            q[start:end], k[:end], v[:end], config=config, decide_lens=[520],
            cu_seqlens=torch.tensor([0, end - start]), cu_seqlens_k=torch.tensor([0, end]),
        )  # fmt: skip
        torch.testing.assert_close(chunk, whole[start:end])


def test_packed_sequences_are_the_sequences() -> None:
    lengths = [0, 1, 500, 31, 640, 0, 449]
    config = replace(SMALL, dense_len=480)
    parts = [random_states(n, seed=n) for n in lengths]
    q, k, v = (torch.cat(x) for x in zip(*parts, strict=True))
    bounds = torch.tensor([0, *lengths]).cumsum(0).to(torch.int32)
    out = sparse_attention(q, k, v, config=config, cu_seqlens=bounds)
    alone = [sparse_attention(*part, config=config) for part in parts]
    torch.testing.assert_close(out, torch.cat(alone))


def test_a_batch_is_its_rows() -> None:
    q, k, v = (torch.stack(x) for x in zip(*(random_states(450, seed=s) for s in (1, 2)), strict=True))  # fmt: skip
    out = sparse_attention(q, k, v, config=SMALL)
    for row in range(2):
        torch.testing.assert_close(out[row], sparse_attention(q[row], k[row], v[row], config=SMALL))


@pytest.mark.parametrize("group", [1, 4, 8, 16])
@pytest.mark.parametrize("size", [64, 128])
def test_groups_share_one_choice(group: int, size: int) -> None:
    q, k, v = random_states(520, heads=2 * group, kv_heads=2, size=size, dtype=torch.float32)
    out, chosen = sparse_attention(q, k, v, config=SMALL), select_blocks(q, k, config=SMALL)
    for h in (0, group - 1, group, 2 * group - 1):
        lists = chosen[h // group]
        for i in (100, 450, 519):
            keys = [p for b in lists[i].tolist() if b >= 0 for p in range(64 * b, 64 * b + 64)]
            keys = [p for p in keys if p <= i]
            weights = (k[keys, h // group] @ q[i, h] / math.sqrt(size)).softmax(0)
            expected = weights @ v[keys, h // group]
            torch.testing.assert_close(out[i, h], expected, rtol=1e-4, atol=1e-5)


def test_a_repeated_head_changes_no_choice() -> None:
    q, k, _ = random_states(640)
    twice = q.repeat_interleave(2, 1)
    assert torch.equal(select_blocks(q, k, config=SMALL), select_blocks(twice, k, config=SMALL))


def test_of_equal_scores_the_lower_block_wins() -> None:
    at = torch.tensor([64 * 20])
    scores = torch.zeros(1, 1, 21)
    assert reference.choose(scores, at, SMALL)[0, 0].tolist() == [0, 1, 2, 18, 19, 20]
    scores[0, 0, [3, 9, 10, 11]] = torch.tensor([1.0, 2.0, 2.0, 2.0])
    assert reference.choose(scores, at, SMALL)[0, 0].tolist() == [0, 9, 10, 18, 19, 20]
    scores[0, 0, 15] = torch.inf  # an overflowed score outranks others, and no forced block
    assert reference.choose(scores, at, SMALL)[0, 0].tolist() == [0, 9, 15, 18, 19, 20]
    q, k, _ = random_states(1300)  # equal keys: every window scores the same
    k[:] = k[0]
    assert select_blocks(q, k, config=SMALL)[0, -1].tolist() == [0, 1, 2, 18, 19, 20]


def test_lse_and_the_merge_of_splits_in_any_order() -> None:
    q, k, v = random_states(300)
    at, scale = torch.arange(300), 0.25
    out, lse = reference.attend(q, k, v, chosen=None, at=at, block=64, scale=scale)
    scores = torch.einsum("thd,shd->ths", q, k.repeat_interleave(2, 1)) * scale
    scores = scores.masked_fill(torch.arange(300) > at[:, None, None], -torch.inf)
    torch.testing.assert_close(lse, scores.logsumexp(-1))
    parts = []
    for blocks in ([0], [1, 3], [2, 4]):
        some = torch.tensor(blocks, dtype=torch.int32).expand(2, 300, -1)
        part = reference.attend(q, k, v, chosen=some, at=at, block=64, scale=scale)
        parts.append((part[0].nan_to_num(), part[1]))  # a query may see nothing of a part
    outs, lses = (torch.stack(x) for x in zip(*parts, strict=True))
    for order in ([0, 1, 2], [2, 0, 1]):
        merged = reference.merge(outs[order], lses[order])
        torch.testing.assert_close(merged, (out, lse))
    first = reference.merge(outs[:2], lses[:2])
    nested = [torch.stack([a, b]) for a, b in zip(first, (outs[2], lses[2]), strict=True)]
    torch.testing.assert_close(reference.merge(*nested), (out, lse))


def test_dense_below_dense_len() -> None:
    config = SparseConfig(window_size=128, topk=4, dense_len=8192)
    q, k, v = random_states(8192, heads=1, kv_heads=1, size=8, dtype=torch.float32)
    last = {"cu_seqlens": torch.tensor([0, 1])}
    for length, is_dense in ((8191, True), (8192, False)):
        out = sparse_attention(
            q[length - 1 : length], k[:length], v[:length],
            config=config, cu_seqlens_k=torch.tensor([0, length]), **last,
        )  # fmt: skip
        full = dense(q[:length], k[:length], v[:length])[-1:]
        assert torch.allclose(out, full, atol=1e-5) == is_dense
    assert config.is_dense(8191) and not config.is_dense(8192)
    assert not replace(config, dense_len=-1).is_dense(0)


def test_bfloat16_is_as_near_as_dense_bfloat16() -> None:
    q, k, v = random_states(600, heads=16, kv_heads=1, size=64)
    short = [x.to(torch.bfloat16) for x in (q, k, v)]
    config = replace(SMALL, topk=20)  # all blocks: the choice is no part of this error
    truth = sparse_attention(*(x.double() for x in short), config=config)
    error = (sparse_attention(*short, config=config).double() - truth).abs().max()
    baseline = (dense(*short).double() - truth).abs().max()
    assert error < 1e-2
    assert error <= 2 * baseline


@pytest.mark.parametrize(("smooth", "least"), [(False, 0.98), (True, 0.9)])
def test_coarse_normalisation_chooses_nearly_as_the_exact_one(smooth: bool, least: float) -> None:
    config = SparseConfig(window_size=128, topk=12, dense_len=-1)
    q, k, _ = random_states(4000, heads=8, kv_heads=1, size=32, dtype=torch.float32)
    q = q[-64:]
    if smooth:
        k = functional.avg_pool1d(k[:, 0].T[None], 65, 1, 32, count_include_pad=False)[0].T[:, None] * 6  # fmt: skip
    rough = sets(select_blocks(q, k, config=config))[0]
    exact = sets(select_blocks(q, k, config=replace(config, exact_lse=True)))[0]
    overlap = [len(a & b) / len(b) for a, b in zip(rough, exact, strict=True)]
    assert np.mean(overlap) >= least


def test_gradients_flow_through_the_attention_and_not_through_the_choice() -> None:
    config = SparseConfig(
        kernel_size=4, kernel_stride=2, block_size=4, window_size=4, topk=3, dense_len=-1
    )
    q, k, v = (x.requires_grad_() for x in random_states(26, size=3))
    assert len(select_blocks(q, k, config=config)[0, -1]) == 4  # of 7 blocks
    assert torch.autograd.gradcheck(
        lambda *states: sparse_attention(*states, config=config), (q, k, v), eps=1e-7, atol=1e-5
    )
    blocks = select_blocks(q, k, config=config)[0, -1].tolist()
    sparse_attention(q, k, v, config=config)[-1, 0].sum().backward()
    assert k.grad is not None
    moved = {int(p) // 4 for p in k.grad[:, 0].abs().sum(-1).nonzero()}
    assert moved == set(blocks) and len(moved) < 7


def test_gradients_written_out_are_those_of_autograd() -> None:
    leaves = [x.requires_grad_() for x in random_states(400)]
    chosen = select_blocks(*leaves[:2], config=replace(SMALL, topk=2))
    how = {"at": torch.arange(400), "block": 64, "scale": 0.25}
    for lists in (chosen, None):
        out, _ = reference.attend(*leaves, chosen=lists, **how)  # type: ignore[arg-type]
        d_out = torch.randn_like(out)
        expected = torch.autograd.grad(out, leaves, d_out)
        made = reference.attend_gradients(d_out, *leaves, chosen=lists, **how)  # type: ignore[arg-type]
        torch.testing.assert_close(made, expected)


def test_states_before_rope_can_choose() -> None:
    q, k, v = random_states(640)
    other_q, other_k, _ = random_states(640, seed=5)
    config = replace(SMALL, use_nope=True)
    with pytest.raises(ValueError, match="q_select: got None, needs the states before RoPE"):
        sparse_attention(q, k, v, config=config)
    out = sparse_attention(q, k, v, config=config, q_select=other_q, k_select=other_k)
    chosen = select_blocks(other_q, other_k, config=SMALL)
    at = torch.arange(640)
    expected, _ = reference.attend(q, k, v, chosen=chosen, at=at, block=64, scale=0.25)
    torch.testing.assert_close(out, expected)


def test_configurations_nested_and_flattened() -> None:
    nested = {
        "kernel_size": 32, "kernel_stride": 16, "init_blocks": 1, "block_size": 64,
        "window_size": 2048, "topk": 64, "use_nope": False, "dense_len": 8192,
    }  # fmt: skip
    assert sparse.parse({"hidden_size": 64, "sparse_config": nested}) == SparseConfig()
    flat = {f"sparse_{name}": value for name, value in nested.items()} | {"sparse_topk": 8}
    assert sparse.parse(flat) == SparseConfig(topk=8)
    assert sparse.parse({"hidden_size": 64}) is None
    assert SparseConfig().list_len == 96
    with pytest.raises(ValueError, match=r"sparse_config: got \['top_k'\], needs only"):
        sparse.parse({"sparse_config": nested | {"top_k": 3}})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kernel_size": 24}, r"kernel_size: got 24, needs a multiple of kernel_stride \(16\)"),
        ({"block_size": 40}, r"block_size: got 40, needs a multiple of kernel_stride \(16\)"),
        ({"window_size": 100}, r"window_size: got 100, needs a multiple of block_size \(64\)"),
        ({"topk": 1}, r"topk: got 1, needs more than init_blocks \(1\)"),
        ({"topk": 2.0}, r"topk: got 2.0, needs of type int"),
        ({"dense_len": -2}, r"dense_len: got -2, needs -1"),
    ],
)
def test_wrong_numbers_are_named(change: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SparseConfig(**change)


def wrong_inputs() -> list[tuple[str, dict[str, Tensor | list[int]]]]:
    q, k, v = random_states(100)
    nan = q.clone()
    nan[7, 2, 3] = torch.nan
    huge = q.clone()
    huge[:] = 1e200
    bounds = torch.tensor([0, 40, 100])
    return [
        (r"q: got torch.int64, needs one of", {"q": q.long()}),
        (r"q: got \(100, 64\), needs \[tokens, heads", {"q": q.flatten(1)}),
        (r"q: got 3 heads, needs a multiple of the 2 heads of k", {"q": q[:, :3]}),
        (r"k: got head size 8, needs 16 as q has", {"k": k[..., :8]}),
        (r"v: got \(99, 2, 16\), needs \(100, 2, 16\)", {"v": v[1:]}),
        (r"k: got torch.float32, needs torch.float64", {"k": k.float()}),
        (r"v: got meta, needs cpu", {"v": v.to("meta")}),
        (r"cu_seqlens: got a first bound of 40, needs 0", {"cu_seqlens": bounds[1:]}),
        (r"cu_seqlens: got a last bound of 40, needs 100", {"cu_seqlens": bounds[:2]}),
        (r"cu_seqlens: got \[0, 100, 40\], needs asc", {"cu_seqlens": bounds[[0, 2, 1]]}),
        (r"cu_seqlens: got torch.float32, needs torch.int32", {"cu_seqlens": bounds.float()}),
        (r"cu_seqlens_k: got 2 bounds, needs 3", {"cu_seqlens": bounds, "cu_seqlens_k": bounds[[0, 2]]}),
        (r"cu_seqlens_k: got 30 keys in sequence 0, needs 40", {"cu_seqlens": bounds, "cu_seqlens_k": torch.tensor([0, 30, 100])}),
        (r"decide_lens: got 2 lengths, needs 1", {"decide_lens": [1, 2]}),
        (r"q: got 1 NaN or inf, first at \[\[7, 2, 3\]\], needs numbers", {"q": nan}),
        (r"q, k: got NaN in the scores", {"q": huge, "k": huge[:, :2]}),
    ]  # fmt: skip


@pytest.mark.parametrize(("message", "change"), wrong_inputs())
def test_wrong_inputs_are_named(message: str, change: dict[str, Tensor | list[int]]) -> None:
    q, k, v = random_states(100)
    with pytest.raises(ValueError, match=message):
        sparse_attention(**({"q": q, "k": k, "v": v} | change), config=SMALL)  # type: ignore[arg-type]
