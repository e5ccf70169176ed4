"""The CUDA kernels, run on the CPU by the emulator, against the reference."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from ultrakernels import sparse_attention_cache as caching
from ultrakernels import sparse_attention_library as native
from ultrakernels import sparse_attention_ops as ops
from ultrakernels import sparse_attention_reference as reference
from ultrakernels.sparse_attention import SparseConfig, select_blocks, sparse_attention

torch.set_num_threads(1)
SMALL = SparseConfig(window_size=128, topk=4, dense_len=-1)
BRAIN, HALF = torch.bfloat16, torch.float16
SHAPES = [(1, 64, BRAIN), (3, 128, HALF), (7, 64, HALF), (8, 64, BRAIN), (16, 128, BRAIN)]


def states(
    length: int, *, group: int = 4, kv_heads: int = 2, size: int = 64, dtype: torch.dtype = BRAIN, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    made = torch.Generator().manual_seed(seed)
    heads = (group * kv_heads, kv_heads, kv_heads)
    q, k, v = (torch.randn(length, h, size, generator=made) for h in heads)
    return (q * 1.5).to(dtype), k.to(dtype), v.to(dtype)


def bounds(*lengths: int) -> Tensor:
    return torch.tensor([0, *lengths]).cumsum(0).to(torch.int32)


def one(n_q: int, n_k: int) -> tuple[Tensor, Tensor, Tensor, Tensor, int]:
    """One sequence as operators take it: starts, first row of keys, length, and twice more."""
    length = torch.tensor([n_k], dtype=torch.int32)
    return bounds(n_q), torch.tensor([0]), length, length, n_q


def assert_choice(lists: Tensor, scores: Tensor, at: Tensor, config: SparseConfig) -> None:
    """The lists are those of the definition, but for scores that differ by rounding alone."""
    expected = reference.choose(scores, at, config)
    assert lists.shape == expected.shape and lists.dtype == torch.int32
    different = (lists != expected).any(-1).nonzero().tolist()
    assert len(different) <= 0.02 * lists.shape[0] * lists.shape[1]
    for head, row in different:
        mine, other = (set(x[head, row].tolist()) - {-1} for x in (lists, expected))
        assert lists[head, row].tolist() == sorted(mine) and len(mine) == len(other)
        values = scores[head, row, sorted(mine ^ other)]
        torch.testing.assert_close(values, values.mean().expand_as(values), rtol=1e-4, atol=0)


@pytest.mark.parametrize("dtype", [BRAIN, HALF])
def test_compression_has_the_bits_of_the_reference(kernels: native.Library, dtype: torch.dtype) -> None:  # fmt: skip
    lengths = (31, 32, 200, 0, 47, 128, 191, 1, 333)
    k = states(sum(lengths), dtype=dtype)[1]
    ends = bounds(*lengths)
    status = ops.new_status(k.device)
    fine, coarse = ops.compress(k, ends, ends[:-1].long(), ends.diff(), 333, status)
    for start, length in zip(ends.tolist(), lengths, strict=False):
        mine = k[start : start + length]
        for means, size, stride in ((fine, 32, 16), (coarse, 128, 64)):
            expected = reference.compress(mine, size, stride, 16)
            assert torch.equal(means[start // stride :][: len(expected)], expected)
    assert status.item() == 0


@pytest.mark.parametrize(("group", "size", "dtype"), SHAPES)
@pytest.mark.parametrize("exact", [False, True])
def test_the_choice_is_that_of_the_reference(
    kernels: native.Library, group: int, size: int, dtype: torch.dtype, exact: bool
) -> None:
    config = replace(SMALL, exact_lse=exact)
    q, k, _ = states(600, group=group, size=size, dtype=dtype)
    q = q[-200:]
    fine, coarse = reference.compress(k, 32, 16, 16), reference.compress(k, 128, 64, 16)
    at, scale = torch.arange(400, 600), size**-0.5
    status = ops.new_status(q.device)
    lists = ops.select(q, fine, coarse, *one(200, 600), 0, ops.numbers(config), scale, status)
    scores = reference.block_scores(q, fine, coarse, at, config=config, scale=scale)
    assert_choice(lists, scores, at, config)
    assert status.item() == 0


@pytest.mark.parametrize(("group", "length", "topk"), [(1, 12_000, 64), (16, 70_000, 8), (2, 9_000, 2)])  # fmt: skip
def test_long_sequences_keep_the_best_of_many_rounds(
    kernels: native.Library, group: int, length: int, topk: int
) -> None:
    config = replace(SMALL, topk=topk)
    made = torch.Generator().manual_seed(3)
    fine = torch.randn(length // 16 - 1, 1, 64, generator=made).to(BRAIN)
    coarse = torch.randn(length // 64 - 1, 1, 64, generator=made).to(BRAIN) * 0.5
    q = torch.randn(5, group, 64, generator=made).to(BRAIN) * 3
    at = torch.arange(length - 5, length)
    scores = reference.block_scores(q, fine, coarse, at, config=config, scale=0.125)
    status = ops.new_status(q.device)
    lists = ops.select(q, fine, coarse, *one(5, length), 0, ops.numbers(config), 0.125, status)
    assert_choice(lists, scores, at, config)


def test_of_equal_scores_the_lower_block_wins(kernels: native.Library) -> None:
    q, k, v = states(1500, group=16, kv_heads=1)
    k[:] = k[0]
    chosen = select_blocks(q, k, config=SMALL)
    assert chosen[0, -1].tolist() == [0, 1, 2, 21, 22, 23]
    ends = (*one(6, 1500), 0, ops.numbers(SMALL), 0.125, ops.new_status(q.device))
    fine, coarse = reference.compress(k, 32, 16, 16), reference.compress(k, 128, 64, 16)
    assert torch.equal(ops.select(q[-6:], fine, coarse, *ends), chosen[:, -6:])
    counters = torch.zeros(12, dtype=torch.int32)
    _, _, lists = ops.decode(q[-6:], k, v, fine, coarse, counters, *one(6, 1500), 24, 3, *ends[-3:])
    assert torch.equal(lists, chosen[:, -6:])


@pytest.mark.parametrize("portable", [False, True])
@pytest.mark.parametrize(("group", "size", "dtype"), SHAPES)
def test_attention_is_as_near_as_dense_attention(
    kernels: native.Library,
    monkeypatch: pytest.MonkeyPatch,
    group: int,
    size: int,
    dtype: torch.dtype,
    portable: bool,
) -> None:
    """By the products of single warps, and by Hopper's of four warps."""
    monkeypatch.setattr(ops, "portable", portable)
    q, k, v = states(470, group=group, size=size, dtype=dtype)
    q = q[-100:]
    at, scale = torch.arange(370, 470), size**-0.5
    lists = select_blocks(q, k, config=SMALL)
    truth, true_lse = reference.attend(
        q.double(), k.double(), v.double(), chosen=lists, at=at, block=64, scale=scale
    )
    out, lse = ops.attend(q, k, v, lists, *one(100, 470), 0, ops.numbers(SMALL), scale)
    assert out.dtype == dtype and lse.dtype == torch.float32
    torch.testing.assert_close(lse.double(), true_lse, rtol=0, atol=1e-4)
    seen = (torch.arange(470) <= at[:, None]) & reference._listed(lists, 470, 64)
    parts = (x.transpose(0, 1)[None] for x in (q, k, v))
    mask = seen.repeat_interleave(group, 0)[None]
    dense = functional.scaled_dot_product_attention(*parts, attn_mask=mask, enable_gqa=True)
    baseline = (dense[0].transpose(0, 1).double() - truth).abs().max()
    error = (out.double() - truth).abs().max()
    assert error <= 2 * baseline and error < 1e-2


