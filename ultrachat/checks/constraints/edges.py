"""How an answer begins and ends, and punctuation that it must not have."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, Final

from ultrachat.checks.constraints.kind import Kind, Params, prose

_ENDS: Final = {
    "en": ("Is there anything else I can help with?", "That is all you need to know."),
    "zh": ("还有什么可以帮您的吗？", "以上就是全部内容。"),
}
_STARTS: Final = {"en": ("To begin with", "In short"), "zh": ("首先", "简而言之")}
_QUOTES: Final = (("“", "”"), ("「", "」"), ("『", "』"), ('"', '"'))


def _end(answer: str, params: Params) -> str | None:
    said = answer.strip().strip("\"'”’」*").lower()
    wanted = params["phrase"].lower()
    return None if said.endswith(wanted) else f"it ends {said[-30:]!r}"


def _spoil_end(rng: random.Random, params: Params) -> str:
    text, phrase = prose(rng, params["language"]), params["phrase"]
    return rng.choice(
        (text, f"{phrase} {text}", f"{text} {phrase} Goodbye.", f"{text} {phrase[:-2]}")
    )


def _start(answer: str, params: Params) -> str | None:
    said = answer.strip().lstrip("\"'“‘「*# ")
    return None if said.lower().startswith(params["phrase"].lower()) else f"it begins {said[:30]!r}"


def _spoil_start(rng: random.Random, params: Params) -> str:
    text, phrase = prose(rng, params["language"]), params["phrase"]
    return rng.choice((text, f"{text}{phrase}", phrase[:-1]))


def _quotation(answer: str, params: Params) -> str | None:
    said = answer.strip()
    quoted = len(said) > 2 and any(
        said.startswith(left) and said.endswith(right) for left, right in _QUOTES
    )
    return None if quoted else f"it runs from {said[:10]!r} to {said[-10:]!r}"


def _spoil_quotation(rng: random.Random, params: Params) -> str:
    text = prose(rng, params["language"])
    return rng.choice((text, f'"{text}', f'{text}"', f'He said: "{text}"', f"“{text}"))


def _make_quotation(rng: random.Random, params: Params) -> str:
    quotes = _QUOTES if params["language"] == "zh" else (('"', '"'), ("“", "”"))
    left, right = rng.choice(quotes)
    return f"{left}{prose(rng, params['language'])}{right}"


def _no_comma(answer: str, params: Params) -> str | None:
    found = sum(answer.count(mark) for mark in ",，")
    return f"{found} commas" if found else None


def _with_comma(rng: random.Random, params: Params) -> str:
    text = list(prose(rng, params["language"]))
    text.insert(
        rng.randrange(1, len(text)), rng.choice("，," if params["language"] == "zh" else ",")
    )
    return "".join(text)


def _drawn(phrases: Mapping[str, tuple[str, ...]]) -> Any:
    def draw(rng: random.Random, language: str, prompt: str) -> dict[str, Any]:
        return {"phrase": rng.choice(phrases[language])}

    return draw


KINDS: Final = (
    Kind(
        "startend:end_checker",
        {
            "en": 'End with exactly this phrase and nothing after it: "{phrase}"',
            "zh": "以这句话结尾，其后不得有任何内容：“{phrase}”",
        },
        _drawn(_ENDS),
        _end,
        lambda rng, params: f"{prose(rng, params['language'])} {params['phrase']}",
        _spoil_end,
    ),
    Kind(
        "startend:start_checker",
        {"en": 'Begin with the words "{phrase}".', "zh": "以“{phrase}”开头。"},
        _drawn(_STARTS),
        _start,
        lambda rng, params: f"{params['phrase']} {prose(rng, params['language'])}",
        _spoil_start,
    ),
    Kind(
        "startend:quotation",
        {
            "en": "Put the whole answer in double quotation marks.",
            "zh": "用双引号把整个回答括起来。",
        },
        lambda rng, language, prompt: {},
        _quotation,
        _make_quotation,
        _spoil_quotation,
    ),
    Kind(
        "punctuation:no_comma",
        {"en": "Do not use any commas.", "zh": "不得使用逗号。"},
        lambda rng, language, prompt: {},
        _no_comma,
        lambda rng, params: prose(rng, params["language"]),
        _with_comma,
    ),
)
