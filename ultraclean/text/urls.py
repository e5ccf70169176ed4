"""Parts of a URL that block lists name: its host, the domains above it, its words."""

from __future__ import annotations

import re
from typing import Final

NOT_WORD: Final = re.compile(r"[^a-zA-Z0-9]+")


def host(url: str) -> str:
    """The host in lower case, without user, port, brackets and final dot; empty if there is none.

    A URL without a scheme begins with its host, as in a list of domains.
    """
    rest = url.strip()
    scheme = rest.find("://")
    if scheme >= 0 and rest[:scheme].replace("+", "").replace("-", "").replace(".", "").isalnum():
        rest = rest[scheme + 3 :]
    elif rest.startswith("//"):
        rest = rest[2:]
    authority = re.split(r"[/?#\\]", rest, maxsplit=1)[0].rpartition("@")[2]
    if authority.startswith("["):
        return authority[1:].partition("]")[0].lower()
    return authority.partition(":")[0].rstrip(".").lower()


def domains(name: str) -> list[str]:
    """A host and every domain above it: `a.b.org`, `b.org`, `org`."""
    labels = name.split(".")
    return [".".join(labels[start:]) for start in range(len(labels))] if name else []


def words(url: str) -> set[str]:
    """Runs of ASCII letters and digits, as they are written."""
    return set(NOT_WORD.split(url)) - {""}


def squeezed(text: str) -> str:
    """Only the ASCII letters and digits, in lower case."""
    return NOT_WORD.sub("", text).lower()
