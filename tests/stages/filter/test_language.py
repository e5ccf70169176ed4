"""filter.language: wanted languages, and a least score with its two published signs."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from ultraclean.document import Batch
from ultraclean.stage import Decision
from ultraclean.stages.filter.language import Language

ROWS = {
    "language": ["en", "en", "en", "de", "zh", None, None],
    "language_score": [0.9, 0.65, 0.2, 0.99, 0.5, None, 0.8],
}


def batch() -> Batch:
    scores = pa.array(ROWS["language_score"], pa.float64())
    return Batch.of(language=ROWS["language"], language_score=scores)


def reasons(decision: Decision) -> list[str | None]:
    return [None if code < 0 else decision.reasons[code] for code in decision.code]


def test_reasons_values_and_numbers() -> None:
    decision = Language(languages=["en", "zh"]).open()(batch())
    assert reasons(decision) == [
        *[None, None, "language_score", "language", "language_score", "language", "language"]
    ]
    assert decision.value[2] == 0.2
    assert decision.threshold[2] == 0.65
    numbers = decision.numbers["language_score"]
    assert numbers[:5].tolist() == [0.9, 0.65, 0.2, 0.99, 0.5]
    assert np.isnan(numbers[5])
    assert decision.numbers["other_language"].tolist() == [0, 0, 0, 1, 0, 1, 1]


def test_dialects_differ_at_the_threshold() -> None:
    assert Language(languages=["en"]).open()(batch()).keep.tolist()[:2] == [True, True]
    strict = Language(languages=["en"], dialect="datatrove").open()(batch())
    assert strict.keep.tolist()[:2] == [True, False]


def test_each_rule_can_be_off() -> None:
    every = Language(min_score=None).open()(batch())
    assert every.keep.all()
    assert reasons(Language().open()(batch())).count("language_score") == 2
    no_minimum = Language(languages="en", min_score=None).open()(batch())
    assert no_minimum.keep.tolist() == [True, True, True, False, False, False, False]


def test_all_reasons_are_declared() -> None:
    found = set(reasons(Language(languages=["en", "zh"]).open()(batch())))
    assert found - {None} == set(Language.reasons)


def test_slices_and_other_string_types() -> None:
    judge = Language(languages=["en"]).open()
    whole = judge(batch())
    for start in range(7):
        part = judge(batch().slice(start, 7 - start))
        assert part.code.tolist() == whole.code[start:].tolist()
    large = batch().with_columns({"language": pa.array(ROWS["language"], pa.large_string())})
    assert judge(large).code.tolist() == whole.code.tolist()
    floats = batch().with_columns(
        {"language_score": pa.array(ROWS["language_score"], pa.float32())}
    )
    assert judge(floats).keep.tolist() == [True, False, False, False, False, False, False]


def test_columns_are_named_by_column() -> None:
    stage = Language(languages=["en"], column="lang")
    assert stage.needs() == ("lang", "lang_score")
    assert stage.open()(Batch.of(lang=["en"], lang_score=[0.7])).keep.tolist() == [True]


def test_an_empty_list_is_refused() -> None:
    with pytest.raises(ValidationError, match="an empty list would keep nothing"):
        Language(languages=[])
    assert Language(languages="en").languages == ("en",)
    assert hash(Language(languages=["en"])) == hash(Language(languages=("en",)))
