"""What a type of instruction consists of, and the words that several checkers share."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

Params = Mapping[str, Any]


@dataclass(frozen=True)
class Kind:
    """`make` builds an answer that obeys by construction, `spoil` one that does not: the bench."""

    name: str
    say: Mapping[str, str]
    """By language: the instruction, with the parameters in braces."""
    draw: Callable[[random.Random, str, str], dict[str, Any]]
    """(rng, language, prompt) -> parameters."""
    check: Callable[[str, Params], str | None]
    """(answer, parameters and language) -> what is wrong, or None."""
    make: Callable[[random.Random, Params], str]
    spoil: Callable[[random.Random, Params], str]

    def show(self, value: Any, language: str) -> Any:
        """A parameter in words."""
        if isinstance(value, str):
            return RELATIONS[language].get(value, value)
        if isinstance(value, list | tuple):
            return ("、" if language == "zh" else ", ").join(str(one) for one in value)
        return value


RELATIONS: Final = {
    "en": {"at_least": "at least", "at_most": "at most", "exactly": "exactly"},
    "zh": {"at_least": "至少", "at_most": "至多", "exactly": "正好"},
}


def draw_relation(rng: random.Random) -> str:
    return rng.choice(("at_least", "at_most", "exactly"))


def off(found: int, params: Params, what: str) -> str | None:
    """None if `found` stands in the wanted relation to `count`."""
    relation, count = params["relation"], params["count"]
    holds = {"at_least": found >= count, "at_most": found <= count, "exactly": found == count}
    return None if holds[relation] else f"{found} {what}, wanted {relation} {count}"


def obeying(rng: random.Random, params: Params) -> int:
    """A number that stands in the wanted relation to `count`."""
    count = params["count"]
    if params["relation"] == "at_least":
        return int(count + rng.choice((0, 0, 1, 3)))
    if params["relation"] == "at_most":
        return int(max(0, count - rng.choice((0, 0, 1, 2))))
    return int(count)


def breaking(rng: random.Random, params: Params, least: int = 0) -> int:
    """A number of at least `least` that does not."""
    count = params["count"]
    below = [n for n in (count - 1, count - 2) if n >= least]
    above = [count + 1, count + 3]
    if params["relation"] == "at_least" and below:
        return int(rng.choice(below))
    if params["relation"] == "at_most":
        return int(rng.choice(above))
    return int(rng.choice(below + above if params["relation"] == "exactly" else above))


# --- text ---------------------------------------------------------------------------------------

_HAN: Final = r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD: Final = re.compile(rf"[{_HAN}]|(?:(?![{_HAN}])\w)+(?:['’-](?:(?![{_HAN}])\w)+)*")
_ABBREVIATIONS: Final = re.compile(
    r"\b(?:Mr|Mrs|Ms|Dr|Prof|St|vs|etc|e\.g|i\.e|cf|No|Fig|Jr|Sr|Inc|Ltd|approx|[A-Z])\.$"
)
_END: Final = re.compile(r"[.!?]+[\"'”’)\]*]*(?=\s|$)|[。！？!?…]+[”’」』）]*")


def words(text: str) -> list[str]:
    """Words; a Chinese character is one."""
    return _WORD.findall(text)


def sentences(text: str) -> list[str]:
    """Sentences of English and Chinese; a line that ends without a mark is one as well."""
    found = []
    for line in text.split("\n"):
        start = 0
        for end in _END.finditer(line):
            if _ABBREVIATIONS.search(line[start : end.start() + 1]) and end.end() < len(line):
                continue
            found.append(line[start : end.end()])
            start = end.end()
        found.append(line[start:])
    return [sentence.strip() for sentence in found if words(sentence)]


def count_word(text: str, word: str, language: str) -> int:
    """Occurrences of a word, whatever its case; in Chinese, of the characters."""
    if language == "zh":
        return text.count(word)
    return len(re.findall(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE))


_EN: Final = [
    "river",
    "stone",
    "window",
    "garden",
    "paper",
    "music",
    "winter",
    "market",
    "silver",
    "bridge",
    "doctor",
    "train",
    "coffee",
    "letter",
    "forest",
    "teacher",
    "island",
    "candle",
    "farmer",
    "village",
    "mountain",
    "kitchen",
    "engine",
    "library",
    "summer",
    "painter",
]
_EN_GLUE: Final = [
    "walks",
    "past",
    "the",
    "old",
    "quiet",
    "near",
    "a",
    "small",
    "bright",
    "under",
    "our",
    "green",
    "over",
    "their",
    "new",
]
_ZH: Final = [
    "河流",
    "石头",
    "窗户",
    "花园",
    "纸张",
    "音乐",
    "冬天",
    "市场",
    "银色",
    "桥梁",
    "医生",
    "火车",
    "咖啡",
    "信件",
    "森林",
    "老师",
    "岛屿",
    "蜡烛",
    "农民",
    "村庄",
    "高山",
    "厨房",
    "机器",
    "书店",
    "夏天",
    "画家",
]
_ZH_GLUE: Final = ["走过", "安静", "旁边", "看见", "小小", "明亮", "我们", "绿色", "他们", "崭新"]


def vocabulary(language: str) -> Sequence[str]:
    """Words for keywords."""
    return _ZH if language == "zh" else _EN


def sentence(rng: random.Random, language: str, without: Sequence[str] = ()) -> str:
    """A sentence of plain nonsense: no commas, no marks inside, none of the words `without`."""
    nouns, glue = (_ZH, _ZH_GLUE) if language == "zh" else (_EN, _EN_GLUE)
    free = [word for word in nouns if word not in without]
    chosen = [rng.choice(free)]
    for _ in range(rng.randint(2, 5)):
        chosen += [rng.choice(glue), rng.choice(free)]
    if language == "zh":
        return "".join(chosen) + "。"
    return " ".join(chosen).capitalize() + "."


def prose(
    rng: random.Random, language: str, n_sentences: int = 4, without: Sequence[str] = ()
) -> str:
    """Sentences in one paragraph."""
    glue = "" if language == "zh" else " "
    return glue.join(sentence(rng, language, without) for _ in range(n_sentences))
