"""Lists, highlights, sections, titles, JSON, and answers from a fixed set."""

from __future__ import annotations

import json
import random
import re
from typing import Any, Final

from ultrachat.checks.constraints.kind import Kind, Params, prose, sentence, vocabulary

_OPTIONS: Final = {
    "en": ["My answer is yes.", "My answer is no.", "My answer is maybe."],
    "zh": ["我的回答是：是。", "我的回答是：否。", "我的回答是：也许。"],
}


def _bullets(answer: str, params: Params) -> str | None:
    found = len(re.findall(r"^[ \t]*[*\-•][ \t]+\S", answer, re.MULTILINE))
    return None if found == params["count"] else f"{found} bullets, wanted {params['count']}"


def _n_bullets(rng: random.Random, params: Params, n: int) -> str:
    mark = rng.choice("*-")
    lines = [f"{mark} {sentence(rng, params['language'])}" for _ in range(n)]
    return "\n".join([f"**{sentence(rng, params['language'])}**", *lines, "---"])


def _numbered(answer: str, params: Params) -> str | None:
    found = [int(n) for n in re.findall(r"^[ \t]*(\d+)[.)、．][ \t]*\S", answer, re.MULTILINE)]
    wanted = list(range(1, params["count"] + 1))
    return None if found == wanted else f"numbers {found}, wanted 1 to {params['count']}"


def _n_numbered(rng: random.Random, params: Params, numbers: list[int]) -> str:
    mark = rng.choice((". ", ") ") if params["language"] == "en" else (". ", "、"))
    return "\n".join(f"{n}{mark}{sentence(rng, params['language'])}" for n in numbers)


def _spoil_numbered(rng: random.Random, params: Params) -> str:
    good = list(range(1, params["count"] + 1))
    bad = rng.choice((good[:-1], [*good, len(good) + 1], [n + 1 for n in good]))
    return _n_numbered(rng, params, bad)


def _constrained(answer: str, params: Params) -> str | None:
    said = answer.strip().strip("\"'“”`*")
    return None if said in params["options"] else f"{said[:40]!r} is none of the options"


def _spoil_constrained(rng: random.Random, params: Params) -> str:
    option = rng.choice(params["options"])
    return rng.choice((option[:-3], f"{option} {option}", prose(rng, params["language"], 1)))


def _highlights(answer: str, params: Params) -> str | None:
    double = re.findall(r"\*\*[^\n*]*\w[^\n*]*\*\*", answer)
    rest = re.sub(r"\*\*[^\n*]*\*\*", " ", answer)
    found = len(double) + len(re.findall(r"(?<!\*)\*(?![\s*])[^\n*]*\w[^\n*]*\*(?!\*)", rest))
    return None if found >= params["count"] else f"{found} highlights, wanted {params['count']}"


def _n_highlights(rng: random.Random, params: Params, n: int) -> str:
    parts = [prose(rng, params["language"], 1), "a * b * c", "* x", "****"][: rng.randint(1, 4)]
    for _ in range(n):
        star = rng.choice(("*", "**"))
        parts.append(f"{star}{rng.choice(vocabulary(params['language']))}{star}")
    return "\n".join(parts)


def _draw_sections(rng: random.Random, language: str, prompt: str) -> dict[str, Any]:
    markers = ("部分", "章节") if language == "zh" else ("Section", "SECTION", "Part")
    return {"marker": rng.choice(markers), "count": rng.randint(2, 5)}


def _sections(answer: str, params: Params) -> str | None:
    marker = re.escape(params["marker"])
    found = [int(n) for n in re.findall(rf"^\W*{marker}\s?(\d+)\b", answer, re.MULTILINE)]
    wanted = list(range(1, params["count"] + 1))
    return None if found == wanted else f"sections {found}, wanted 1 to {params['count']}"


def _n_sections(rng: random.Random, params: Params, numbers: list[int]) -> str:
    start = rng.choice(("", "## ", "**"))
    end = "**" if start == "**" else ""
    return "\n".join(
        f"{start}{params['marker']} {n}{end}\n{prose(rng, params['language'], 2)}" for n in numbers
    )


def _spoil_sections(rng: random.Random, params: Params) -> str:
    good = list(range(1, params["count"] + 1))
    return _n_sections(
        rng, params, rng.choice((good[:-1], [*good, len(good) + 1], [1] * len(good)))
    )


def _json(answer: str, params: Params) -> str | None:
    text = answer.strip()
    fenced = re.fullmatch(r"```(?:json|JSON)?\s*\n(.*)\n```", text, re.DOTALL)
    try:
        value = json.loads(fenced[1] if fenced else text)
    except ValueError as error:
        return str(error)
    return None if isinstance(value, dict | list) else "it is a bare value"


