"""From the records of trials to differences, and from verdicts to the card."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ultraclean.train.verdict import Measured, Verdict

if TYPE_CHECKING:
    from ultraclean.stages.verify.anneal import Anneal

Records = Mapping[tuple[str, int], dict[str, Any]]

RESAMPLES: Final = 1000
FEW_SETS: Final = 3
LONGEST: Final = 100
"""Times the tokens of an anneal, beyond which nothing is extrapolated."""


@dataclass(frozen=True)
class Looks:
    """What the looks came to: of candidates, of null and placebos, and the seeds of the last look."""

    tables: dict[str, Verdict]
    guards: dict[str, Verdict]
    n_seeds: int


# --- differences ----------------------------------------------------------------------------------


def measured(records: Records, arm: str, n_seeds: int) -> Measured:
    """Control minus arm in bits per byte, seed by seed; the primary is the mean over the sets."""
    pairs = [(records["control", seed], records[arm, seed]) for seed in range(n_seeds)]

    def gain(kind: str) -> tuple[float, ...]:
        return tuple(
            control["guards"][arm][kind] - own["guards"][arm][kind]
            for control, own in pairs
            if arm in own["guards"]
        )

    return Measured(
        primary=tuple(_mean_bits(control) - _mean_bits(own) for control, own in pairs),
        order=tuple(order_advantage(own) - order_advantage(control) for control, own in pairs),
        seen=gain("seen"),
        held_out=gain("held_out"),
    )


def _mean_bits(record: Mapping[str, Any]) -> float:
    return statistics.fmean(record["bits_per_byte"].values())


def order_advantage(record: Mapping[str, Any]) -> float:
    """How much better natural text is predicted than the same words shuffled."""
    return statistics.fmean(record["shuffled"].values()) - _mean_bits(record)


def by_set(records: Records, arm: str, n_seeds: int) -> dict[str, list[float]]:
    return {
        name: [
            records["control", seed]["bits_per_byte"][name]
            - records[arm, seed]["bits_per_byte"][name]
            for seed in range(n_seeds)
        ]
        for name in records["control", 0]["bits_per_byte"]
    }


def over_texts(records: Records, arm: str, n_seeds: int) -> tuple[float, float]:
    """A 90 % interval of the primary difference over other evaluation texts (bootstrap)."""
    sets = []
    for name, sizes in records["control", 0]["bytes"].items():
        gains = [
            statistics.fmean(
                records[arm, seed]["nats"][name][i] - records["control", seed]["nats"][name][i]
                for seed in range(n_seeds)
            )
            for i in range(len(sizes))
        ]
        sets.append(list(zip(gains, sizes, strict=True)))
    chance = random.Random(0)
    means = sorted(
        statistics.fmean(map(_resampled, sets, [chance] * len(sets))) for _ in range(RESAMPLES)
    )
    return means[RESAMPLES // 20], means[-RESAMPLES // 20]


def _resampled(texts: Sequence[tuple[float, int]], chance: random.Random) -> float:
    drawn = chance.choices(texts, k=len(texts))
    return sum(gain for gain, _ in drawn) / math.log(2) / sum(size for _, size in drawn)


# --- the card -------------------------------------------------------------------------------------


def card(
    stage: Anneal,
    prepared: Mapping[str, Any],
    base: Mapping[str, Any],
    looks: Looks,
    records: Records,
) -> dict[str, Any]:
    """Without a word on the candidates if an arm that must not be accepted was."""
    fooled = [name for name, one in looks.guards.items() if one.outcome == "accepted"]
    by_outcome: dict[str, list[str]] = {"accepted": [], "rejected": [], "undecided": []}
    rows = []
    for name in () if fooled else stage.tables:
        by_outcome[looks.tables[name].outcome].append(name)
        rows.append(_row(name, looks.tables[name], records, stage.tokens))
    guards = [_row(name, one, records, stage.tokens) for name, one in looks.guards.items()]
    reason = _fooled(fooled, looks) if fooled else _reason(looks)
    warnings = [] if fooled else _warnings(stage, rows)
    return {
        "kind": stage.stage,
        "valid": not fooled,
        **by_outcome,
        "reason": reason,
        "table": _shown([*rows, *guards]),
        "verdicts": rows,
        "guards": guards,
        "warnings": warnings,
        "primary": "mean gain in bits per byte over: " + ", ".join(stage.evaluation),
        "looks": [one for one in stage.seeds if one <= looks.n_seeds],
        "cost": _cost(stage, base, records),
        "base": dict(base),
        "data": prepared["tables"],
        "evaluation": prepared["evaluation"],
        "settings": stage.model_dump(mode="json", exclude={"name", "threads", "tokenizer", "base"}),
    }


def _row(name: str, found: Verdict, records: Records, tokens: float) -> dict[str, Any]:
    n_seeds = found.n_seeds
    differences = measured(records, name, n_seeds)
    sides = [
        records["control", seed]["default"] - records[name, seed]["default"]
        for seed in range(n_seeds)
    ]
    return {
        "arm": name,
        "outcome": found.outcome,
        "reason": found.reason,
        "n_seeds": n_seeds,
        "mean": found.mean,
        "deviation": found.deviation,
        "low": _finite(found.low),
        "high": _finite(found.high),
        "alpha": found.alpha,
        "p_value": found.p_value,
        "smallest_effect": _finite(found.smallest_effect),
        "seeds_to_decide": found.seeds_to_decide,
        "tokens_to_decide": _tokens_to_decide(found, tokens),
        "over_texts": list(over_texts(records, name, n_seeds)),
        "seeds": list(differences.primary),
        "sets": by_set(records, name, n_seeds),
        "order": list(differences.order),
        "seen": list(differences.seen),
        "held_out": list(differences.held_out),
        "default": sides,
    }


def _tokens_to_decide(found: Verdict, tokens: float) -> int | None:
    """Tokens of anneals that would probably decide for the table with as many seeds.

    Extrapolated: gains grow about as the root of the tokens (docs/verification.md), and their
    deviation between seeds does not grow.
    """
    if found.outcome != "undecided" or found.mean <= 0 or not math.isfinite(found.smallest_effect):
        return None
    factor = (found.smallest_effect / found.mean) ** 2
    return round(max(1.0, factor) * tokens) if factor < LONGEST else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _reason(looks: Looks) -> str:
    return "; ".join(
        f"{name} {one.outcome} after {one.n_seeds} seeds: {one.reason}"
        for name, one in looks.tables.items()
    )


def _fooled(names: Sequence[str], looks: Looks) -> str:
    what = [
        "the null arm, which is more of the default mix"
        if name == "null"
        else f"the placebo of {name.removesuffix('.placebo')}, which is its words shuffled"
        for name in names
    ]
    means = ", ".join(f"{looks.guards[name].mean:+.4f}" for name in names)
    return (
        f"invalid, so there is no verdict: {' and '.join(what)}, was accepted ({means} bits per "
        "byte). The measure is fooled here: take evaluation sets of other sources, more "
        "`evaluation_bytes`, a higher `minimum_effect`, or more seeds at the first look"
    )


def _warnings(stage: Anneal, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    found = []
    if len(stage.evaluation) < FEW_SETS:
        found.append(
            f"{len(stage.evaluation)} evaluation set(s): a verdict rests better on {FEW_SETS} or "
            "more, of sources that are not the candidates'"
        )
    for row in rows:
        loss = -statistics.fmean(row["default"])
        if row["outcome"] == "accepted" and loss > 2 * row["mean"]:
            found.append(
                f"{row['arm']}: held-out text of the default mix loses {loss:.4f} bits per byte, "
                f"more than twice the gain of {row['mean']:.4f}"
            )
        if row["outcome"] == "accepted" and row["over_texts"][0] <= 0:
            found.append(f"{row['arm']}: over other evaluation texts the gain may be none")
    return found


def _cost(stage: Anneal, base: Mapping[str, Any], records: Records) -> dict[str, Any]:
    """Operations and seconds, and what is saved against training each trial from scratch."""
    from ultraclean.train.config import ModelConfig

    model = ModelConfig.model_validate(base["model"])
    per_token = model.flops_per_token(stage.length or base["length"])
    annealed = sum(one["tokens"] for one in records.values())
    here = base["tokens"] if base["trained_here"] else 0
    scratch = annealed + len(records) * base["tokens"]
    train_s = sum(one["train_s"] for one in records.values())
    spent_s = sum(one["seconds"] for one in records.values()) + base["seconds"]
    # As fast as the anneals were.
    scratch_s = spent_s - base["seconds"] + train_s * (scratch / annealed - 1)
    return {
        "trials": len(records),
        "tokens": annealed,
        "base_tokens": here,
        "flops": per_token * (annealed + here),
        "train_s": round(train_s, 3),
        "trial_s": round(sum(one["seconds"] for one in records.values()), 3),
        "base_s": base["seconds"],
        "device_hours": round(spent_s / 3600, 4),
        "device_hours_from_scratch": round(scratch_s / 3600, 4),
        "flops_from_scratch": per_token * scratch,
        "saving": 1 - (annealed + here) / scratch if scratch else 0.0,
    }


def _shown(rows: Sequence[Mapping[str, Any]]) -> str:
    """The verdicts as a Markdown table."""
    lines = [
        "| table | verdict | seeds | gain | lower | upper | order | smallest effect seen |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        numbers = [row["mean"], row["low"], row["high"], statistics.fmean(row["order"])]
        cells = [row["arm"], row["outcome"], str(row["n_seeds"])]
        cells += ["" if one is None else f"{one:+.4f}" for one in numbers]
        cells += ["" if row["smallest_effect"] is None else f"{row['smallest_effect']:.4f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
