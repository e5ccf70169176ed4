"""`dedup.url`: which addresses are one, and which document stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from ultraclean.document import Batch
from ultraclean.stages.dedup.url import Url
from ultraclean.text.urls import Form, canonical

SAME = [
    "HTTP://WWW.Example.org:80/a/../b/?utm_source=x&b=2&a=1#frag",
    "https://example.org/b?a=1&b=2",
    "example.org/b/?b=2&a=1&gclid=Q",
    "//user:password@example.org/./b?a=1&b=2",
    " https://example.org:443/%62?a=1&b=2\r\n",
]
OTHER = [
    "https://example.org/b?a=1&b=3",
    "https://example.org/b",
    "https://example.org:8080/b?a=1&b=2",
    "https://example.org/B?a=1&b=2",
    "https://sub.example.org/b?a=1&b=2",
    "https://example.org/b?a=1&b=2#!route",
    "https://example.org/b%2F?a=1&b=2",
]


def test_one_address_in_many_ways(run_barrier: Callable[..., Any]) -> None:
    urls = [*SAME, *OTHER, "", None, None]
    length = [1, 5, 3, 5, 2, *range(len(OTHER)), 9, 9, 9]
    table = pa.table({"url": pa.array(urls, pa.large_string()), "length": length})
    for n_shards, batch_rows in ((1, 100), (4, 2)):
        result = run_barrier(
            Url(priority=("length",)), table, n_shards=n_shards, batch_rows=batch_rows
        )
        best = min((1, 3), key=lambda row: result.keys[row])
        assert result.copy_of[:5] == [None if row == best else best for row in range(5)]
        assert all(result.keep[5:])
        assert result.decisions[0].reasons == ("same_url",)
        assert result.card["dropped"] == 4
        assert result.card["empty"] == 3


@pytest.mark.parametrize(
    ("field", "left", "right"),
    [
        ("scheme", "http://a.org/x", "https://a.org/x"),
        ("www", "http://a.org/x", "http://www.a.org/x"),
        ("slash", "http://a.org/x", "http://a.org/x/"),
        ("fragment", "http://a.org/x", "http://a.org/x#y"),
    ],
)
def test_each_difference_is_a_field(field: str, left: str, right: str) -> None:
    assert canonical(left, Form()) == canonical(right, Form())
    form = Form(**{field: True})
    assert canonical(left, form) != canonical(right, form)
    stage = Url(**{field: True})
    first, second = stage.sketch()(Batch.of(url=[left, right]))["hash"].to_pylist()
    assert first != second


def test_parameters() -> None:
    assert canonical("a.org/?id=3&page=2", Form(query=False)) == "a.org"
    assert canonical("a.org/?id=3&page=2", Form(tracking=("ID", "pa*"))) == "a.org"
    assert canonical("a.org/?utm_x=1", Form(tracking=())) == "a.org?utm_x=1"
    assert canonical("a.org/?b&a", Form()) == canonical("a.org?a;b", Form())


def test_hosts_and_escapes() -> None:
    form = Form()
    assert canonical("http://bücher.de/ä", form) == canonical("//XN--BCHER-KVA.de/%c3%a4/", form)
    assert canonical("http://[::1]:80/x", form) == "[::1]/x"
    assert canonical("mailto:a@b.c", form) == "mailto:a@b.c"
    assert canonical("https://a.org", form) == canonical("http://a.org/", form) == "a.org"
    assert canonical("http://a.org/../../x", form) == "a.org/x"
    assert canonical("not a url", form) == "not a url"
    assert canonical("http://a.org/\udcff", form)
    long = "http://a.org/" + "a/../" * 100_000 + "b"
    assert canonical(long, form) == "a.org/b"


def test_a_canonical_address_stays_as_it_is() -> None:
    for url in SAME + OTHER:
        for form in (Form(), Form(scheme=True, www=True, slash=True, fragment=True)):
            once = canonical(url, form)
            assert canonical(once, form) == once
