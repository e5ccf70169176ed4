"""A stage whose output changes must change its version."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from ultraclean import catalog

HERE = Path(__file__).parent

NOT_GOLDEN = {
    "score.perplexity": "needs KenLM, which is compiled where it is installed",
    "score.transformer": "runs a model, whose last bits differ between processors",
    "chat.code": "runs programs in a sandbox, which a machine may lack: tests/chat/test_code.py",
    "chat.interpreter": "the same: tests/chat/test_tools.py",
    "chat.long_context": "needs an index: tests/chat/test_long_context.py",
    "chat.survey": "needs an index: tests/chat/test_long_context.py",
    "chat.yields": "its card is counts: tests/chat/test_artifacts.py",
    "chat.pack": "writes by ultraclean.train.chat: tests/chat/test_artifacts.py",
    "fit.index": "is compared with its formula: tests/chat/test_long_context.py",
    "fit.model": "trains models, whose last bits differ between processors",
    "verify.anneal": "trains models, whose last bits differ between processors and grow",
}
"""Stages without a case, and why; their own tests say what they make."""


@pytest.fixture(scope="module")
def collect() -> ModuleType:
    spec = importlib.util.spec_from_file_location("golden_collect", HERE / "collect.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_outputs_change_only_with_versions(collect: ModuleType, tmp_path: Path) -> None:
    recorded = json.loads((HERE / "stages.json").read_text())
    now = collect.collect(tmp_path)
    wrong = [
        f"{name}: its output changed and its version ({now[name]['version']}) did not"
        for name in recorded
        if name in now
        and now[name]["digest"] != recorded[name]["digest"]
        and now[name]["version"] == recorded[name]["version"]
    ]
    assert not wrong, "\n".join([*wrong, "bump `version`, then `make golden`"])
    assert now == recorded, "run `make golden` and read the difference"


def test_every_stage_has_a_golden_case() -> None:
    recorded = json.loads((HERE / "stages.json").read_text())
    covered = {entry["stage"] for entry in recorded.values()}
    missing = [name for name in catalog.names() if name not in covered | NOT_GOLDEN.keys()]
    assert not missing, f"no golden case: {missing} (tests/golden/cases, or ends.py)"
