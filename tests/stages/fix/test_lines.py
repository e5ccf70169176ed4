"""fix.lines: line ends, trailing blanks, runs of empty lines."""

from __future__ import annotations

import re

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ultraclean.document import Batch
from ultraclean.stages.fix.lines import Lines

CASES = {
    "a\r\nb\rc\n": "a\nb\nc",
    "a  \t\nb　\nc\xa0": "a\nb\nc",
    "  indented  code": "  indented  code",
    "a\n\n\n\n\nb": "a\n\n\nb",
    "a\r\n \r\n\r\n\t\r\n\r\nb": "a\n\n\nb",
    "\n\n a \n\n": " a",
    "   ": "",
    "": "",
    "你好 。 \n😀 ": "你好 。\n😀",
    "a\n": "a",
}


@pytest.mark.parametrize("text", CASES)
def test_cases(text: str) -> None:
    assert Lines().open()(Batch.of(text=[text]))["text"].to_pylist() == [CASES[text]]


def fixed(text: str, **fields: int | None) -> str:
    result = Lines(**fields).open()(Batch.of(text=[text]))["text"].to_pylist()[0]
    assert isinstance(result, str)
    return result


def test_each_field_alone() -> None:
    off = {"strip_trailing": False, "max_empty_lines": None, "strip_ends": False}
    text = "\r\na \n\n\n\n\nb \n\n"
    assert fixed(text, **off) == "\na \n\n\n\n\nb \n\n"
    assert fixed(text, **(off | {"strip_trailing": True})) == "\na\n\n\n\n\nb\n\n"
    assert fixed(text, **(off | {"max_empty_lines": 0})) == "\na \nb \n"
    assert fixed(text, **(off | {"max_empty_lines": 1})) == "\na \n\nb \n\n"
    assert fixed(text, **(off | {"strip_ends": True})) == "a \n\n\n\n\nb "


def test_nulls_slices_types_and_unchanged_batches() -> None:
    fix = Lines().open()
    batch = Batch.of(text=pa.array(["x", None, "a \r\nb", ""], pa.large_string()))
    assert fix(batch)["text"].to_pylist() == ["x", None, "a\nb", ""]
    assert fix(batch)["text"].type == pa.large_string()
    assert fix(batch.slice(2, 1))["text"].to_pylist() == ["a\nb"]
    clean = Batch.of(text=["x", None, "a\nb", ""])
    assert fix(clean) is clean
    assert fix(clean.slice(0, 0)).num_rows == 0


@given(st.text(st.sampled_from("ab \t\r\n\xa0　😀"), max_size=40))
def test_as_said_in_python(text: str) -> None:
    expected = re.sub("\r\n?", "\n", text)
    expected = "\n".join(line.rstrip(" \t\xa0　") for line in expected.split("\n"))
    expected = re.sub("\n{3,}", "\n\n\n", expected).strip("\n")
    assert fixed(text) == expected
    assert fixed(expected) == expected
