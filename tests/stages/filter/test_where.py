"""filter.where: the grammar, nulls, and errors that name the column of the text."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from ultraclean.document import Batch
from ultraclean.stages.filter.where import Where

ROWS = pa.RecordBatch.from_pydict(
    {
        "quality": pa.array([0.9, 0.5, 0.2, None, float("nan")]),
        "n": pa.array([1, 2, 3, None, 5], pa.int32()),
        "language": pa.array(["en", "de", None, "zh", "en"]).dictionary_encode(),
        "url": ["http://spam.org", "http://a.org", "ftp://b", None, "中文"],
        "good": [True, False, None, True, False],
        "my-col": ["x", "y", "z", "x", "y"],
        "nothing": pa.nulls(5),
    }
)
T, F = True, False


@pytest.mark.parametrize(
    ("where", "kept"),
    [
        ("quality >= 0.5", [T, T, F, F, F]),
        ("not quality >= 0.5", [F, F, T, F, T]),
        ("0.1 < quality < 0.6", [F, T, T, F, F]),
        ("n >= 1.5", [F, T, T, F, T]),
        ("n in [1, 2.0]", [T, T, F, F, F]),
        ('language in ["en", "de"]', [T, T, F, F, T]),
        ('language not in ["en"]', [F, T, F, T, F]),
        ('not language in ["en"]', [F, T, F, T, F]),
        ('language == "en" or good', [T, F, F, T, T]),
        ('quality >= 0.5 and not contains(url, "spam")', [F, T, F, F, F]),
        (r'matches(url, "^http://[ab]\\.")', [F, T, F, F, F]),
        ('starts_with(url, "http") and ends_with(url, ".org")', [T, T, F, F, F]),
        ('contains(lower(url), "SPAM")', [F, F, F, F, F]),
        ("length(url) == 2", [F, F, F, F, T]),
        ("is_null(language) or is_null(url)", [F, F, T, T, F]),
        ("good", [T, F, F, T, F]),
        ("good == true", [T, F, F, T, F]),
        ('col("my-col") == "x"', [T, F, F, T, F]),
        ("n * 2 - 1 > 3 / 1", [F, F, T, F, T]),
        ("n / 0 > 5", [T, T, T, F, T]),
        ("-n <= -2", [F, T, T, F, T]),
        ("quality > -1", [T, T, T, F, F]),
        ("true", [T] * 5),
        ("1 > 2", [F] * 5),
        ('nothing == "a" or nothing in ["a"] or contains(nothing, "a")', [F] * 5),
        ("is_null(nothing)", [T] * 5),
        ("  quality\n  >= 0.5\n", [T, T, F, F, F]),
        ('url == "中文"', [F, F, F, F, T]),
    ],
)
def test_what_is_kept(where: str, kept: list[bool]) -> None:
    decide = Where(where=where).open()
    decision = decide(Batch(ROWS))
    assert decision.keep.tolist() == kept
    assert decision.numbers["where"].tolist() == [int(value) for value in kept]
    assert decision.reasons == Where.reasons == ("where",)
    for cut in (0, 2, 5):
        parts = [decide(Batch(ROWS.slice(0, cut))), decide(Batch(ROWS.slice(cut)))]
        assert [*parts[0].keep, *parts[1].keep] == kept


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("", "the expression is empty"),
        ("quality >=", "column 11: the expression ends early"),
        ("quality => 0.5", "column 9: "),
        ("quality", None),
        ("0.5", "column 1: this is not true or false"),
        ("good and 3", "column 10: this is not true or false"),
        ("good and n + 1", "column 10: a number is not true or false"),
        ('"中文" == url and sum(n) > 1', "column 17: unknown function 'sum'; there are col, lower"),
        ("__import__('os').system('x')", "column 1: unknown function ''"),
        ("url.lower() == 1", "column 1: unknown function ''"),
        ("url.x == 1", "column 1: this is not allowed"),
        ("[n for n in url]", "column 1: this is not allowed"),
        ("(lambda: 1) == 1", "column 2: this is not allowed"),
        ("n == 1j", "column 6: this is not allowed"),
        ("n ** 2 > 1", "column 1: this is not allowed"),
        ('"spam" in url', "column 11: `in` needs a list"),
        ("n is None", r"column 1: `is` is not known: use == or is_null\(x\)"),
        ("n == null", r"column 6: nothing equals null: use is_null\(x\)"),
        ("n in [1, m]", "column 10: a list holds numbers or strings"),
        ('n in [1, "a"]', "column 6: a list holds numbers or strings, not both"),
        ('matches(url, "(")', r"column 14: not an RE2 pattern: .*missing"),
        (r'matches(url, "(?=a)")', "column 14: not an RE2 pattern: .*invalid perl"),
        ("matches(url, n)", "column 14: the second argument of matches is a string"),
        ("contains(url)", "column 1: contains takes two arguments"),
        ("lower(url, 1) == 1", "column 1: lower takes one argument"),
        ("col(n) == 1", "column 5: col takes the name of a column"),
        ("n > 99999999999999999999", "column 5: a number of more than 64 bits"),
        ("  n > m > ", "column 10: the expression ends early"),
        ("(" * 500 + "n" + ")" * 500, "too many nested parentheses|nested too deeply"),
        ("not " * 60 + "good", "nested more than 50 deep"),
        ("n > " + "1 + " * 60 + "1", "nested more than 50 deep"),
        ("n > 1 and " * 2000 + "good", "has 20004 characters; 10000 are allowed"),
    ],
)
def test_errors(where: str, message: str | None) -> None:
    if message is None:
        assert Where(where=where).needs() == ("quality",)
        return
    with pytest.raises(ValidationError, match=message):
        Where(where=where)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("quality > 0 and url > 1", "column 17: the types do not fit"),
        ("not quality", "column 5: the types do not fit: double is not true or false"),
        ('contains(n, "a")', "column 1: the types do not fit"),
        ('n in ["a"]', "column 1: the types do not fit"),
        ("url + 1 > 2", "column 1: the types do not fit: string is not a number"),
    ],
)
def test_types_that_do_not_fit(where: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Where(where=where).open()(Batch(ROWS))


def test_needs_are_the_columns_it_names() -> None:
    stage = Where(where='n > 1 and (col("my-col") == "x" or n < lengths) and length(url) > 0')
    assert stage.needs() == ("n", "my-col", "lengths", "url")
    assert Where.main == "where"


def test_an_expression_as_long_as_allowed_is_quick() -> None:
    where = " or ".join(["n == 1"] * 900)
    decision: Any = Where(where=where).open()(Batch(ROWS))
    assert decision.keep.tolist() == [T, F, F, F, F]
