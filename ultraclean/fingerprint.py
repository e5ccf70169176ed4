"""What decides the output of a stage."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Collection
from typing import Any

from pydantic import BaseModel

from ultraclean import storage
from ultraclean.pipeline import model_refs
from ultraclean.stage import Placement, Stage


def fingerprint(stage: Stage, tables: Collection[str] = ()) -> list[Any]:
    """What decides a stage's output: name, version, fields, files, and packages that matter.

    A model that is one of `tables` is left out: its digest is part of the segment's.
    """
    models = {name for name, _ in model_refs(stage)}
    fields = {k: v for k, v in decisive(stage).items() if k not in models and k != "name"}
    paths = [*stage.files(), *(path for _, path in model_refs(stage) if path not in tables)]
    files = {path: storage.stamp(path) for path in paths}
    return [
        stage.stage,
        stage.version,
        fields,
        files,
        [package_version(name) for name in stage.distributions()],
        *stage.contents(),
    ]


def decisive(value: BaseModel) -> dict[str, Any]:
    """The fields of a model as JSON values, without those that only say where or how fast."""
    plain = value.model_dump(mode="json")
    out = {}
    for name, info in type(value).model_fields.items():
        if any(isinstance(mark, Placement) for mark in info.metadata):
            continue
        inner = getattr(value, name)
        out[name] = decisive(inner) if isinstance(inner, BaseModel) else plain[name]
    return out


def package_version(name: str) -> str:
    """`name==version` of an installed distribution."""
    try:
        return f"{name}=={importlib.metadata.version(name)}"
    except importlib.metadata.PackageNotFoundError:
        return f"{name} is absent"
