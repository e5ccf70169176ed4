"""Lists as files: an entry a line; and patterns that find any of many words at once."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable
from typing import Any, Final

# scripts written without spaces: a word of them is found wherever it stands
_NO_SPACES: Final = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff]"  # Han characters beyond the first plane, as Cantonese has
)


def entries(content: bytes) -> list[str]:
    """The lines of a list, plain or gzip, without blank ones and those that begin with `#`.

    A file that is no UTF-8 text raises UnicodeDecodeError (a ValueError), a broken gzip OSError.
    """
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except EOFError as error:
            raise OSError(str(error)) from error
    lines = (line.strip() for line in content.decode("utf-8-sig").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def pattern(words: Iterable[str]) -> re.Pattern[str] | None:
    """Finds any of the words in lower-case text, the longest first; None if there are none.

    A word with a letter of a script without spaces matches anywhere, another only where no letter,
    digit or `_` stands before or after it.
    """
    known = {word.lower() for word in words}
    anywhere = {word for word in known if _NO_SPACES.search(word)}
    alternatives = []
    if anywhere:
        alternatives.append(_trie(anywhere))
    if known - anywhere:
        alternatives.append(rf"(?<!\w){_trie(known - anywhere)}(?!\w)")
    return re.compile("|".join(alternatives)) if alternatives else None


def as_written(words: Iterable[str], anywhere: bool) -> re.Pattern[str] | None:
    """Finds any of the words as they are, where no word character is beside it or `anywhere`."""
    known = set(words)
    if not known:
        return None
    return re.compile(_trie(known) if anywhere else rf"(?<!\w){_trie(known)}(?!\w)")


def _trie(words: Iterable[str]) -> str:
    """One alternative per first character, and so on: the engine looks at each character once."""
    root: dict[str, Any] = {}
    for word in words:
        node = root
        for char in word:
            node = node.setdefault(char, {})
        node[""] = {}
    return _expression(root)


def _expression(node: dict[str, Any]) -> str:
    ends = "" in node
    parts = []
    for char in sorted(node):
        if char:
            tail, here = char, node[char]
            while len(here) == 1 and "" not in here:
                ((more, here),) = here.items()
                tail += more
            parts.append(re.escape(tail) + (_expression(here) if set(here) != {""} else ""))
    joined = f"(?:{'|'.join(parts)})"
    return f"{joined}?" if ends else joined
