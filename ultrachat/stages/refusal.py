"""Drops dialogues in which the assistant refuses, by the phrases with which assistants do.

UltraChat v2's checks look at the answers that they are written for; this filter looks at every turn of
the assistant, also of dialogues that came from elsewhere. What is found is in `ultraclean.text.refusal`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from ultraclean.document import Batch
from ultraclean.stage import Decision, Filter, at_most, decide
from ultraclean.text.refusal import refusal


class Refusal(Filter):
    stage: ClassVar[str] = "chat.refusal"
    main: ClassVar[str | None] = "max_refusals"
    paper: ClassVar[str] = "our own"
    reasons: ClassVar[tuple[str, ...]] = ("refusal",)

    max_refusals: int = Field(default=0, ge=0, description="turns that may refuse")

    def needs(self) -> tuple[str, ...]:
        return ("messages",)

    def open(self) -> Callable[[Batch], Decision]:
        rules = [at_most("refusal", "n_refusals", self.max_refusals)]

        def judge(batch: Batch) -> Decision:
            counts = [_refusals(turns or ()) for turns in batch["messages"].to_pylist()]
            return decide({"n_refusals": np.array(counts, dtype=np.int64)}, rules)

        return judge


def _refusals(turns: Any) -> int:
    said = (turn["content"] or "" for turn in turns if turn["role"] == "assistant")
    return sum(refusal(text) is not None for text in said)
