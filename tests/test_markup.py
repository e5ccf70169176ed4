"""YAML 1.2 scalars, positions, duplicate keys."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ultraclean import markup
from ultraclean.errors import PipelineError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("12", 12),
        ("-3", -3),
        ("0o17", 15),
        ("0xff", 255),
        ("017", 17),
        ("1_000", "1_000"),
        ("10e9", 10e9),
        ("1.5", 1.5),
        (".5", 0.5),
        ("-.inf", -math.inf),
        ("12:30:45", "12:30:45"),
        ("2001-01-01", "2001-01-01"),
        ("'12'", "12"),
        ("[en, de]", ["en", "de"]),
        ("{a: 1}", {"a": 1}),
    ],
)
def test_scalars_of_the_core_schema(text: str, value: object) -> None:
    assert markup.parse_scalar(text) == value


def test_every_value_has_its_line() -> None:
    tree = markup.parse("a: 1\nb:\n  - x\n  - y: 2\n", "f.yaml")
    assert tree.where(("b", 1, "y")) == "f.yaml:4"
    assert tree.where(("b", 0)) == "f.yaml:3"
    assert tree.where(("b", 1, "y", "deeper")) == "f.yaml:4"


def test_a_key_that_stands_twice_is_a_problem() -> None:
    tree = markup.parse("a: 1\na: 2\n", "f.yaml")
    assert [str(p) for p in tree.problems] == [
        "f.yaml:2: the key 'a' stands twice, first on line 1"
    ]


def test_bad_syntax_names_the_line() -> None:
    with pytest.raises(PipelineError, match=r"f\.yaml:2: not YAML"):
        markup.parse("a: 1\n b: [\n", "f.yaml")


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.text(max_size=20)
    | st.floats(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("abc_", min_size=1, max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(_VALUES)
def test_dump_and_parse_are_inverse(value: object) -> None:
    assert markup.parse(markup.dump({"v": value}), "x").value == {"v": value}
