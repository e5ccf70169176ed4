"""Judgements in the TIGERScore form: a list of errors, each with a reduction; score = minus the sum.

TIGERScore, Jiang et al. 2024 (arXiv 2310.00752). Different on purpose: the parser of the paper's
code takes an integer sum and gives up on a judgement without saying why; this one reads the text
form and the JSON form, takes the sum from the errors themselves, checks what the judge says of
itself against them, and says exactly what was malformed. Aspects are those of MetricInstruct.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

ASPECTS: Final[Mapping[str, tuple[str, ...]]] = {
    "instruction": ("Comprehension", "Accuracy", "Informativeness", "Coherence"),
    "qa": ("Accuracy", "Completeness", "Informativeness", "Clarity"),
    "maths": (
        "Problem Understanding",
        "Problem Formulation",
        "Computing Accuracy",
        "Solution Interpretation",
    ),
    "summary": ("Relevance", "Fact Consistency", "Coherence", "Fluency"),
    "translation": ("Accuracy", "Fluency", "Terminology", "Style Matching"),
    "data_to_text": ("Accuracy", "Logical Coherence", "Fluency"),
    "code": ("Problem Understanding", "Correctness", "Efficiency", "Readability"),
    "tools": ("Tool Choice", "Argument Accuracy", "Use of Results", "Coherence"),
    "dialogue": ("Comprehension", "Accuracy", "Consistency", "Coherence"),
}
"""Aspects per task; the last three tasks are ours."""

SEVERITIES: Final = ("Major", "Minor")
MIN_REDUCTION: Final = 0.5
MAX_REDUCTION: Final = 5.0


def schema(aspects: Sequence[str]) -> dict[str, Any]:
    """The JSON form with these aspects, for teachers that can be held to a schema."""
    kinds = {
        "error_location": {"type": "string", "minLength": 1, "maxLength": 500},
        "error_aspect": {"enum": list(aspects)},
        "explanation": {"type": "string", "minLength": 1, "maxLength": 1000},
        "severity": {"enum": list(SEVERITIES)},
        "score_reduction": {"type": "number", "minimum": MIN_REDUCTION, "maximum": MAX_REDUCTION},
    }
    error = {
        "type": "object",
        "properties": kinds,
        "required": list(kinds),
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {"errors": {"type": "array", "maxItems": 20, "items": error}},
        "required": ["errors"],
        "additionalProperties": False,
    }


class Malformed(ValueError):
    """The judgement is not of the form; `reason` is snake_case and counted, `detail` for people."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason, self.detail = reason, detail
        super().__init__(f"{reason}: {detail}")


@dataclass(frozen=True)
class Error:
    """One error that a judge found."""

    location: str
    aspect: str
    explanation: str
    severity: str
    reduction: float


@dataclass(frozen=True)
class Judgement:
    """What a judge found; no errors is the best score, 0."""

    errors: tuple[Error, ...]

    @property
    def score(self) -> float:
        return -math.fsum(error.reduction for error in self.errors) + 0.0


def parse(text: str, aspects: Sequence[str] | None = None) -> Judgement:
    """A judgement from either form; Malformed says what is wrong. `aspects` None allows any."""
    stripped = text.strip()
    fenced = re.fullmatch(r"```(?:json)?\s*\n(.*?)\n?```", stripped, re.DOTALL)
    body = fenced[1].strip() if fenced else stripped
    if not body:
        raise Malformed("empty", "no text")
    judgement = _from_json(body) if body[0] in "{[" else _from_text(body)
    if aspects is not None:
        known = {aspect.lower() for aspect in aspects}
        for number, error in enumerate(judgement.errors, 1):
            if error.aspect.lower() not in known:
                raise Malformed("unknown_aspect", f"error {number}: {error.aspect!r}")
    return judgement


# --- the text form ------------------------------------------------------------------------------

_OPENING: Final = re.compile(
    r"The model-generated output contains (\d+|no) errors?"
    r"(?:,? with a total score reduction of (-?\d+(?:\.\d+)?))?\.?",
    re.IGNORECASE,
)
_FIELDS: Final = ("Error location", "Error aspect", "Explanation", "Severity", "Score reduction")
_LABEL: Final = re.compile(
    rf"^[ \t*]*({'|'.join(_FIELDS)})[ \t]+(\d+)[ \t*]*[:：][ \t*]*", re.IGNORECASE | re.MULTILINE
)


