"""MinHash signatures of word n-grams, and band keys.

The fast family: a shingle's 64-bit hash is mixed and cut to 32 bits x, and permutation k maps it to
a[k] * x + b[k] modulo 2^32 with odd a[k] (a bijection of uint32, one multiplication in eight lanes).
`mersenne_signatures` has datatrove's and datasketch's arithmetic, 64 bits modulo 2^61 - 1.
"""

from __future__ import annotations

import itertools
from typing import Final

import numba
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ultrakernels.shingles import minima, mix, text_buffers
from ultrakernels.shingles import reference as reference_shingles

MERSENNE: Final = np.uint64((1 << 61) - 1)
_STEP: Final = np.uint64(0x9E3779B97F4A7C15)
_BLOCK: Final = 512  # shingles that stay in cache while all permutations pass over them


def parameters(seed: int, n_perm: int) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """(a, b): uint32[n_perm] each, a odd, from SplitMix64 so that they never depend on numpy's version."""
    state = np.uint64(seed % 2**64)
    with np.errstate(over="ignore"):
        drawn = [int(mix(state + _STEP * np.uint64(i))) for i in range(1, n_perm + 1)]
    values = np.array(drawn, dtype=np.uint64)
    a = (values >> np.uint64(32)).astype(np.uint32) | np.uint32(1)
    return a, (values & np.uint64(0xFFFFFFFF)).astype(np.uint32)


def signatures(
    column: pa.Array, ngram: int, a: NDArray[np.uint32], b: NDArray[np.uint32]
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """(signature uint32[n_docs, n_perm], n_shingles int64[n_docs]) of a string column.

    A document of fewer than `ngram` words has no shingle, and 2^32 - 1 throughout.
    """
    offsets, data = text_buffers(column)
    out = np.full((len(column), len(a)), 0xFFFFFFFF, dtype=np.uint32)
    n_shingles = np.zeros(len(column), dtype=np.int64)
    minima(offsets.view(np.uint64), data, ngram, a, b, out, n_shingles)
    return out, n_shingles


def reference(
    column: pa.Array, ngram: int, a: NDArray[np.uint32], b: NDArray[np.uint32]
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """`signatures`, from Python strings and numpy."""
    out = np.full((len(column), len(a)), 0xFFFFFFFF, dtype=np.uint32)
    n_shingles = np.zeros(len(column), dtype=np.int64)
    for row, text in enumerate(column.to_pylist()):
        found = np.array(reference_shingles(text or "", ngram), dtype=np.uint64)
        n_shingles[row] = len(found)
        if len(found):
            x = (found >> np.uint64(32)).astype(np.uint32)
            out[row] = (x[:, None] * a[None] + b[None]).min(axis=0)
    return out, n_shingles


def band_keys(
    signature: NDArray[np.uint32], bands: int, rows: int, seed: int
) -> NDArray[np.uint64]:
    """A 64-bit hash of each band's rows and number: uint64[n_docs, bands].

    Two bands that differ share a key by chance with probability 2^-64: among 10^9 documents of 14
    bands some five false candidates are expected, which one cluster of web text far outweighs.
    """
    keys = np.empty((len(signature), bands), dtype=np.uint64)
    with np.errstate(over="ignore"):
        for band in range(bands):
            h = np.full(len(signature), np.uint64(seed % 2**64) + np.uint64(band + 1) * _STEP)
            for row in range(rows):
                h = _mix_array(h ^ signature[:, band * rows + row].astype(np.uint64)) + _STEP
            keys[:, band] = h
    return keys


def signature_bytes(signature: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """A byte per permutation, uint8[n_docs, n_perm]: b-bit minwise hashing (Li, König 2010), b = 8."""
    return (_mix_array(signature.astype(np.uint64)) >> np.uint64(56)).astype(np.uint8)


def similarity(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Jaccard similarity estimated from two documents' `signature_bytes`, float64[n_pairs], 0 to 1."""
    same = (left == right).mean(axis=1)
    chance = 1 / 256  # bytes of different minima agree that often
    estimated: NDArray[np.float64] = np.maximum((same - chance) / (1 - chance), 0.0)
    return estimated


def _mix_array(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


# --- datatrove's arithmetic ----------------------------------------------------------------------


def mersenne_parameters(seed: int, n_perm: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """(a, b): uint64[n_perm] as datatrove draws them."""
    generator = np.random.RandomState(seed)
    return (
        generator.randint(1, MERSENNE, dtype=np.uint64, size=n_perm),
        generator.randint(0, MERSENNE, dtype=np.uint64, size=n_perm),
    )


def mersenne_reference(
    shingles: NDArray[np.uint64],
    offsets: NDArray[np.int64],
    a: NDArray[np.uint64],
    b: NDArray[np.uint64],
) -> NDArray[np.uint64]:
    """`mersenne_signatures` in numpy."""
    out = np.full((len(offsets) - 1, len(a)), 2**64 - 1, dtype=np.uint64)
    for doc, (start, stop) in enumerate(itertools.pairwise(offsets)):
        if stop > start:
            out[doc] = ((shingles[start:stop, None] * a + b) % MERSENNE).min(axis=0)
    return out


@numba.njit(cache=True, nogil=True)
def mersenne_signatures(
    shingles: NDArray[np.uint64],
    offsets: NDArray[np.int64],
    a: NDArray[np.uint64],
    b: NDArray[np.uint64],
) -> NDArray[np.uint64]:
    """uint64[n_docs, n_perm]: minima of (a x + b mod 2^64) mod 2^61 - 1, in that order of moduli.

    Document i has shingles offsets[i] to offsets[i + 1]; 2^64 - 1 throughout if it has none.
    """
    n_docs = len(offsets) - 1
    out = np.full((n_docs, len(a)), np.uint64(0xFFFFFFFFFFFFFFFF))
    for doc in range(n_docs):
        for start in range(offsets[doc], offsets[doc + 1], _BLOCK):
            block = shingles[start : min(start + _BLOCK, offsets[doc + 1])]
            _lower_mersenne(out[doc], block, a, b)
    return out


@numba.njit(cache=True, nogil=True)
def _lower_mersenne(
    signature: NDArray[np.uint64],
    block: NDArray[np.uint64],
    a: NDArray[np.uint64],
    b: NDArray[np.uint64],
) -> None:
    """Takes the minimum over one more block of shingles. The inner loop is what LLVM vectorises."""
    for k in range(len(a)):
        factor = a[k]
        shift = b[k]
        lowest = signature[k]
        for i in range(len(block)):
            value = np.uint64(factor * block[i] + shift)
            value = (value & MERSENNE) + (value >> np.uint64(61))
            # where the value is below the modulus the difference wraps round, and is larger
            lowest = min(lowest, value, value - MERSENNE)
        signature[k] = lowest
