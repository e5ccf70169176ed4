"""Runs everything in this process: for a debugger, a notebook, and most tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ultraclean.stage import Resources


class InlineExecutor:
    """One item after the other, in order."""

    name = "inline"
    slots = 1

    def map(
        self,
        function: Callable[[Any], Any],
        items: Sequence[Any],
        resources: Resources = Resources(),  # noqa: B008 - a frozen value
    ) -> Iterator[tuple[int, Any]]:
        for index, item in enumerate(items):
            yield index, function(item)

    def close(self) -> None:
        pass
