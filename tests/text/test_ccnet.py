"""CCNet's normalisation, on what its own code makes of these lines."""

from __future__ import annotations

import pytest

from ultraclean.text.ccnet import normalise


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("  Élan vital, 1984! ", "elan vital, 0000!"),
        ("“Straße”—１２…", '"straße" - 00...'),
        ("你好，世界。（好）", "你好,世界.(好)"),
        ("a\tb\x07c\x85", "abc"),
        ("", ""),
        ("😀 １", "😀 0"),
    ],
)
def test_normalised(line: str, expected: str) -> None:
    assert normalise(line) == expected
