"""Where units run: `inline` in this process, or Ray."""

from __future__ import annotations

import os
from typing import Any

from ultraclean.executors.base import Executor
from ultraclean.executors.inline import InlineExecutor

__all__ = ["Executor", "InlineExecutor", "connect"]


def connect(address: str | None, **options: Any) -> Executor:
    """The executor at an address: `inline`, `local` (a Ray started here), `auto`, `HOST:PORT`.

    None is the cluster of the Ray job that this process belongs to, or else `local`.
    """
    if address is None:
        address = os.environ.get("RAY_ADDRESS") or "local"
    if address == "inline":
        return InlineExecutor()
    from ultraclean.executors.ray import RayExecutor

    return RayExecutor(address, **options)
