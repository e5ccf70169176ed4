"""filter.fineweb2 reads a file of thresholds as FineWeb-2 writes them, and decides as datatrove does."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from ultraclean.document import Batch
from ultraclean.stages.filter.fineweb2 import Fineweb2

LIMITS: dict[str, Any] = {
    "dup_line_frac": 0.25,
    "dup_n_grams": [[5, 0.14], [6, 0.13], [7, 0.12], [8, 0.11], [9, 0.1], [10, 0.09]],
    "language_score": 0.7,
    "line_punct_thr": 0.1,
    "max_avg_word_length": 13,
    "max_non_alpha_words_ratio": 0.75,
    "min_avg_word_length": 2,
    "new_line_ratio": 0.2,
    "stopwords": ["the", "of", "and", "to"],
    "top_n_grams": [[2, 0.15], [3, 0.14], [4, 0.13]],
}
"""Made for the test, in the form of the project's files."""


@pytest.fixture
def configs(tmp_path: Path) -> Path:
    for name in ("deu_Latn", "dan_Latn"):
        (tmp_path / f"{name}.yml").write_text(yaml.safe_dump(LIMITS))
    return tmp_path


def problem(configs: Path, language: str = "deu_Latn") -> str:
    (found,) = Fineweb2(configs=str(configs), language=language).problems()
    return found


def test_good_files_have_no_problem(configs: Path) -> None:
    assert Fineweb2(configs=str(configs), language="dan_Latn").problems() == []
    assert Fineweb2(configs=str(configs / "dan_Latn.yml"), language="any").problems() == []


def test_unknown_language_names_the_nearest(configs: Path) -> None:
    found = problem(configs, "deu_Latin")
    assert "no thresholds for the language 'deu_Latin'" in found
    assert "did you mean deu_Latn" in found
    assert "there are dan_Latn, deu_Latn" in problem(configs, "中文")


def test_bad_files_are_told_apart(configs: Path, tmp_path: Path) -> None:
    file = configs / "deu_Latn.yml"
    whole = file.read_text()
    file.write_text(whole[: whole.index("min_avg")])
    assert "min_avg_word_length: Field required" in problem(configs)
    assert "expected are dup_line_frac, dup_n_grams" in problem(configs)
    file.write_text(whole.replace("- the\n", "- no\n"))
    assert "stopwords: Input should be a valid string" in problem(configs)
    file.write_text("a: [1,")
    assert "is no YAML" in problem(configs)
    file.write_text("- a list")
    assert "no file of thresholds of FineWeb-2" in problem(configs)
    file.write_bytes(gzip.compress(whole.encode()))
    assert "is no YAML" in problem(configs)
    (tmp_path / "elsewhere").mkdir()
    assert "has no files LANGUAGE.yml" in problem(tmp_path / "elsewhere")
    assert "is not there" in problem(tmp_path / "gone.yml")


def test_score_null_text_and_splits(configs: Path) -> None:
    texts = ["the of " + f"word{i} " * 60 for i in range(5)] + [None, "", " \n "]
    scores = [0.7, 0.69, None, 0.9, 0.9, 0.9, 0.1, 0.9]
    batch = Batch.of(text=texts, language_score=scores)
    stage = Fineweb2(configs=str(configs), language="deu_Latn", score="language_score")
    whole = stage.open()(batch)
    found = [None if c < 0 else whole.reasons[c] for c in whole.code]
    assert found[1] == found[6] == "language_score"
    assert found[5] == "empty"
    for cut in range(1, len(texts)):
        parts = [
            stage.open()(batch.slice(0, cut)),
            stage.open()(batch.slice(cut, len(texts) - cut)),
        ]
        assert [*parts[0].code, *parts[1].code] == list(whole.code)


def test_decisions_are_those_of_its_pipeline(
    configs: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("datatrove")
    from datatrove.data import Document
    from datatrove.pipeline import filters
    from datatrove.pipeline.filters import (
        fineweb_quality_filter,
        gopher_quality_filter,
        gopher_repetition_filter,
    )

    for module in (fineweb_quality_filter, gopher_quality_filter, gopher_repetition_filter):
        monkeypatch.setattr(module, "split_into_words", lambda text, language: text.split())
    theirs = [
        filters.GopherRepetitionFilter(
            dup_para_frac=0,
            dup_line_char_frac=0,
            dup_para_char_frac=0,
            **{name: LIMITS[name] for name in ("dup_line_frac", "top_n_grams", "dup_n_grams")},
        ),
        filters.FineWebQualityFilter(
            short_line_thr=999,
            char_duplicates_ratio=0.1,
            line_punct_thr=LIMITS["line_punct_thr"],
            new_line_ratio=LIMITS["new_line_ratio"],
        ),
        filters.GopherQualityFilter(
            max_avg_word_length=LIMITS["max_avg_word_length"],
            min_avg_word_length=LIMITS["min_avg_word_length"],
            stop_words=LIMITS["stopwords"],
            max_non_alpha_words_ratio=LIMITS["max_non_alpha_words_ratio"],
            min_stop_words=2,
        ),
    ]
    texts = []
    for name in ("text/imdb", "text/zh_lctt", "labels/dclm_human", "langid/udhr"):
        with gzip.open(shared_data / f"{name}.jsonl.gz") as lines:
            texts += [json.loads(line)["text"] for line in list(lines)[:120]]
    decision = Fineweb2(configs=str(configs), language="deu_Latn").open()(Batch.of(text=texts))
    keeps = []
    for text in texts:
        document = Document(text=text, id="0")
        keeps.append(all(step.filter(document) is True for step in theirs))
    assert decision.keep.tolist() == keeps
    assert 50 < sum(keeps) < len(keeps) - 50