@pytest.mark.parametrize("splits", [1, 3, 16])
@pytest.mark.parametrize(("group", "size", "dtype"), SHAPES)
def test_decoding_is_the_last_rows_of_the_prompt(
    kernels: native.Library, splits: int, group: int, size: int, dtype: torch.dtype
) -> None:
    q, k, v = states(3000, group=group, size=size, dtype=dtype)
    q = q[-3:]
    at, scale = torch.arange(2997, 3000), size**-0.5
    fine, coarse = reference.compress(k, 32, 16, 16), reference.compress(k, 128, 64, 16)
    counters = torch.zeros(12, dtype=torch.int32)
    status = ops.new_status(q.device)
    out, lse, lists = ops.decode(
        q, k, v, fine, coarse, counters, *one(3, 3000), 47, splits, ops.numbers(SMALL), scale, status
    )  # fmt: skip
    scores = reference.block_scores(q, fine, coarse, at, config=SMALL, scale=scale)
    assert_choice(lists, scores, at, SMALL)
    expected = reference.attend(q, k, v, chosen=lists, at=at, block=64, scale=scale)
    torch.testing.assert_close(out, expected[0], rtol=0, atol=8e-3)
    torch.testing.assert_close(lse, expected[1], rtol=0, atol=1e-4)
    assert not counters.any() and status.item() == 0  # ready for the next replay


