"""What a page says of itself: its title, its date, and its language.

Read from `<html lang>`, `<title>`, `<meta>`, JSON-LD and `<time>` by regular expressions, at well
over 100 MB/s; htmldate and trafilatura guess dates also from the text, which is wrong more often.
"""

from __future__ import annotations

import html as entities
import json
import re
from datetime import date, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple

_TAG: Final = re.compile(
    r"<(?P<name>html|meta|title|time|h1|script)\b(?P<rest>(?:[^>\"']|\"[^\"]*\"|'[^']*')*)>",
    re.IGNORECASE,
)
_ATTRIBUTE: Final = re.compile(r"([\w:.-]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+))")
_LANGUAGE: Final = re.compile(r"^[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})*$")
_DAY: Final = re.compile(
    r"^\s*(\d{4})-(\d{1,2})-(\d{1,2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:[.,]\d+)?)?\s*(Z|[+-]\d{2}:?\d{2})?)?"
)
_COMPACT: Final = re.compile(r"^\s*(\d{4})[./]?(\d{2})[./]?(\d{2})(?:\D|$)")
_MONTHS: Final = [
    "jan",
    "feb",
    "mar",
    "apr",
    "may",
    "jun",
    "jul",
    "aug",
    "sep",
    "oct",
    "nov",
    "dec",
]
_NAMED: Final = (
    re.compile(
        r"^(?:[A-Za-z]+,?\s+)?(?P<month>[A-Za-z]{3})[a-z]*\.?\s+(?P<day>\d{1,2}),?\s+(?P<year>\d{4})"
    ),
    re.compile(
        r"^(?:[A-Za-z]+,?\s+)?(?P<day>\d{1,2})\.?\s+(?P<month>[A-Za-z]{3})[a-z]*\.?,?\s+(?P<year>\d{4})"
    ),
)
TITLES: Final = ("og:title", "twitter:title", "dc.title", "citation_title", "headline")
DATES: Final = (
    "article:published_time",
    "og:article:published_time",
    "og:published_time",
    "datepublished",
    "citation_publication_date",
    "citation_date",
    "dc.date.issued",
    "dcterms.issued",
    "dc.date.created",
    "dcterms.created",
    "dc.date",
    "dcterms.date",
    "sailthru.date",
    "parsely-pub-date",
    "publication_date",
    "publishdate",
    "pubdate",
    "article.published",
    "date",
    "article:modified_time",
    "og:updated_time",
    "datemodified",
    "last-modified",
)
"""Names of `<meta>` by trust: the day of publication first, changes last."""


class About(NamedTuple):
    """Null is what the page does not say. `date` is ISO 8601, `language` a tag like `en-US`."""

    title: str | None = None
    date: str | None = None
    language: str | None = None


def about(page: str, header_language: str | None = None) -> About:
    """What a page says of itself; `header_language` is the HTTP header's `Content-Language`."""
    metas: dict[str, str] = {}
    title = heading = language = time = published = None
    for tag in _TAG.finditer(page):
        name = tag["name"].lower()
        if name in {"title", "h1"}:
            stop = page.find(f"</{tag['name']}", tag.end(), tag.end() + 5000)
            inner = page[tag.end() : stop] if stop >= 0 else ""
            if name == "title":
                title = title or _line(inner)
            else:
                heading = heading or _line(re.sub(r"<[^>]*>", "", inner))
            continue
        found = {
            one[1].lower(): one[2] or one[3] or one[4] or ""
            for one in _ATTRIBUTE.finditer(tag["rest"])
        }
        if name == "meta":
            key = found.get("property") or found.get("name") or found.get("itemprop")
            key = (key or found.get("http-equiv", "")).strip().lower()
            if key and found.get("content"):
                metas.setdefault(key, entities.unescape(found["content"]))
        elif name == "html":
            language = language or _language(found.get("lang") or found.get("xml:lang"))
        elif name == "time":
            time = time or iso(found.get("datetime"))
        elif "ld+json" in found.get("type", "").lower() and published is None:
            stop = page.find("</script", tag.end())
            published = _published(page[tag.end() : stop if stop >= 0 else None])
    day = next((day for name in DATES if (day := iso(metas.get(name)))), None)
    named = next((line for name in TITLES if (line := _line(metas.get(name)))), None)
    hints = (language, metas.get("content-language"), metas.get("og:locale"), metas.get("language"))
    return About(
        named or title or heading,
        published or day or time,
        next((one for hint in (*hints, header_language) if (one := _language(hint))), None),
    )


def _line(text: str | None) -> str | None:
    return " ".join(entities.unescape(text or "").split())[:1000] or None


def _language(text: str | None) -> str | None:
    """`de_AT` and `DE-at` as `de-AT`; of a list the first."""
    first = re.split(r"[,;\s]", (text or "").strip())[0]
    if not _LANGUAGE.match(first):
        return None
    head, *rest = first.replace("_", "-").split("-")
    return "-".join(
        [head.lower(), *(part.upper() if len(part) == 2 else part.title() for part in rest)]
    )


def _published(content: str) -> str | None:
    """`datePublished` of JSON-LD, wherever it stands in it."""
    try:
        value: Any = json.loads(content.strip().removesuffix(";"), strict=False)
    except (ValueError, RecursionError):
        found = re.search(r"\"datePublished\"\s*:\s*\"([^\"]+)\"", content)
        return iso(found[1]) if found else None
    rest = [value]
    while rest:
        value = rest.pop(0)
        if isinstance(value, dict):
            day = value.get("datePublished") or value.get("dateCreated")
            if isinstance(day, str) and (known := iso(day)):
                return known
            rest += value.values()
        elif isinstance(value, list):
            rest += value
        if len(rest) > 10_000:
            return None
    return None


def iso(text: str | None) -> str | None:
    """A date, with the time of day and the offset where they are given, in ISO 8601."""
    text = (text or "").strip()
    if not text:
        return None
    try:
        if found := _DAY.match(text):
            year, month, day = (int(group) for group in found.groups()[:3])
            if found[4] is None:
                return _sane(date(year, month, day))
            zone = (found[7] or "").replace("Z", "+00:00")
            clock = f"{found[4]}:{found[5]}:{found[6] or '00'}"
            return _sane(datetime.fromisoformat(f"{date(year, month, day)}T{clock}{zone}"))
        if found := _COMPACT.match(text):
            return _sane(date(*(int(group) for group in found.groups())))
        for pattern in _NAMED:
            found = pattern.match(text)
            if found and found["month"].lower() in _MONTHS:
                month = _MONTHS.index(found["month"].lower()) + 1
                if not re.search(r"\d:\d", text):
                    return _sane(date(int(found["year"]), month, int(found["day"])))
        return _sane(parsedate_to_datetime(text))
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _sane(value: date | datetime) -> str | None:
    return value.isoformat() if 1980 <= value.year <= 2100 else None
