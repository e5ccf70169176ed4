"""Paths of the Hugging Face hub (`hf://`) reach its file system as they are, and come back readable."""

from __future__ import annotations

import json
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry

from ultraclean.document import PATH
from ultraclean.inputs import Shard
from ultraclean.stages.read.jsonl import Jsonl
from ultraclean.stages.read.parquet import Parquet


class FakeHub(MemoryFileSystem):  # type: ignore[misc]
    """A hub in memory, which remembers the paths that it was asked for."""

    protocol = "hf"
    root_marker = ""
    store: dict[str, Any] = {}  # noqa: RUF012 (fsspec's own, shared like theirs)
    pseudo_dirs = [""]  # noqa: RUF012
    asked: list[str] = []  # noqa: RUF012

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return path.removeprefix("hf://").lstrip("/").rstrip("/")

    def _open(self, path: str, *arguments: Any, **options: Any) -> Any:
        self.asked.append(path)
        return super()._open(path, *arguments, **options)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> type[FakeHub]:
    # the real one would look for the network
    monkeypatch.setitem(_registry, "hf", FakeHub)
    FakeHub.store.clear()
    FakeHub.asked.clear()
    return FakeHub


def test_paths_of_the_hub(hub: type[FakeHub]) -> None:
    for number in range(2):
        line = json.dumps({"text": f"document {number}"}) + "\n"
        path = f"hf://datasets/owner/name@main/data/{number}.jsonl"
        with fsspec.open(path, "wb") as stream:
            stream.write(line.encode())
    hub.asked.clear()
    stage = Jsonl(path="hf://datasets/owner/name@main/**/*.jsonl")
    found = stage.inputs()
    assert [one.path for one in found] == [
        f"hf://datasets/owner/name@main/data/{number}.jsonl" for number in range(2)
    ]
    parts = tuple(part for one in found for part in stage.split(one, 10**9))
    rows = [row for batch in stage.read(Shard(0, parts)) for row in batch.data.to_pylist()]
    assert [(row["text"], row[PATH]) for row in rows] == [
        ("document 0", "data/0.jsonl"),
        ("document 1", "data/1.jsonl"),
    ]
    assert set(hub.asked) == {f"datasets/owner/name@main/data/{n}.jsonl" for n in range(2)}


def test_the_hubs_package_is_asked_for_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "huggingface_hub" else find(name, *rest),
    )
    (missing,) = Parquet(path="hf://datasets/owner/name/*.parquet").missing_extras()
    assert "pip install huggingface_hub" in str(missing)
    assert Parquet(path="s3://bucket/*.parquet").missing_extras() == []
