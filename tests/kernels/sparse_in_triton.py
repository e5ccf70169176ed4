"""Run by test_sparse_triton.py in processes of their own: `interpret` or `compile`.

Triton must know before its first import whether it interprets kernels or compiles them.
"""

from __future__ import annotations

import re
import sys

import torch
from ultrakernels import sparse_attention_reference as reference
from ultrakernels import sparse_attention_triton as in_triton
from ultrakernels.sparse_attention import SparseConfig, sparse_attention
from ultrakernels.sparse_attention_cache import attend_cached, new_cache

CONFIG = SparseConfig(
    kernel_size=16, kernel_stride=8, block_size=16, window_size=32, topk=2, dense_len=-1
)


def interpret() -> None:
    """Prints a line for each comparison; an exception is a failure."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for group, size, dtype in ((4, 32, torch.float32), (3, 16, torch.float16)):
        q = torch.randn(5, 2 * group, size, dtype=dtype)
        k, v = (torch.randn(150, 2, size, dtype=dtype) for _ in range(2))
        at, scale = torch.tensor([9, 40, 100, 148, 149]), size**-0.5
        means = [
            reference.compress(k, *window, CONFIG.kernel_stride)
            for window in (
                (CONFIG.kernel_size, CONFIG.kernel_stride),
                (CONFIG.coarse_size, CONFIG.coarse_stride),
            )
        ]
        for exact in (False, True):
            config = SparseConfig(**{**vars(CONFIG), "exact_lse": exact})
            here, there = (
                module.select(q, *means, at, config=config, scale=scale)
                for module in (in_triton, reference)
            )
            assert torch.equal(here, there)
            print("select", group, dtype, exact)
        for few in (0, 64):  # one pass; split and merged
            in_triton.FEW = few
            mine, theirs = (
                module.attend(q, k, v, chosen=there, at=at, block=16, scale=scale)
                for module in (in_triton, reference)
            )
            near = {"rtol": 1e-5, "atol": 1e-5 if dtype == torch.float32 else 1e-3}
            torch.testing.assert_close(mine[0], theirs[0], **near)
            torch.testing.assert_close(mine[1], theirs[1], rtol=1e-5, atol=1e-5)
            print("attend", group, dtype, few)
    whole_calls()


def whole_calls() -> None:
    """The two functions that a model calls choose Triton by themselves; gradients, a cache."""
    q, k, v = (torch.randn(70, heads, 16, requires_grad=True) for heads in (2, 1, 1))
    out = sparse_attention(q[64:], k, v, config=CONFIG, cu_seqlens=_ends(6), cu_seqlens_k=_ends(70))
    chosen = reference.select(
        q[64:],
        *[
            reference.compress(k.detach(), a, b, 8)
            for a, b in ((16, 8), (CONFIG.coarse_size, CONFIG.coarse_stride))
        ],
        torch.arange(64, 70),
        config=CONFIG,
        scale=0.25,
    )
    expected, _ = reference.attend(
        q[64:], k, v, chosen=chosen, at=torch.arange(64, 70), block=16, scale=0.25
    )
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)
    d_out = torch.randn_like(out)
    for mine, theirs in zip(
        torch.autograd.grad(out, (q, k, v), d_out),
        torch.autograd.grad(expected, (q, k, v), d_out),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)
    print("whole")
    cache = new_cache(1, 80, 1, 16, config=CONFIG, dtype=torch.float32)
    rows = [slice(0, 64), slice(64, 67), slice(67, 70)]
    with torch.no_grad():
        in_triton.why_not, kept = (
            (lambda *_: "the prompt is read by the reference"),
            in_triton.why_not,
        )
        parts = []
        for part in rows:
            length = torch.tensor([part.stop], dtype=torch.int32)
            parts.append(
                attend_cached(
                    q[part], k[part], v[part], cache, length,
                    config=CONFIG, cu_seqlens=_ends(part.stop - part.start), longest_q=64,
                )
            )  # fmt: skip
            in_triton.why_not = kept
    torch.testing.assert_close(torch.cat(parts)[64:], out.detach(), rtol=1e-5, atol=1e-5)
    print("cache")


def _ends(n: int) -> torch.Tensor:
    return torch.tensor([0, n], dtype=torch.int32)


def compile_for_gpus() -> None:
    """Both kernels at the shapes of MiniCPM4-8B, for sm_80 and sm_90, without a GPU."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource
    from ultrakernels import sparse_attention_triton_kernels as kernels

    shape = {"KV": 2, "GROUP": 16, "GP": 16, "D": 128, "UPCAST": False}
    worths = {"TOKENS": 4, "N": 64, "FINE_SIZE": 32, "FINE_STRIDE": 16, "COARSE_SIZE": 128, "COARSE_STRIDE": 64}  # fmt: skip
    attend = {"BLOCK": 64, "LISTED": 96, "SPLITS": 1}
    pointers = dict.fromkeys(("q_ptr", "fine_ptr", "coarse_ptr", "k_ptr", "v_ptr"), "*bf16")
    pointers |= {"at_ptr": "*i32", "list_ptr": "*i32", "out_ptr": "*fp32", "lse_ptr": "*fp32"}
    for kernel, own, warps in (
        (kernels.worths_kernel, worths, 4),
        (kernels.attend_kernel, attend, kernels.WARPS),
    ):
        constants = {**shape, **own}
        signature = {
            name: "constexpr" if name in constants else pointers.get(name, "i32")
            for name in kernel.arg_names
        } | {"scale": "fp32"}
        for capability in (80, 90):
            source = ASTSource(kernel, signature, constexprs={(kernel.arg_names.index(k),): v for k, v in constants.items()})  # fmt: skip
            built = triton.compile(
                source, target=GPUTarget("cuda", capability, 32), options={"num_warps": warps}
            )
            # HGMMA is what multiplies on Hopper's wgmma units, HMMA on the older ones.
            products = re.findall(r"\b(H\w*MMA)\b", built.asm["sass"])
            assert set(products) == {"HGMMA" if capability == 90 else "HMMA"}
            assert not re.search(r"\b(STL|LDL)\b", built.asm["sass"])  # no spills
            print(kernel.__name__, capability, len(products), built.metadata.shared)


if __name__ == "__main__":
    {"interpret": interpret, "compile": compile_for_gpus}[sys.argv[1]]()