def test_packed_sequences_dense_and_sparse(
    library: native.Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths = (0, 1, 500, 31, 640, 0, 449)
    config = replace(SMALL, dense_len=480)
    q, k, v = states(sum(lengths), group=8, kv_heads=1)
    expected = sparse_attention(q, k, v, config=config, cu_seqlens=bounds(*lengths))
    monkeypatch.setattr(ops, "emulator", library)
    out = sparse_attention(q, k, v, config=config, cu_seqlens=bounds(*lengths))
    torch.testing.assert_close(out, expected, rtol=0, atol=1.6e-2)
    # a slice of wider states: strides that are not those of packed tensors
    wide = torch.cat([q, k, v], 1)
    q, k, v = wide[:, :8], wide[:, 8:9], wide[:, 9:]
    assert not q.is_contiguous()
    assert torch.equal(sparse_attention(q, k, v, config=config, cu_seqlens=bounds(*lengths)), out)


def test_chunks_of_a_prompt_are_the_prompt(kernels: native.Library) -> None:
    q, k, v = states(600, group=16, kv_heads=1)
    config = replace(SMALL, dense_len=550)
    whole = sparse_attention(q[None], k[None], v[None], config=config)[0]
    for start, end in ((0, 70), (70, 400), (400, 599), (599, 600)):
        chunk = sparse_attention(
            q[None, start:end], k[None, :end], v[None, :end], config=config, decide_lens=[600]
        )
        torch.testing.assert_close(chunk[0], whole[start:end], rtol=0, atol=8e-3)


@pytest.mark.parametrize("size", [64, 128])
def test_a_cache_filled_in_any_steps_is_the_prompt(
    library: native.Library, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """Prompts of different lengths in chunks, then tokens one and three at a time, with RoPE."""
    config = replace(SMALL, dense_len=300)
    steps = [(400, 130, 90), (33, 0, 200), (1, 1, 1), (3, 2, 0), (0, 1, 8), (1, 1, 1)]
    lengths = [sum(step[s] for step in steps) for s in range(3)]
    whole = [states(n, group=8, kv_heads=2, size=size, seed=n) for n in lengths]
    angles = torch.arange(512)[:, None] * 10_000 ** -(torch.arange(size // 2) / (size // 2))
    rotation = (angles.cos(), angles.sin())

    def run() -> tuple[caching.LayerCache, list[Tensor]]:
        cache = caching.new_cache(3, 450, 2, size, config=config)
        seen, outs = [0, 0, 0], []
        decide = torch.tensor(lengths, dtype=torch.int32)
        for step in steps:
            parts = [[x[a : a + n] for x in xs] for xs, a, n in zip(whole, seen, step, strict=True)]
            seen = [a + n for a, n in zip(seen, step, strict=True)]
            q, k, v = (torch.cat(x) for x in zip(*parts, strict=True))
            outs.append(
                caching.attend_cached(
                    q, k, v, cache, torch.tensor(seen, dtype=torch.int32),
                    config=config, cu_seqlens=bounds(*step), longest_q=max(step),
                    decide_lens=decide, rotation=rotation,
                )
            )  # fmt: skip
            cache.check()
        return cache, outs

    expected, expected_outs = run()
    monkeypatch.setattr(ops, "emulator", library)
    cache, outs = run()
    for s, n in enumerate(lengths):
        for name, rows in (("k", n), ("v", n), ("fine", n // 16 - 1), ("coarse", n // 64 - 1)):
            mine, other = (getattr(x, name)[s, :rows] for x in (cache, expected))
            assert torch.equal(mine, other), name
        assert torch.equal(
            cache.fine[s, : n // 16 - 1], reference.compress(cache.k[s, :n], 32, 16, 16)
        )
        assert torch.equal(cache.coarse[s, : n // 64 - 1], reference.compress(cache.k[s, :n], 128, 64, 16))  # fmt: skip
    for out, other in zip(outs, expected_outs, strict=True):
        torch.testing.assert_close(out, other, rtol=0, atol=1.6e-2)
    # and both are the prompts in one go
    for s, (q, k, v) in enumerate(whole):
        at = torch.arange(len(q))
        turned = [caching.rotate(x, at, rotation) for x in (q, k)]
        once = sparse_attention(*turned, v, config=config)
        rows = [sum(step[:s]) for step in steps]
        mine = torch.cat([o[r : r + step[s]] for o, r, step in zip(outs, rows, steps, strict=True)])
        torch.testing.assert_close(mine, once, rtol=0, atol=1.6e-2)


def test_results_do_not_depend_on_the_order_of_threads(kernels: native.Library) -> None:
    q, k, v = states(450, group=16, kv_heads=1)
    fine, coarse = reference.compress(k, 32, 16, 16), reference.compress(k, 128, 64, 16)
    found = []
    for seed in range(4):
        kernels.shuffle(seed)
        status = ops.new_status(q.device)
        rest = (*one(40, 450), 0, ops.numbers(SMALL), 0.125)
        lists = ops.select(q[-40:], fine, coarse, *rest, status)
        out, lse = ops.attend(q[-40:], k, v, lists, *rest)
        counters = torch.zeros(16, dtype=torch.int32)
        decoded = ops.decode(
            q[-8:], k, v, fine, coarse, counters, *one(8, 450), 8, 2, *rest[-2:], status
        )
        found.append((lists, out, lse, *decoded))
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_operators_keep_to_what_torch_asks_of_them(kernels: native.Library) -> None:
    """Schemas, fakes, autograd, and tracing as torch.compile does it."""
    q, k, v = states(450, group=2, kv_heads=1)
    q = q[-10:]
    fine, coarse = reference.compress(k, 32, 16, 16), reference.compress(k, 128, 64, 16)
    status = ops.new_status(q.device)
    lists = select_blocks(q, k, config=SMALL)
    rest = (*one(10, 450), 0, ops.numbers(SMALL), 0.125)
    whole = (bounds(450), torch.tensor([0]), torch.tensor([450], dtype=torch.int32), 450)
    torch.library.opcheck(ops.compress, (k, *whole, status))
    torch.library.opcheck(ops.select, (q, fine, coarse, *rest, status))
    leaves = [x.clone().requires_grad_() for x in (q, k, v)]
    torch.library.opcheck(ops.attend, (*leaves, lists, *rest))
    counters = torch.zeros(20, dtype=torch.int32)
    one_more = (q, k, v, fine, coarse, counters, *one(10, 450), 8, 2, *rest[-2:], status)
    torch.library.opcheck(ops.decode, one_more)
    cache = caching.new_cache(1, 64, 1, 64, config=SMALL)
    flat = [x.flatten(0, 1) for x in (cache.k, cache.v, cache.fine, cache.coarse)]
    new = (q, k[:10], v[:10], None, None, *flat, *one(10, 10)[:3], 10, 64, status)
    torch.library.opcheck(ops.append, new)


def test_a_compiled_model_is_one_graph(kernels: native.Library) -> None:
    def layer(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return sparse_attention(q, k, v, config=SMALL) * 2

    batch = [torch.stack([x, x.flip(0)]).requires_grad_() for x in states(450, kv_heads=1)]
    expected = layer(*batch)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)(*batch)
    assert torch.equal(compiled, expected)
    d_out = torch.randn_like(expected)
    grads = [torch.autograd.grad(out, batch, d_out) for out in (compiled, expected)]
    assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))


def test_gradients_are_those_of_the_reference(
    library: native.Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, lengths = replace(SMALL, dense_len=100), (450, 80)
    q, k, v = (x.requires_grad_() for x in states(530, group=2, kv_heads=1))
    grads = []
    for emulator in (None, library):
        monkeypatch.setattr(ops, "emulator", emulator)
        out = sparse_attention(q, k, v, config=config, cu_seqlens=bounds(*lengths))
        grads.append(torch.autograd.grad(out.float().square().sum(), (q, k, v)))
    for mine, other in zip(grads[1], grads[0], strict=True):
        torch.testing.assert_close(mine, other, rtol=2e-2, atol=6e-2)


def test_what_kernels_meet_is_reported(kernels: native.Library) -> None:
    q, k, v = states(450)
    bad = q.clone()
    bad[449, 1, 3] = torch.nan
    with pytest.raises(ValueError, match="q, k: got NaN or inf in the scores, needs numbers"):
        sparse_attention(bad, k, v, config=SMALL)
    bad_k = k.clone()
    bad_k[449, 0, 5] = torch.inf
    with pytest.raises(ValueError, match=r"k: got 1 NaN or inf, first at \[\[449, 0, 5\]\]"):
        sparse_attention(q, bad_k, v, config=SMALL)
    cache = caching.new_cache(1, 64, 2, 64, config=SMALL)
    before = cache.k.clone()
    few = {"config": SMALL, "cu_seqlens": bounds(3), "longest_q": 3}
    length = torch.tensor([66], dtype=torch.int32)
    caching.attend_cached(q[:3], k[:3], v[:3], cache, length, **few)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="cache: got more keys than it has room for"):
        cache.check()
    assert torch.equal(cache.k, before)
    cache.check()  # said once
    caching.attend_cached(bad[-3:], k[:3], v[:3], cache, length - 63, **few)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="NaN or inf"):
        cache.check()


def test_the_reference_cache_refuses_the_same() -> None:
    q, k, v = states(70)
    cache = caching.new_cache(1, 64, 2, 64, config=SMALL)
    with pytest.raises(ValueError, match="cache: got 66 keys in sequence 0, needs 64 or fewer"):
        caching.attend_cached(
            q[:3], k[:3], v[:3], cache, torch.tensor([66], dtype=torch.int32),
            config=SMALL, cu_seqlens=bounds(3), longest_q=3,
        )  # fmt: skip
    with pytest.raises(ValueError, match=r"lengths: got torch.int64, needs torch.int32"):
        caching.attend_cached(
            q[:3], k[:3], v[:3], cache, torch.tensor([3]),
            config=SMALL, cu_seqlens=bounds(3), longest_q=3,
        )  # fmt: skip
    with pytest.raises(ValueError, match="longest: got 0, needs 1 or more"):
        caching.new_cache(1, 0, 2, 64, config=SMALL)


def test_states_that_kernels_cannot_read_are_named(kernels: native.Library) -> None:
    q, k, v = states(450)
    turned = v.transpose(1, 2).contiguous().transpose(1, 2)
    with pytest.raises(ValueError, match=r"v: got strides \(128, 1, 2\), needs 1 within a head"):
        sparse_attention(q, k, turned, config=SMALL)
    shifted = torch.empty(k.numel() + 1, dtype=BRAIN)[1:].view(k.shape).copy_(k)
    with pytest.raises(ValueError, match="new_k: got a start off its alignment"):
        sparse_attention(q, shifted, v, config=SMALL)


def test_a_library_of_other_sources_is_refused(library: native.Library) -> None:
    class Other(native.Problem):
        _fields_ = [("more", native.ctypes.c_int64)]  # noqa: RUF012

    with pytest.raises(
        RuntimeError, match="'attend' did not start: the library was built from oth"
    ):
        library.run("attend", Other())
    with pytest.raises(RuntimeError, match="the head size is neither 64 nor 128"):
        library.run("attend", native.Problem(kind=1, size=80))


@pytest.mark.parametrize(
    ("size", "dtype", "config", "reason"),
    [
        (64, BRAIN, SMALL, "the tensors are on the CPU"),
        (80, BRAIN, SMALL, "heads of 64 or 128 numbers, and these have 80"),
        (64, torch.float32, SMALL, "float16 and bfloat16, and the tensors are torch.float32"),
        (64, BRAIN, SparseConfig(block_size=32, dense_len=-1), "windows of 32 keys every 16"),
        (64, BRAIN, SparseConfig(topk=4096, dense_len=-1), "lists of 4128 blocks need"),
    ],
)
def test_the_reference_runs_and_says_why_once(
    library: native.Library,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    size: int,
    dtype: torch.dtype,
    config: SparseConfig,
    reason: str,
) -> None:
    if "CPU" not in reason:
        monkeypatch.setattr(ops, "emulator", library)
    ops.say_once.cache_clear()
    q, k, v = states(100, size=size, dtype=dtype)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert sparse_attention(q, k, v, config=config).shape == q.shape
    assert len(caplog.records) == 1 and reason in caplog.text


def test_without_a_gpu_the_reason_is_known() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    assert ops.why_not_cuda() == "torch finds no CUDA device"
