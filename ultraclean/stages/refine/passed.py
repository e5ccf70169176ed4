"""Keeps what the stages `refine.*` wrote and what keeps to its source; the rest goes, each with its reason.

What a teacher, or a check of form, refused has a `problem`. What is told in numbers is judged here:
numbers and names that the source lacks, and the length beside the source's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

import numpy as np
import pyarrow as pa
from pydantic import Field

from ultraclean.document import Batch, texts
from ultraclean.stage import Decision, Filter, at_least, at_most, decide

PROBLEMS: Final = (
    # of the teacher
    "timeout", "server_error", "bad_reply", "bad_request", "context_too_long", "not_recorded",
    # of its answers
    "empty", "whitespace", "cut", "refused", "malformed_json", "schema", "not_a_choice", "no_match",
    "malformed_call", "unknown_tool", "missing",
    # of what they say
    "source_too_short", "too_short", "too_long", "refusal", "wrong_language", "repeats", "echoes_marks",
    "no_knowledge", "too_few_pairs", "too_few_posts", "one_voice", "other",
)  # fmt: skip


class Passed(Filter):
    stage: ClassVar[str] = "refine.passed"
    paper: ClassVar[str] = "MiniCPM4 (arXiv 2506.07900), section 2.2; UltraData-Math: no new facts"
    reasons: ClassVar[tuple[str, ...]] = (
        *PROBLEMS,
        "new_numbers",
        "new_names",
        "shorter_than_source",
        "longer_than_source",
    )

    max_new_number_fraction: float | None = Field(
        default=0.1, ge=0, le=1, description="of its numbers the source may lack so many"
    )
    max_new_name_fraction: float | None = Field(
        default=0.25, ge=0, le=1, description="of its names the source may lack so many"
    )
    min_length_ratio: float | None = Field(
        default=None, ge=0, description="characters written for one of the source, at least"
    )
    max_length_ratio: float | None = Field(default=None, ge=0, description="and at most")

    def needs(self) -> tuple[str, ...]:
        return ("text", "problem", "new_number_fraction", "new_name_fraction", "length_ratio")

    def open(self) -> Callable[[Batch], Decision]:
        rules = [
            at_most("new_numbers", "new_number_fraction", self.max_new_number_fraction),
            at_most("new_names", "new_name_fraction", self.max_new_name_fraction),
            at_least("shorter_than_source", "length_ratio", self.min_length_ratio),
            at_most("longer_than_source", "length_ratio", self.max_length_ratio),
        ]
        names = ("new_number_fraction", "new_name_fraction", "length_ratio")

        def judge(batch: Batch) -> Decision:
            measured = {name: _floats(batch[name]) for name in names}
            decision = decide(measured, rules)
            problems = [said.split(":", 1)[0] for said in batch.view("problem", texts)]
            code = np.where(decision.code >= 0, decision.code + len(PROBLEMS), -1).astype(np.int16)
            for row, problem in enumerate(problems):
                if problem:
                    known = problem if problem in PROBLEMS else "other"
                    code[row] = PROBLEMS.index(known)
            by_number = code >= len(PROBLEMS)
            nothing = np.full(batch.num_rows, np.nan)
            return Decision(
                self.reasons,
                code,
                np.where(by_number, decision.value, nothing),
                np.where(by_number, decision.threshold, nothing),
                decision.numbers,
                detail=batch["problem"].cast(pa.string()),
                found=_found(batch, code),
            )

        return judge

    def card(self, n_docs: int, found: Mapping[str, int]) -> dict[str, Any]:
        """Attempts, what was kept, and how much was invented in all, dropped and kept together."""
        kept = found.get("kept", 0)
        alarms = [f"none of {n_docs} attempts passed"] if n_docs and not kept else []
        return {"attempts": n_docs, **found, **({"alarms": alarms} if alarms else {})}


def _floats(column: pa.Array) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)


def _found(batch: Batch, code: np.ndarray[Any, np.dtype[np.int16]]) -> dict[str, int]:
    found = {"kept": int((code < 0).sum())}
    for name in ("n_new_numbers", "n_new_names"):
        if name in batch:
            found[name] = int(np.nansum(_floats(batch[name])))
    return found
