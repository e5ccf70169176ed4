"""fix.control: characters that are not seen."""

from __future__ import annotations

import unicodedata

import pyarrow as pa
import pytest

from ultraclean.document import Batch
from ultraclean.stages.fix.control import Control

CASES = {
    "a\x00b\x07c\x7fd\x9fe": "abcde",
    "tab\t lf\n cr\r\n stay \ufffd": "tab\t lf\n cr\r\n stay \ufffd",
    "page\x0cnext\x0bline\x85nel\u2028ls\u2029ps": "page\nnext\nline\nnel\nls\nps",
    "icon \ue001\uf8ff\U000f0001\U0010fffd end": "icon  end",
    "non\ufdd0char\uffff\U0001fffe": "nonchar",
    "\ufeffsoft\u00adhy\u200bphen\u2060": "softhyphen",
    "a\u200eb\u202ec\u2066d": "abcd",
    "10\u00a0km\u2009and\u3000全角": "10 km and 全角",
    "می\u200cخواهم 👩\u200d👩\u200d👧 🏴\U000e0067\U000e0062\U000e007f ❤\ufe0f": "می\u200cخواهم 👩\u200d👩\u200d👧 🏴\U000e0067\U000e0062\U000e007f ❤\ufe0f",
    "你好，世界！": "你好，世界！",
    "": "",
}  # fmt: skip


def cleaned(text: str, **fields: bool) -> str:
    result = Control(**fields).open()(Batch.of(text=[text]))["text"][0].as_py()
    assert isinstance(result, str)
    return result


@pytest.mark.parametrize("text", CASES)
def test_cases(text: str) -> None:
    assert cleaned(text) == CASES[text]


def test_every_control_and_private_character_goes_and_no_letter() -> None:
    for code in (*range(0xD800), *range(0xE000, 0x110000)):
        char = chr(code)
        kind = unicodedata.category(char)
        if kind in {"Cc", "Co", "Zl", "Zp", "Zs"} and char not in "\t\n\r ":
            expected = {"Cc": "", "Co": "", "Zl": "\n", "Zp": "\n", "Zs": " "}[kind]
            if char in "\x0b\x0c\x85":
                expected = "\n"
            CHECKED[char] = expected
        elif kind[0] in "LMNPS":
            CHECKED[char] = char
    result = Control().open()(Batch.of(text=list(CHECKED)))["text"].to_pylist()
    assert result == list(CHECKED.values())


CHECKED: dict[str, str] = {}


def test_each_field_alone() -> None:
    off = dict.fromkeys(
        ("controls", "private_use", "invisible", "directions", "joiners", "spaces"), False
    )
    text = "\x01\x0c\ue000\u200b\u200e\u200d\u00a0"
    assert cleaned(text, **off) == text
    assert cleaned(text, **(off | {"controls": True})) == "\n" + text[2:]
    for place, name in enumerate(("private_use", "invisible", "directions", "joiners"), 2):
        assert cleaned(text, **(off | {name: True})) == text[:place] + text[place + 1 :]
    assert cleaned(text, **(off | {"spaces": True})) == text[:-1] + " "


def test_nulls_slices_types_and_unchanged_batches() -> None:
    clean = Control().open()
    batch = Batch.of(text=pa.array(["x", None, "a\x00b", ""], pa.large_string()))
    assert clean(batch)["text"].to_pylist() == ["x", None, "ab", ""]
    assert clean(batch)["text"].type == pa.large_string()
    assert clean(batch.slice(2, 1))["text"].to_pylist() == ["ab"]
    plain = Batch.of(text=["x", None, "中\n"])
    assert clean(plain) is plain
    assert clean(plain.slice(0, 0)).num_rows == 0
