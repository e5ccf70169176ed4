"""Builds, checks and times the attention of MiniCPM4-8B (32 heads, 2 of keys, of 128 numbers).

    python kernels/bench/sparse_attention.py                 # on a GPU: all of it, and a dated report
    python kernels/bench/sparse_attention.py --lengths 16384 --batches 1
    python kernels/bench/sparse_attention.py --emulate       # every row once on a CPU, untimed

What 8 minutes (`--minutes`) have no time for is left out and said so; a failed check does not end the
rest, but the run fails.

Every time is the median of many runs after a warm-up, on the device's own clock, of one layer. Each
result is compared with the reference on a sample of rows before it is timed. Bytes are those that
must be read and written once; the roofline is that of a large copy in the same run.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from ultrakernels import sparse_attention_cache as caching
from ultrakernels import sparse_attention_library as native
from ultrakernels import sparse_attention_ops as ops
from ultrakernels import sparse_attention_reference as reference
from ultrakernels import sparse_attention_triton as in_triton
from ultrakernels.sparse_attention import SparseConfig

HEADS, KV_HEADS, SIZE = 32, 2, 128
CONFIG = SparseConfig(dense_len=-1)
EMULATED = "--emulate" in sys.argv
if EMULATED:  # a choice among few blocks, for short sequences
    HEADS, KV_HEADS = 16, 1
    CONFIG = replace(CONFIG, window_size=128, topk=4)
lines: list[str] = []


def main() -> int:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument(
        "--lengths", type=int, nargs="*", default=[131072, 16384, 65536, 32768, 8192]
    )
    options.add_argument("--batches", type=int, nargs="*", default=[1, 16, 4])
    options.add_argument("--minutes", type=float, default=8.0)
    options.add_argument("--report", type=Path, help="by default reports/DATE-GPU.txt beside this")
    options.add_argument(
        "--emulate", action="store_true", help="check on a CPU; times mean nothing there"
    )
    chosen = options.parse_args()
    started, device = time.monotonic(), torch.device("cpu" if EMULATED else "cuda")
    if EMULATED:
        ops.emulator = native.Library(native.build("g++", native.EMULATOR_FLAGS))
        copied, lengths, batches = 1.0, [640], [2]
    elif (reason := ops.why_not_cuda()) is not None:
        print(f"nothing was measured: {reason}")
        return 1
    else:
        copied, lengths, batches = copy_rate(device), chosen.lengths, chosen.batches
        tell(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {torch.cuda.get_device_name()}, torch {torch.__version__}, "
             f"CUDA {torch.version.cuda}, copies {copied / 1e12:.2f} TB/s, built in {time.monotonic() - started:.0f} s")  # fmt: skip
    work = [(f"prefill {n}", lambda n=n: prefill(states(n, device))) for n in lengths]
    work += [
        (f"decode {n}, batch {b}", lambda n=n, b=b: decode(states(n, device), b, copied))
        for n in lengths
        for b in batches
    ]
    failed = 0
    for name, run in sorted(work, key=lambda x: -max(map(int, re.findall(r"\d{3,}", x[0])))):
        if time.monotonic() - started > 60 * chosen.minutes and not EMULATED:
            tell(f"\n{name}: left out, {chosen.minutes:g} minutes are over")
            continue
        try:
            run()
        except (AssertionError, RuntimeError, ValueError) as error:
            failed += 1
            tell(f"\n{name}: FAILED: {error}")
    if EMULATED:
        tell("every row ran on an emulated GPU; nothing was timed" if not failed else "FAILED")
        return failed
    name = re.sub(r"\W+", "-", torch.cuda.get_device_name())
    beside = Path(__file__).parent / "reports" / f"{datetime.now(UTC):%Y-%m-%d}-{name}.txt"
    report = chosen.report or beside
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text("\n".join(lines) + "\n")
    print(f"written to {report}")
    return failed


def tell(line: str) -> None:
    lines.append(line)
    print(line, flush=True)


def states(length: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Smoothed keys, so that neighbouring queries agree on blocks as in a real model, if less."""
    made = torch.Generator(device).manual_seed(0)
    heads = (HEADS, KV_HEADS, KV_HEADS)
    q, k, v = (torch.randn(length, h, SIZE, generator=made, device=device) for h in heads)
    k = functional.avg_pool1d(k.permute(1, 2, 0), 65, 1, 32, count_include_pad=False) * 6
    return q.bfloat16(), k.permute(2, 0, 1).contiguous().bfloat16(), v.bfloat16()


def sequence(
    n_q: int, length: int, device: torch.device
) -> tuple[Tensor, Tensor, Tensor, Tensor, int]:
    lens = torch.tensor([length], dtype=torch.int32, device=device)
    starts = torch.tensor([0, n_q], dtype=torch.int32, device=device)
    return starts, torch.zeros(1, dtype=torch.int64, device=device), lens, lens, n_q


