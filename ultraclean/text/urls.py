"""Parts of a URL that block lists name (its host, the domains above it, its words), and one form
for all the ways in which an address is written."""

from __future__ import annotations

import contextlib
import functools
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote_to_bytes

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


def prefixes(url: str) -> list[str]:
    """The address without scheme, user, port and `www.`, in lower case, and all it begins with.

    `a.org/b/c?d` begins with `a.org`, `a.org/b`, `a.org/b/c`, each also with a final slash.
    """
    rest = url.strip()
    rest = rest[rest.find("://") + 3 :] if "://" in rest else rest.removeprefix("//")
    path = "".join(re.split(r"(?=[/?#])", rest, maxsplit=1)[1:]).lower()
    address = host(url).removeprefix("www.") + path
    cuts = [found.start() for found in re.finditer("[/?#&]", address)]
    return [*(address[:cut] for cut in cuts), *(address[: cut + 1] for cut in cuts), address]


def words(url: str) -> set[str]:
    """Runs of ASCII letters and digits, as they are written."""
    return set(NOT_WORD.split(url)) - {""}


def squeezed(text: str) -> str:
    """Only the ASCII letters and digits, in lower case."""
    return NOT_WORD.sub("", text).lower()


# --- one form of an address ---------------------------------------------------------------------

TRACKING: Final = ("utm_*", "gclid", "dclid", "gbraid", "wbraid", "fbclid", "msclkid", "yclid", "igshid",
    "twclid", "ttclid", "mc_cid", "mc_eid", "_ga", "_gl", "_hsenc", "_hsmi", "mkt_tok", "vero_id",
    "oly_anon_id", "oly_enc_id", "wickedid", "ref_src", "ref_url", "cmpid", "spm")  # fmt: skip
"""Parameters that say where a reader came from, not what is shown; `*` ends a prefix."""

_PARTS: Final = re.compile(r"(?:([A-Za-z][A-Za-z0-9+.\-]*):)?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?", re.DOTALL)  # fmt: skip
_ESCAPE: Final = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_BARE: Final = re.compile(r"[^\x21-\x7e]+")
_PORTS: Final = {"http": "80", "https": "443"}


@dataclass(frozen=True)
class Form:
    """What of an address makes a difference; `tracking` are parameters that never do."""

    scheme: bool = False
    www: bool = False
    slash: bool = False
    fragment: bool = False
    query: bool = True
    tracking: tuple[str, ...] = TRACKING


def canonical(url: str, form: Form) -> str:
    """The one form of a URL: what RFC 3986 calls equal, and what `form` passes over, is equal.

    A URL without a scheme begins with its host. What is no URL at all stays as it is.
    """
    url = url.strip()
    if not url:
        return ""
    begins = re.match(r"[A-Za-z][A-Za-z0-9+.\-]*:", url)
    if begins is None or re.match(r"[^/?#]*:\d+(?:[/?#]|$)", url):
        url = "//" + url.lstrip("/")
    found = _PARTS.fullmatch(url)
    assert found is not None  # every part may be empty
    scheme, authority, path, query, fragment = (part or "" for part in found.groups())
    scheme = scheme.lower()
    if not authority:
        return url  # mailto:, data:, a file of someone's disk
    out = _authority(authority, scheme, form) + _path(path, form)
    if form.query and query:
        kept = sorted(
            part for part in re.split("[&;]", _escaped(query)) if part and not _tracks(part, form)
        )
        out += "?" + "&".join(kept) if kept else ""
    if fragment and (form.fragment or fragment.startswith("!")):
        out += "#" + _escaped(fragment)
    return f"{scheme or 'http'}://{out}" if form.scheme else out


def _authority(authority: str, scheme: str, form: Form) -> str:
    """The host without user and default port, in lower case and ASCII."""
    authority = authority.rpartition("@")[2]
    name, colon, port = authority.rpartition(":")
    if not (colon and port.isascii() and (port.isdigit() or not port)):
        name, port = authority, ""
    name = name.rstrip(".").lower()
    if not name.isascii():
        with contextlib.suppress(UnicodeError):
            name = name.encode("idna").decode()
    if not form.www:
        name = name.removeprefix("www.")
    default = (
        port in _PORTS.values() if not (form.scheme and scheme) else port == _PORTS.get(scheme)
    )
    return name if not port or default else f"{name}:{port}"


def _path(path: str, form: Form) -> str:
    path = _escaped(path)
    if "/." in path:
        out: list[str] = []
        for step in path.split("/"):
            if step == "..":
                out = out[:-1] if len(out) > 1 else out
            elif step != ".":
                out.append(step)
        path = "/".join(out) + ("/" if path.endswith(("/.", "/..")) else "")
    if not form.slash:
        path = path.rstrip("/")
    return path or ("/" if form.slash else "")


def _escaped(part: str) -> str:
    """Escapes of what needs none undone, others in capitals, what needs an escape escaped."""
    if "%" in part:
        part = _ESCAPE.sub(lambda run: quote(unquote_to_bytes(run.group()), safe="~"), part)
    if not part.isascii() or " " in part:
        part = _BARE.sub(lambda run: quote(run.group(), safe="", errors="replace"), part)
    return part


def _tracks(parameter: str, form: Form) -> bool:
    name = parameter.partition("=")[0].lower()
    exact, prefixes = _names(form.tracking)
    return name in exact or name.startswith(prefixes)


@functools.cache
def _names(tracking: tuple[str, ...]) -> tuple[frozenset[str], tuple[str, ...]]:
    lowered = [name.lower() for name in tracking]
    prefixes = tuple(name[:-1] for name in lowered if name.endswith("*"))
    return frozenset(name for name in lowered if not name.endswith("*")), prefixes
