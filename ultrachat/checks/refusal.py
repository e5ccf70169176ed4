"""Whether an answer refuses: `ultraclean.text.refusal` as a check."""

from __future__ import annotations

from ultrachat.checks.verdict import PASS, Verdict
from ultraclean.text.refusal import refusal


def check_refusal(answer: str) -> Verdict:
    """A pass, or `refusal` with the words."""
    words = refusal(answer)
    return PASS if words is None else Verdict("refusal", words)
