"""Hosts and words of URLs."""

from __future__ import annotations

import pytest

from ultraclean.text import urls


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://www.Example.org/a?b#c", "www.example.org"),
        ("http://user:pw@example.org:8080/", "example.org"),
        ("//example.org/x", "example.org"),
        ("example.org/http://other.org", "example.org"),
        ("http://example.org.", "example.org"),
        ("http://[2001:DB8::1]:80/x", "2001:db8::1"),
        ("ftp://例え.jp/ä", "例え.jp"),
        ("https://example.org?x=http://b.org", "example.org"),
        ("", ""),
        ("mailto:", "mailto"),
    ],
)
def test_host(url: str, host: str) -> None:
    assert urls.host(url) == host


def test_domains_words_and_squeezed() -> None:
    assert urls.domains("a.b.org") == ["a.b.org", "b.org", "org"]
    assert urls.domains("") == []
    assert urls.words("http://a.b/C-d_e?é=1") == {"http", "a", "b", "C", "d", "e", "1"}
    assert urls.squeezed("Ab-C é.1") == "abc1"
