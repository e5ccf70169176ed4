"""filter.chinese decides as ChineseWebText's code and measures as data-juicer's did when recorded."""

from __future__ import annotations

import importlib.util
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from ultraclean.document import Batch
from ultraclean.stages.filter.chinese import Chinese

HERE = Path(__file__).parent
FEWEST_DROPPED = 100

FOLDERS = {
    "too_few_chars": "length",
    "short_lines": "length",
    "too_little_han": "character",
    "too_many_listed_words": "sensitive",
    "repeated_ngrams": "duplication",
    None: "remain",
}
NUMBERS = {
    "alphanumeric_fraction": "alnum_ratio",
    "top_ngram_fraction": "char_rep_ratio",
    "n_chars": "text_len",
}


@pytest.fixture(scope="module")
def record(shared_data: Path) -> tuple[dict[str, Any], list[dict[str, Any]], Batch]:
    spec = importlib.util.spec_from_file_location("conformance_texts", HERE / "texts.py")
    assert spec is not None and spec.loader is not None
    texts: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(texts)
    head, rows = texts.recorded(HERE / "recorded" / "chinese.jsonl.gz", shared_data)
    return head, rows, Batch.of(text=[row["text"] for row in rows])


def test_as_chinesewebtext(record: Any, tmp_path: Path) -> None:
    head, rows, batch = record
    words = tmp_path / "words"
    words.write_text("\n".join(head["words"]), "utf-8")
    ours = Chinese(words=str(words)).open()(batch)
    reasons = [None if code < 0 else ours.reasons[code] for code in ours.code]
    wrong = [
        (reason, row["chinesewebtext"], row["text"][:60])
        for reason, row in zip(reasons, rows, strict=True)
        if FOLDERS[reason] != row["chinesewebtext"]
    ]
    assert not wrong, (len(wrong), wrong[:5])
    dropped = Counter(reasons)
    assert min(dropped[reason] for reason in FOLDERS) >= FEWEST_DROPPED, dropped


def test_as_data_juicer(record: Any) -> None:
    _, rows, batch = record
    stage = Chinese(dialect="data_juicer")
    ours = stage.open()(batch)
    for name, theirs in NUMBERS.items():
        expected = [row["data_juicer"][theirs] for row in rows]
        # Shares of nothing are 0 there; here they fail no rule, and the length drops such texts.
        found = np.nan_to_num(ours.numbers[name], nan=0).tolist()
        assert found == expected
    fails = {
        "too_few_alphanumerics": lambda found: found["alnum_ratio"] < 0.1 and found["text_len"] > 0,
        "top_ngrams": lambda found: found["char_rep_ratio"] > 0.6,
        "too_few_chars": lambda found: found["text_len"] < 10,
    }
    dropped: Counter[str | None] = Counter()
    for code, row in zip(ours.code, rows, strict=True):
        failed = [reason for reason, rule in fails.items() if rule(row["data_juicer"])]
        dropped.update(failed)
        assert (None if code < 0 else ours.reasons[code]) == (failed[0] if failed else None)
    assert min(dropped[reason] for reason in fails) >= FEWEST_DROPPED, dropped
