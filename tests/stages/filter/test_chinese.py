"""filter.chinese: each rule at its edge, real Chinese, and batches cut anywhere."""

from __future__ import annotations

import gzip
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ultraclean.document import Batch
from ultraclean.stage import Decision
from ultraclean.stages.filter.chinese import ORDER, Chinese

OFF: dict[str, Any] = {
    name: None for name in Chinese.model_fields if name.startswith(("min_", "max_"))
}
# The first 300 characters of GB 2312, which the mainland writes.
VARIED = b"".join(bytes([0xB0 + at // 94, 0xA1 + at % 94]) for at in range(300)).decode("gb2312")


def judge(stage: Chinese, *texts: str | None) -> Decision:
    return stage.open()(Batch.of(text=pa.array(texts, pa.string())))


def reasons(decision: Decision) -> list[str | None]:
    return [None if code < 0 else decision.reasons[code] for code in decision.code]


def test_every_reason(tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("# a list\n广告\n点击\n", "utf-8")
    stage = Chinese(
        min_han_chars=10,
        max_traditional_fraction=0.1,
        words=str(words),
        max_top_ngram_fraction=0.3,
        min_alphanumeric_fraction=0.5,
    )
    texts = {
        "too_few_chars": VARIED[:200],
        "short_lines": "\n".join(VARIED[at : at + 8] for at in range(0, 300, 8)),
        "too_few_han_chars": "a b c d e f g " * 20,
        "too_little_han": VARIED[:60] + "abcdefg " * 20,
        "too_much_traditional": "臺灣繁體與簡體" * 30,
        "too_many_listed_words": VARIED + "广告，点击广告",
        "repeated_ngrams": VARIED[:70] * 4,
        "top_ngrams": VARIED[:200] + "的" * 120,
        "too_few_alphanumerics": VARIED[:240] + "，。！？；" * 60,
    }
    assert tuple(texts) == ORDER["chinesewebtext"]
    # The marks of the last text repeat, too: its rule is asked alone.
    alone = Chinese(**{**OFF, "min_alphanumeric_fraction": 0.5})
    found = reasons(judge(stage, *list(texts.values())[:-1], VARIED))
    assert found == [*list(texts)[:-1], None]
    assert reasons(judge(alone, texts["too_few_alphanumerics"], VARIED)) == [
        "too_few_alphanumerics",
        None,
    ]


def test_numbers_by_hand() -> None:
    on = {"max_repeated_ngram_fraction": 1, "max_top_ngram_fraction": 1}
    numbers = judge(Chinese(**{**OFF, **on}), "臺灣ab\n中文。", "", None, "的" * 26).numbers
    assert not {"repeated_ngram_fraction", "top_ngram_fraction"} & set(
        judge(Chinese(**OFF), "a").numbers
    )
    assert numbers["n_chars"].tolist() == [8, 0, 0, 26]
    assert numbers["mean_line_chars"].tolist() == [4, 0, 0, 26]
    assert numbers["n_han_chars"].tolist() == [4, 0, 0, 26]
    assert numbers["han_fraction"][0] == 0.5
    assert numbers["traditional_fraction"][0] == 0.5
    assert numbers["alphanumeric_fraction"][0] == 6 / 8
    assert np.isnan(numbers["han_fraction"][1:3]).all()
    assert numbers["repeated_ngram_fraction"][3] == 1
    assert numbers["top_ngram_fraction"][3] == 1


def test_limits_are_kept() -> None:
    assert judge(Chinese(**{**OFF, "min_chars": 3}), "一二三", "一二").keep.tolist() == [
        True,
        False,
    ]
    assert judge(Chinese(**{**OFF, "min_han_fraction": 0.5}), "一a", "一ab").keep.tolist() == [
        True,
        False,
    ]
    assert judge(Chinese(**OFF), "", None, "a").keep.all()


def test_lists_that_are_none(tmp_path: Path) -> None:
    (problem,) = Chinese(words=str(tmp_path / "none.txt")).problems()
    assert "none.txt cannot be read" in problem
    (tmp_path / "empty").write_text("# nothing\n")
    assert Chinese(words=str(tmp_path / "empty")).problems() == [
        f"the list {tmp_path}/empty has no entries"
    ]
    broken = tmp_path / "broken.gz"
    broken.write_bytes(gzip.compress(b"word\n" * 99)[:20])
    (problem,) = Chinese(words=str(broken)).problems()
    assert "broken.gz cannot be read" in problem
    assert Chinese(words=str(broken)).files() == (str(broken),)


def real_texts(folder: Path) -> list[str]:
    found = []
    for name in ("zh_d2l", "zh_lctt", "zh_oiwiki", "zh_react", "zh_tidb", "bbc"):
        with gzip.open(folder / "text" / f"{name}.jsonl.gz") as lines:
            found += [json.loads(line)["text"] for line in itertools.islice(lines, 40)]
    return found


def test_real_chinese_stays_and_english_goes(shared_data: Path) -> None:
    texts = real_texts(shared_data)
    found = reasons(judge(Chinese(max_traditional_fraction=0.05), *texts))
    assert found[-40:] == ["too_little_han"] * 40
    # Technical Markdown is mostly links and code: the published share of 0.3 is hard on it.
    assert set(found[:-40]) == {None, "too_little_han", "short_lines"}
    assert found[:-40].count(None) >= 50
    prose = [prose_of(text) for text in texts[:-40]]
    found = reasons(judge(Chinese(max_traditional_fraction=0.05), *prose))
    assert set(found) <= {None, "too_few_chars", "short_lines"}
    assert found.count(None) > 0.6 * len(found)
    assert judge(Chinese(dialect="data_juicer"), *texts).keep.all()


def prose_of(text: str) -> str:
    """The lines that are mostly Chinese characters."""
    lines = text.splitlines()
    return "\n".join(line for line in lines if sum("一" <= c <= "龥" for c in line) > len(line) / 2)


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
def test_splitting_changes_nothing(kind: Any, shared_data: Path) -> None:
    texts = [*real_texts(shared_data)[::13], None, "", "的" * 300]
    stage = Chinese(min_han_chars=3)
    batch = Batch.of(text=pa.array(texts, kind))
    whole = stage.open()(batch)
    for cut in (0, 1, len(texts) // 2, len(texts)):
        parts = [
            stage.open()(batch.slice(0, cut)),
            stage.open()(batch.slice(cut, len(texts) - cut)),
        ]
        assert reasons(parts[0]) + reasons(parts[1]) == reasons(whole)
        for name, values in whole.numbers.items():
            np.testing.assert_array_equal(
                np.concatenate([part.numbers[name] for part in parts]), values
            )
