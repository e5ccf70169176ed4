"""What a written text says that its source does not: numbers and names, found without a model.

Numbers are compared by value, whatever their notation (1,234 and 1234; 0.50 and .5; twelve, 十二 and 12);
the numbering of a list is no number. Names are capitalised words inside a sentence; in Chinese, words in
Latin letters, titles in 《》 and transliterated names with a dot (阿尔伯特·爱因斯坦): without a dictionary
no other name can be told from a word. A name in lower case, or only at the beginning of sentences, is missed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

_NUMBER: Final = re.compile(r"(?<![\d.])(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|(?<![\d.])\.\d+")
_NUMBERING: Final = re.compile(
    r"^[ \t]*(?:#+[ \t]*)?[(\[]?\d{1,3}[.)\]:、:](?=\s|\D)", re.MULTILINE
)
_SMALL: Final = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen
fifteen sixteen seventeen eighteen nineteen twenty"""
_TENS: Final = "twenty thirty forty fifty sixty seventy eighty ninety"
_WORDS: Final = {
    **{word: str(value) for value, word in enumerate(_SMALL.split())},
    **{word: f"{tens}0" for tens, word in enumerate(_TENS.split(), 2)},
    **{"hundred": "100", "thousand": "1000", "million": "1000000", "billion": "1000000000"},
}
_WORD_NUMBER: Final = re.compile(rf"\b(?:{'|'.join(_WORDS)})s?\b", re.IGNORECASE)
_DIGITS: Final = "零一二三四五六七八九"
_CHINESE: Final = re.compile(rf"[{_DIGITS}〇两十百千]+")
_UNITS: Final = {"十": 10, "百": 100, "千": 1000}

_CAPITAL: Final = re.compile(r"(?<![\w’'])[A-Z][\w]*(?:[’'-][A-Za-z]\w*)*")
_LATIN: Final = re.compile(r"[A-Za-z][A-Za-z]+")
_TITLE: Final = re.compile(r"《([^》]{1,40})》|([\u3400-\u9fff]{2}·[\u3400-\u9fff]{2})")
"""Where a name with a dot begins and ends is not told: two characters on each side stand for it."""
_BEGINS: Final = re.compile(r"(?:^|[.!?:;•]|[.!?][\"”’)\]])[\s\"“‘'(\[*_#>-]*$")
_HAN: Final = re.compile(r"[\u3400-\u9fff]")
_LABEL_WORDS: Final = frozenset(["i", "i'm", "i’m", "i've", "i’ve", "i'll", "i’ll", "i'd", "i’d"])


@dataclass(frozen=True)
class Invented:
    """Numbers and names of a text, and those of them that its source lacks; each counts once."""

    numbers: frozenset[str]
    new_numbers: frozenset[str]
    names: frozenset[str]
    new_names: frozenset[str]

    @property
    def new_number_fraction(self) -> float:
        return len(self.new_numbers) / len(self.numbers) if self.numbers else 0.0

    @property
    def new_name_fraction(self) -> float:
        return len(self.new_names) / len(self.names) if self.names else 0.0


def invented(text: str, source: str) -> Invented:
    """What `text` has that `source` lacks."""
    text, source = (unicodedata.normalize("NFKC", one) for one in (text, source))
    told = numbers(text)
    known = _all_numbers(source)
    called = names(text)
    words = _known_words(source)
    new = {name for name in called if not _is_known(name, source, words)}
    return Invented(told, told - known, called, frozenset(new))


# --- numbers ------------------------------------------------------------------------------------


def numbers(text: str) -> frozenset[str]:
    """The values that are written in digits, in one notation each."""
    return frozenset(map(_value, _NUMBER.findall(_NUMBERING.sub(" ", text))))


def _all_numbers(text: str) -> frozenset[str]:
    """Also those in words and in the numbering of lists: a source may say them in any way."""
    found = set(map(_value, _NUMBER.findall(text)))
    found |= {_WORDS[word.lower().removesuffix("s")] for word in _WORD_NUMBER.findall(text)}
    found |= {str(_chinese(run)) for run in _CHINESE.findall(text)}
    return frozenset(found)


def _value(digits: str) -> str:
    value = Decimal(digits.replace(",", ""))
    return format(value.normalize(), "f") if value else "0"


def _chinese(run: str) -> int:
    """二十五 -> 25, 三百零六 -> 306, 一九九八 -> 1998."""
    run = run.replace("〇", "零").replace("两", "二")
    if not any(unit in run for unit in _UNITS):
        return int("".join(str(_DIGITS.index(digit)) for digit in run))
    total, digit = 0, 0
    for sign in run:
        if sign in _UNITS:
            total += (digit or (1 if not total else 0)) * _UNITS[sign]
            digit = 0
        else:
            digit = _DIGITS.index(sign)
    return total + digit


# --- names --------------------------------------------------------------------------------------


def names(text: str) -> frozenset[str]:
    """Capitalised words that stand inside a sentence; in Chinese text, Latin words and titles."""
    found = {title or dotted for title, dotted in _TITLE.findall(text)}
    if len(_HAN.findall(text)) * 4 > len(text):
        return frozenset(found | {word for word in _LATIN.findall(text) if len(word) > 1})
    for line in _NUMBERING.sub("", text).split("\n"):
        capitals = list(_CAPITAL.finditer(line))
        if _is_heading(line, len(capitals)):
            continue
        for match in capitals:
            word = _bare(match[0])
            if word.lower() in _LABEL_WORDS or len(word) < 2:
                continue
            if not _BEGINS.search(line[: match.start()]):
                found.add(word)
    return frozenset(found)


def _is_heading(line: str, n_capitals: int) -> bool:
    """A title in title case: most of its words begin with a capital letter."""
    words = re.findall(r"[^\W\d_]{3,}", line)
    is_marked = line.lstrip().startswith("#")
    return is_marked or (
        0 < len(words) <= 12
        and n_capitals >= 2
        and n_capitals * 2 > len(words)
        and line.rstrip()[-1:] not in ".!?"
    )


def _bare(word: str) -> str:
    return re.sub(r"[’']s?$", "", word)


def _known_words(source: str) -> frozenset[str]:
    words: Iterable[str] = re.findall(r"[^\W_]+(?:[’'-][^\W_]+)*", source)
    known: set[str] = set()
    for word in words:
        lower = _bare(word).lower()
        known.add(lower)
        known.update(part for part in re.split(r"[-’']", lower) if part)
    return frozenset(known)


def _is_known(name: str, source: str, words: frozenset[str]) -> bool:
    if _HAN.search(name):
        return name in source
    lower = name.lower()
    forms = {lower, lower.removesuffix("s"), f"{lower}s", lower.removesuffix("es")}
    return bool(forms & words) or all(part in words for part in lower.split("-"))
