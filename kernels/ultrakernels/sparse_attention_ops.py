"""The CUDA kernels of sparse attention as torch operators, with fakes for torch.compile.

No operator waits for the GPU or reads lengths on the host, so all can be recorded in a CUDA graph.
What goes wrong in a kernel (NaN in scores, a full cache) sets a bit of `status`, which `raise_for`
reads when the caller can afford to wait.
"""

from __future__ import annotations

import functools
import logging
import os
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ultrakernels import sparse_attention_library as native
from ultrakernels import sparse_attention_reference as reference
from ultrakernels.sparse_attention_checks import need
from ultrakernels.sparse_attention_config import SparseConfig

log = logging.getLogger(__name__)
KINDS = {torch.float16: native.HALF, torch.bfloat16: native.BRAIN}
MAX_GROUP = 16
MAX_SPLITS = 64
SMALLEST_SHARED = 99 * 1024  # of what the kernels are built for
EMULATED_SHARED = 227 * 1024  # of an H100 or H200
# On Hopper, too, the kernels that run on any GPU: to compare, or where one suspects the others.
portable = os.environ.get("ULTRAKERNELS_PORTABLE", "") not in ("", "0")
emulator: native.Library | None = None  # tests set it: CPU tensors then run through the kernels


@functools.cache
def why_not_cuda() -> str | None:
    """Why kernels cannot run on this machine's GPU; None where they can."""
    if not torch.cuda.is_available():
        return "torch finds no CUDA device"
    major, minor = torch.cuda.get_device_capability()
    if major not in (8, 9):
        return f"the kernels are built for sm_80 and sm_90a, and the GPU is sm_{major}{minor}"
    if native.find_nvcc() is None:
        return "there is no nvcc to build the kernels with"
    try:
        _cuda_library()
    except (RuntimeError, OSError) as error:
        return f"the kernels could not be built: {error}"
    return None


def why_not(q: Tensor, kv_heads: int, config: SparseConfig) -> str | None:
    """Why the kernels cannot compute this; None where they can."""
    blocks = tuple(numbers(config))
    windows = (config.kernel_size, config.kernel_stride, config.block_size)
    reason: str | None = _why_not(
        str(q.device), q.dtype, q.shape[-2], kv_heads, q.shape[-1], windows, blocks
    )
    return reason


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _why_not(
    device: str,
    dtype: torch.dtype,
    heads: int,
    kv_heads: int,
    size: int,
    windows: tuple[int, ...],
    blocks: tuple[int, ...],
) -> str | None:
    if device == "cpu" and emulator is None:
        return "the tensors are on the CPU"
    if device != "cpu" and not device.startswith("cuda"):
        return f"the tensors are on {device}"
    if dtype not in KINDS:
        return f"the kernels compute in float16 and bfloat16, and the tensors are {dtype}"
    if size not in (64, 128):
        return f"the kernels take heads of 64 or 128 numbers, and these have {size}"
    if heads // kv_heads > MAX_GROUP:
        return f"the kernels take {MAX_GROUP} query heads a key head, not {heads // kv_heads}"
    if windows != (32, 16, 64):
        return "the kernels take windows of 32 keys every 16, and blocks of 64"
    library, room = emulator, EMULATED_SHARED
    if device != "cpu":
        reason = why_not_cuda()
        if reason is not None:
            return reason
        library = _cuda_library()
        card = torch.cuda.get_device_properties(device)
        room = getattr(card, "shared_memory_per_block_optin", SMALLEST_SHARED)
    problem = native.Problem(
        kind=KINDS[dtype], size=size, heads=heads, kv_heads=kv_heads, splits=MAX_SPLITS,
        **_blocks(list(blocks)),
    )  # fmt: skip
    needed = library.shared_memory(problem) if library else 0
    if needed > room:
        return f"lists of {blocks[2]} blocks need {needed} bytes of shared memory, more than {room}"
    return None


@functools.cache
def say_once(reason: str) -> None:
    log.warning("sparse attention runs as the PyTorch reference: %s", reason)


