"""The CUDA kernels built for the CPU, once for all tests that run them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from ultrakernels import sparse_attention_library as native
from ultrakernels import sparse_attention_ops as ops


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> native.Library:
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("there is no g++ to build the emulator with")
    folder = tmp_path_factory.mktemp("emulator")
    return native.Library(native.build(compiler, native.EMULATOR_FLAGS, folder))


@pytest.fixture
def kernels(library: native.Library, monkeypatch: pytest.MonkeyPatch) -> Iterator[native.Library]:
    """CPU tensors run through the kernels, threads in a shuffled order."""
    monkeypatch.setattr(ops, "emulator", library)
    library.shuffle(7)
    yield library
    library.shuffle(0)
