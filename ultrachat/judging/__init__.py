"""Judges: the TIGERScore form, its strict parser, and how well a judge agrees with people."""

from ultrachat.judging.agreement import Agreement, agreement, ensemble
from ultrachat.judging.tigerscore import ASPECTS, Error, Judgement, Malformed, parse, render, schema

__all__ = [
    "ASPECTS",
    "Agreement",
    "Error",
    "Judgement",
    "Malformed",
    "agreement",
    "ensemble",
    "parse",
    "render",
    "schema",
]
