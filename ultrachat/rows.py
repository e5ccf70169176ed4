"""Rows that a stage makes from documents: dialogues with a proof, and attempts that failed.

A failed attempt is a row with a `problem`, which `chat.passed` drops under that reason. It is no
`_error`: that most attempts fail their checks is what checks are for, and no reason to end a run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa

from ultrachat.checks.verdict import Verdict
from ultrachat.dialogue import COLUMNS, Dialogue
from ultraclean.document import KEY, PARENT, Batch, child_keys
from ultraclean.llm import Response

ADDED: Final[Mapping[str, pa.DataType]] = {
    **COLUMNS,
    "prompt": pa.string(),
    "problem": pa.string(),
    PARENT: pa.binary(16),
}
"""What every stage `chat.*` adds; `prompt` is the user's first turn, for deduplication."""


@dataclass
class Made:
    """One attempt: a dialogue, or the reason why there is none."""

    parent: int
    """Row of the batch from which it was made."""
    dialogue: Dialogue | None = None
    language: str = ""
    proof: dict[str, Any] = field(default_factory=dict)
    problem: str | None = None
    """`reason: detail`."""
    numbers: dict[str, float] = field(default_factory=dict)
    """What was measured, good or bad."""


def failed(parent: int, response: Response) -> Made:
    """An attempt that ended at the teacher."""
    return Made(parent, problem=f"{response.problem}: {response.detail[:300]}")


def rejected(parent: int, verdict: Verdict, **numbers: float) -> Made:
    """An attempt that a check rejected."""
    said = f"{verdict.reason}: {verdict.detail[:300]}" if verdict.detail else str(verdict.reason)
    return Made(parent, problem=said, numbers=numbers)


def rows(
    batch: Batch, track: str, attempts: Sequence[Made], numbers: Mapping[str, pa.DataType]
) -> Batch:
    """The batch of all attempts: columns of their documents, keys of their own, `text` the dialogue."""
    parents = np.array([made.parent for made in attempts], dtype=np.int64)
    ordinals = _ordinals(parents)
    kept = batch.data.take(pa.array(parents))
    documents = kept.column(KEY)
    columns: dict[str, Any] = {
        KEY: child_keys(documents, ordinals),
        PARENT: documents.cast(pa.binary(16)),
        "problem": pa.array([made.problem for made in attempts], pa.string()),
        "text": pa.array([text_of(made.dialogue) for made in attempts], pa.string()),
        "prompt": pa.array([prompt_of(made.dialogue) for made in attempts], pa.string()),
        "track": pa.array([track] * len(attempts), pa.string()),
        "language": pa.array([made.language for made in attempts], pa.string()),
    }
    said = [made.dialogue.row() if made.dialogue else {} for made in attempts]
    for name in ("messages", "tools"):
        columns[name] = pa.array([row.get(name) for row in said], COLUMNS[name])
    proofs = [
        {**made.proof, "document": key.hex()}
        for made, key in zip(attempts, documents.to_pylist(), strict=True)
    ]
    columns["proof"] = pa.array(
        [json.dumps(proof, ensure_ascii=False, sort_keys=True) for proof in proofs], pa.string()
    )
    measured = {
        name: pa.array([made.numbers.get(name) for made in attempts], kind)
        for name, kind in numbers.items()
    }
    return Batch(kept).with_columns({**columns, **measured})


def _ordinals(parents: np.ndarray[Any, np.dtype[np.int64]]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """0, 1, 2, ... within each document."""
    seen: dict[int, int] = {}
    ordinals = np.empty(len(parents), dtype=np.int64)
    for at, parent in enumerate(parents.tolist()):
        ordinals[at] = seen.get(parent, 0)
        seen[parent] = int(ordinals[at]) + 1
    return ordinals


def text_of(dialogue: Dialogue | None) -> str | None:
    """What all turns say, as the text of the row."""
    return None if dialogue is None else "\n\n".join(turn.content for turn in dialogue.turns)


def prompt_of(dialogue: Dialogue | None) -> str | None:
    """The user's first turn."""
    if dialogue is None:
        return None
    return next((turn.content for turn in dialogue.turns if turn.role == "user"), None)
