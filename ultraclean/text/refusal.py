"""Whether an answer refuses, by the phrases with which assistants do, in English and Chinese.

Only the beginning is read: an answer that helps first and warns afterwards is no refusal. Phrases
are few and plain, so that a letter that says "I'm sorry, I cannot come" is seldom taken for one.
"""

from __future__ import annotations

import re
from typing import Final

N_CHARS: Final = 240
_HELP: Final = (
    r"(?:assist|help (?:you )?with|provide|fulfill|comply|answer|do that|do this|create|generate|write|"
    r"support|engage|discuss|complete|access|browse|perform|process|give you|offer|order|book|send|play)"
)
_PHRASES: Final = (
    r"\b(?:I(?:'|’)?m|I am) (?:\w+ )?sorry,? (?:but )?(?:I|as an AI)[^.\n]{0,60}?(?:can(?:no|')t|cannot|can’t|unable|(?:am|'m) not able|won't|don't have)",
    rf"\b(?:sorry|apologi[sz]e|unfortunately),? (?:but )?(?:I|as an AI)[^.\n]{{0,60}}?(?:can(?:no|')t|cannot|can’t|am unable|(?:am|'m) not able)(?: to)? {_HELP}",
    rf"^\W*I (?:can(?:no|')t|cannot|can’t|won't|will not|am unable to|am not able to) {_HELP}",
    r"\bas an? (?:AI|artificial intelligence)(?: \w+){0,3},? I (?:can(?:no|')t|cannot|am unable|am not able|do not|don't|won't)",
    r"^\W*(?:非常|很|十分)?(?:抱歉|对不起|不好意思)[，,。！!]?[^。\n]{0,30}?(?:无法|不能|不可以|没办法|没有[^。\n]{0,12}(?:能力|功能|权限|办法))",
    r"作为(?:一个|一名|一款)?(?:AI|人工智能|语言模型|大型?语言模型|虚拟助手)[^。\n]{0,20}?(?:无法|不能|没有能力|不会|不具备)",
    r"^\W*我(?:无法|不能)(?:提供|协助|帮助|回答|满足|完成|参与|为您|为你|执行)",
)
_REFUSES: Final = re.compile("|".join(f"(?:{phrase})" for phrase in _PHRASES), re.IGNORECASE)


def refusal(answer: str) -> str | None:
    """The words with which an answer refuses, None if it does not."""
    found = _REFUSES.search(answer[:N_CHARS])
    return None if found is None else found[0]
