"""Times ways of doing the same work in turns (A B A B), in CPU seconds of this process.

One core is what is compared: libraries that start threads are held to one (see `__main__`), and CPU
seconds count whatever they start in spite of that. A warm-up comes first and is reported apart. A
slow peer may be given only the first documents of a corpus; rates are per byte.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

LEAST_SECONDS = 0.1


@dataclass
class Way:
    """One way of doing the work of a loop: `run()` over `n_bytes` of `n_docs` documents."""

    name: str
    run: Callable[[], Any]
    n_bytes: int
    n_docs: int
    goal: float | None = None
    """How many times as fast as this peer ours must be."""
    agrees: str = ""
    """How its results were compared with ours, and what came out."""
    warm_s: float = 0.0
    repeats: int = 1
    seconds: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Bytes per second, median over the rounds."""
        return self.n_bytes / statistics.median(self.seconds)

    def warm(self) -> Any:
        begun = time.process_time()
        result = self.run()
        self.warm_s = time.process_time() - begun
        begun = time.process_time()
        if self.warm_s < 5:  # what compiles or fills caches must not decide the number of repeats
            self.run()
            once = max(time.process_time() - begun, 1e-6)
        else:
            once = self.warm_s
        self.repeats = max(1, round(LEAST_SECONDS / once))
        return result

    def measure(self) -> None:
        begun = time.process_time()
        for _ in range(self.repeats):
            self.run()
        self.seconds.append((time.process_time() - begun) / self.repeats)


@dataclass(frozen=True)
class Row:
    """One line of the table: ours beside one peer, or ours alone."""

    loop: str
    corpus: str
    ours: str
    rate: float
    """Ours, MB/s (or what `unit` says)."""
    docs_per_s: float
    warm_s: float
    peer: str = ""
    peer_rate: float = 0.0
    ratio: float = 0.0
    low: float = 0.0
    high: float = 0.0
    goal: str = ""
    met: bool | None = None
    agrees: str = ""
    unit: str = "MB/s"


def interleaved(ways: Sequence[Way], rounds: int) -> list[Any]:
    """Warms all up, then lets each run once a round; the results of the warm-up."""
    results = [way.warm() for way in ways]
    for _ in range(rounds):
        for way in ways:
            way.measure()
    return results


def rows(
    loop: str, corpus: str, ours: Way, peers: Sequence[Way], goal_rate: float | None = None
) -> list[Row]:
    """The table's lines of measured ways; `goal_rate` is what ours must reach, in MB/s."""
    rate = ours.rate / 1e6
    docs = ours.n_docs / statistics.median(ours.seconds)
    found = []
    if goal_rate is not None or not peers:
        goal = "" if goal_rate is None else f"{goal_rate:g} MB/s"
        met = None if goal_rate is None else rate >= goal_rate
        found.append(Row(loop, corpus, ours.name, rate, docs, ours.warm_s, goal=goal, met=met))
    for peer in peers:
        each = [
            (theirs / peer.n_bytes) / (mine / ours.n_bytes)
            for mine, theirs in zip(ours.seconds, peer.seconds, strict=True)
        ]
        ratio = statistics.median(each)
        found.append(
            Row(
                loop, corpus, ours.name, rate, docs, ours.warm_s, peer.name, peer.rate / 1e6,
                ratio, min(each), max(each),
                "" if peer.goal is None else f"{peer.goal:g}x",
                None if peer.goal is None else ratio >= peer.goal,
                peer.agrees,
            )
        )  # fmt: skip
    return found


def markdown(table: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| corpus | ours | rate | docs/s | peer | its rate | times as fast (range) | goal | met | results |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in table:
        ratio = f"**{row.ratio:.1f}** ({row.low:.1f}–{row.high:.1f})" if row.peer else ""
        met = {None: "", True: "yes", False: "**no**"}[row.met]
        theirs = f"{row.peer_rate:.3g} {row.unit}" if row.peer else ""
        docs = f"{row.docs_per_s:,.0f}" if row.docs_per_s else ""
        lines.append(
            f"| {row.corpus} | {row.ours} | {row.rate:.3g} {row.unit} | {docs} | {row.peer} "
            f"| {theirs} | {ratio} | {row.goal} | {met} | {row.agrees} |"
        )
    return "\n".join(lines)
