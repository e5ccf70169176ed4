"""The final answer in a solution."""

from __future__ import annotations

import re
from typing import Final

_SAID: Final = re.compile(
    r"(?:final answer|answer|result)\s*(?:is|are|=|:)\s*:?\s*(.+?)(?=\.\s|\.?\s*$|\n)"
    r"|(?:答案|结果|最终答案)\s*(?:是|为|等于|：|:)\s*[：:]?\s*(.+?)(?=[。；\n]|$)",
    re.IGNORECASE | re.MULTILINE,
)
_NUMBER: Final = re.compile(
    r"(?<![\w.])[-−+]?\$?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:\s*/\s*\d+)?%?(?![\d])"
)


def final_answer(text: str, *, or_last_number: bool = True) -> str | None:
    r"""The last `\boxed{...}`, else what follows `####`, else "the answer is", else the last number."""
    boxed = _boxed(text)
    if boxed is not None:
        return boxed.strip()
    if "####" in text:
        return text.rsplit("####", 1)[1].strip().split("\n")[0].strip()
    said = list(_SAID.finditer(text))
    if said:
        return (said[-1][1] or said[-1][2]).strip().strip("*_ ").rstrip(".。")
    numbers = _NUMBER.findall(text) if or_last_number else []
    return str(numbers[-1]).strip() if numbers else None


def _boxed(text: str) -> str | None:
    at = max(text.rfind("\\boxed{"), text.rfind("\\fbox{"))
    if at < 0:
        return None
    start = text.index("{", at) + 1
    depth = 1
    for end in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[end], 0)
        if depth == 0:
            return text[start:end]
    return None  # cut short
