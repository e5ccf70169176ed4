"""Named normalisations, against plain Python where that is obvious."""

from __future__ import annotations

import gzip
import json
import re
import unicodedata
from pathlib import Path

import pyarrow as pa
import pytest

from ultraclean.text.normalise import NORMALISATIONS

TEXTS = [
    "",
    None,
    " Größe  12,5 ½\r\n",
    "我们 在\u3000北京！",
    "😀 naïve — “quoted”",
    "１２ ＡＢ",
    "a\tb",
]


def ccnet(text: str) -> str:
    """CCNet's own rule, as its paper's code states it."""
    marks = "，。、„”“«»１」「《》´∶：？！（）；–—．～’…━〈〉【】％►"
    controls = "".join(map(chr, [*range(32), *range(127, 160)]))
    text = re.sub(r"\d", "0", text.strip().lower())
    return "".join(char for char in text if char not in marks + controls)


def letters(text: str) -> str:
    text = unicodedata.normalize("NFKC", text).lower()
    return "".join(char for char in text if unicodedata.category(char)[0] in "LMN")


PLAIN = {
    "none": lambda text: text,
    "strip": str.strip,
    "lower_space": lambda text: " ".join(text.lower().split()),
    "letters": letters,
    "ccnet": ccnet,
}


@pytest.mark.parametrize("name", sorted(PLAIN))
def test_as_in_python(name: str) -> None:
    found = NORMALISATIONS[name](pa.array(TEXTS, pa.large_string())).to_pylist()
    assert found == [None if text is None else PLAIN[name](text) for text in TEXTS]


@pytest.mark.parametrize("name", sorted(PLAIN))
def test_real_text(name: str, shared_data: Path) -> None:
    texts = []
    for file in ("bbc", "zh_lctt"):
        with gzip.open(shared_data / "text" / f"{file}.jsonl.gz", "rt", encoding="utf-8") as lines:
            texts += [json.loads(line)["text"] for line, _ in zip(lines, range(40), strict=False)]
    found = NORMALISATIONS[name](pa.array(texts)).to_pylist()
    for text, made in zip(texts, found, strict=True):
        assert made == PLAIN[name](text)


def test_simplify() -> None:
    column = pa.array(["Élan, 3.5 (or 12)!", "elan 0 or 0", " a — b", "x\ny"]).slice(0, 4)
    found = NORMALISATIONS["simplify"](column).to_pylist()
    assert found[0] == found[1] == "elan 0 or 0"
    assert found[2:] == ["a b", "x y"]
    for make in NORMALISATIONS.values():
        assert len(make(pa.array(["a", None], pa.string_view()))) == 2
