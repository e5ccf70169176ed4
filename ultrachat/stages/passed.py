"""Keeps the dialogues that passed their checks; what failed is counted under its reason.

Follows the stages `chat.*`, whose failed attempts are rows with a `problem`: `reason: detail`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np

from ultraclean.document import Batch, texts
from ultraclean.stage import Decision, Filter


class Passed(Filter):
    stage: ClassVar[str] = "chat.passed"
    paper: ClassVar[str] = "MiniCPM4 (arXiv 2506.07900), section 2.4: automated verification"
    reasons: ClassVar[tuple[str, ...]] = (
        # of the teacher
        "timeout",
        "server_error",
        "bad_reply",
        "bad_request",
        "context_too_long",
        "not_recorded",
        # of its answers
        "empty",
        "whitespace",
        "cut",
        "refused",
        "malformed_json",
        "schema",
        "not_a_choice",
        "no_match",
        "malformed_call",
        "unknown_tool",
        "missing",
        # of checks
        "no_strict_pass",
        "too_short",
        "too_long",
        "refusal",
        "wrong_language",
        "repeats",
        "mentions_source",
        "off_point",
        "answers_alike",
        "bad_question",
        "no_answer",
        "no_agreement",
        "writer_disagrees",
        "easy_sampled_down",
        "reflection_disagrees",
        "syntax",
        "lacks_function",
        "parameters",
        "imports",
        "interactive",
        "tests_failed",
        "tests_prove_nothing",
        "no_output",
        "no_fault",
        "wrong_output",
        "not_rewritten",
        "wrong",
        "failed",
        "exited",
        "time",
        "memory",
        "processes",
        "files",
        "output",
        "not_in_document",
        "too_few_distractors",
        "known_without",
        "unknown_argument",
        "missing_argument",
        "wrong_argument",
        "malformed_arguments",
        "bad_schema",
        "no_call",
        "calls_disagree",
        "failed_too_often",
        "too_many_steps",
        "unknown_citation",
        "too_few_citations",
        "too_few_papers",
        "no_dialogue",
        "other",
    )

    def needs(self) -> tuple[str, ...]:
        return ("problem", "messages")

    def open(self) -> Callable[[Batch], Decision]:
        return self._decide

    def _decide(self, batch: Batch) -> Decision:
        code = np.full(batch.num_rows, -1, dtype=np.int16)
        said = zip(
            batch.view("problem", texts), batch["messages"].is_null().to_pylist(), strict=True
        )
        for row, (problem, no_messages) in enumerate(said):
            reason = problem.split(":", 1)[0] or ("no_dialogue" if no_messages else "")
            if reason:
                known = reason if reason in self.reasons else "other"
                code[row] = self.reasons.index(known)
        nothing = np.full(batch.num_rows, np.nan)
        return Decision(self.reasons, code, nothing, nothing)
