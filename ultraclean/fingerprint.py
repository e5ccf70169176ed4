"""What decides the output of a stage."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Collection
from typing import Any

from pydantic import BaseModel

from ultraclean import storage
from ultraclean.pipeline import model_refs
from ultraclean.stage import Late, Placement, Stage


def fingerprint(stage: Stage, tables: Collection[str] = ()) -> list[Any]:
    """What decides a stage's output: name, version, fields, files, and packages that matter.

    A model that is one of `tables` is left out: its digest is part of the segment's. So are fields
    that are `Late`: they are part of the digest of a barrier.
    """
    models = {name for name, _ in model_refs(stage)}
    passed = {"name", *models, *late_fields(stage)}
    fields = {k: v for k, v in decisive(stage).items() if k not in passed}
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


def late_fields(stage: Stage) -> dict[str, Any]:
    """The fields that only the end of a barrier reads: no part of its fingerprint, but of its digest."""
    plain = stage.model_dump(mode="json")
    fields = type(stage).model_fields.items()
    return {
        name: plain[name]
        for name, info in fields
        if any(isinstance(mark, Late) for mark in info.metadata)
    }


def decisive(value: BaseModel) -> dict[str, Any]:
    """The fields of a model as JSON values, without those that only say where or how fast."""
    plain = value.model_dump(mode="json")
    out: dict[str, Any] = {}
    for name, info in type(value).model_fields.items():
        if any(isinstance(mark, Placement) for mark in info.metadata):
            continue
        inner = getattr(value, name)
        if isinstance(inner, tuple) and inner and all(isinstance(x, BaseModel) for x in inner):
            out[name] = [decisive(one) for one in inner]
            continue
        out[name] = decisive(inner) if isinstance(inner, BaseModel) else plain[name]
    return out


def package_version(name: str) -> str:
    """`name==version` of an installed distribution."""
    try:
        return f"{name}=={importlib.metadata.version(name)}"
    except importlib.metadata.PackageNotFoundError:
        return f"{name} is absent"
