"""Files appear whole or not at all, on a local disk and on S3."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from ultraclean import storage
from ultraclean.errors import DataError


@pytest.fixture(params=["local", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path) if request.param == "local" else request.getfixturevalue("s3_folder")


def test_what_is_written_can_be_read(folder: str) -> None:
    path = storage.join(folder, "a", "b.bin")
    storage.write_bytes(path, b"one")
    storage.write_bytes(path, b"two")
    assert storage.read_bytes(path) == b"two"
    assert storage.names_in(storage.join(folder, "a")) == ["b.bin"]
    storage.remove(path)
    assert not storage.exists(path)


def test_a_failed_write_leaves_the_old_file(folder: str) -> None:
    path = storage.join(folder, "x")
    storage.write_bytes(path, b"old")
    with pytest.raises(ZeroDivisionError), storage.atomic_write(path) as stream:
        stream.write(b"n" * 6_000_000)  # more than one part of a multipart upload
        raise ZeroDivisionError
    assert storage.read_bytes(path) == b"old"
    assert storage.names_in(folder) == ["x"]


def test_one_of_many_creates(folder: str) -> None:
    path = storage.join(folder, "lock")
    won: list[bool] = []
    threads = [
        threading.Thread(target=lambda: won.append(storage.create(path, b"me"))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [False] * 7 + [True]


def test_find_is_sorted_and_relative_to_the_root(folder: str) -> None:
    for name in ("in/b/2.txt", "in/a/1.txt", "in/a/_hidden", "in/c.json", "other/1.txt"):
        storage.write_bytes(storage.join(folder, name), b"x" * 3)
    found = storage.find(storage.join(folder, "in/**/*.txt"))
    assert [one.relative for one in found] == ["a/1.txt", "b/2.txt"]
    assert [one.size for one in found] == [3, 3]
    assert [one.relative for one in storage.find(storage.join(folder, "in"))] == [
        "a/1.txt",
        "b/2.txt",
        "c.json",
    ]
    assert storage.read_bytes(found[0].path) == b"xxx"
    assert storage.find(storage.join(folder, "nothing/*.txt")) == []


def test_a_stamp_changes_with_the_content(folder: str) -> None:
    path = storage.join(folder, "f")
    storage.write_bytes(path, b"one")
    before = storage.stamp(path)
    storage.write_bytes(path, b"four")
    assert storage.stamp(path) != before
    assert storage.stamp(storage.join(folder, "absent")) == "absent"


def test_an_unset_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CRAWL_FOLDER", raising=False)
    with pytest.raises(DataError, match="the environment variable CRAWL_FOLDER is not set"):
        storage.expand("${CRAWL_FOLDER}/x")


def test_a_variable_may_have_a_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PLACE", raising=False)
    assert storage.expand("${PLACE:-../here}/a-${PLACE:-b}") == "../here/a-b"
    with pytest.raises(DataError, match="the environment variable PLACE is not set"):
        storage.expand("${PLACE}/a")
    monkeypatch.setenv("PLACE", "/there")
    assert storage.expand("${PLACE:-../here}/${PLACE}") == "/there//there"
