"""Run by test_minhash_triton.py in processes of their own: `interpret` or `compile`."""

from __future__ import annotations

import random
import re
import sys

import numpy as np
import pyarrow as pa
from ultrakernels import minhash, minhash_triton


def interpret() -> None:
    draw = random.Random(4)
    words = ["a", "of", "naïve", "日本", "🙂", "x1", "--", "\n", "Word"]
    texts = [None, "", "one two three four", "one two three four five", "数据" * 40]
    texts += [" ".join(draw.choices(words, k=draw.randrange(300))) for _ in range(20)]
    texts.append(" ".join(str(draw.randrange(10**6)) for _ in range(4103)))  # crosses blocks
    for n_perm, ngram in ((112, 5), (64, 1), (3, 2)):
        a, b = minhash.parameters(9, n_perm)
        for column in (
            pa.array(texts),
            pa.array(texts, pa.large_string())[3:9],
            pa.array([""])[:0],
        ):
            here = minhash_triton.signatures(column, ngram, a, b)
            there = minhash.signatures(column, ngram, a, b)
            assert np.array_equal(here[0], there[0]) and here[0].dtype == np.uint32
            assert np.array_equal(here[1], there[1])
            print("signatures", n_perm, ngram, len(column))
    edges = np.array([0, 1, 2**31 - 1, 2**31, 2**32 - 1], dtype=np.uint32)
    a, b = edges | np.uint32(1), edges[::-1].copy()
    bounds = np.array([0, 0, 1, 5, 5])
    expected = np.full((4, 5), 2**32 - 1, dtype=np.uint64)
    for doc in (1, 2):
        some = edges[bounds[doc] : bounds[doc + 1]].astype(object)
        expected[doc] = [min((int(x) * int(p) + int(q)) % 2**32 for x in some) for p, q in zip(a, b, strict=True)]  # fmt: skip
    assert np.array_equal(minhash_triton.minima(edges, bounds, a, b), expected)
    print("edges")


def compile_for_gpus() -> None:
    """For sm_80 and sm_90, without a GPU: no spills, and no arithmetic wider than it must be."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource
    from ultrakernels import minhash_triton_kernel as kernel

    constants = {"SHINGLES": kernel.SHINGLES, "PERMUTATIONS": kernel.PERMUTATIONS}
    pointers = {"shingles_ptr": "*i32", "bounds_ptr": "*i64", "a_ptr": "*i32", "b_ptr": "*i32"}
    pointers |= {"out_ptr": "*i32"}
    names = kernel.minima_kernel.arg_names
    signature = {n: "constexpr" if n in constants else pointers.get(n, "i32") for n in names}
    for capability in (80, 90):
        source = ASTSource(
            kernel.minima_kernel,
            signature,
            constexprs={(names.index(name),): value for name, value in constants.items()},
        )
        target = GPUTarget("cuda", capability, 32)
        built = triton.compile(source, target=target, options={"num_warps": kernel.WARPS})
        assert not re.search(r"\b(STL|LDL)\b", built.asm["sass"])  # no spills
        unsigned = len(re.findall(r"IMNMX\.U32|VIMNMX\.U32", built.asm["sass"]))
        assert unsigned >= kernel.SHINGLES * kernel.PERMUTATIONS // (32 * kernel.WARPS)
        print("minima_kernel", capability, unsigned, built.metadata.shared)


if __name__ == "__main__":
    {"interpret": interpret, "compile": compile_for_gpus}[sys.argv[1]]()
