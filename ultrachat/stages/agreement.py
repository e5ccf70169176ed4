"""How well judges agree with people: Pearson, Spearman and Kendall at data-set, user and pair level.

The meta-evaluation of LLMasEvaluator (Zhang et al. 2024, arXiv 2406.03248), for each judge and for all of
them together, with bootstrap intervals (`ultrachat.judging.agreement`). The card has the numbers, `agreement.md`
in its folder the table. A value that is no number is missing: it is counted, never guessed.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field

from ultrachat.judging import agreement, ensemble
from ultraclean import storage
from ultraclean.errors import DataError
from ultraclean.stage import Artifact, Rows


class Agreement(Artifact):
    stage: ClassVar[str] = "chat.agreement"
    paper: ClassVar[str] = "LLMasEvaluator (arXiv 2406.03248)"

    judges: tuple[str, ...] = Field(min_length=1, description="columns of scores, one per judge")
    people: str = Field(description="column of what people said")
    user: str = Field(description="column of whom they are: groups of the user level")
    item: str = Field(
        description="column of what was judged: with the user, groups of the pair level"
    )
    n_bootstrap: int = Field(default=1000, ge=2, description="samples of an interval")
    seed: int = Field(default=0, description="decides them")

    def needs(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.judges, self.people, self.user, self.item)))

    def make(
        self,
        inputs: Mapping[str, Rows],
        folder: str,
        run: Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]],
    ) -> dict[str, Any]:
        del run  # small columns
        (rows,) = inputs.values()
        columns: dict[str, list[Any]] = {name: [] for name in self.needs()}
        for batch in rows.batches(self.needs()):
            for name in columns:
                if name not in batch:
                    raise DataError(f"{self.called}: the table {rows.name} has no column {name!r}")
                columns[name] += batch[name].to_pylist()
        people = [_number(value) for value in columns[self.people]]
        scores = {name: [_number(value) for value in columns[name]] for name in self.judges}
        if len(scores) > 1:
            scores["all together"] = ensemble(scores)
        found = {
            judge: [
                dataclasses.asdict(one)
                for one in agreement(
                    values, people, columns[self.user], columns[self.item],
                    n_bootstrap=self.n_bootstrap, seed=self.seed,
                )
            ]
            for judge, values in scores.items()
        }  # fmt: skip
        card = {"kind": self.stage, "n_rows": len(people), "agreement": found}
        storage.write_json(storage.join(folder, "card.json"), card)
        storage.write_bytes(storage.join(folder, "agreement.md"), table(found).encode())
        return card


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def table(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """The agreement as a Markdown table: a line per judge and level."""
    lines = ["| judge | level | Pearson | Spearman | Kendall | groups | constant | rows | missing |",
             "|---|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for judge, measured in found.items():
        for level in dict.fromkeys(one["level"] for one in measured):
            mine = {one["measure"]: one for one in measured if one["level"] == level}
            cells = [_cell(mine[name]) for name in ("pearson", "spearman", "kendall")]
            one = mine["pearson"]
            counts = [one["n_groups"], one["n_constant"], one["n_rows"], one["n_missing"]]
            lines.append(f"| {' | '.join(map(str, [judge, level, *cells, *counts]))} |")
    return "\n".join(lines) + "\n"


def _cell(one: Mapping[str, Any]) -> str:
    if one["value"] is None:
        return "-"
    interval = "" if one["low"] is None else f" [{one['low']:.2f}, {one['high']:.2f}]"
    return f"{one['value']:.2f}{interval}"
