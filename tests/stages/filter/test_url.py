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
        "ut1, or require_url"
    ]


def ut1(folder: Path) -> Path:
    """UT1's layout: a folder a category, of which one is compressed and one has no domains."""
    for name in ("adult", "phishing", "empty"):
        (folder / name).mkdir(parents=True)
    (folder / "adult/domains").write_bytes("bad.org\n1.2.3.4\ncaf\xe9.org\n".encode("latin-1"))
    (folder / "adult/urls").write_text("some.host.net/gallery\nfine.org/~user/\n")
    (folder / "adult/usage").write_text("adult\n")
    (folder / "phishing/urls.gz").write_bytes(gzip.compress(b"bank.example/login.php\n"))
    return folder


def test_folders_of_ut1(tmp_path: Path) -> None:
    stage = Url(ut1=str(ut1(tmp_path / "ut1")), categories=("adult", "phishing"))
    assert stage.problems() == []
    assert [path[len(str(tmp_path)) :] for path in stage.files()] == [
        *["/ut1/adult/domains", "/ut1/adult/urls", "/ut1/phishing/urls.gz"]
    ]
    expected = {
        "http://www.bad.org/": "blocked_domain",
        "http://1.2.3.4:80/x": "blocked_domain",
        "https://some.host.net/gallery": "blocked_url",
        "http://www.some.host.net/Gallery/1.html?a=b": "blocked_url",
        "http://some.host.net/gallery2": None,
        "http://some.host.net/": None,
        "fine.org/~user/page": "blocked_url",
        "http://fine.org/~user2/": None,
        "http://bank.example/login.php?id=3": "blocked_url",
        "http://bank.example/login.phpx": None,
        "": None,
    }
    assert dict(
        zip(expected, reasons(stage.open()(Batch.of(url=list(expected)))), strict=True)
    ) == (expected)
    adult = Url(ut1=str(tmp_path / "ut1"), categories="adult")
    assert reasons(adult.open()(Batch.of(url=["http://bank.example/login.php"]))) == [None]


def test_problems_of_ut1(tmp_path: Path) -> None:
    folder = str(ut1(tmp_path / "ut1"))
    assert Url(ut1=folder, categories=("adlut", "empty")).problems() == [
        f"{folder} has no category 'adlut'; it has adult, empty, phishing",
        f"{folder}/empty has neither `domains` nor `urls`, plain or .gz",
    ]
    assert Url(ut1=f"{folder}/none", categories="adult").problems() == [
        f"the folder {folder}/none of UT1 is not there, or is empty"
    ]
    assert Url(ut1=folder).problems() == [
        "give both ut1, a folder, and categories, which of it to block"
    ]


def test_lists_that_are_damaged(tmp_path: Path) -> None:
    packed = gzip.compress(b"bad.org\nworse.org\n" * 50)
    for name, content, message in (
        ("short.gz", packed[:30], "cannot be read: Compressed file ended"),
        ("flipped.gz", packed[:20] + b"\xff\xff" + packed[22:], "cannot be read"),
        ("archive", b"PK\x03\x04\0\0\0\0", "is no text: it has zero bytes"),
        ("empty", b"\n\n", "has no entries"),
    ):
        (tmp_path / name).write_bytes(content)
        (problem,) = Url(domains=f"@{tmp_path}/{name}").problems()
        assert f"{tmp_path}/{name}" in problem
        assert message in problem


def test_many_word_parts() -> None:
    parts = tuple(f"w{number:05d}q" for number in range(3000))
    rows = ["http://a.org/W02999q", "http://a.org/w03000q", None]
    decision = Url(word_parts=parts).open()(Batch.of(url=rows))
    assert reasons(decision) == ["blocked_word_part", None, None]


def test_datatroves_reading_of_a_domain() -> None:
    """Only the host itself, and what is registered at it, by the public suffix list."""
    pytest.importorskip("tldextract")
    listed = ("bad.org", "a.fine.org", "shop.co.uk", "co.uk", "1.2.3.4")
    rows = {
        "http://x.y.bad.org/": "blocked_domain",
        "http://a.fine.org/": "blocked_host",
        "http://b.a.fine.org/": None,
        "http://www.shop.co.uk/": "blocked_domain",
        "http://other.co.uk/": None,
        "http://1.2.3.4/": None,
        "http://BAD.org/": None,
        "": None,
    }
    stage = Url(domains=listed, dialect="datatrove")
    assert stage.distributions() == ("tldextract",)
    assert dict(zip(rows, reasons(stage.open()(Batch.of(url=list(rows)))), strict=True)) == rows
    everywhere = reasons(Url(domains=listed).open()(Batch.of(url=list(rows))))
    assert everywhere == ["blocked_domain"] * 7 + [None]


@pytest.mark.parametrize("cut", [0, 1, 7, 16])
def test_splitting_gives_the_same(cut: int) -> None:
    batch = Batch.of(url=list(EXPECTED))
    opened = STAGE.open()
    parts = [opened(batch.slice(0, cut)), opened(batch.slice(cut, batch.num_rows - cut))]
    assert [*reasons(parts[0]), *reasons(parts[1])] == list(EXPECTED.values())
