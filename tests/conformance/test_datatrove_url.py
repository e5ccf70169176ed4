"""filter.url in datatrove's dialect decides as its URLFilter does, on real addresses and made ones."""

from __future__ import annotations

import gzip
import itertools
import random
import re
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ultraclean.document import Batch
from ultraclean.stages.filter.url import Url

pytest.importorskip("datatrove")
pytest.importorskip("tldextract")
pytest.importorskip("ahocorasick")

from datatrove.data import Document
from datatrove.pipeline.filters import url_filter as theirs
from datatrove.utils._import_utils import ASSETS_PATH
from tldextract import TLDExtract

pytestmark = pytest.mark.filterwarnings(
    "ignore:The 'registered_domain' property:DeprecationWarning"
)

REASONS = {
    "domain": "blocked_domain",
    "subdomain": "blocked_host",
    "url": "blocked_url",
    "hard_blacklisted": "blocked_word",
    "soft_blacklisted": "soft_blocked_words",
    "blacklisted_subword": "blocked_word_part",
}
FEWEST_DROPPED = 100
LISTS = ("banned_words", "soft_banned_words", "banned_subwords")


@pytest.fixture(scope="module")
def lists() -> dict[str, list[str]]:
    """datatrove's own: its words, its URLs, and some of its 5 million domains."""
    found = {name: Path(ASSETS_PATH, f"{name}.txt").read_text().splitlines() for name in LISTS}
    with tarfile.open(Path(ASSETS_PATH, "url_filterblacklistsv0_3_0.tar.gz"), "r|gz") as archive:
        for member in archive:
            stream = archive.extractfile(member)
            assert stream is not None
            some = itertools.islice(stream, 0, 200_000, 20)
            found[Path(member.name).name] = [line.decode().strip() for line in some]
    return found


def real_urls(folder: Path) -> list[str]:
    """Addresses of archived pages, and those that real pages link to."""
    found: set[str] = set()
    for path in sorted((folder / "warc").glob("*.gz")):
        try:
            raw = gzip.decompress(path.read_bytes()[:2_000_000])
        except (OSError, EOFError):
            continue
        found.update(re.findall(r"WARC-Target-URI: <?([^\s>]+)", raw.decode("utf-8", "replace")))
    for path in sorted((folder / "web").glob("*.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in itertools.islice(lines, 60):
                found.update(re.findall(r"https?://[^\s\"'<>\\]{4,200}", line))
    return sorted(found)


def made_urls(lists: dict[str, list[str]], count: int, seed: int = 12) -> list[str]:
    chance = random.Random(seed)
    odd = ["1.2.3.4", "[2001:db8::1]", "localhost", "例え.jp", "xn--r8jz45g.jp", "a.co.uk", "co.uk", "b.blogspot.com",
           "WWW.Example.ORG", "user@host.org", "host.org:8080", "x.city.kawasaki.jp", "y.unknowntld", "", "a..b.com"]  # fmt: skip
    words = [*lists["banned_words"], *lists["soft_banned_words"] * 4, *lists["banned_subwords"]]
    fine = ["news", "2024", "index.html", "about-us", "a%20b", "ü", "?q=1&b=2", "#top", "Category"]
    found = []
    for _ in range(count):
        listed = chance.choice(lists["domains"])
        host = chance.choice([listed, f"www.{listed}", f"a.b.{listed}", *chance.choices(odd, k=9)])
        steps = chance.choices(fine, k=chance.randrange(4))
        for _ in range(chance.choice([0, 0, 1, 1, 2, 3])):
            word = chance.choice(words)
            word = chance.choice([word, word.replace(" ", "-"), word.upper(), f"x{word}y"])
            steps.insert(chance.randint(0, len(steps)), word)
        scheme = chance.choice(["http://", "https://", "https://", "//", "", "HTTP://", "ftp://"])
        found.append(scheme + host + "/" + chance.choice(["/", "-", "_"]).join(steps) or "x")
    return found + chance.sample(lists["urls"], 300)


def test_the_same_decision_and_reason(
    lists: dict[str, list[str]], shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # fasteners is wanted for the download of lists, which are given here.
    wanted = ["tldextract", ("ahocorasick", "pyahocorasick")]
    monkeypatch.setattr(theirs.URLFilter, "_requires_dependencies", wanted)
    named: dict[str, Any] = {name: lists[name] for name in LISTS}
    peer = theirs.URLFilter(
        extra_domains=lists["domains"],
        extra_urls=lists["urls"],
        use_integrated_lists=False,
        **named,
    )
    peer.banned_subwords_automaton.make_automaton()
    peer.tldextractor = TLDExtract(suffix_list_urls=())  # the list it carries: no network here
    for name in ("domains", "urls"):
        (tmp_path / name).write_text("\n".join(lists[name]), "utf-8")
    stage = Url(
        dialect="datatrove",
        domains=f"@{tmp_path}/domains",
        urls=f"@{tmp_path}/urls",
        words=f"@{ASSETS_PATH}/banned_words.txt",
        soft_words=f"@{ASSETS_PATH}/soft_banned_words.txt",
        word_parts=f"@{ASSETS_PATH}/banned_subwords.txt",
    )
    assert stage.problems() == []
    real = real_urls(shared_data)
    assert len(real) > 1000
    rows = [*real, *made_urls(lists, 6000)]
    ours = stage.open()(Batch.of(url=rows))
    wrong, dropped = [], Counter[str]()
    for row, code in zip(rows, ours.code, strict=True):
        found = None if code < 0 else ours.reasons[code]
        verdict = peer.filter(Document(text="", id="", metadata={"url": row}))
        expected = None if verdict is True else REASONS[verdict[1]]
        dropped[str(expected)] += 1
        if found != expected:
            wrong.append((row, found, expected))
    assert not wrong, (len(wrong), wrong[:10])
    assert min(dropped[reason] for reason in (*REASONS.values(), "None")) >= FEWEST_DROPPED, dropped