def check_prefill(qkv: tuple[Tensor, Tensor, Tensor]) -> None:
    q, k, v = qkv
    rows = min(64, len(q))
    lists, out = sparse_prefill(q, k, v)
    at = torch.arange(len(q) - rows, len(q), device=q.device)
    expected = reference.attend(
        q[-rows:], k, v, chosen=lists[:, -rows:], at=at, block=64, scale=SIZE**-0.5
    )
    torch.testing.assert_close(out[-rows:], expected[0], rtol=0, atol=2e-2)
    fine, coarse = reference.compress(k, 32, 16, 16), reference.compress(k, 128, 64, 16)
    scores = reference.block_scores(q[-rows:], fine, coarse, at, config=CONFIG, scale=SIZE**-0.5)
    right = reference.choose(scores, at, CONFIG)
    agree = (right == lists[:, -rows:]).all(-1).float().mean().item()
    if agree < 0.9:
        raise AssertionError(f"only {agree:.0%} of the lists are those of the reference")


def sparse_prefill(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    status, whole = ops.new_status(q.device), sequence(len(q), len(q), q.device)
    numbers = ops.numbers(CONFIG)
    fine, coarse = ops.compress(k, *whole[:3], len(k), status)
    lists = ops.select(q, fine, coarse, *whole, 0, numbers, SIZE**-0.5, status)
    out, _ = ops.attend(q, k, v, lists, *whole, 0, numbers, SIZE**-0.5)
    return lists, out


def prefill(qkv: tuple[Tensor, Tensor, Tensor]) -> None:
    q, k, v = qkv
    length = len(q)
    check_prefill(qkv)
    status, whole = ops.new_status(q.device), sequence(length, length, q.device)
    numbers, scale = ops.numbers(CONFIG), SIZE**-0.5
    fine, coarse = ops.compress(k, *whole[:3], length, status)
    lists = ops.select(q, fine, coarse, *whole, 0, numbers, scale, status)
    union = union_size(lists)
    tell(f"\nprefill of {length} tokens; 4 neighbouring queries see {union:.0f} blocks together")
    say("compress", lambda: ops.compress(k, *whole[:3], length, status))
    say("select", lambda: ops.select(q, fine, coarse, *whole, 0, numbers, scale, status))
    say("attend", lambda: ops.attend(q, k, v, lists, *whole, 0, numbers, scale))
    say("attend, without wgmma", lambda: portably(q, k, v, lists, *whole, 0, numbers, scale))
    say("all three", lambda: sparse_prefill(q, k, v))
    time_triton(qkv, fine, coarse, lists)
    parts = [x.transpose(0, 1)[None] for x in qkv]

    def dense() -> Tensor:
        return functional.scaled_dot_product_attention(*parts, is_causal=True, enable_gqa=True)

    for name, backend in (
        ("flash", SDPBackend.FLASH_ATTENTION),
        ("cuDNN", SDPBackend.CUDNN_ATTENTION),
    ):
        with sdpa_kernel(backend):
            say(f"dense, torch SDPA {name}", dense)
    same = flex(parts, lists)
    if EMULATED:
        theirs, ours = same()[0].transpose(0, 1), sparse_prefill(q, k, v)[1]
        torch.testing.assert_close(theirs, ours, rtol=0, atol=2e-2)
    say("flex_attention, the same mask", same)


def portably(*arguments: Any) -> None:
    """`ops.attend` with the instructions of sm_80 alone."""
    ops.portable = True
    try:
        ops.attend(*arguments)
    finally:
        ops.portable = False


def time_triton(
    qkv: tuple[Tensor, Tensor, Tensor], fine: Tensor, coarse: Tensor, lists: Tensor
) -> None:
    """The second backend, over the same lists; its outputs are compared with the CUDA kernels'."""
    if (reason := in_triton.why_not(qkv[0], CONFIG)) is not None:
        tell(f"  {'Triton':32} not measured: {reason}")
        return
    at, scale = torch.arange(len(qkv[0]), device=lists.device), SIZE**-0.5

    def attend() -> Tensor:
        return in_triton.attend(*qkv, chosen=lists, at=at, block=64, scale=scale)[0]

    torch.testing.assert_close(attend()[-64:], sparse_prefill(*qkv)[1][-64:], rtol=0, atol=2e-2)
    chosen = {"config": CONFIG, "scale": scale}
    say("select, Triton", lambda: in_triton.select(qkv[0], fine, coarse, at, **chosen))
    say("attend, Triton", attend)


def flex(parts: list[Tensor], lists: Tensor) -> Callable[[], Tensor]:
    """flex_attention over the union of the blocks of 128 queries, masked by each query's list."""
    from torch.nn.attention.flex_attention import BlockMask, flex_attention

    heads, length, _ = lists.shape
    n_blocks = (length + 63) // 64
    seen = torch.zeros(heads, length, n_blocks + 1, dtype=torch.bool, device=lists.device)
    seen.scatter_(-1, torch.where(lists < 0, n_blocks, lists).long(), True)
    seen = seen[..., :n_blocks].contiguous()
    tiles = seen.unflatten(1, (-1, 128)).any(2).unflatten(-1, (-1, 2)).any(-1)
    tiles = tiles.repeat_interleave(HEADS // KV_HEADS, 0)[None]
    counts = tiles.sum(-1, dtype=torch.int32)
    order = tiles.int().argsort(dim=-1, descending=True, stable=True).to(torch.int32)

    def mask(_b: Tensor, h: Tensor, row: Tensor, column: Tensor) -> Tensor:
        return seen[h // (HEADS // KV_HEADS), row, column // 64] & (column <= row)

    blocks = BlockMask.from_kv_blocks(counts, order, BLOCK_SIZE=128, mask_mod=mask)
    compiled = flex_attention if EMULATED else torch.compile(flex_attention)
    return lambda: compiled(*parts, block_mask=blocks, enable_gqa=True)


def check_decode(qkv: tuple[Tensor, Tensor, Tensor]) -> None:
    q, k, v = qkv
    length = len(k)
    whole = sequence(1, length, q.device)
    fine, coarse = reference.compress(k, 32, 16, 16), reference.compress(k, 128, 64, 16)
    counters = torch.zeros(2 * KV_HEADS, dtype=torch.int32, device=q.device)
    out, _, lists = ops.decode(
        q[-1:], k, v, fine, coarse, counters, *whole, (length + 63) // 64, caching.SPLITS,
        ops.numbers(CONFIG), SIZE**-0.5, ops.new_status(q.device),
    )  # fmt: skip
    at = torch.tensor([length - 1], device=q.device)
    expected = reference.attend(q[-1:], k, v, chosen=lists, at=at, block=64, scale=SIZE**-0.5)
    torch.testing.assert_close(out, expected[0], rtol=0, atol=2e-2)


def decode(qkv: tuple[Tensor, Tensor, Tensor], batch: int, copied: float) -> None:
    """One step of `batch` sequences, recorded in a CUDA graph: append, choose and attend."""
    length, device = len(qkv[0]), qkv[0].device
    check_decode(qkv)
    cache = caching.new_cache(batch, length, KV_HEADS, SIZE, config=CONFIG, device=device)
    lengths = torch.full((batch,), length - 1, dtype=torch.int32, device=device)
    bounds = torch.arange(batch + 1, dtype=torch.int32, device=device)
    how = {"config": CONFIG, "cu_seqlens": bounds * (length - 1), "longest_q": length - 1}
    fill = [x[:-1].repeat(batch, 1, 1) for x in qkv]
    caching.attend_cached(*fill, cache, lengths, **how)
    lengths += 1
    new = [x[-1:].repeat(batch, 1, 1) for x in qkv]
    step = {"config": CONFIG, "cu_seqlens": bounds, "longest_q": 1}
    tell(f"\ndecoding at {length} tokens, batch {batch}")
    states_read = CONFIG.list_len * 64 * 2 + length // 16 + length // 64
    moved = batch * KV_HEADS * SIZE * 2 * states_read
    floor = moved / copied * 1e6
    say("append, choose and attend", recorded(lambda: caching.attend_cached(*new, cache, lengths, **step)),
        f"{moved / 1e6:.1f} MB, at the rate of a copy {floor:.1f} us")  # fmt: skip
    parts = [new[0][:, :, None], cache.k.transpose(1, 2), cache.v.transpose(1, 2)]
    say(
        "dense, torch SDPA",
        recorded(lambda: functional.scaled_dot_product_attention(*parts, enable_gqa=True)),
    )


def recorded(work: Callable[[], object]) -> Callable[[], object]:
    if EMULATED:
        return work
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        work()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay


def say(name: str, work: Callable[[], object], more: str = "") -> None:
    try:
        if EMULATED:
            work()
            tell(f"  {name:32} ran")
            return
        micros = median_time(work)
    except Exception as error:  # a baseline that this machine lacks is a row, not the end
        tell(f"  {name:32} not measured: {str(error).splitlines()[0]}")
        return
    tell(f"  {name:32} {micros:12.1f} us  {more}")


def median_time(work: Callable[[], object], runs: int = 20) -> float:
    for _ in range(3):
        work()
    spans = []
    for _ in range(runs):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        work()
        end.record()
        end.synchronize()
        spans.append(start.elapsed_time(end) * 1e3)
    return sorted(spans)[runs // 2]


def copy_rate(device: torch.device) -> float:
    """Bytes a second, read and written, of a copy of 1 GiB."""
    source = torch.empty(2**30, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * 2**30 / (median_time(lambda: target.copy_(source)) * 1e-6)


def union_size(lists: Tensor) -> float:
    """How many blocks 4 neighbouring queries see together, on average over the last tiles."""
    some = lists[:, -256:].unflatten(1, (-1, 4)).flatten(2).cpu()
    return (
        sum(len(set(row) - {-1}) for head in some.tolist() for row in head) / some[..., 0].numel()
    )


if __name__ == "__main__":
    sys.exit(main())
