"""MinHash as datasketch has it: its permutations, its bytes, and its search of bands and rows.

The three schemes of datasketch 2: `affine32`, its default, `affine64`, and `legacy`, that of 1.x. A
LeanMinHash is its seed (int64), the number of values (int32, negative with a scheme's code behind it, a
byte), and the values, little-endian. Tested bit for bit against the package, which is not needed here.
"""

from __future__ import annotations

import functools
import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

Scheme = Literal["affine32", "affine64", "legacy"]
_MERSENNE: Final = np.uint64((1 << 61) - 1)
_CODES: Final[dict[int, Scheme]] = {1: "affine32", 2: "affine64"}
_AT_ONCE: Final = 4096  # hashes of a document that are permuted together


@dataclass(frozen=True)
class Lean:
    """One signature: values uint32[n_perm], or uint64 of the scheme affine64."""

    seed: int
    scheme: Scheme
    values: NDArray[Any]

    @property
    def empty(self) -> bool:
        """Whether it is a signature of nothing."""
        highest = np.iinfo(np.uint64 if self.scheme == "affine64" else np.uint32).max
        return bool((self.values == highest).all())


def pack(lean: Lean) -> bytes:
    """What `LeanMinHash.serialize(buffer, byteorder="<")` writes."""
    n_perm = len(lean.values)
    if lean.scheme == "legacy":
        return struct.pack("<qi", lean.seed, n_perm) + lean.values.astype("<u4").tobytes()
    code = next(code for code, scheme in _CODES.items() if scheme == lean.scheme)
    kind = "<u8" if lean.scheme == "affine64" else "<u4"
    return struct.pack("<qiB", lean.seed, -n_perm, code) + lean.values.astype(kind).tobytes()


def unpack(content: bytes) -> Lean:
    """A LeanMinHash from its bytes, little-endian or native; ValueError if they are none."""
    if len(content) < 12:
        raise ValueError(f"{len(content)} bytes are no LeanMinHash")
    seed, n_perm = struct.unpack_from("<qi", content)
    scheme: Scheme = "legacy"
    places = [12]
    if n_perm < 0:
        n_perm = -n_perm
        if len(content) < 13 or content[12] not in _CODES:
            raise ValueError("a LeanMinHash of a scheme that is not known")
        scheme = _CODES[content[12]]
        places = [13, 16]  # the native byte order aligns the values
    kind = np.dtype("<u8" if scheme == "affine64" else "<u4")
    for place in places:
        if n_perm and len(content) == place + n_perm * kind.itemsize:
            return Lean(seed, scheme, np.frombuffer(content, dtype=kind, offset=place))
    raise ValueError(f"{len(content)} bytes are no LeanMinHash of {n_perm} values ({scheme})")


@functools.cache
def parameters(scheme: Scheme, seed: int, n_perm: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """(a, b): [n_perm] as datasketch draws them; numpy's RandomState never changes."""
    draw = np.random.RandomState(seed)
    if scheme == "legacy":
        pairs = [
            (
                draw.randint(1, _MERSENNE, dtype=np.uint64),
                draw.randint(0, _MERSENNE, dtype=np.uint64),
            )
            for _ in range(n_perm)
        ]
        a, b = np.array(pairs, dtype=np.uint64).T
        return a, b
    width, kind = (64, np.uint64) if scheme == "affine64" else (32, np.uint32)
    a = draw.randint(0, 1 << (width - 1), n_perm, dtype=kind) * kind(2) + kind(1)
    return a, draw.randint(0, 1 << width, n_perm, dtype=kind)


def minhash(elements: Iterable[bytes], scheme: Scheme, seed: int, n_perm: int) -> Lean:
    """`MinHash(n_perm, seed, scheme=scheme)` after `update` with each element."""
    a, b = parameters(scheme, seed, n_perm)
    n_bytes = 8 if scheme == "affine64" else 4
    kind = np.dtype("<u8" if scheme == "affine64" else "<u4")
    content = b"".join(hashlib.sha1(element).digest()[:n_bytes] for element in elements)
    hashes = np.unique(np.frombuffer(content, dtype=kind))
    lowest = np.full(n_perm, np.iinfo(kind).max, dtype=kind)
    for start in range(0, len(hashes), _AT_ONCE):
        some = hashes[start : start + _AT_ONCE]
        lowest = np.minimum(lowest, _permuted(some, a, b, scheme).min(axis=0))
    return Lean(seed, scheme, lowest)


def _permuted(
    hashes: NDArray[Any], a: NDArray[Any], b: NDArray[Any], scheme: Scheme
) -> NDArray[Any]:
    if scheme == "legacy":
        wide = (hashes.astype(np.uint64)[:, None] * a + b) % _MERSENNE
        low: NDArray[Any] = (wide & np.uint64(0xFFFFFFFF)).astype(np.uint32)
        return low
    # MurmurHash3's finaliser
    kind, shifts, first, second = (
        (np.uint64, (33, 33, 33), 0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53)
        if scheme == "affine64"
        else (np.uint32, (16, 13, 16), 0x85EBCA6B, 0xC2B2AE35)
    )
    mixed = hashes ^ (hashes >> kind(shifts[0]))
    mixed = mixed * kind(first)
    mixed = mixed ^ (mixed >> kind(shifts[1]))
    mixed = mixed * kind(second)
    mixed = mixed ^ (mixed >> kind(shifts[2]))
    permuted: NDArray[Any] = mixed[:, None] * a + b
    return permuted


@functools.cache
def bands_and_rows(threshold: float, n_perm: int) -> tuple[int, int]:
    """datasketch's search: the least sum of false positives below `threshold` and false negatives above.

    Both are areas under the probability that two documents of a similarity share a band,
    1 - (1 - s^rows)^bands, weighed alike; of equal sums the fewest bands, then the fewest rows.
    """
    nodes, weights = np.polynomial.legendre.leggauss(100)
    below, above = ((nodes + 1) / 2 * threshold, threshold + (nodes + 1) / 2 * (1 - threshold))
    best, lowest = (0, 0), float("inf")
    for bands in range(1, n_perm + 1):
        rows = np.arange(1, n_perm // bands + 1)
        found = 1 - (1 - below[:, None] ** rows) ** bands
        missed = (1 - above[:, None] ** rows) ** bands
        error = threshold / 2 * (weights @ found) + (1 - threshold) / 2 * (weights @ missed)
        place = int(error.argmin())
        if error[place] < lowest:
            lowest, best = float(error[place]), (bands, int(rows[place]))
    return best
