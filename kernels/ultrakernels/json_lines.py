"""String fields of JSON lines, decoded; the rest of each line is left to a JSON parser.

A text is most of its line. It is found by walking over strings and brackets, checked and decoded
here; whoever parses what remains of the line, with an empty string in its place, has checked the
whole line. A line with anything unusual is left whole to the parser.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

_PLAIN, _QUOTE, _ESCAPE, _LOW, _HIGH = range(5)


def _classes() -> NDArray[np.uint8]:
    classes = np.zeros(256, dtype=np.uint8)
    classes[:32], classes[128:] = _LOW, _HIGH
    classes[ord('"')], classes[ord("\\")] = _QUOTE, _ESCAPE
    return classes


def _escapes() -> NDArray[np.uint8]:
    escapes = np.zeros(256, dtype=np.uint8)
    for letter, meaning in zip(b'"\\/bfnrt', b'"\\/\b\f\n\r\t', strict=True):
        escapes[letter] = meaning
    return escapes


def _digits() -> NDArray[np.uint8]:
    digits = np.full(256, 255, dtype=np.uint8)
    for value, char in enumerate(b"0123456789abcdef"):
        digits[char] = digits[ord(chr(char).upper())] = value
    return digits


_CLASS, _ESCAPED, _HEX = _classes(), _escapes(), _digits()


def reference(data: bytes, keys: Sequence[str]) -> list[list[str | None] | None]:
    """The strings under `keys` of each line that is an object; None where a key occurs twice, or no object."""

    def strings_of(line: bytes) -> list[str | None] | None:
        try:
            pairs = json.loads(line, object_pairs_hook=list)
        except (ValueError, RecursionError):
            return None
        if not isinstance(pairs, list) or not line.lstrip().startswith(b"{"):
            return None
        values = [[value for name, value in pairs if name == key] for key in keys]
        if any(len(found) > 1 for found in values):
            return None
        return [found[0] if found and isinstance(found[0], str) else None for found in values]

    return [strings_of(line) for line in data.removesuffix(b"\n").split(b"\n")]


@dataclass(frozen=True, eq=False)
class Strings:
    """Line i is data[ends[i - 1]:ends[i]], its line feed included.

    Where it is `sound`, its string under key k, if it is `found`[k, i], is
    texts[k, offsets[k, i]:offsets[k, i + 1]], and rest[rest_ends[i - 1]:rest_ends[i]] is the line with
    empty strings in their places: if that is JSON, so is the line. Else all of it is to be parsed.
    """

    ends: NDArray[np.int64]
    sound: NDArray[np.bool_]
    found: NDArray[np.bool_]
    offsets: NDArray[np.int32]
    texts: NDArray[np.uint8]
    rest: NDArray[np.uint8]
    rest_ends: NDArray[np.int64]


def string_fields(data: NDArray[np.uint8], keys: Sequence[bytes]) -> Strings:
    """The strings of lines, of together less than 2 GiB, under different keys."""
    n_lines = int(np.count_nonzero(data == 10)) + int(len(data) > 0 and data[-1] != 10)
    starts = np.cumsum([0, *map(len, keys)]).astype(np.int64)
    strings = Strings(
        np.empty(n_lines, dtype=np.int64),
        np.ones(n_lines, dtype=np.bool_),
        np.zeros((len(keys), n_lines), dtype=np.bool_),
        np.zeros((len(keys), n_lines + 1), dtype=np.int32),
        np.empty((len(keys), len(data)), dtype=np.uint8),
        np.empty(len(data), dtype=np.uint8),
        np.empty(n_lines, dtype=np.int64),
    )
    _find(
        data, np.frombuffer(b"".join(keys) + b"\0", dtype=np.uint8), starts, _CLASS, _ESCAPED, _HEX,
        strings.ends, strings.sound, strings.found, strings.offsets, strings.texts, strings.rest,
        strings.rest_ends,
    )  # fmt: skip
    return strings


@numba.njit(cache=True, nogil=True)
def _find(
    data: Any, keys: Any, starts: Any, classes: Any, escaped: Any, hexes: Any,
    ends: Any, sounds: Any, found: Any, offsets: Any, texts: Any, rest: Any, rest_ends: Any,
) -> None:  # fmt: skip
    at, put, n_data = np.uint64(0), np.uint64(0), np.uint64(len(data))
    one = np.uint64(1)
    for line in range(len(ends)):
        depth, sound, copied = 0, True, at
        for k in range(len(found)):
            offsets[k, line + 1] = offsets[k, line]
        while at < n_data:
            byte = data[at]
            if byte == 10:
                break
            at += one
            if byte in (123, 91):
                depth += 1
            elif byte in (125, 93):
                depth -= 1
            if byte != 34:
                continue
            begin = at
            at, plain, closed = _string_end(data, at, n_data, classes)
            if not closed:
                sound = False
                continue
            end = at
            at = _after_blanks(data, end + one, n_data)
            if depth != 1 or at == n_data or data[at] != 58:
                continue
            at = _after_blanks(data, at + one, n_data)
            if not plain:
                sound = False  # a key with escapes may be one that is looked for
            k = _which(data, begin, end, keys, starts)
            if k < 0:
                continue
            if found[k, line]:
                sound = False
            if at == n_data or data[at] != 34:
                # no string: whether the key comes again, only the parser knows
                found[k, line], offsets[k, line + 1] = True, -1
                continue
            first = np.uint64(offsets[k, line])
            stop, n_text = _decode(data, at + one, n_data, texts[k], first, classes, escaped, hexes)
            if n_text < 0:
                sound = False  # and on through the string, to where the line ends
                continue
            found[k, line], offsets[k, line + 1] = True, offsets[k, line] + n_text
            put = _copy(data, copied, at + one, rest, put)
            at, copied = stop, stop - one  # an empty string stays, of the two quotes
        put = _copy(data, copied, at, rest, put)
        at = min(at + one, n_data)
        ends[line], rest_ends[line], sounds[line] = at, put, sound
        for k in range(len(found)):
            if offsets[k, line + 1] < 0 or not sound:
                found[k, line] = False
                offsets[k, line + 1] = offsets[k, line]


@numba.njit(cache=True, nogil=True)
def _copy(data: Any, begin: Any, end: Any, out: Any, put: Any) -> Any:
    for at in range(begin, end):
        out[put] = data[at]
        put += np.uint64(1)
    return put


@numba.njit(cache=True, nogil=True)
def _which(data: Any, begin: Any, end: Any, keys: Any, starts: Any) -> int:
    """Which key data[begin:end] is, -1 if none."""
    for k in range(len(starts) - 1):
        first = starts[k]
        if end - begin != np.uint64(starts[k + 1] - first):
            continue
        same = True
        for i in range(np.int64(end - begin)):
            if data[begin + np.uint64(i)] != keys[first + i]:
                same = False
                break
        if same:
            return k
    return -1


@numba.njit(cache=True, nogil=True)
def _string_end(data: Any, at: Any, n_data: Any, classes: Any) -> Any:
    """(where it ends, whether without escapes, whether at a quote and not at what no string holds)."""
    one, plain = np.uint64(1), True
    while at < n_data:
        kind = classes[data[at]]
        if kind == _QUOTE:
            return at, plain, True
        if kind == _ESCAPE:
            plain = False
            at += one
            if at == n_data:
                break
            kind = classes[data[at]]
        if kind == _LOW:
            break
        at += one
    return at, plain, False


@numba.njit(cache=True, nogil=True)
def _after_blanks(data: Any, at: Any, n_data: Any) -> Any:
    while at < n_data and (data[at] == 32 or data[at] == 9):
        at += np.uint64(1)
    return at


@numba.njit(cache=True, nogil=True)
def _decode(
    data: Any, at: Any, n_data: Any, out: Any, put: Any, classes: Any, escaped: Any, hexes: Any
) -> Any:
    """(behind the closing quote, bytes written) of a string that begins at `at`; (0, -1) if unsound."""
    one, first = np.uint64(1), put
    no = (np.uint64(0), np.int64(-1))
    while at < n_data:
        byte = data[at]
        kind = classes[byte]
        if kind == _PLAIN:
            out[put] = byte
            put += one
            at += one
        elif kind == _QUOTE:
            return at + one, np.int64(put - first)
        elif kind == _HIGH:
            size = _utf8_size(data, at, n_data)
            if size == 0:
                return no
            for _ in range(size):
                out[put] = data[at]
                put += one
                at += one
        elif kind == _ESCAPE and at + one < n_data:
            letter = data[at + one]
            at += np.uint64(2)
            if letter != 117:
                if escaped[letter] == 0:
                    return no
                out[put] = escaped[letter]
                put += one
                continue
            code = _hex4(data, at, n_data, hexes)
            at += np.uint64(4)
            if code < 0:
                return no
            if 0xD800 <= code < 0xE000:
                if code >= 0xDC00 or at + one >= n_data or data[at] != 92 or data[at + one] != 117:
                    return no
                low = _hex4(data, at + np.uint64(2), n_data, hexes)
                at += np.uint64(6)
                if low < 0xDC00 or low >= 0xE000:
                    return no
                code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)
            put = _encode(code, out, put)
        else:
            return no
    return no


@numba.njit(cache=True, nogil=True)
def _hex4(data: Any, at: Any, n_data: Any, hexes: Any) -> np.int64:
    if at + np.uint64(4) > n_data:
        return np.int64(-1)
    code = np.int64(0)
    for k in range(4):
        digit = hexes[data[at + np.uint64(k)]]
        if digit == 255:
            return np.int64(-1)
        code = code << 4 | np.int64(digit)
    return code


@numba.njit(cache=True, nogil=True)
def _encode(code: np.int64, out: Any, put: Any) -> Any:
    one = np.uint64(1)
    if code < 0x80:
        out[put] = code
        return put + one
    if code < 0x800:
        out[put] = 0xC0 | code >> 6
    else:
        if code < 0x10000:
            out[put] = 0xE0 | code >> 12
        else:
            out[put] = 0xF0 | code >> 18
            put += one
            out[put] = 0x80 | (code >> 12 & 0x3F)
        put += one
        out[put] = 0x80 | (code >> 6 & 0x3F)
    put += one
    out[put] = 0x80 | (code & 0x3F)
    return put + one


@numba.njit(cache=True, nogil=True)
def _utf8_size(data: Any, at: Any, n_data: Any) -> int:
    """Bytes of the well-formed sequence (Unicode 15, table 3-7) that begins at `at`; 0 if it is none."""
    lead = data[at]
    size = 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
    if lead < 0xC2 or lead > 0xF4 or at + np.uint64(size) > n_data:
        return 0
    second = data[at + np.uint64(1)]
    low, high = 0x80, 0xBF
    if lead == 0xE0:
        low = 0xA0
    elif lead == 0xED:
        high = 0x9F
    elif lead == 0xF0:
        low = 0x90
    elif lead == 0xF4:
        high = 0x8F
    if second < low or second > high:
        return 0
    for k in range(2, size):
        if data[at + np.uint64(k)] & 0xC0 != 0x80:
            return 0
    return size
