"""What decides the output of a stage."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Collection
from typing import Any

from ultraclean import storage
from ultraclean.pipeline import model_refs
from ultraclean.stage import Placement, Stage


def fingerprint(stage: Stage, tables: Collection[str] = ()) -> list[Any]:
    """What decides a stage's output: name, version, fields, files, and packages that matter.

    A model that is one of `tables` is left out: its digest is part of the segment's.
    """
    placed = {
        name
        for name, info in type(stage).model_fields.items()
        if any(isinstance(mark, Placement) for mark in info.metadata)
    }
    models = {name for name, _ in model_refs(stage)}
    fields = stage.model_dump(mode="json", exclude=placed | models | {"name"})
    paths = [*stage.files(), *(path for _, path in model_refs(stage) if path not in tables)]
    files = {path: storage.stamp(path) for path in paths}
    return [
        stage.stage,
        stage.version,
        fields,
        files,
        [package_version(name) for name in stage.distributions()],
    ]


def package_version(name: str) -> str:
    """`name==version` of an installed distribution."""
    try:
        return f"{name}=={importlib.metadata.version(name)}"
    except importlib.metadata.PackageNotFoundError:
        return f"{name} is absent"
