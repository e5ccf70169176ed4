"""filter.url: each kind of list, inline and from a file, and datatrove's rules on the same URLs."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pytest

from ultraclean.document import Batch
from ultraclean.stage import Decision
from ultraclean.stages.filter.url import Url

STAGE = Url(
    domains=("Bad.org", "co.example.uk"),
    hosts=("one.host.net",),
    urls=("https://fine.org/only/this",),
    words=("casino",),
    soft_words=("girl", "free", "live"),
    word_parts=("x-xx", "porn"),
    require_url=True,
)
EXPECTED = {
    "": "no_url",
    "http://bad.org/": "blocked_domain",
    "http://a.b.BAD.org:80/x": "blocked_domain",
    "http://notbad.org/": None,
    "http://one.host.net/a": "blocked_host",
    "http://two.one.host.net/a": None,
    "https://fine.org/only/this": "blocked_url",
    "https://fine.org/only/this/": None,
    "http://a.org/casino-royale": "blocked_word",
    "http://a.org/Casino": None,
    "http://a.org/casinos": None,
    "http://a.org/free": None,
    "http://a.org/free/free": None,
    "http://a.org/free/live": "soft_blocked_words",
    "http://a.org/anX.x-X": "blocked_word_part",
    "http://a.org/éporné": "blocked_word_part",
    "http://例え.jp/": None,
}


def reasons(decision: Decision) -> list[str | None]:
    return [None if code < 0 else decision.reasons[code] for code in decision.code]


def test_every_reason_by_its_rule() -> None:
    decision = STAGE.open()(Batch.of(url=list(EXPECTED)))
    assert dict(zip(EXPECTED, reasons(decision), strict=True)) == EXPECTED
    assert set(EXPECTED.values()) - {None} == set(Url.reasons)


def test_null_urls_are_kept_unless_required() -> None:
    batch = Batch.of(link=pa.array([None, "http://bad.org"], pa.string()))
    assert reasons(Url(column="link", domains="bad.org").open()(batch)) == [None, "blocked_domain"]
    assert reasons(Url(column="link", require_url=True).open()(batch)) == ["no_url", None]
    assert Url(column="link").needs() == ("link",)


def test_lists_from_files(tmp_path: Path) -> None:
    plain, packed = tmp_path / "domains.txt", tmp_path / "words.txt.gz"
    plain.write_text("# a comment\n\nbad.org\n  worse.org \r\n", "utf-8")
    packed.write_bytes(gzip.compress(b"casino\n"))
    stage = Url(domains=(f"@{plain}", "inline.org"), words=f"@{packed}")
    assert stage.problems() == []
    assert stage.files() == (str(plain), str(packed))
    rows = ["http://x.worse.org", "http://inline.org", "http://a.org/casino", "http://a.org/#"]
    assert reasons(stage.open()(Batch.of(url=rows))) == [
        *["blocked_domain", "blocked_domain", "blocked_word", None]
    ]


def test_problems(tmp_path: Path) -> None:
    assert Url(hosts=f"@{tmp_path}/none.txt").problems() == [
        f"the list {tmp_path}/none.txt is not there"
    ]
    assert Url(hosts="@${NO_SUCH_VARIABLE}/a").problems() == [
        "${NO_SUCH_VARIABLE}/a: the environment variable NO_SUCH_VARIABLE is not set"
    ]
    assert Url().problems() == [
        "nothing is blocked: give one of domains, hosts, urls, words, soft_words, word_parts, "
        "or require_url"
    ]


def test_many_word_parts() -> None:
    parts = tuple(f"w{number:05d}q" for number in range(3000))
    rows = ["http://a.org/W02999q", "http://a.org/w03000q", None]
    decision = Url(word_parts=parts).open()(Batch.of(url=rows))
    assert reasons(decision) == ["blocked_word_part", None, None]


@pytest.mark.parametrize("cut", [0, 1, 7, 16])
def test_splitting_gives_the_same(cut: int) -> None:
    batch = Batch.of(url=list(EXPECTED))
    opened = STAGE.open()
    parts = [opened(batch.slice(0, cut)), opened(batch.slice(cut, batch.num_rows - cut))]
    assert [*reasons(parts[0]), *reasons(parts[1])] == list(EXPECTED.values())
