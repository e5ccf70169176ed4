"""Titles, dates and languages that pages state."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from ultraclean.text.page_about import About, about, iso


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("<title>A &amp; B\n c</title>", About("A & B c")),
        ("<TITLE>x</TITLE><META PROPERTY='og:title' CONTENT='y > z'>", About("y > z")),
        ("<h1>Only <b>a</b> heading</h1>", About("Only a heading")),
        ("<html lang='de_at'>", About(language="de-AT")),
        ("<html lang=''><meta http-equiv=content-language content='fr, en'>", About(language="fr")),
        ("<meta property=og:locale content=pt_BR>", About(language="pt-BR")),
        ("<html xml:lang='zh-Hans-CN'>", About(language="zh-Hans-CN")),
        ("<html lang='{{lang}}'>", About()),
        ("<time datetime='2020-01-02'>", About(date="2020-01-02")),
        (
            "<meta name=date content='2019-01-01'><meta property='article:published_time' "
            "content='2020-01-02T03:04:05+0100'>",
            About(date="2020-01-02T03:04:05+01:00"),
        ),
        (
            '<script type="application/ld+json">{"@graph": [{"a": 1}, {"datePublished": "2021-02-03T04:05Z"}]}</script>',
            About(date="2021-02-03T04:05:00+00:00"),
        ),
        (
            '<script type="application/ld+json">{"datePublished": "2021-02-03", broken</script>',
            About(date="2021-02-03"),
        ),
        ("", About()),
        ("<meta name=date content=never><title></title><html lang", About()),
    ],
)
def test_heads(head: str, expected: About) -> None:
    assert about(head) == expected


def test_the_header_of_http_is_asked_last() -> None:
    assert about("<p>x", "en-gb").language == "en-GB"
    assert about("<html lang=de><p>x", "en-gb").language == "de"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2020-2-3", "2020-02-03"),
        ("2020-02-30", None),
        ("20200203", "2020-02-03"),
        ("2020/02/03", "2020-02-03"),
        ("February 3, 2020", "2020-02-03"),
        ("Mon, 3 Feb 2020", "2020-02-03"),
        ("Mon, 03 Feb 2020 10:11:12 GMT", "2020-02-03T10:11:12+00:00"),
        ("2020-02-03 10:11", "2020-02-03T10:11:00"),
        ("0001-01-01T00:00:00Z", None),
        ("tomorrow", None),
        ("", None),
        (None, None),
    ],
)
def test_dates(text: str | None, expected: str | None) -> None:
    assert iso(text) == expected


def test_real_pages(shared_data: Path) -> None:
    with gzip.open(shared_data / "web" / "article_extraction.jsonl.gz") as lines:
        found = [about(json.loads(line)["html"]) for line in lines]
    assert sum(one.title is not None for one in found) == len(found)
    assert sum(one.date is not None for one in found) > 0.75 * len(found)
    assert sum(one.language is not None for one in found) > 0.8 * len(found)
    assert max(found, key=lambda one: one.date or "").date < "2021"
