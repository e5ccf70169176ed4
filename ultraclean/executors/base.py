"""What an executor is: it maps functions over items, and nothing else.

Planning, records, retries of units and progress live in the engine; shuffles are steps of maps
over storage (`ultraclean.exchange`). So the executors cannot differ in meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from ultraclean.stage import Resources


class Executor(Protocol):
    """Runs picklable functions of one item somewhere."""

    name: str

    @property
    def slots(self) -> int:
        """How many units of one CPU can run at once."""
        ...

    def map(
        self,
        function: Callable[[Any], Any],
        items: Sequence[Any],
        resources: Resources = Resources(),  # noqa: B008 - a frozen value
    ) -> Iterator[tuple[int, Any]]:
        """(index, result) as items finish; a bounded number in flight.

        An exception of the function is raised as it is. A worker that dies is replaced and its
        item tried again, at most `TRIES` times in all.
        """
        ...

    def close(self) -> None: ...


TRIES = 4


def in_order(
    executor: Executor,
    resources: Resources = Resources(),  # noqa: B008 - a frozen value
) -> Callable[[Callable[[Any], Any], Sequence[Any]], list[Any]]:
    """The executor as a function (function, items) -> results in the order of items."""

    def run(function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        results: list[Any] = [None] * len(items)
        for index, result in executor.map(function, items, resources):
            results[index] = result
        return results

    return run
