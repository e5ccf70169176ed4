"""filter.heuristics measures what NeMo Curator's and data-juicer's own code measured when recorded."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from typing import Any

import pytest

from ultraclean.document import Batch
from ultraclean.stages.filter.heuristics import Heuristics

HERE = Path(__file__).parent
FEWEST_DROPPED = 100

LIMITS = {
    "non_alphanumeric_fraction": ("max_non_alphanumeric_fraction", 0.25),
    "digit_fraction": ("max_digit_fraction", 0.15),
    "url_fraction": ("max_url_fraction", 0.2),
    "white_space_fraction": ("max_white_space_fraction", 0.25),
    "parenthesis_fraction": ("max_parenthesis_fraction", 0.1),
    "symbol_word_fraction": ("max_symbol_word_fraction", 0.1),
    "longest_word_chars": ("max_word_chars", 1000),
    "mean_word_chars": ("max_mean_word_chars", 10),
    "boilerplate_fraction": ("max_boilerplate_fraction", 0.4),
    "bullet_line_fraction": ("max_bullet_line_fraction", 0.9),
    "unended_line_fraction": ("max_unended_line_fraction", 0.85),
    "ellipsis_line_fraction": ("max_ellipsis_line_fraction", 0.3),
    "url_word": ("url_words", "porn"),
    "alphanumeric_fraction": ("min_alphanumeric_fraction", 0.25),
    "mean_line_chars": ("min_mean_line_chars", 10),
    "longest_line_chars": ("min_longest_line_chars", 10),
    "repeated_char_fraction": ("max_repeated_char_fraction", 0.5),
}
"""Measure -> field, and the limit that is the peer's default."""


@pytest.fixture(scope="module")
def record(shared_data: Path) -> list[dict[str, Any]]:
    spec = importlib.util.spec_from_file_location("conformance_texts", HERE / "texts.py")
    assert spec is not None and spec.loader is not None
    texts = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(texts)
    _, rows = texts.recorded(HERE / "recorded" / "heuristics.jsonl.gz", shared_data)
    return rows  # type: ignore[no-any-return]


def fails(field: str, limit: Any, value: float) -> bool:
    if field == "url_words":
        return value == 1
    return value < limit if field.startswith("min_") else value > limit


def test_each_measure_and_each_rule(record: list[dict[str, Any]]) -> None:
    batch = Batch.of(text=[row["text"] for row in record])
    assert set(record[0]["measured"]) == set(LIMITS)
    for measure, (field, limit) in LIMITS.items():
        ours = Heuristics(**{field: limit}).open()(batch)
        wrong, dropped = [], 0
        for row, value, code in zip(record, ours.numbers[measure].tolist(), ours.code, strict=True):
            expected = row["measured"][measure]
            if math.isnan(value) or expected is None:  # a text without words or lines
                assert expected in (0, 1, None)
                assert code < 0
                continue
            drops = fails(field, limit, expected)
            dropped += drops
            # Curator takes lines of white space alone for 1 of 1; see the rule above.
            if value != expected or (code >= 0) != drops:
                wrong.append((row["text"][:60], value, expected))
        assert not wrong, (measure, len(wrong), wrong[:5])
        assert dropped >= FEWEST_DROPPED, (measure, dropped)


def test_paragraphs_of_mc4(record: list[dict[str, Any]]) -> None:
    pytest.importorskip("datatrove")
    from datatrove.data import Document
    from datatrove.pipeline.filters.c4_filters import C4ParagraphFilter

    peer = C4ParagraphFilter()
    texts = [row["text"] for row in record]
    texts += [
        "\n".join(["x" * 199, "y" * 201, "z" * (199 + at % 3), "w" * 200]) for at in range(300)
    ]
    ours = Heuristics(min_third_line_chars=200).open()(Batch.of(text=texts))
    theirs = [peer.filter(Document(text=text, id="")) is True for text in texts]
    assert ours.keep.tolist() == theirs
    assert min(theirs.count(True), theirs.count(False)) >= FEWEST_DROPPED
