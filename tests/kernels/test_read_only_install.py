"""Compiled code of an install that cannot be written to: made once, kept elsewhere, found again."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import ultrakernels

PROGRAM = """
import ctypes, os, sys
if os.geteuid() == 0:
    # root writes wherever it likes, unless it gives that up (capabilities(7): CAP_DAC_OVERRIDE)
    libc = ctypes.CDLL(None, use_errno=True)
    header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, sets) == 0, os.strerror(ctypes.get_errno())
    sets[0], sets[1] = sets[0] & ~2, sets[1] & ~2
    assert libc.capset(header, sets) == 0, os.strerror(ctypes.get_errno())
import ultrakernels
folder = os.path.dirname(ultrakernels.__file__)
assert folder.startswith(sys.argv[1]), folder
assert not os.access(folder, os.W_OK), "the test needs a folder that cannot be written to"
import numpy as np
from ultrakernels.split_words import split_words
table = np.zeros(0x110000, dtype=np.uint8)
table[32] = 1
(doc, n_bytes, joined), _ = split_words(np.frombuffer(b"a bc", dtype=np.uint8), np.array([0, 4]), table, 1)
assert (doc.tolist(), n_bytes.tolist(), joined.tobytes()) == ([0, 2], [1, 2], b"abc")
from ultrakernels import split_words as module
hits = sum(module._split.stats.cache_hits.values())
print(hits)
"""


@pytest.fixture
def install() -> Iterator[Path]:
    """The package in a folder that nobody may write to, which a temporary folder of pytest is not."""
    folder = Path(tempfile.mkdtemp(prefix="read-only-"))
    package = folder / "site" / "ultrakernels"
    shutil.copytree(
        Path(ultrakernels.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__")
    )
    for one in (folder, folder / "site", package, *package.rglob("*")):
        one.chmod(0o555 if one.is_dir() else 0o444)
    yield folder
    for one in (folder, folder / "site", package):
        one.chmod(0o755)
    shutil.rmtree(folder)


@pytest.mark.parametrize("homeless", [False, True], ids=["home", "no home to write to"])
def test_kernels_compile_once_on_a_read_only_install(install: Path, homeless: bool) -> None:
    install.chmod(0o755)
    home, temporary = install / "home", install / "tmp"
    for one in (home, temporary):
        one.mkdir()
    if homeless:
        home.chmod(0o555)
    install.chmod(0o555)
    paths = [str(install / "site"), *(one for one in sys.path if one.endswith("site-packages"))]
    environment = {
        "PYTHONPATH": os.pathsep.join(paths),
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PATH": os.environ["PATH"],
    }

    def run() -> int:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(install)],
            env=environment, cwd=install, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return int(done.stdout)

    kept = (temporary if homeless else home) / ".cache" / "ultraclean" / "numba"
    assert run() == 0
    compiled = {path.name: path.stat().st_mtime_ns for path in kept.rglob("*.nbc")}
    assert len(compiled) >= 2
    assert run() == 1
    assert {path.name: path.stat().st_mtime_ns for path in kept.rglob("*.nbc")} == compiled
