"""Our dialects `dclm` and `dolma` decide as DCLM's and dolma's own code did when it was recorded.

`recorded/*.jsonl.gz` are written by `record_dclm.py` and `record_dolma.py`: which rules each text fails,
every rule asked by itself. Here each rule is asked alone as well, so that none hides behind another.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import texts

from ultraclean.document import Batch
from ultraclean.stage import Decision, Filter
from ultraclean.stages.filter.c4 import C4, FLAGS
from ultraclean.stages.filter.gopher_quality import GopherQuality
from ultraclean.stages.filter.gopher_repetition import GopherRepetition
from ultraclean.text.c4_lines import CAUSES

HERE = Path(__file__).parent

FIELDS = {
    "too_few_words": "min_words",
    "too_many_words": "max_words",
    "short_words": "min_mean_word_chars",
    "long_words": "max_mean_word_chars",
    "too_many_symbols": "max_symbol_fraction",
    "too_many_bullet_lines": "max_bullet_line_fraction",
    "too_many_ellipsis_lines": "max_ellipsis_line_fraction",
    "too_few_alphabetic_words": "min_alphabetic_word_fraction",
    "too_few_stop_words": "min_stop_words",
    "repeated_lines": "max_repeated_line_fraction",
    "repeated_line_chars": "max_repeated_line_char_fraction",
    "repeated_paragraphs": "max_repeated_paragraph_fraction",
    "repeated_paragraph_chars": "max_repeated_paragraph_char_fraction",
    **{f"top_{n}gram": f"max_top_{n}gram_fraction" for n in (2, 3, 4)},
    **{f"repeated_{n}grams": f"max_repeated_{n}gram_fraction" for n in range(5, 11)},
}
STAGES: dict[str, type[Filter]] = {"quality": GopherQuality, "repetition": GopherRepetition}
CHANGED = {"too_many_words": 120}
"""Limits that the recording changed; the others are the dialect's own."""
FEWEST_DROPPED = 100


def alone(stage: type[Filter], dialect: str, field: str, value: Any) -> Filter:
    off = {name: None for name in FIELDS.values() if name in stage.model_fields}
    return stage(dialect=dialect, **(off | {field: value}))  # type: ignore[arg-type]


def outcome(decision: Decision, row: int) -> str | None:
    code = decision.code[row]
    return None if code < 0 else decision.reasons[code]


def said_empty(dialect: str, found: str | None, text: str) -> bool:
    """DCLM: some rules give up a text without words, whatever their limit; ours say so, once."""
    return dialect == "dclm" and found == "empty" and not text.strip()


@pytest.mark.parametrize("dialect", ["dclm", "dolma"])
def test_each_rule_alone(dialect: str, shared_data: Path) -> None:
    head, rows = texts.recorded(HERE / "recorded" / f"{dialect}.jsonl.gz", shared_data)
    rows = [row for row in rows if "quality" in row]
    batch = Batch.of(text=[row["text"] for row in rows])
    wrong, dropped = [], {}
    for kind, stage in STAGES.items():
        published = stage(dialect=dialect)  # type: ignore[call-arg]
        for reason in head[kind]:
            limit = CHANGED.get(reason, getattr(published, FIELDS[reason]))
            ours = alone(stage, dialect, FIELDS[reason], limit).open()(batch)
            dropped[reason] = 0
            for index, row in enumerate(rows):
                found = outcome(ours, index)
                expected = reason if reason in row[kind] else None
                dropped[reason] += expected is not None
                if found != expected and not said_empty(dialect, found, row["text"]):
                    wrong.append((reason, index, row["text"][:80], found, expected))
    assert not wrong, (len(wrong), wrong[:10])
    assert min(dropped.values()) >= FEWEST_DROPPED, dropped


@pytest.mark.parametrize("dialect", ["dclm", "dolma"])
def test_the_first_rule_that_fails_is_the_reason(dialect: str, shared_data: Path) -> None:
    head, rows = texts.recorded(HERE / "recorded" / f"{dialect}.jsonl.gz", shared_data)
    rows = [row for row in rows if "quality" in row]
    batch = Batch.of(text=[row["text"] for row in rows])
    for kind, stage in STAGES.items():
        changed = {FIELDS[k]: v for k, v in CHANGED.items() if FIELDS[k] in stage.model_fields}
        ours = stage(dialect=dialect, **changed).open()(batch)  # type: ignore[arg-type]
        differ = []
        for index, row in enumerate(rows):
            expected = row[kind][0] if row[kind] else None
            found = outcome(ours, index)
            if found != expected and not said_empty(dialect, found, row["text"]):
                differ.append((index, found, expected))
        assert not differ, (kind, len(differ), differ[:10])
        assert len({row[kind][0] for row in rows if row[kind]}) > len(head[kind]) / 2


def c4_compared(dialect: Any, rows: list[dict[str, Any]]) -> tuple[list[Any], Counter[str]]:
    """Where C4's text or reason differs, but for the sentences, and what each rule did."""
    batch = Batch.of(text=[row["text"] for row in rows])
    ours = C4(dialect=dialect, min_sentences=None).open()(batch)
    kept = ours.columns["text"].to_pylist()
    wrong, done = [], Counter[str]()
    for index, row in enumerate(rows):
        digest = hashlib.sha256(kept[index].encode("utf-8", "surrogatepass")).hexdigest()[:16]
        found = outcome(ours, index) or f"kept {digest}"
        took = {cause for cause in CAUSES[dialect] if ours.numbers[f"n_lines_{cause}"][index]}
        expected, edits = row["c4"], set(row["c4_edits"]) - {"citations"}
        done.update(row["c4_edits"])
        done.update(row.get("c4_flags", [] if expected.startswith("kept") else [expected]))
        if dialect == "dclm" and expected in CAUSES[dialect]:
            expected = "empty"  # the step that took the last line gave the page up
        if found != expected or not edits <= took:
            wrong.append((index, found, expected, took, edits, row["text"][:80]))
    return wrong, done


@pytest.mark.parametrize("dialect", ["dclm", "dolma"])
def test_c4_leaves_the_same_text(dialect: Any, shared_data: Path) -> None:
    """The same text or the same reason, and the same rules took lines."""
    _, rows = texts.recorded(HERE / "recorded" / f"{dialect}.jsonl.gz", shared_data)
    wrong, done = c4_compared(dialect, rows)
    assert not wrong, (len(wrong), wrong[:10])
    rules = {*FLAGS[dialect], *CAUSES[dialect]} - {"empty"}
    few = {rule: done[rule] for rule in rules if done[rule] < FEWEST_DROPPED}
    assert not few, done
