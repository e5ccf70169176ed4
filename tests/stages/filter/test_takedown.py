"""filter.takedown: every list, every spelling of an address, and no more work than needed."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from ultraclean import Pipeline, filter, read
from ultraclean.document import KEY, Batch, keys_of
from ultraclean.errors import DataError
from ultraclean.stages.filter.takedown import Takedown, plain_url

URLS = [
    "https://www.One.org/a/b/?q=1#top",
    "http://one.org/a/b?q=1",
    "one.org/a",
    "https://two.org/people/x/y",
    "https://two.org/peoples",
    "https://deep.bad.example.com:8080/z",
    "https://notbad.example.com.org/",
    None,
    "",
    "中文",
]


def write(path: Path, *lines: str) -> str:
    path.write_text("\ufeff# a list\n\n" + "\r\n".join(lines) + "\n")
    return str(path)


def reasons(stage: Takedown, batch: Batch) -> list[str | None]:
    decision = stage.open()(batch)
    return [decision.reasons[code] if code >= 0 else None for code in decision.code]


def test_urls_and_domains(tmp_path: Path) -> None:
    stage = Takedown(
        urls=write(tmp_path / "urls", "http://one.org/a/b/?q=1", "https://two.org/people/*"),
        domains=write(tmp_path / "domains", "Bad.example.com."),
    )
    batch = Batch.of(url=pa.array(URLS, pa.string()))
    assert reasons(stage, batch) == [
        "taken_down_url",
        "taken_down_url",
        None,
        "taken_down_url",
        None,
        "taken_down_domain",
        *[None] * 4,
    ]
    assert stage.needs() == ("url",)
    for cut in range(len(URLS)):
        parts = [batch.slice(0, cut), batch.slice(cut, len(URLS) - cut)]
        assert [r for part in parts for r in reasons(stage, part)] == reasons(stage, batch)


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("HTTPS://www.A.org/Path/#x", "a.org/Path"),
        ("//a.org", "a.org"),
        ("a.org?x=1", "a.org?x=1"),
        ("http://user@a.org:80/b/?c=/", "a.org/b?c=/"),
        ("", ""),
    ],
)
def test_plain_urls(url: str, plain: str) -> None:
    assert plain_url(url) == plain


def test_ids_and_keys(tmp_path: Path) -> None:
    keys = keys_of("t", "p", np.arange(4))
    stage = Takedown(
        ids=write(tmp_path / "ids", "7", "中"), keys=write(tmp_path / "keys", keys[2].as_py().hex())
    )
    numbers = Batch.of(id=[7, 8, 9, None], **{KEY: keys})
    assert reasons(stage, numbers) == ["taken_down_id", None, "taken_down_key", None]
    words = Batch.of(id=pa.array(["中", "7 ", "7", None], pa.large_string()), **{KEY: keys})
    assert reasons(stage, words) == ["taken_down_id", None, "taken_down_id", None]


def test_lists_that_are_none(tmp_path: Path) -> None:
    (problem,) = Takedown().problems()
    assert "set one of ids, keys, urls, domains" in problem
    (problem,) = Takedown(ids=str(tmp_path / "no")).problems()
    assert "cannot be read" in problem
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"one\ntwo" * 100)[:-9])
    for name in ("binary", "cut.gz"):
        (problem,) = Takedown(urls=str(tmp_path / name)).problems()
        assert f"{name} cannot be read" in problem
    keys = write(tmp_path / "keys", "12")
    (problem,) = Takedown(keys=keys).problems()
    assert "'12' in a list of keys is not 32 hexadecimal digits" in problem
    with pytest.raises(DataError, match="not 32 hexadecimal digits"):
        Takedown(keys=keys).open()


def test_a_longer_list_reuses_what_was_done_before(tmp_path: Path) -> None:
    rows = [{"text": f"text {n}", "id": str(n)} for n in range(20)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    ids = write(tmp_path / "ids", "3")
    pipeline = Pipeline(
        name="takedown",
        tables={
            "clean": [read.Jsonl(path=str(tmp_path / "in.jsonl")), filter.Length(min_chars=1)],
            "published": [read.Table(tables="clean"), filter.Takedown(ids=ids)],
        },
    )
    first = pipeline.run(str(tmp_path / "run"))
    assert first.table("published").n_docs == 19
    write(tmp_path / "ids", "3", "5", "17")
    second = pipeline.run(str(tmp_path / "run"))
    assert second.table("published").n_docs == 17
    assert second.done[second.plan.rows_of["clean"]].n_new == 0
