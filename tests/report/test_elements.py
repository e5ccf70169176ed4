"""Markup is escaped by construction, and numbers read well."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ultraclean.report import plots
from ultraclean.report.elements import (
    Html,
    apart,
    count,
    data_block,
    el,
    join,
    number,
    seconds,
    share,
    size,
    text,
)


def test_text_and_attributes_are_escaped() -> None:
    assert el("p", "<b>", class_='a"b', data_x="<", hidden=True, id=None) == (
        '<p class="a&quot;b" data-x="&lt;" hidden>&lt;b&gt;</p>'
    )
    assert el("p", el("b", "x")) == "<p><b>x</b></p>"
    assert join(["<", Html("<hr>"), None], " & ") == "&lt; &amp; <hr>"
    assert el("br") == "<br>"


def test_control_characters_are_shown() -> None:
    assert text("a\x00b\x1b\tc\r\nd\x7f\ud800") == "a\u2400b\u241b\tc\nd\ufffd\ufffd"


@given(st.recursive(st.text() | st.floats(allow_nan=False, allow_infinity=False), st.lists))
def test_no_text_ends_the_data(value: object) -> None:
    block = data_block("d", value)
    inside = block.removeprefix('<script type="application/json" id="d">').removesuffix("</script>")
    assert "<" not in inside and ">" not in inside
    json.loads(inside)


def test_what_json_lacks_is_null() -> None:
    assert "[null,null,1.5]" in data_block("d", [float("nan"), float("inf"), 1.5])


@pytest.mark.parametrize(
    ("part", "whole", "shown"),
    [
        (1, 3, "33.3%"),
        (0, 5, "0.0%"),
        (5, 5, "100.0%"),
        (1, 10**6, "<0.1%"),
        (10**6 - 1, 10**6, ">99.9%"),
        (1, 0, "–"),
    ],
)
def test_share(part: int, whole: int, shown: str) -> None:
    assert share(part, whole) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (float("-inf"), "−∞"),
        (0.0, "0"),
        (1234567.0, "1,234,567"),
        (1234.56, "1,235"),
        (0.65, "0.65"),
        (0.0123456, "0.0123"),
        (-2.5, "−2.5"),
        (0.00001234, "1.2e−05"),
        (1e20, "1e+20"),
    ],
)
def test_number(value: float | None, shown: str) -> None:
    assert number(value) == shown


def test_values_that_differ_look_different() -> None:
    assert apart(0.49996, 0.49998) == ("0.49996", "0.49998")
    assert apart(0.5, 0.5) == ("0.5", "0.5")
    assert apart(48, 50) == ("48", "50")


def test_units() -> None:
    assert count(1234567) == "1,234,567"
    assert [seconds(s) for s in (0.04, 12.34, 245, 11_520)] == [
        "0.04 s",
        "12.3 s",
        "4 min 05 s",
        "3 h 12 min",
    ]
    assert [size(n) for n in (0, 999, 1500, 2.3e9, 5e15)] == [
        "0 B",
        "999 B",
        "1.5 kB",
        "2.3 GB",
        "5,000.0 TB",
    ]


def test_training_curves_keep_their_ends() -> None:
    lines = [
        {"name": "base<", "points": [(100, 9.5), (200, 4.0)]},
        {"name": "control", "points": [(300, 3.5)]},
        {"name": "none", "points": []},
    ]
    drawn = str(plots.curves({"measure": "bits per byte", "lines": lines}))
    assert "base&lt;" in drawn and "none" not in drawn and "style=" not in drawn
    assert "base&lt;: 9.5 to 4" in drawn and "bits per byte over tokens" in drawn
    assert drawn.count("<polyline") == 2 and ">100<" in drawn and ">300<" in drawn
    assert plots.curves({"measure": "loss", "lines": lines[2:]}) is None