def _make_json(rng: random.Random, params: Params) -> str:
    words = [rng.choice(vocabulary(params["language"])) for _ in range(3)]
    value = {"title": words[0], "list": words, "n": rng.random(), "sub": {"ok": True, "none": None}}
    text = json.dumps(value, ensure_ascii=False, indent=rng.choice((None, 2)))
    return f"```json\n{text}\n```" if rng.random() < 0.5 else text


def _spoil_json(rng: random.Random, params: Params) -> str:
    text = _make_json(rng, params)
    bare = text.strip("`").removeprefix("json").strip()
    return rng.choice(
        (
            bare[: rng.randrange(1, len(bare) - 1)],
            bare.replace('"', "'"),
            f"Here it is: {bare}",
            bare[:-1] + ",}",
        )
    )


def _title(answer: str, params: Params) -> str | None:
    return None if re.search(r"<<[^<>\n]*\w[^<>\n]*>>", answer) else "no title in <<...>>"


def _make_title(rng: random.Random, params: Params) -> str:
    words = rng.choice(vocabulary(params["language"]))
    return f"<<{words}>>\n\n{prose(rng, params['language'])}"


def _spoil_title(rng: random.Random, params: Params) -> str:
    text = prose(rng, params["language"])
    return rng.choice((text, f"<< >>\n{text}", f"<{text}>", f"# {text}", f"<<{text}"))


KINDS: Final = (
    Kind(
        "detectable_format:number_bullet_lists",
        {
            "en": "Write exactly {count} bullet points in Markdown, each beginning with * or -.",
            "zh": "写正好{count}个 Markdown 列表项，每项以 * 或 - 开头。",
        },
        lambda rng, language, prompt: {"count": rng.randint(1, 6)},
        _bullets,
        lambda rng, params: _n_bullets(rng, params, params["count"]),
        lambda rng, params: _n_bullets(rng, params, params["count"] + rng.choice((-1, 1, 2))),
    ),
    Kind(
        "detectable_format:number_numbered_lists",
        {
            "en": "Write a numbered list with exactly {count} items, counted from 1.",
            "zh": "写一个正好{count}项的编号列表，从 1 开始编号。",
        },
        lambda rng, language, prompt: {"count": rng.randint(2, 6)},
        _numbered,
        lambda rng, params: _n_numbered(rng, params, list(range(1, params["count"] + 1))),
        _spoil_numbered,
    ),
    Kind(
        "detectable_format:constrained_response",
        {
            "en": "Answer with exactly one of these: {options}",
            "zh": "只能用下面其中一句作答：{options}",
        },
        lambda rng, language, prompt: {"options": _OPTIONS[language]},
        _constrained,
        lambda rng, params: rng.choice(params["options"]),
        _spoil_constrained,
    ),
    Kind(
        "detectable_format:number_highlighted_sections",
        {
            "en": "Highlight at least {count} places in Markdown, like *this* or **this**.",
            "zh": "用 Markdown 标出至少{count}处，例如 *这样* 或 **这样**。",
        },
        lambda rng, language, prompt: {"count": rng.randint(1, 5)},
        _highlights,
        lambda rng, params: _n_highlights(rng, params, params["count"] + rng.choice((0, 1))),
        lambda rng, params: _n_highlights(rng, params, params["count"] - 1),
    ),
    Kind(
        "detectable_format:multiple_sections",
        {
            "en": "Write {count} sections; head them {marker} 1, {marker} 2 and so on.",
            "zh": "分成{count}个{marker}来写，各以“{marker} 1”、“{marker} 2”等为标题。",
        },
        _draw_sections,
        _sections,
        lambda rng, params: _n_sections(rng, params, list(range(1, params["count"] + 1))),
        _spoil_sections,
    ),
    Kind(
        "detectable_format:json_format",
        {
            "en": "The whole answer must be JSON; a Markdown code fence around it is allowed.",
            "zh": "整个回答必须是 JSON，可以放在 Markdown 代码块中。",
        },
        lambda rng, language, prompt: {},
        _json,
        _make_json,
        _spoil_json,
    ),
    Kind(
        "detectable_format:title",
        {
            "en": "Give the answer a title in double angular brackets, like <<the title>>.",
            "zh": "给回答加一个用双尖括号括起来的标题，例如 <<标题>>。",
        },
        lambda rng, language, prompt: {},
        _title,
        _make_title,
        _spoil_title,
    ),
)
