"""read.text: one document per file."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from ultraclean.errors import DataError
from ultraclean.inputs import Shard
from ultraclean.stages.read.text import Text


def rows_of(path: str) -> list[dict[str, Any]]:
    stage = Text(path=path)
    parts = [part for found in stage.inputs() for part in stage.split(found, 1)]
    return [row for batch in stage.read(Shard(0, tuple(parts))) for row in batch.data.to_pylist()]


def test_files_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    contents = {
        "a.txt": "Grüße\r\n".encode(),
        "b.md": b"\xef\xbb\xbf# With a mark",
        "c.txt": "weit".encode("utf-16"),
        "d.txt.gz": gzip.compress(b"packed"),
        "deep/e.md": "# 你好\n".encode(),
        "f.txt": b"",
        "g.txt": b"caf\xe9",
        "h.txt.gz": gzip.compress(b"cut" * 1000)[:-9],
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    rows = {row["id"]: row for row in rows_of(str(tmp_path))}
    assert {name: row["text"] for name, row in rows.items()} == {
        "a.txt": "Grüße\r\n",
        "b.md": "# With a mark",
        "c.txt": "weit",
        "d.txt.gz": "packed",
        "deep/e.md": "# 你好\n",
        "g.txt": None,
        "h.txt.gz": None,
    }
    assert rows["g.txt"]["_error"] == "InvalidUtf8: byte 0xe9 at 3"
    assert rows["h.txt.gz"]["_error"] == "TruncatedFile: the gzip stream ends early"
    assert {row["url"] for row in rows.values()} == {None}
    assert rows["deep/e.md"]["_path"] == "deep/e.md"


def test_nothing_found(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"read\.text: no file matches"):
        rows_of(str(tmp_path / "*.md"))


def test_real_prose(shared_data: Path) -> None:
    rows = rows_of(str(shared_data / "README.md"))
    assert rows[0]["text"] == (shared_data / "README.md").read_text()
