"""The language of an answer, from its script and its commonest words: no model needed.

Scripts decide Chinese, Japanese, Korean, Russian, Greek, Arabic, Hebrew, Hindi and Thai; function
words decide between languages in Latin letters. Meant for answers of a sentence or more.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

_SCRIPTS: Final = {
    "ja": re.compile(r"[\u3040-\u30ff]"),
    "ko": re.compile(r"[\uac00-\ud7af]"),
    "zh": re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]"),
    "ru": re.compile(r"[\u0400-\u04ff]"),
    "el": re.compile(r"[\u0370-\u03ff]"),
    "ar": re.compile(r"[\u0600-\u06ff]"),
    "he": re.compile(r"[\u0590-\u05ff]"),
    "hi": re.compile(r"[\u0900-\u097f]"),
    "th": re.compile(r"[\u0e00-\u0e7f]"),
    "latin": re.compile(r"[A-Za-z\u00c0-\u024f]"),
}
_FUNCTION_WORDS: Final = {
    "en": "the of and to in is that it for was with as be this have are on not at by which you from or an they their has but we can will its these",
    "de": "der die das und ist nicht ein eine zu den von mit sich auf für dem im es werden hat auch als an nach wie sie bei oder aus dass jeder",
    "fr": "le la les de et est un une des que dans pour pas qui sur au par plus ne ce avec sont il elle ou se aux ses cette toute",
    "es": "el la los las de y que en es un una por con para no se del al lo como más su sus o este tiene son ha toda",
    "it": "il lo la gli le di e che è un una per con non si del della in sono come più da nel al ogni ha dei alla",
    "pt": "o a os as de e que em é um uma por com para não se do da no na mais como ao dos das são seu toda",
    "nl": "de het een en van is dat niet op te in met voor zijn aan er ook als door bij naar om heeft deze wordt ieder",
}  # fmt: skip
_WORDS: Final = {name: frozenset(line.split()) for name, line in _FUNCTION_WORDS.items()}


def language_of(text: str) -> str:
    """A code such as `en` or `zh`; `und` where there is nothing to go by."""
    text = re.sub(r"```.*?```|`[^`]*`|https?://\S+", " ", text, flags=re.DOTALL)
    counts = Counter({name: len(pattern.findall(text)) for name, pattern in _SCRIPTS.items()})
    if counts["ja"] * 10 > counts["zh"] and counts["ja"]:
        counts["ja"] += counts["zh"]
    # A Chinese character says as much as a word of several letters.
    weights = {"latin": 0.25, "ru": 0.4, "el": 0.4, "ar": 0.4, "he": 0.4, "hi": 0.5, "th": 0.5}
    best = max(counts, key=lambda name: counts[name] * weights.get(name, 1.0))
    if not counts[best]:
        return "und"
    return _latin(text) if best == "latin" else best


def _latin(text: str) -> str:
    found = Counter[str]()
    for word in re.findall(r"[^\W\d_]+", text.lower()):
        for name, known in _WORDS.items():
            found[name] += word in known
    (first, n_first), (_, n_second) = found.most_common(2)
    return first if n_first > n_second else "und"
