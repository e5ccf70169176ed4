"""The CUDA library of sparse attention: built by one nvcc command, loaded with ctypes.

The same sources build with g++ into a library that emulates a GPU on the CPU, for tests. Neither
depends on torch's C++ interface, so one library serves any version of torch.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, ClassVar

SOURCES = Path(__file__).parent / "csrc"
MAIN = "sparse_attention.cu"
NVCC_FLAGS = (
    "-O3", "-std=c++17", "-shared", "-Xcompiler", "-fPIC,-fvisibility=hidden",
    "-gencode", "arch=compute_80,code=sm_80", "-gencode", "arch=compute_90a,code=sm_90a",
)  # fmt: skip
EMULATOR_FLAGS = (
    "-O2", "-std=c++17", "-shared", "-fPIC", "-fvisibility=hidden", "-ffp-contract=off",
    "-DULTRA_EMULATE", "-x", "c++",
)  # fmt: skip
HALF, BRAIN = 0, 1
NOT_A_NUMBER, CACHE_FULL = 1, 2

POINTERS = (
    "q k v fine coarse lists out lse q_starts k_starts k_lens decide_lens new_k new_v cache_k cache_v"
    " q_out cosines sines part_sums worths part_outs part_lses counters status"
)
STRIDES = "q_row q_head k_row k_head v_row v_head new_k_row new_k_head new_v_row new_v_head"
NUMBERS = (
    "kind size heads kv_heads tokens sequences longest_q max_blocks capacity init_blocks"
    " local_blocks list_len dense_len exact_lse splits portable"
)


class Problem(ctypes.Structure):
    """csrc/problem.h, field by field."""

    _fields_: ClassVar[Any] = [
        (name, kind)
        for kind, names in (
            (ctypes.c_void_p, POINTERS),
            (ctypes.c_int64, STRIDES),
            (ctypes.c_int32, NUMBERS),
            (ctypes.c_float, "scale"),
        )
        for name in names.split()
    ]


class Library:
    """A built library; each of its functions is called with a problem and a stream."""

    def __init__(self, path: Path) -> None:
        self._library = ctypes.CDLL(str(path))
        self._library.ultra_error.restype = ctypes.c_char_p
        for name in ("append", "select", "attend", "decode"):
            function = self._library[f"ultra_{name}"]
            function.argtypes = [ctypes.POINTER(Problem), ctypes.c_int64, ctypes.c_void_p]

    def run(self, name: str, problem: Problem, stream: int = 0) -> None:
        error = self._library[f"ultra_{name}"](
            ctypes.byref(problem), ctypes.sizeof(problem), stream
        )
        if error:
            said = self._library.ultra_error(error).decode()
            raise RuntimeError(f"the CUDA kernel {name!r} did not start: {said} (code {error})")

    def shared_memory(self, problem: Problem) -> int:
        """Bytes of shared memory that a block of threads needs at most."""
        count = self._library.ultra_shared_memory
        count.restype = ctypes.c_int64
        return int(count(ctypes.byref(problem), ctypes.c_int64(ctypes.sizeof(problem))))

    def shuffle(self, seed: int) -> None:
        """The order in which the emulator runs threads and blocks of threads; 0: ascending."""
        self._library.ultra_shuffle(ctypes.c_uint64(seed))


def build(compiler: str, flags: tuple[str, ...], folder: Path | None = None) -> Path:
    """The library built by a compiler, found again while sources, compiler and flags stay.

    Without a folder it lies in ULTRAKERNELS_CACHE, or in ultrakernels of the user's cache.
    """
    folder = folder or Path(
        os.environ.get("ULTRAKERNELS_CACHE")
        or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ultrakernels"
    )
    version = subprocess.run([compiler, "--version"], check=True, capture_output=True).stdout
    digest = hashlib.sha256(version + repr(flags).encode())
    for source in sorted(SOURCES.iterdir()):
        digest.update(source.name.encode() + source.read_bytes())
    built = folder / f"sparse_attention-{digest.hexdigest()[:16]}.so"
    if built.exists():
        return built
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        made = Path(scratch) / built.name
        command = [compiler, *flags, str(SOURCES / MAIN), "-o", str(made)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(
                f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-4000:]}"
            )
        made.replace(built)  # whole or not at all, also when two processes build it
    return built


def find_nvcc() -> str | None:
    beside = Path(os.environ.get("CUDA_HOME", "/usr/local/cuda")) / "bin" / "nvcc"
    return shutil.which("nvcc") or (str(beside) if beside.exists() else None)
