"""The import directions of the house, and that nothing heavy is imported before it is used."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = (
    "ray",
    "torch",
    "vllm",
    "fasttext",
    "trafilatura",
    "resiliparse",
    "numba",
    "polars",
    "ftfy",
)

STAGE_MAY = (
    "ultraclean.catalog",
    "ultraclean.document",
    "ultraclean.errors",
    "ultraclean.exchange",
    "ultraclean.guard",
    "ultraclean.inputs",
    "ultraclean.llm",
    "ultraclean.rowgroups",
    "ultraclean.stage",
    "ultraclean.storage",
    "ultraclean.text",
    "ultraclean.train",
)
DIRECTIONS = {
    # folder or file: what of ours it may import
    "ultraclean/text": ("ultraclean.text", "ultraclean.document", "ultrakernels"),
    "kernels/ultrakernels": ("ultrakernels",),
    "ultraclean/executors": ("ultraclean.executors", "ultraclean.errors", "ultraclean.stage"),
    "ultraclean/stage.py": (
        "ultraclean.document",
        "ultraclean.errors",
        "ultraclean.exchange",
        "ultraclean.inputs",
    ),
    "ultraclean/document.py": (),
    "ultraclean/errors.py": (),
    "ultraclean/markup.py": ("ultraclean.errors",),
    "ultraclean/storage.py": ("ultraclean.errors", "ultraclean.inputs"),
}


def imports(file: Path) -> list[tuple[str, bool]]:
    """(module, at the top of the file) for every import, also those inside functions."""
    tree = ast.parse(file.read_text())
    top = set(map(id, tree.body))
    for node in tree.body:  # an `if TYPE_CHECKING` block imports nothing at run time
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            top -= {id(inner) for inner in node.body}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, id(node) in top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            base = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            found += [(name, id(node) in top) for name in base]
    return found


def ours(file: Path) -> set[str]:
    known = {"ultraclean", "ultrachat", "ultrakernels"}
    found = {name for name, _ in imports(file) if name.split(".")[0] in known}
    modules = set()
    for name in found:  # `from ultraclean import storage` is the module ultraclean.storage
        path = (
            ROOT / ("kernels" if name.startswith("ultrakernels") else "") / name.replace(".", "/")
        )
        if path.with_suffix(".py").exists() or (path / "__init__.py").exists():
            modules.add(name)
    return modules - {"ultraclean", "ultrachat", "ultrakernels"}


def python_files(place: str) -> list[Path]:
    path = ROOT / place
    return sorted(path.rglob("*.py")) if path.is_dir() else [path]


@pytest.mark.parametrize("place", DIRECTIONS)
def test_directions(place: str) -> None:
    for file in python_files(place):
        wrong = [name for name in ours(file) if not name.startswith(DIRECTIONS[place] or ("-",))]
        assert not wrong, f"{file.relative_to(ROOT)} imports {wrong}"


def test_stages_import_no_engine_and_no_other_stage() -> None:
    for file in python_files("ultraclean/stages"):
        kind = ".".join(file.relative_to(ROOT).with_suffix("").parts[:3])
        for name in ours(file):
            allowed = name.startswith((*STAGE_MAY, "ultrakernels", "ultraclean.stages.lazy"))
            beside = name.startswith(kind) and not is_stage(name)
            assert allowed or beside or name == kind, f"{file.relative_to(ROOT)} imports {name}"


def is_stage(module: str) -> bool:
    from ultraclean.stages import STAGES

    return module.removeprefix("ultraclean.stages.") in STAGES


def test_ultraclean_never_imports_ultrachat() -> None:
    for file in python_files("ultraclean"):
        assert not any(name.startswith("ultrachat") for name in ours(file)), file


def test_nothing_heavy_at_the_top_of_a_file() -> None:
    for file in [*python_files("ultraclean"), *python_files("ultrachat")]:
        if file.relative_to(ROOT).parts[1] == "train" and file.name != "__init__.py":
            continue  # the trainer is torch; nothing imports it before it is used
        for name, at_top in imports(file):
            assert not (at_top and name.split(".")[0] in HEAVY), f"{file}: {name}"


def test_check_is_quick_and_imports_nothing_heavy() -> None:
    script = (
        "import sys; from ultraclean.cli import main; status = main(['check', 'quickstart']);"
        f"assert status == 0; assert not [m for m in {HEAVY!r} if m in sys.modules], 'heavy'"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
