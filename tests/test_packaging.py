"""What an installed copy holds: every package, and the files that are not Python."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
ROOTS = {"ultraclean": ROOT / "ultraclean", "ultrachat": ROOT / "ultrachat"}


def project() -> dict[str, object]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def packages() -> set[str]:
    found = {"ultraclean.pipelines"}
    roots = {**ROOTS, "ultrakernels": ROOT / "kernels" / "ultrakernels"}
    for name, root in roots.items():
        for file in root.rglob("__init__.py"):
            inner = file.parent.relative_to(root).parts
            found.add(".".join((name, *inner)))
    return found


def test_every_package_is_listed() -> None:
    settings = project()["tool"]["setuptools"]  # type: ignore[index]
    assert set(settings["packages"]) == packages()


def test_other_files_are_package_data() -> None:
    data = project()["tool"]["setuptools"]["package-data"]  # type: ignore[index]
    roots = {**ROOTS, "ultrakernels": ROOT / "kernels" / "ultrakernels"}
    roots["ultraclean.pipelines"] = ROOT / "pipelines"
    for name, root in roots.items():
        for file in root.rglob("*"):
            skipped = file.suffix in {".py", ".pyc", ".nbi", ".nbc"} or "__pycache__" in file.parts
            if file.is_dir() or skipped:
                continue
            owners = (
                [
                    (
                        package,
                        file.relative_to(
                            roots[package.split(".")[0]].joinpath(*package.split(".")[1:])
                        ),
                    )
                    for package in data
                    if package.split(".")[0] == name.split(".")[0]
                    and file.is_relative_to(
                        roots[package.split(".")[0]].joinpath(*package.split(".")[1:])
                    )
                ]
                if name != "ultraclean.pipelines"
                else [(name, file.relative_to(root))]
            )
            listed = any(
                relative.match(pattern) for package, relative in owners for pattern in data[package]
            )
            assert listed, f"{file.relative_to(ROOT)} is not in package-data"


def test_the_constraints_pin_what_is_needed() -> None:
    pinned = {
        line.split("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    settings = project()["project"]
    wanted = list(settings["dependencies"])  # type: ignore[index]
    for extra, items in settings["optional-dependencies"].items():  # type: ignore[index]
        wanted += [] if extra in {"vllm", "cluster"} else items
    for item in wanted:
        name = re.split(r"[\[<>=]", item)[0].strip().lower().replace("_", "-")
        if name != "ultraclean-data":
            assert name in pinned, f"{name} is not in constraints.txt"
    assert "torch==2.13.0" in (ROOT / "constraints.txt").read_text()