def may_wait(device: torch.device) -> bool:
    """Whether results may be looked at now: neither torch.compile nor a CUDA graph is recording."""
    if torch.compiler.is_compiling():
        return False
    return device.type != "cuda" or not torch.cuda.is_current_stream_capturing()


def new_status(device: torch.device) -> Tensor:
    return torch.zeros(1, dtype=torch.int32, device=device)


def raise_for(status: Tensor) -> None:
    """Waits for the device; an error if a kernel has met what it cannot compute."""
    bits = int(status.item())
    status.zero_()
    need(not bits & native.CACHE_FULL, "cache", "more keys than it has room for", "a longer cache")
    need(not bits & native.NOT_A_NUMBER, "q, k", "NaN or inf in the scores", "numbers")


@functools.cache
def _cuda_library() -> native.Library:
    nvcc = native.find_nvcc()
    if nvcc is None:
        raise OSError("there is no nvcc")
    return native.Library(native.build(nvcc, native.NVCC_FLAGS))


def _run(name: str, device: torch.device, **fields: Any) -> None:
    """Tensors become pointers, None a null pointer."""
    plain = {k: x.data_ptr() if isinstance(x, Tensor) else x for k, x in fields.items()}
    problem = native.Problem(portable=int(portable), **plain)
    if device.type == "cpu":
        if emulator is None:
            raise RuntimeError("the kernels run on CUDA devices")
        emulator.run(name, problem)
        return
    with torch.cuda.device(device):
        _cuda_library().run(name, problem, torch.cuda.current_stream().cuda_stream)


def _states(**tensors: Tensor) -> dict[str, Any]:
    """Pointers and strides of [rows, heads, size] tensors that the kernels can read."""
    fields: dict[str, Any] = {}
    for name, x in tensors.items():
        fits = x.stride(2) == 1 and x.stride(0) % 8 == x.stride(1) % 8 == 0
        need(fits, name, f"strides {x.stride()}", "1 within a head and multiples of 8 else")
        need(x.data_ptr() % 16 == 0, name, "a start off its alignment", "a multiple of 16 bytes")
        fields |= {name: x, f"{name}_row": x.stride(0), f"{name}_head": x.stride(1)}
    return fields


def _sizes(q: Tensor, kv_heads: int, q_starts: Tensor, longest_q: int) -> dict[str, Any]:
    return {
        "kind": KINDS[q.dtype],
        "size": q.shape[2],
        "heads": q.shape[1],
        "kv_heads": kv_heads,
        "tokens": q.shape[0],
        "sequences": len(q_starts) - 1,
        "longest_q": longest_q,
        "q_starts": q_starts,
    }


def numbers(config: SparseConfig) -> list[int]:
    """A configuration as an operator takes it."""
    return [
        config.init_blocks,
        config.local_blocks,
        config.list_len,
        config.dense_len,
        int(config.exact_lse),
    ]


def _blocks(of: list[int]) -> dict[str, int]:
    names = ("init_blocks", "local_blocks", "list_len", "dense_len", "exact_lse")
    return dict(zip(names, of, strict=True))


@torch.library.custom_op("ultrakernels::sparse_compress", mutates_args=("status",))
def compress(
    k: Tensor, starts: Tensor, k_starts: Tensor, k_lens: Tensor, longest: int, status: Tensor
) -> tuple[Tensor, Tensor]:
    """Means of the full windows of packed keys: rows start / 16 + j and start / 64 + m."""
    fine, coarse = _new_means(k, len(k))
    _run(
        "append", k.device,
        **_states(new_k=k), **_sizes(k, k.shape[1], starts, longest), **_blocks([0, 0, 1, 0, 0]),
        fine=fine, coarse=coarse, k_starts=k_starts, k_lens=k_lens, status=status,
    )  # fmt: skip
    return fine, coarse


@compress.register_fake
def _(k: Tensor, starts: Tensor, k_starts: Tensor, k_lens: Tensor, longest: int, status: Tensor) -> tuple[Tensor, Tensor]:  # fmt: skip
    return _new_means(k, len(k))


