"""Verifiers: what code can say of an answer without asking a model."""

from ultrachat.checks.verdict import Verdict

__all__ = ["Verdict"]
