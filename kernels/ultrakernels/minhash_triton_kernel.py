"""The Triton kernel of MinHash, and its launch. Importing this needs triton."""

# ruff: noqa: N803 -- constants of a kernel are in capitals
# mypy: disable-error-code="untyped-decorator, no-untyped-def, no-untyped-call, no-any-return"

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

interpreted: bool = bool(triton.knobs.runtime.interpret)
SHINGLES = 64
PERMUTATIONS = 64
WARPS = 4


@triton.jit
def minima_kernel(
    shingles_ptr, bounds_ptr, a_ptr, b_ptr, out_ptr, n_perm,
    SHINGLES: tl.constexpr, PERMUTATIONS: tl.constexpr,
):  # fmt: skip
    """One document's minima over PERMUTATIONS permutations; all numbers are uint32 in int32's clothes."""
    doc = tl.program_id(0).to(tl.int64)
    k = tl.program_id(1) * PERMUTATIONS + tl.arange(0, PERMUTATIONS)
    real = k < n_perm
    a = tl.load(a_ptr + k, mask=real, other=1).to(tl.uint32, bitcast=True)
    b = tl.load(b_ptr + k, mask=real, other=0).to(tl.uint32, bitcast=True)
    start, stop = tl.load(bounds_ptr + doc), tl.load(bounds_ptr + doc + 1)
    # a minimum per lane, so that lanes are compared with each other only once
    lowest = tl.full([SHINGLES, PERMUTATIONS], 0xFFFFFFFF, tl.uint32)
    for first in range(start, stop, SHINGLES):
        at = first + tl.arange(0, SHINGLES)
        x = tl.load(shingles_ptr + at, mask=at < stop, other=0).to(tl.uint32, bitcast=True)
        value = x[:, None] * a[None, :] + b[None, :]
        value = tl.where((at < stop)[:, None], value, 0xFFFFFFFF)
        lowest = tl.minimum(lowest, value)
    found = tl.min(lowest, axis=0).to(tl.int32, bitcast=True)
    tl.store(out_ptr + doc * n_perm + k, found, mask=real)


def launch(shingles: Tensor, bounds: Tensor, a: Tensor, b: Tensor, out: Tensor) -> None:
    """Fills out int32[n_docs, n_perm]; see `minhash_triton.minima`."""
    n_docs, n_perm = out.shape
    grid = (n_docs, triton.cdiv(n_perm, PERMUTATIONS))
    minima_kernel[grid](
        shingles, bounds, a, b, out, n_perm,
        SHINGLES=SHINGLES, PERMUTATIONS=PERMUTATIONS, num_warps=WARPS,
    )  # fmt: skip
