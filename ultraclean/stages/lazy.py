"""Lets `read.Jsonl` mean the class of the stage `read.jsonl`, imported when it is first named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def attributes(kind: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of the package of one kind of stages."""

    def classes() -> dict[str, str]:
        from ultraclean import catalog

        names = [name for name in catalog.names() if name.startswith(f"{kind}.")]
        return {catalog.class_name(name.split(".")[1]): name for name in names}

    def get(name: str) -> Any:
        from ultraclean import catalog

        found = classes().get(name) if name[:1].isupper() else None
        if found is None:
            raise AttributeError(f"module 'ultraclean.stages.{kind}' has no attribute {name!r}")
        return catalog.stage_class(found)

    return get, lambda: sorted(classes())
