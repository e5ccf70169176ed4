"""MinHash signatures whose minima are taken on a GPU, bit for bit those of `minhash.signatures`.

Words are divided and hashed on the CPU, as there; what goes to the GPU is 4 bytes a shingle, what comes back
a document's signature. One program takes the minima of a document over some permutations, in
unsigned 32-bit arithmetic, which wraps as the CPU's does. Under TRITON_INTERPRET=1 it runs on the CPU.
"""

from __future__ import annotations

import functools
import importlib.util
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ultrakernels.shingles import text_buffers, tops


@functools.cache
def why_not() -> str | None:
    """Why the kernel cannot run here; None where it can."""
    missing = [name for name in ("torch", "triton") if importlib.util.find_spec(name) is None]
    if missing:
        return f"{missing[0]} is not installed"
    import torch
    import triton

    if triton.knobs.runtime.interpret or torch.cuda.is_available():
        return None
    return "torch finds no CUDA device"


def signatures(
    column: pa.Array, ngram: int, a: NDArray[np.uint32], b: NDArray[np.uint32]
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """(signature uint32[n_docs, n_perm], n_shingles int64[n_docs]) of a string column."""
    offsets, data = text_buffers(column)
    n_docs = len(column)
    found = np.empty((int(offsets[-1] - offsets[0]) + 1) // 2 + n_docs, dtype=np.uint32)
    bounds = np.zeros(n_docs + 1, dtype=np.int64)
    tops(offsets.view(np.uint64), data, ngram, found, bounds[1:])
    return minima(found[: bounds[-1]], bounds, a, b), np.diff(bounds)


def minima(
    shingles: NDArray[np.uint32],
    bounds: NDArray[np.int64],
    a: NDArray[np.uint32],
    b: NDArray[np.uint32],
) -> NDArray[np.uint32]:
    """uint32[n_docs, n_perm]: minima of a * shingle + b modulo 2^32; 2^32 - 1 where there is no shingle.

    Document i has the shingles bounds[i] to bounds[i + 1]. RuntimeError where the kernel cannot run.
    """
    import torch

    reason = why_not()
    if reason is not None:
        raise RuntimeError(reason)
    from ultrakernels import minhash_triton_kernel as kernel

    device = "cpu" if kernel.interpreted else "cuda"

    def there(values: NDArray[Any]) -> torch.Tensor:
        bits = values.view(np.int32) if values.dtype == np.uint32 else values
        return torch.from_numpy(np.ascontiguousarray(bits)).to(device)

    out = torch.empty((len(bounds) - 1, len(a)), dtype=torch.int32, device=device)
    if out.numel():
        kernel.launch(there(shingles), there(bounds), there(a), there(b), out)
    return out.cpu().numpy().view(np.uint32)
