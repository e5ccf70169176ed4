"""Capital and small letters; and, for Chinese, no Latin letters at all."""

from __future__ import annotations

import random
import re
from typing import Any, Final

from ultrachat.checks.constraints.kind import (
    Kind,
    Params,
    breaking,
    draw_relation,
    obeying,
    off,
    prose,
    vocabulary,
    words,
)


def _draw_count(rng: random.Random, language: str, prompt: str) -> dict[str, Any]:
    return {"relation": draw_relation(rng), "count": rng.randint(1, 8)}


def _capital_words(answer: str, params: Params) -> str | None:
    # A single letter, such as the pronoun I, shows nothing.
    found = sum(word.isupper() and len(word) > 1 for word in words(answer))
    return off(found, params, "words in capitals")


def _n_capital_words(rng: random.Random, params: Params, n: int) -> str:
    parts = prose(rng, "en").lower().split(" ")
    for _ in range(n):
        parts.insert(rng.randrange(len(parts)), rng.choice(vocabulary("en")).upper())
    return " ".join([*parts, "I", "A", "Mixed"])


def _all_upper(answer: str, params: Params) -> str | None:
    found = [word for word in words(answer) if word != word.upper()]
    if not any(char.isalpha() for char in answer):
        return "it has no letters"
    return f"not in capitals: {found[:3]}" if found else None


def _all_lower(answer: str, params: Params) -> str | None:
    found = [word for word in words(answer) if word != word.lower()]
    if not any(char.isalpha() for char in answer):
        return "it has no letters"
    return f"not in small letters: {found[:3]}" if found else None


def _flip_one(rng: random.Random, text: str) -> str:
    letters = [at for at, char in enumerate(text) if char.isalpha()]
    at = rng.choice(letters)
    return text[:at] + text[at].swapcase() + text[at + 1 :]


def _no_latin(answer: str, params: Params) -> str | None:
    found = re.findall(r"[A-Za-zＡ-Ｚａ-ｚ]+", answer)
    return f"it has {found[:3]}" if found else None


def _with_latin(rng: random.Random, params: Params) -> str:
    text = prose(rng, "zh")
    at = rng.randrange(len(text))
    return text[:at] + rng.choice(("a", "AI", "Ｘ", "ok")) + text[at:]


KINDS: Final = (
    Kind(
        "change_case:capital_word_frequency",
        {"en": "Write {relation} {count} words in ALL CAPITAL LETTERS."},
        _draw_count,
        _capital_words,
        lambda rng, params: _n_capital_words(rng, params, obeying(rng, params)),
        lambda rng, params: _n_capital_words(rng, params, breaking(rng, params)),
    ),
    Kind(
        "change_case:english_capital",
        {"en": "Write the whole answer in English and in capital letters."},
        lambda rng, language, prompt: {},
        _all_upper,
        lambda rng, params: prose(rng, "en").upper() + " 100%",
        lambda rng, params: _flip_one(rng, prose(rng, "en").upper()),
    ),
    Kind(
        "change_case:english_lowercase",
        {"en": "Write the whole answer in English and in small letters, without any capital."},
        lambda rng, language, prompt: {},
        _all_lower,
        lambda rng, params: prose(rng, "en").lower() + " 100%",
        lambda rng, params: _flip_one(rng, prose(rng, "en").lower()),
    ),
    Kind(
        "language:no_latin_letters",
        {"zh": "回答中不得出现任何英文字母。"},
        lambda rng, language, prompt: {},
        _no_latin,
        lambda rng, params: prose(rng, "zh") + "（１００％，3.5）",
        _with_latin,
    ),
)
