"""Named ways in which two texts may differ and still be the same, as functions of a column.

| name         | what is made of a text                                                                  |
|--------------|-----------------------------------------------------------------------------------------|
| `none`       | the text as it is                                                                       |
| `strip`      | no white space at the ends                                                              |
| `lower_space`| lower case, each run of white space one space, none at the ends                         |
| `letters`    | NFKC and lower case, nothing but letters, marks and numbers                             |
| `simplify`   | lower case, each number 0, no accents, other symbols and white space as one space       |
| `ccnet`      | what CCNet hashes a paragraph by (Wenzek et al. 2020, `normalize_for_dedup`)            |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Literal

import pyarrow as pa
import pyarrow.compute as pc

Normalise = Literal["none", "strip", "lower_space", "letters", "simplify", "ccnet"]

_SPACE: Final = r"[\s\p{Z}\x{85}]+"
# The keys of CCNet's UNICODE_PUNCT; ASCII punctuation is not among them.
_CCNET_MARKS: Final = "，。、„”“«»１」「《》´∶：？！（）；–—．～’…━〈〉【】％►"


def _plain(column: pa.Array) -> pa.Array:
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        column = column.cast(pa.large_string())
    return column


def none(column: pa.Array) -> pa.Array:
    return column


def strip(column: pa.Array) -> pa.Array:
    return pc.utf8_trim_whitespace(_plain(column))


def lower_space(column: pa.Array) -> pa.Array:
    spaced = pc.replace_substring_regex(pc.utf8_lower(_plain(column)), _SPACE, " ")
    return pc.utf8_trim_whitespace(spaced)


def letters(column: pa.Array) -> pa.Array:
    column = pc.utf8_lower(pc.utf8_normalize(_plain(column), form="NFKC"))
    return pc.replace_substring_regex(column, r"[^\p{L}\p{M}\p{N}]+", "")


def simplify(column: pa.Array) -> pa.Array:
    column = pc.utf8_lower(_plain(column))
    column = pc.replace_substring_regex(column, r"\p{Nd}+(?:[.,،٫]\p{Nd}+)?", "0")
    column = pc.utf8_normalize(column, form="NFD")
    column = pc.replace_substring_regex(column, r"\p{Mn}+", "")
    return lower_space(pc.replace_substring_regex(column, r"[\p{P}\p{S}\p{C}]+", " "))


def ccnet(column: pa.Array) -> pa.Array:
    column = pc.utf8_lower(pc.utf8_trim_whitespace(_plain(column)))
    column = pc.replace_substring_regex(column, r"\p{Nd}", "0")
    return pc.replace_substring_regex(column, rf"[\x{{0}}-\x1f\x{{7f}}-\x{{9f}}{_CCNET_MARKS}]", "")


NORMALISATIONS: Final[Mapping[Normalise, Callable[[pa.Array], pa.Array]]] = {
    "none": none,
    "strip": strip,
    "lower_space": lower_space,
    "letters": letters,
    "simplify": simplify,
    "ccnet": ccnet,
}
