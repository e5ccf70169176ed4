"""The normalisation of CCNet (Wenzek et al. 2019, arXiv 1911.00359), which its language models expect."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_PUNCTUATION: Final = str.maketrans(
    {
        **dict(zip("，。、：∶？！（）；～’´━〈〉【】％►–", ",.,::?!();~''-<>[]%--", strict=True)),
        **dict.fromkeys("„”“«»」「《》", '"'),
        **{"—": " - ", "．": ". ", "…": "..."},
    }
)
_DIGIT: Final = re.compile(r"\d")
_UNPRINTED: Final = re.compile("[\x00-\x1f\x7f-\x9f]")


def normalise(line: str) -> str:
    """Lower case, no accents, 0 for each digit, ASCII punctuation, no control characters."""
    line = unicodedata.normalize("NFD", line.strip().lower())
    line = "".join(char for char in line if unicodedata.category(char) != "Mn")
    return _UNPRINTED.sub("", _DIGIT.sub("0", line).translate(_PUNCTUATION))
