"""Numbers of words, sentences, paragraphs and lines."""

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
    sentence,
    sentences,
    vocabulary,
    words,
)


def _counted(low: int, high: int) -> Any:
    def draw(rng: random.Random, language: str, prompt: str) -> dict[str, Any]:
        return {"relation": draw_relation(rng), "count": rng.randint(low, high)}

    return draw


def _words(answer: str, params: Params) -> str | None:
    return off(len(words(answer)), params, "words")


def _n_words(rng: random.Random, params: Params, n: int) -> str:
    if params["language"] == "zh":
        text = "".join(rng.choices("山水天地人木火土金日月星云风雨", k=n))
        return re.sub(r"(.{9})", r"\1，", text) + "。"
    text = " ".join(rng.choices(vocabulary("en"), k=n))
    return f"{text.capitalize()}. - *"


def _sentences(answer: str, params: Params) -> str | None:
    return off(len(sentences(answer)), params, "sentences")


def _n_sentences(rng: random.Random, params: Params, n: int) -> str:
    parts = []
    for _ in range(n):
        part = sentence(rng, params["language"])
        parts.append(part[:-1] + rng.choice("。！？" if params["language"] == "zh" else ".!?"))
    glue = "" if params["language"] == "zh" else " "
    text = "".join(part + rng.choice((glue, glue, "\n")) for part in parts)
    if params["language"] == "en" and n:
        text = text.replace(" past ", " past Dr. Lee at 3.5 miles ", 1)
    return text.strip()


def _paragraphs(answer: str, params: Params) -> str | None:
    parts = re.split(r"^\s*\*\*\*\s*$", answer, flags=re.MULTILINE)
    if any(not part.strip() for part in parts):
        return "an empty paragraph"
    return (
        None
        if len(parts) == params["count"]
        else f"{len(parts)} paragraphs, wanted {params['count']}"
    )


def _n_paragraphs(rng: random.Random, params: Params, n: int) -> str:
    return "\n***\n".join(prose(rng, params["language"], 2) for _ in range(n))


def _draw_nth(rng: random.Random, language: str, prompt: str) -> dict[str, Any]:
    count = rng.randint(2, 5)
    word = rng.choice(vocabulary(language))
    return {"count": count, "nth": rng.randint(1, count), "first_word": word}


def _nth(answer: str, params: Params) -> str | None:
    parts = [part.strip() for part in re.split(r"\n\s*\n", answer) if part.strip()]
    if len(parts) != params["count"]:
        return f"{len(parts)} paragraphs, wanted {params['count']}"
    part = parts[params["nth"] - 1].lstrip("\"'“‘「*_#( ")
    word = params["first_word"]
    if params["language"] == "zh":
        return None if part.startswith(word) else f"paragraph {params['nth']} begins {part[:8]!r}"
    first = (words(part) or [""])[0]
    return None if first.lower() == word.lower() else f"paragraph {params['nth']} begins {first!r}"


def _make_nth(rng: random.Random, params: Params, count: int, at: int) -> str:
    word, language = params["first_word"], params["language"]
    parts = [prose(rng, language, 2, [word]) for _ in range(count)]
    start = word if language == "zh" else rng.choice((word, word.capitalize())) + " "
    parts[at - 1] = start + parts[at - 1]
    return "\n\n".join(parts)


def _spoil_nth(rng: random.Random, params: Params) -> str:
    if rng.random() < 0.5:
        wrong = rng.choice([n for n in range(1, params["count"] + 1) if n != params["nth"]])
        return _make_nth(rng, params, params["count"], wrong)
    return _make_nth(rng, params, params["count"] + 1, params["nth"])


def _lines(answer: str, params: Params) -> str | None:
    return off(sum(bool(line.strip()) for line in answer.splitlines()), params, "lines")


def _n_lines(rng: random.Random, params: Params, n: int) -> str:
    lines = [sentence(rng, params["language"]) for _ in range(n)]
    return "".join(line + rng.choice(("\n", "\n\n", "\r\n")) for line in lines)


KINDS: Final = (
    Kind(
        "length_constraints:number_words",
        {"en": "Answer with {relation} {count} words.", "zh": "回答{relation}{count}个字。"},
        _counted(10, 120),
        _words,
        lambda rng, params: _n_words(rng, params, obeying(rng, params)),
        lambda rng, params: _n_words(rng, params, breaking(rng, params)),
    ),
    Kind(
        "length_constraints:number_sentences",
        {"en": "Answer with {relation} {count} sentences.", "zh": "回答{relation}{count}句话。"},
        _counted(1, 8),
        _sentences,
        lambda rng, params: _n_sentences(rng, params, obeying(rng, params)),
        lambda rng, params: _n_sentences(rng, params, breaking(rng, params)),
    ),
    Kind(
        "length_constraints:number_paragraphs",
        {
            "en": "Write {count} paragraphs, separated by the Markdown divider *** on its own line.",
            "zh": "写{count}段，段与段之间用单独一行的 Markdown 分隔线 *** 隔开。",
        },
        lambda rng, language, prompt: {"count": rng.randint(2, 6)},
        _paragraphs,
        lambda rng, params: _n_paragraphs(rng, params, params["count"]),
        lambda rng, params: _n_paragraphs(rng, params, params["count"] + rng.choice((-1, 1))),
    ),
    Kind(
        "length_constraints:nth_paragraph_first_word",
        {
            "en": "Write {count} paragraphs, separated by a blank line; "
            'paragraph {nth} begins with the word "{first_word}".',
            "zh": "写{count}段，段与段之间空一行，第{nth}段以“{first_word}”开头。",
        },
        _draw_nth,
        _nth,
        lambda rng, params: _make_nth(rng, params, params["count"], params["nth"]),
        _spoil_nth,
    ),
    Kind(
        "length_constraints:number_lines",
        {"en": "Write {relation} {count} lines.", "zh": "写{relation}{count}行。"},
        _counted(2, 10),
        _lines,
        lambda rng, params: _n_lines(rng, params, obeying(rng, params)),
        lambda rng, params: _n_lines(rng, params, breaking(rng, params)),
    ),
)