def _new_means(k: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    return k.new_zeros(rows // 16 + 1, *k.shape[1:]), k.new_zeros(rows // 64 + 1, *k.shape[1:])


@torch.library.custom_op(
    "ultrakernels::sparse_append", mutates_args=("cache_k", "cache_v", "fine", "coarse", "status")
)
def append(
    q: Tensor,
    new_k: Tensor,
    new_v: Tensor,
    cosines: Tensor | None,
    sines: Tensor | None,
    cache_k: Tensor,
    cache_v: Tensor,
    fine: Tensor,
    coarse: Tensor,
    q_starts: Tensor,
    k_starts: Tensor,
    k_lens: Tensor,
    longest_q: int,
    capacity: int,
    status: Tensor,
) -> Tensor:
    """New keys and values into the cache, rotated and compressed; the rotated queries.

    `k_lens` count the new keys too. Lengths beyond `capacity` are refused in `status`.
    """
    rotated = torch.empty_like(q, memory_format=torch.contiguous_format)
    _run(
        "append", q.device,
        **_states(q=q, k=cache_k, v=cache_v, new_k=new_k, new_v=new_v),
        **_sizes(q, new_k.shape[1], q_starts, longest_q), **_blocks([0, 0, 1, 0, 0]),
        cache_k=cache_k, cache_v=cache_v, q_out=rotated, cosines=cosines, sines=sines,
        fine=fine, coarse=coarse, k_starts=k_starts, k_lens=k_lens, capacity=capacity, status=status,
    )  # fmt: skip
    return rotated


@append.register_fake
def _(q: Tensor, *_rest: Any) -> Tensor:
    return torch.empty_like(q, memory_format=torch.contiguous_format)


@torch.library.custom_op("ultrakernels::sparse_select", mutates_args=("status",))
def select(
    q: Tensor,
    fine: Tensor,
    coarse: Tensor,
    q_starts: Tensor,
    k_starts: Tensor,
    k_lens: Tensor,
    decide_lens: Tensor,
    longest_q: int,
    capacity: int,
    blocks: list[int],
    scale: float,
    status: Tensor,
) -> Tensor:
    """The lists of blocks [Hk, tokens, list_len]; those of dense sequences are left unset."""
    lists = _new_lists(q, fine, blocks)
    _run(
        "select", q.device,
        **_states(q=q), **_sizes(q, fine.shape[1], q_starts, longest_q), **_blocks(blocks),
        fine=fine, coarse=coarse, lists=lists, k_starts=k_starts, k_lens=k_lens,
        decide_lens=decide_lens, capacity=capacity, scale=scale, status=status,
    )  # fmt: skip
    return lists


@select.register_fake
def _(q: Tensor, fine: Tensor, coarse: Tensor, q_starts: Tensor, k_starts: Tensor, k_lens: Tensor, decide_lens: Tensor, longest_q: int, capacity: int, blocks: list[int], scale: float, status: Tensor) -> Tensor:  # fmt: skip
    return _new_lists(q, fine, blocks)


def _new_lists(q: Tensor, fine: Tensor, blocks: list[int]) -> Tensor:
    return q.new_empty(fine.shape[1], len(q), blocks[2], dtype=torch.int32)


@torch.library.custom_op("ultrakernels::sparse_attend", mutates_args=())
def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    lists: Tensor,
    q_starts: Tensor,
    k_starts: Tensor,
    k_lens: Tensor,
    decide_lens: Tensor,
    longest_q: int,
    capacity: int,
    blocks: list[int],
    scale: float,
) -> tuple[Tensor, Tensor]:
    """Attention over the listed blocks, over all of them for dense sequences: out, lse.

    A row whose scores hold NaN has an lse that is no finite number.
    """
    out, lse = _new_out(q)
    _run(
        "attend", q.device,
        **_states(q=q, k=k, v=v), **_sizes(q, k.shape[1], q_starts, longest_q), **_blocks(blocks),
        lists=lists, out=out, lse=lse, k_starts=k_starts, k_lens=k_lens,
        decide_lens=decide_lens, capacity=capacity, scale=scale,
    )  # fmt: skip
    return out, lse


@attend.register_fake
def _(q: Tensor, *_rest: Any) -> tuple[Tensor, Tensor]:
    return _new_out(q)


def _new_out(q: Tensor) -> tuple[Tensor, Tensor]:
    out = torch.empty_like(q, memory_format=torch.contiguous_format)
    return out, q.new_empty(q.shape[:2], dtype=torch.float32)


@torch.library.custom_op("ultrakernels::sparse_attend_backward", mutates_args=())
def attend_backward(
    d_out: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    lists: Tensor,
    q_starts: Tensor,
    k_starts: Tensor,
    k_lens: Tensor,
    decide_lens: Tensor,
    blocks: list[int],
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of `attend`, by the reference: there is no kernel for them yet."""
    d_q, d_k, d_v = torch.zeros_like(q), torch.zeros_like(k), torch.zeros_like(v)
    spans = pairwise(q_starts.tolist())
    rows = zip(spans, k_starts.tolist(), k_lens.tolist(), decide_lens.tolist(), strict=True)
    for (first, end), k_first, length, decide in rows:
        queries, keys = slice(first, end), slice(k_first, k_first + length)
        d_q[queries], d_k[keys], d_v[keys] = reference.attend_gradients(
            d_out[queries],
            q[queries],
            k[keys],
            v[keys],
            chosen=None if decide < blocks[3] else lists[:, queries],
            at=torch.arange(length - (end - first), length, device=q.device),
            block=64,
            scale=scale,
        )
    return d_q, d_k, d_v


@attend_backward.register_fake
def _(d_out: Tensor, q: Tensor, k: Tensor, v: Tensor, *_rest: Any) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    q, k, v, lists, q_starts, k_starts, k_lens, decide_lens, _, _, blocks, scale = inputs
    ctx.save_for_backward(q, k, v, lists, q_starts, k_starts, k_lens, decide_lens)
    ctx.rest = (blocks, scale)


def _backward(ctx: Any, d_out: Tensor, _d_lse: Tensor) -> tuple[Tensor | None, ...]:
    return (*attend_backward(d_out, *ctx.saved_tensors, *ctx.rest), *[None] * 9)


attend.register_autograd(_backward, setup_context=_save)


@torch.library.custom_op("ultrakernels::sparse_decode", mutates_args=("counters", "status"))
def decode(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    fine: Tensor,
    coarse: Tensor,
    counters: Tensor,
    q_starts: Tensor,
    k_starts: Tensor,
    k_lens: Tensor,
    decide_lens: Tensor,
    longest_q: int,
    max_blocks: int,
    splits: int,
    blocks: list[int],
    scale: float,
    status: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Selection and attention of one or a few queries a sequence: out, lse, lists.

    `counters` are zeros, 2 for each token and head of keys, and are zeros again afterwards.
    """
    out, lse = _new_out(q)
    lists = _new_lists(q, fine, blocks)
    kv_heads = k.shape[1]
    parts = (len(q), kv_heads, splits, 16)
    need(counters.numel() >= 2 * len(q) * kv_heads, "counters", counters.numel(), f"{2 * len(q) * kv_heads} or more")  # fmt: skip

    def work(*shape: int) -> Tensor:
        return q.new_empty(shape, dtype=torch.float32)

    _run(
        "decode", q.device,
        **_states(q=q, k=k, v=v), **_sizes(q, kv_heads, q_starts, longest_q), **_blocks(blocks),
        fine=fine, coarse=coarse, lists=lists, out=out, lse=lse,
        k_starts=k_starts, k_lens=k_lens, decide_lens=decide_lens, splits=splits,
        part_sums=work(*parts, 2),
        worths=work(len(q), kv_heads, max_blocks),
        part_outs=work(*parts, q.shape[2]),
        part_lses=work(*parts),
        counters=counters, max_blocks=max_blocks, capacity=64 * max_blocks, scale=scale, status=status,
    )  # fmt: skip
    return out, lse, lists


@decode.register_fake
def _(q: Tensor, k: Tensor, v: Tensor, fine: Tensor, coarse: Tensor, counters: Tensor, q_starts: Tensor, k_starts: Tensor, k_lens: Tensor, decide_lens: Tensor, longest_q: int, max_blocks: int, splits: int, blocks: list[int], scale: float, status: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    return *_new_out(q), _new_lists(q, fine, blocks)
