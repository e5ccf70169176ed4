"""Placeholders, postscripts, the language, and answers that are given twice or repeat the prompt."""

from __future__ import annotations

import random
import re
from typing import Any, Final

from ultrachat.checks.constraints.kind import Kind, Params, prose, sentence
from ultraclean.text.languages import language_of

_NAMES: Final = {"en": {"en": "English", "zh": "Chinese", "de": "German", "fr": "French", "es": "Spanish", "ru": "Russian", "ja": "Japanese", "ko": "Korean"},
    "zh": {"en": "英语", "zh": "中文", "de": "德语", "fr": "法语", "es": "西班牙语", "ru": "俄语", "ja": "日语", "ko": "韩语"}}  # fmt: skip
_SAYINGS: Final = {
    "en": "The people of this town have lived by the river for a long time and they know it well.",
    "zh": "这个小镇的人们在河边住了很久，他们对这条河非常熟悉。",
    "de": "Die Menschen in dieser Stadt leben seit langer Zeit an dem Fluss und sie kennen ihn gut.",
    "fr": "Les gens de cette ville vivent depuis longtemps au bord de la rivière et ils la connaissent.",
    "es": "La gente de este pueblo vive desde hace mucho tiempo junto al río y lo conoce muy bien.",
    "ru": "Жители этого города давно живут у реки и хорошо её знают.",
    "ja": "この町の人々は長い間川のそばに住んでいて、川のことをよく知っています。",
    "ko": "이 마을 사람들은 오랫동안 강가에 살았고 그 강을 잘 알고 있습니다.",
}


def _placeholders(answer: str, params: Params) -> str | None:
    found = len(re.findall(r"\[[^\[\]\n]+\]", answer))
    return None if found >= params["count"] else f"{found} placeholders, wanted {params['count']}"


def _n_placeholders(rng: random.Random, params: Params, n: int) -> str:
    names = (
        ["[姓名]", "[地址]", "[日期]"]
        if params["language"] == "zh"
        else ["[name]", "[date of birth]"]
    )
    parts = [sentence(rng, params["language"]) + rng.choice(names) for _ in range(n)]
    return prose(rng, params["language"], 2) + "".join(parts)


def _postscript(answer: str, params: Params) -> str | None:
    marker = re.escape(params["marker"]).replace(r"P\.", r"P\.\s?")
    found = re.search(rf"^\W*{marker}[\s:：,，]*\S", answer, re.MULTILINE | re.IGNORECASE)
    return None if found else f"no line begins with {params['marker']}"


def _with_postscript(rng: random.Random, params: Params) -> str:
    language = params["language"]
    return f"{prose(rng, language)}\n\n{params['marker']} {sentence(rng, language)}"


def _without_postscript(rng: random.Random, params: Params) -> str:
    text = prose(rng, params["language"])
    return rng.choice((text, f"{text}\n\n{params['marker']}"))


def _language(answer: str, params: Params) -> str | None:
    found = language_of(answer)
    return None if found == params["wanted"] else f"it is {found}, wanted {params['wanted']}"


def _in_another(rng: random.Random, params: Params) -> str:
    return _SAYINGS[rng.choice([name for name in _SAYINGS if name != params["wanted"]])]


def _two(answer: str, params: Params) -> str | None:
    parts = [part.strip() for part in answer.split("******")]
    if len(parts) != 2 or not all(parts):
        return f"{len([part for part in parts if part])} answers, wanted 2"
    return "the two answers are the same" if parts[0] == parts[1] else None


def _make_two(rng: random.Random, params: Params) -> str:
    language = params["language"]
    return f"{prose(rng, language, 3)}\n******\n{prose(rng, language, 4)}"


def _spoil_two(rng: random.Random, params: Params) -> str:
    one, other = prose(rng, params["language"], 3), prose(rng, params["language"], 4)
    return rng.choice(
        (one, f"{one}\n******\n{one}", f"{one}******{other}******{one}", f"{one}\n***\n{other}")
    )


def _draw_repeat(rng: random.Random, language: str, prompt: str) -> dict[str, Any]:
    return {"prompt": prompt or sentence(rng, language)}


def _repeat(answer: str, params: Params) -> str | None:
    begun = answer.strip().lower().startswith(params["prompt"].strip().lower())
    return None if begun else "it does not begin with the prompt"


def _spoil_repeat(rng: random.Random, params: Params) -> str:
    prompt, text = params["prompt"], prose(rng, params["language"], 2)
    return rng.choice((text, f"{text} {prompt}", f"{prompt[:-2]} {text}"))


KINDS: Final = (
    Kind(
        "detectable_content:number_placeholders",
        {
            "en": "Use at least {count} placeholders in square brackets, such as [address].",
            "zh": "使用至少{count}个方括号占位符，例如 [地址]。",
        },
        lambda rng, language, prompt: {"count": rng.randint(1, 5)},
        _placeholders,
        lambda rng, params: _n_placeholders(rng, params, params["count"] + rng.choice((0, 1))),
        lambda rng, params: _n_placeholders(rng, params, params["count"] - 1),
    ),
    Kind(
        "detectable_content:postscript",
        {
            "en": "At the end, add a postscript that begins with {marker}",
            "zh": "在结尾加一段以“{marker}”开头的附言。",
        },
        lambda rng, language, prompt: {
            "marker": rng.choice(("附言：", "又及：") if language == "zh" else ("P.S.", "P.P.S."))
        },
        _postscript,
        _with_postscript,
        _without_postscript,
    ),
    Kind(
        "language:response_language",
        {"en": "Answer in {wanted_name} only.", "zh": "请只用{wanted_name}回答。"},
        lambda rng, language, prompt: {
            "wanted": (wanted := rng.choice(list(_SAYINGS))),
            "wanted_name": _NAMES[language][wanted],
        },
        _language,
        lambda rng, params: _SAYINGS[params["wanted"]],
        _in_another,
    ),
    Kind(
        "combination:two_responses",
        {
            "en": "Give two different answers, separated by six asterisks: ******",
            "zh": "给出两个不同的回答，用六个星号隔开：******",
        },
        lambda rng, language, prompt: {},
        _two,
        _make_two,
        _spoil_two,
    ),
    Kind(
        "combination:repeat_prompt",
        {
            "en": "First repeat the following request word for word, then answer it: {prompt}",
            "zh": "先逐字重复下面的要求，然后再回答：{prompt}",
        },
        _draw_repeat,
        _repeat,
        lambda rng, params: f"{params['prompt']}\n\n{prose(rng, params['language'])}",
        _spoil_repeat,
    ),
)
