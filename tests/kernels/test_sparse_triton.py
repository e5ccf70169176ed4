"""The Triton kernels: interpreted against the reference, and compiled for GPUs that are not here."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from ultrakernels import sparse_attention_triton as in_triton
from ultrakernels.sparse_attention import SparseConfig

SCRIPT = Path(__file__).parent / "sparse_in_triton.py"


def run(what: str, tmp_path: Path, **environment: str) -> list[str]:
    if importlib.util.find_spec("triton") is None:
        pytest.skip("triton is not installed")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), what],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ
        | {"TRITON_CACHE_DIR": str(tmp_path), "TRITON_DEFAULT_FP_FUSION": "1"}
        | environment,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()


@pytest.mark.slow
def test_interpreted_kernels_are_the_reference(tmp_path: Path) -> None:
    lines = run("interpret", tmp_path, TRITON_INTERPRET="1")
    assert len(lines) == 2 * (2 + 2) + 2


@pytest.mark.slow
def test_kernels_compile_for_ampere_and_hopper(tmp_path: Path) -> None:
    """Machine code without spills, on Hopper by its own units for products of matrices."""
    lines = [line.split() for line in run("compile", tmp_path)]
    assert [(name, target) for name, target, _, _ in lines] == [
        (kernel, target) for kernel in ("worths_kernel", "attend_kernel") for target in ("80", "90")
    ]
    assert all(int(shared) <= 99 * 1024 for *_, shared in lines)


def test_what_they_cannot_compute_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    q = torch.zeros(3, 2, 24)
    monkeypatch.setattr(in_triton, "why_not_triton", lambda: None)
    monkeypatch.setattr(in_triton, "_kernels", lambda: type("K", (), {"interpreted": True}))
    assert in_triton.why_not(q, SparseConfig()) == (
        "the kernels take heads of a power of two, 16 or more, and these have 24"
    )
    assert "float32" in str(in_triton.why_not(q.double(), SparseConfig()))
    assert "blocks" in str(in_triton.why_not(q[..., :16], SparseConfig(block_size=96, window_size=960)))  # fmt: skip
    monkeypatch.setattr(in_triton, "_kernels", lambda: type("K", (), {"interpreted": False}))
    assert in_triton.why_not(q, SparseConfig()) == "the tensors are on cpu"
