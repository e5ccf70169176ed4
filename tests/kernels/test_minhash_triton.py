"""The MinHash kernel for GPUs: interpreted against the CPU's, and compiled for GPUs that are not here."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ultrakernels import minhash_triton

SCRIPT = Path(__file__).parent / "minhash_in_triton.py"


def run(what: str, tmp_path: Path, **environment: str) -> list[str]:
    if importlib.util.find_spec("triton") is None:
        pytest.skip("triton is not installed")
    settings = {"TRITON_CACHE_DIR": str(tmp_path), "TRITON_DEFAULT_FP_FUSION": "1", **environment}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), what],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | settings,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()


@pytest.mark.slow
def test_signatures_are_those_of_the_cpu_bit_for_bit(tmp_path: Path) -> None:
    assert len(run("interpret", tmp_path, TRITON_INTERPRET="1")) == 3 * 3 + 1


@pytest.mark.slow
def test_it_compiles_for_ampere_and_hopper_without_spills(tmp_path: Path) -> None:
    assert [line.split()[:2] for line in run("compile", tmp_path)] == [
        ["minima_kernel", "80"],
        ["minima_kernel", "90"],
    ]


def test_without_a_gpu_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minhash_triton, "why_not", lambda: "torch finds no CUDA device")
    nothing = np.zeros(0, dtype=np.uint32)
    with pytest.raises(RuntimeError, match="no CUDA device"):
        minhash_triton.minima(nothing, np.zeros(1, dtype=np.int64), nothing, nothing)
