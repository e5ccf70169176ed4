r"""Whether the citations of a text exist in the index that its writer was given.

Read are `[3]`, `[3, 5-7]`, `[@key; @other]`, `\cite{key,other}` and `【3】`; code, links and images are
left out. MiniCPM4-Survey drops references that are not in the index (TR, section on surveys).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from ultrachat.checks.verdict import PASS, Verdict

_NOT_TEXT: Final = re.compile(r"```.*?```|`[^`\n]*`|!?\[[^\]\n]*\]\([^)\n]*\)", re.DOTALL)
_NUMBERS: Final = re.compile(r"[\[【](\s*\d+(?:\s*[-–,，;]\s*\d+)*\s*)[\]】]")
_KEYS: Final = re.compile(r"\[((?:@[\w:.+/-]+\s*[;,]?\s*)+)\]")
_LATEX: Final = re.compile(r"\\(?:cite[a-z]*|textcite|parencite)\*?(?:\[[^\]]*\])*\{([^}]*)\}")
MAX_RANGE: Final = 200


def cited(text: str) -> list[str]:
    """The keys that a text cites, in order, each once; a range is all its numbers."""
    text = _NOT_TEXT.sub(" ", text)
    found: list[tuple[int, str]] = []
    for match in _NUMBERS.finditer(text):
        for part in re.split(r"[,，;]", match[1]):
            found += [(match.start(), number) for number in _range(part)]
    for match in _KEYS.finditer(text):
        found += [(match.start(), key) for key in re.findall(r"@([\w:.+/-]*\w)", match[1])]
    for match in _LATEX.finditer(text):
        found += [(match.start(), key.strip()) for key in match[1].split(",") if key.strip()]
    return list(dict.fromkeys(key for _, key in sorted(found, key=lambda one: one[0])))


def _range(part: str) -> list[str]:
    low, *high = re.split(r"[-–]", part.strip())
    if not high or not 0 <= int(high[-1]) - int(low) <= MAX_RANGE:
        return [number.strip().lstrip("0") or "0" for number in (low, *high)]
    return [str(number) for number in range(int(low), int(high[-1]) + 1)]


def check_citations(text: str, index: Collection[str], *, least: int = 1) -> Verdict:
    """Reasons: unknown_citation (it is not in the index), too_few_citations."""
    keys = cited(text)
    known = {str(key) for key in index}
    unknown = [key for key in keys if key not in known]
    if unknown:
        return Verdict("unknown_citation", ", ".join(unknown[:10]))
    if len(keys) < least:
        return Verdict("too_few_citations", f"{len(keys)}, wanted {least}")
    return PASS
