"""Stops a run that loses too much: documents that are errors beyond their share, or all of them."""

from __future__ import annotations

from collections.abc import Mapping

from ultraclean.errors import DataError, StageError
from ultraclean.ledger import Record
from ultraclean.pipeline import Pipeline
from ultraclean.plan import Segment

FEW_ERRORS = 100
"""Errors that no run stops for, whatever their share."""


def check_losses(pipeline: Pipeline, segment: Segment, records: list[Record]) -> None:
    """Stops a run that lost too much: errors beyond their share, or every document."""
    n_docs = sum(record["n_in"] for record in records)
    reasons: dict[str, int] = {}
    for record in records:
        for stage in record["stages"]:
            for reason, n in stage["reasons"].items():
                if reason.startswith("error:"):
                    reasons[reason] = reasons.get(reason, 0) + n
    errors = sum(reasons.values())
    if errors >= FEW_ERRORS and errors > pipeline.max_error_fraction * n_docs:
        most = ", ".join(f"{n} x {reason}" for reason, n in _most(reasons))
        raise StageError(
            f"{segment.name}: {errors} of {n_docs} documents are errors ({most}), more than "
            f"max_error_fraction {pipeline.max_error_fraction}: look at dropped/, or raise it"
        )
    if not pipeline.allow_empty and not any(record["n_out"] for record in records):
        raise DataError(_empty(segment, records))


def _empty(segment: Segment, records: list[Record]) -> str:
    n_docs = sum(record["n_in"] for record in records)
    reasons: dict[str, int] = {}
    for record in records:
        for stage in record["stages"]:
            for reason, n in stage["reasons"].items():
                key = f"{stage['label']}: {reason}"
                reasons[key] = reasons.get(key, 0) + n
    most = "; ".join(f"{n} x {reason}" for reason, n in _most(reasons))
    why = f" ({most})" if most else ""
    return (
        f"{segment.name}: none of {n_docs} documents is left{why}. "
        "If that is expected, set allow_empty: true"
    )


def _most(reasons: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0]))[:5]
