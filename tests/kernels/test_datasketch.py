"""datasketch's signatures, bytes and parameters, against the package."""

from __future__ import annotations

import random

import numpy as np
import pytest
from ultrakernels import datasketch as ours

theirs = pytest.importorskip("datasketch")
SCHEMES = ("affine32", "affine64", "legacy")


def made(elements: list[bytes], scheme: str, seed: int, n_perm: int) -> object:
    found = theirs.MinHash(num_perm=n_perm, seed=seed, scheme=scheme)
    for element in elements:
        found.update(element)
    return found


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(("seed", "n_perm"), [(1, 128), (42, 7), (2**31, 256)])
def test_signatures_and_bytes_are_the_packages(scheme: str, seed: int, n_perm: int) -> None:
    draw = random.Random(seed)
    for size in (0, 1, 2, 300, 5000):
        elements = [f"element {draw.randrange(10**6)} 数".encode() for _ in range(size)]
        expected = made(elements, scheme, seed, n_perm)
        mine = ours.minhash(elements, scheme, seed, n_perm)
        assert mine.values.tolist() == expected.hashvalues.tolist()
        assert mine.empty == (size == 0)
        lean = theirs.LeanMinHash(expected)
        for order in ("<", "@"):
            buffer = bytearray(lean.bytesize(order))
            lean.serialize(buffer, order)
            read = ours.unpack(bytes(buffer))
            assert (read.seed, read.scheme, read.values.tolist()) == (seed, scheme, mine.values.tolist())  # fmt: skip
            if order == "<":
                assert ours.pack(mine) == bytes(buffer)
        again = theirs.LeanMinHash.deserialize(ours.pack(mine), "<")
        assert again == lean and again.jaccard(lean) == 1.0


@pytest.mark.parametrize("content", [b"", b"short", b"\0" * 12, b"\0" * 8 + b"\xfe\xff\xff\xff\x09" + b"\0" * 8, b"\0" * 8 + b"\x02\0\0\0" + b"\0" * 7])  # fmt: skip
def test_what_is_no_signature_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="LeanMinHash"):
        ours.unpack(content)


def test_bands_and_rows_are_the_packages() -> None:
    from datasketch.lsh import _optimal_param

    for n_perm in (16, 64, 112, 128):
        for threshold in [*np.round(np.arange(0.1, 1.0, 0.1), 2).tolist(), 0.05, 0.85, 0.95]:
            assert ours.bands_and_rows(threshold, n_perm) == _optimal_param(threshold, n_perm, 0.5, 0.5)  # fmt: skip
