"""Strings of JSON lines by the kernel, against Python's json."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import orjson
from hypothesis import given
from hypothesis import strategies as st
from ultrakernels.json_lines import reference, string_fields

KEYS = ("text", "id", "ü")


def strings_of(data: bytes) -> list[list[str | None] | None]:
    lines = string_fields(np.frombuffer(data, dtype=np.uint8), [key.encode() for key in KEYS])
    found: list[list[str | None] | None] = []
    begin = 0
    for i, end in enumerate(lines.rest_ends.tolist()):
        rest, begin = lines.rest[begin:end].tobytes(), end
        try:
            parsed = orjson.loads(rest)
        except ValueError:
            parsed = None
        if not lines.sound[i] or not isinstance(parsed, dict):
            found.append(None)
            continue
        row: list[str | None] = []
        for k in range(len(KEYS)):
            first, last = lines.offsets[k, i : i + 2]
            row.append(lines.texts[k, first:last].tobytes().decode() if lines.found[k, i] else None)
        found.append(row)
    return found


def agrees(data: bytes) -> int:
    """How many lines the kernel found sound; each of those is what json says of the line."""
    found, expected = strings_of(data), reference(data, KEYS)
    assert len(found) == len(expected)
    n_sound = 0
    for mine, theirs in zip(found, expected, strict=True):
        if mine is not None:
            assert mine == theirs, data
            n_sound += 1
    return n_sound


TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*KEYS, "{", '"']), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
RECORD = st.dictionaries(st.sampled_from([*KEYS, "other", "te", "te\\xt"]), VALUE, max_size=5)


@given(st.lists(RECORD, min_size=1, max_size=4), st.booleans(), st.sampled_from([None, 1]))
def test_sound_lines_are_found(records: list[dict[str, Any]], plain: bool, spaces: Any) -> None:
    lines = [json.dumps(one, ensure_ascii=plain) for one in records]
    if spaces:
        lines = [" " + line.replace('": ', '"\t: ') + "\r" for line in lines]
    data = "\n".join(lines).encode()
    with_escaped_keys = sum(any("\\" in key for key in one) for one in records)
    if "ü" in data.decode() or not any("ü" in one for one in records):
        assert agrees(data) >= len(records) - with_escaped_keys - data.count(b'\\"')
    else:
        agrees(data)


PIECES = [b'{', b'}', b'[', b']', b'"', b'\\', b':', b',', b'"text"', b'"id"', b'"text": "a"', b'\n', b' ', b'u00e9',
          b'\\ud83d\\ude00', b'\\ud83d', b'\xc3\xa9', b'\xc3', b'\xed\xa0\x80', b'\xf4\x90\x80\x80', b'\x00', b'1', b'null', b'x']  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=14))
def test_whatever_is_no_json_is_left_whole(pieces: list[bytes]) -> None:
    agrees(b"".join(pieces))
    agrees(b'{"text": "' + b"".join(pieces) + b'", "id": "b"}\n{"text": "c"}')


def test_each_escape_and_each_end_of_a_block() -> None:
    line = (
        rb'{"a": {"text": 1}, "text": "\"\\\/\b\f\n\r\t\u0041\u00e9\u4f60\ud83d\ude00", "id" : "i"}'
    )
    assert strings_of(line + b"\n") == [['"\\/\b\f\n\r\tAé你😀', "i", None]]
    for cut in range(1, len(line)):
        agrees(line[:cut])
    assert strings_of(b"") == []
    twice = (
        b'{"text": "a", "text": "b"}\n{"text": null, "text": "b"}\n{"te\\u0078t": "a", "text": "b"}'
    )
    assert strings_of(twice) == [None, None, None]
