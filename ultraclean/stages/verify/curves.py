"""Training curves of a verification, from the logs of its runs: what the report draws."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from ultraclean import storage

MOST_POINTS: Final = 80

Points = list[tuple[int, float]]
"""(tokens, value)"""


def curves(
    folder: str, checkpoint: str, base_tokens: int, records: Iterable[tuple[str, int]]
) -> list[dict[str, Any]]:
    """Loss and bits per byte of the training text: of the base, and of each arm over its seeds."""
    by_arm: dict[str, list[str]] = {}
    for arm, seed in sorted(records):
        run = storage.join(folder, "trials", f"{arm}.{seed:02d}")
        by_arm.setdefault(arm, []).append(storage.join(run, "log.jsonl"))
    home = checkpoint.rstrip("/").rsplit("/", 2)[0]
    base = storage.join(home, "log.jsonl")
    found = []
    for measure, name in (("loss", "loss, nats per token"), ("bits_per_byte", "bits per byte")):
        alone = {"name": "base", "points": thinned(_points(base, measure))}
        found.append({"measure": f"base: {name}", "lines": [alone] if alone["points"] else []})
        # Apart: beside the base an anneal is a short end, on which no arm can be told from another.
        lines = []
        for arm, logs in by_arm.items():
            points = _mean([_points(log, measure) for log in logs])
            moved = [(base_tokens + tokens, value) for tokens, value in points]
            lines.append({"name": arm, "points": thinned(moved)})
        drawn = [line for line in lines if line["points"]]
        found.append({"measure": f"anneals, mean over seeds: {name}", "lines": drawn})
    return [one for one in found if one["lines"]]


def _points(path: str, measure: str) -> Points:
    """Steps of a log; what is not there, or was not finished, has no curve."""
    if not storage.exists(path):
        return []
    whole = [
        one for one in storage.read_bytes(path).splitlines(keepends=True) if one.endswith(b"\n")
    ]
    steps: list[Mapping[str, Any]] = [json.loads(one) for one in whole]
    return [
        (one["tokens"], one[measure])
        for one in steps
        if one["event"] == "step" and one.get(measure) is not None
    ]


def _mean(runs: Sequence[Points]) -> Points:
    """The mean over runs at the steps that all have."""
    shared = set.intersection(*(set(dict(run)) for run in runs)) if runs else set()
    return [
        (tokens, statistics.fmean(dict(run)[tokens] for run in runs)) for tokens in sorted(shared)
    ]


def thinned(points: Points) -> list[list[float]]:
    """At most MOST_POINTS, each the mean of a stretch; lists, as a card has them when read again."""
    width = -(-len(points) // MOST_POINTS) or 1
    stretches = [points[at : at + width] for at in range(0, len(points), width)]
    return [
        [one[-1][0], round(statistics.fmean(value for _, value in one), 4)] for one in stretches
    ]
