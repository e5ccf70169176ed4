"""A real vLLM on the CPU, started by our own supervisor; `make vllm` installs it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ultraclean.llm import OpenTeacher, Sampling, Teacher

ROOT = Path(__file__).parent.parent.parent
OPTIONS: dict[str, Any] = {
    "enforce_eager": True,
    "max_model_len": 2048,
    "max_num_seqs": 32,
    # On a CPU, vLLM 0.32 dies when a seeded request's prompt is taken in parts.
    "no_enable_chunked_prefill": True,
    "max_num_batched_tokens": 4096,
    "enable_auto_tool_choice": True,
    "tool_call_parser": "hermes",
    "structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True},
}
ENV = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("vllm")


@pytest.fixture(scope="session")
def home() -> Path:
    """The folder that setup.sh makes."""
    folder = ROOT / os.environ.get("ULTRACLEAN_VLLM", ".vllm")
    if not (folder / "smollm2" / "config.json").exists():
        pytest.skip("no vLLM here: `make vllm` installs one")
    return folder


@pytest.fixture(scope="session")
def teacher_of(home: Path) -> Callable[..., Teacher]:
    """`teacher_of("smollm2")`: a teacher whose server is started when it is opened."""

    def make(name: str, **more: Any) -> Teacher:
        fields: dict[str, Any] = {
            "engine": "vllm",
            "model": str(home / name),
            "python": str(home / "venv" / "bin" / "python"),
            "options": OPTIONS,
            "env": ENV,
            "gpus": 0,
            "sampling": Sampling(max_tokens=32, seed=1),
            "patience_s": 120.0,
        }
        return Teacher(**{**fields, **more})

    return make


@pytest.fixture(scope="session")
def smollm2(teacher_of: Callable[..., Teacher]) -> Iterator[OpenTeacher]:
    """One server with SmolLM2-135M-Instruct for all tests."""
    with teacher_of("smollm2").open() as teacher:
        yield teacher