def _from_text(text: str) -> Judgement:
    opening = _OPENING.search(text)
    if opening is None:
        raise Malformed("no_opening", f"it begins {text[:60]!r}")
    if text[: opening.start()].strip():
        raise Malformed("no_opening", f"something comes before it: {text[:60]!r}")
    stated = 0 if opening[1].lower() == "no" else int(opening[1])
    errors = _listed(text[opening.end() :])
    if len(errors) != stated:
        raise Malformed("wrong_count", f"says {stated} errors and lists {len(errors)}")
    judgement = Judgement(tuple(errors))
    if opening[2] is None:
        if errors:
            raise Malformed("no_total", "it does not say the total score reduction")
    elif abs(abs(float(opening[2])) + judgement.score) > 1e-6:
        raise Malformed(
            "wrong_total", f"says {opening[2]}, the errors add up to {-judgement.score:g}"
        )
    return judgement


def _listed(text: str) -> list[Error]:
    labels = list(_LABEL.finditer(text))
    before = text[: labels[0].start()] if labels else text
    if before.strip():
        raise Malformed("stray_text", repr(before.strip()[:80]))
    errors = []
    for number in range(1, len(labels) // len(_FIELDS) + 1):
        mine = labels[(number - 1) * len(_FIELDS) : number * len(_FIELDS)]
        values = []
        for field, label in zip(_FIELDS, mine, strict=True):
            if label[1].lower() != field.lower() or int(label[2]) != number:
                raise Malformed(
                    "wrong_field", f"{label[1]} {label[2]} where {field} {number} was expected"
                )
            values.append(_value(text, labels, label))
        errors.append(_error(number, *values))
    left = labels[len(errors) * len(_FIELDS) :]
    if left:
        lacking = _FIELDS[len(left)]
        raise Malformed("missing_field", f"error {len(errors) + 1} lacks {lacking}")
    return errors


def _value(text: str, labels: list[re.Match[str]], label: re.Match[str]) -> str:
    at = labels.index(label)
    end = labels[at + 1].start() if at + 1 < len(labels) else len(text)
    return text[label.end() : end].strip()


# --- the JSON form ------------------------------------------------------------------------------


def _from_json(text: str) -> Judgement:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise Malformed("malformed_json", str(error)) from None
    if not isinstance(value, dict) or "errors" not in value:
        raise Malformed("missing_field", "there is no `errors`")
    listed = value["errors"]
    if isinstance(listed, dict):  # {"error_1": {...}, "error_2": {...}}, as in the paper
        if list(listed) != [f"error_{n}" for n in range(1, len(listed) + 1)]:
            raise Malformed("wrong_count", f"the errors are called {list(listed)[:5]}")
        listed = list(listed.values())
    if not isinstance(listed, list):
        raise Malformed("malformed_json", "`errors` is no list")
    return Judgement(tuple(_from_object(number, one) for number, one in enumerate(listed, 1)))


def _from_object(number: int, one: Any) -> Error:
    if not isinstance(one, dict):
        raise Malformed("malformed_json", f"error {number} is no object")
    values = []
    for name in ("error_location", "error_aspect", "explanation", "severity", "score_reduction"):
        if name not in one:
            raise Malformed("missing_field", f"error {number} lacks {name}")
        values.append(one[name])
    return _error(number, *values)


def _error(
    number: int, location: Any, aspect: Any, explanation: Any, severity: Any, reduction: Any
) -> Error:
    for name, value in (("location", location), ("aspect", aspect), ("explanation", explanation)):
        if not isinstance(value, str) or not value.strip():
            raise Malformed("missing_field", f"error {number} has no {name}")
    kind = str(severity).strip().rstrip(".").capitalize()
    if kind not in SEVERITIES:
        raise Malformed("unknown_severity", f"error {number}: {severity!r}")
    return Error(
        location.strip(), aspect.strip(), explanation.strip(), kind, _reduction(number, reduction)
    )


def _reduction(number: int, value: Any) -> float:
    try:
        if isinstance(value, bool):
            raise TypeError
        # Some judges write a reduction as what it does to the score.
        reduction = abs(float(value.strip().rstrip(".") if isinstance(value, str) else value))
    except (TypeError, ValueError):
        raise Malformed("not_a_number", f"error {number}: score reduction {value!r}") from None
    if not MIN_REDUCTION <= reduction <= MAX_REDUCTION:  # NaN is not between them either
        allowed = f"{MIN_REDUCTION:g} to {MAX_REDUCTION:g}"
        raise Malformed("out_of_range", f"error {number}: score reduction {value}, not {allowed}")
    return reduction


def render(judgement: Judgement) -> str:
    """The text form, which `parse` reads back."""
    n_errors = len(judgement.errors)
    lines = [
        f"The model-generated output contains {n_errors} errors, "
        f"with a total score reduction of {-judgement.score:g}."
    ]
    for number, error in enumerate(judgement.errors, 1):
        values = (
            error.location,
            error.aspect,
            error.explanation,
            error.severity,
            f"{error.reduction:g}",
        )
        lines += [
            f"{field} {number}: {value}" for field, value in zip(_FIELDS, values, strict=True)
        ]
    return "\n".join(lines)
