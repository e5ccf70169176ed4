"""Words and letters that must or must not occur."""

from __future__ import annotations

import random
from typing import Any, Final

from ultrachat.checks.constraints.kind import (
    Kind,
    Params,
    breaking,
    count_word,
    draw_relation,
    obeying,
    off,
    prose,
    vocabulary,
)


def _draw_words(rng: random.Random, language: str, prompt: str) -> dict[str, Any]:
    return {"keywords": rng.sample(list(vocabulary(language)), rng.randint(1, 3))}


def _existence(answer: str, params: Params) -> str | None:
    missing = [w for w in params["keywords"] if not count_word(answer, w, params["language"])]
    return f"lacks {missing}" if missing else None


def _forbidden(answer: str, params: Params) -> str | None:
    present = [w for w in params["keywords"] if count_word(answer, w, params["language"])]
    return f"has {present}" if present else None


def _with_words(rng: random.Random, params: Params) -> str:
    text = _without_words(rng, params)
    for word in params["keywords"]:
        text = _insert(rng, text, word, params["language"])
    return text


def _without_words(rng: random.Random, params: Params) -> str:
    return prose(rng, params["language"], 4, params["keywords"])


def _with_all_but_one(rng: random.Random, params: Params) -> str:
    kept = rng.sample(params["keywords"], len(params["keywords"]) - 1)
    text = _without_words(rng, params)
    for word in kept:
        text = _insert(rng, text, word, params["language"])
    return text


def _with_one(rng: random.Random, params: Params) -> str:
    word = rng.choice(params["keywords"])
    return _insert(rng, _without_words(rng, params), word, params["language"])


def _insert(rng: random.Random, text: str, word: str, language: str) -> str:
    """The word between two others; its case varies where there is one."""
    if language == "zh":
        at = rng.randrange(0, len(text) - 1, 2) if len(text) > 2 else 0
        return f"{text[:at]}{word}{text[at:]}"
    parts = text.split(" ")
    parts.insert(rng.randrange(len(parts)), rng.choice((word, word.upper(), word.capitalize())))
    return " ".join(parts)


def _draw_frequency(rng: random.Random, language: str, prompt: str) -> dict[str, Any]:
    word = rng.choice(vocabulary(language))
    return {"keyword": word, "relation": draw_relation(rng), "count": rng.randint(1, 5)}


def _frequency(answer: str, params: Params) -> str | None:
    found = count_word(answer, params["keyword"], params["language"])
    return off(found, params, f"times {params['keyword']!r}")


def _n_words(rng: random.Random, params: Params, n: int) -> str:
    text = prose(rng, params["language"], 4, [params["keyword"]])
    for _ in range(n):
        text = _insert(rng, text, params["keyword"], params["language"])
    return text


def _draw_letter(rng: random.Random, language: str, prompt: str) -> dict[str, Any]:
    letter = rng.choice("的了是在有" if language == "zh" else "qxzjk")
    return {"letter": letter, "relation": draw_relation(rng), "count": rng.randint(1, 8)}


def _letter(answer: str, params: Params) -> str | None:
    found = answer.lower().count(params["letter"].lower())
    return off(found, params, f"times {params['letter']!r}")


def _n_letters(rng: random.Random, params: Params, n: int) -> str:
    letter = params["letter"]
    text = list(prose(rng, params["language"], 3).replace(letter, "").replace(letter.upper(), ""))
    for _ in range(n):
        text.insert(rng.randrange(len(text)), rng.choice((letter, letter.upper())))
    return "".join(text)


KINDS: Final = (
    Kind(
        "keywords:existence",
        {"en": "Use all of these words: {keywords}.", "zh": "回答中必须用到这些词：{keywords}。"},
        _draw_words,
        _existence,
        _with_words,
        _with_all_but_one,
    ),
    Kind(
        "keywords:frequency",
        {
            "en": 'Use the word "{keyword}" {relation} {count} times.',
            "zh": "“{keyword}”一词{relation}出现{count}次。",
        },
        _draw_frequency,
        _frequency,
        lambda rng, params: _n_words(rng, params, obeying(rng, params)),
        lambda rng, params: _n_words(rng, params, breaking(rng, params)),
    ),
    Kind(
        "keywords:forbidden_words",
        {"en": "Do not use any of these words: {keywords}.", "zh": "不得使用这些词：{keywords}。"},
        _draw_words,
        _forbidden,
        _without_words,
        _with_one,
    ),
    Kind(
        "keywords:letter_frequency",
        {
            "en": 'Let the letter "{letter}" occur {relation} {count} times, in either case.',
            "zh": "“{letter}”字{relation}出现{count}次。",
        },
        _draw_letter,
        _letter,
        lambda rng, params: _n_letters(rng, params, obeying(rng, params)),
        lambda rng, params: _n_letters(rng, params, breaking(rng, params)),
    ),
)
