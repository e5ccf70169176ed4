"""read.installed: documentation of the interpreter and of a folder of one's own."""

from __future__ import annotations

import inspect
import json
import sysconfig
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ultraclean.errors import DataError
from ultraclean.inputs import Shard
from ultraclean.stages.read.installed import Installed

WORDS = "one two three four five six seven eight nine ten"


def rows_of(stage: Installed) -> list[dict[str, Any]]:
    parts = [part for found in stage.inputs() for part in stage.split(found, 1)]
    return [row for batch in stage.read(Shard(0, tuple(parts))) for row in batch.data.to_pylist()]


SOURCE = f'''"""Module: {WORDS}"""
import os
raise SystemExit("never imported")
def f():
    """Grüße. {WORDS}

        indented
    """
    def inner():
        "too short, and \\d is an old escape"
if os:
    class C:
        \'\'\'Class. {WORDS}\'\'\'
        async def g(self): "Method. {WORDS}"
'''


def test_kinds_and_rules(tmp_path: Path) -> None:
    files: dict[str, bytes] = {
        "pkg/a.py": SOURCE.encode(),
        "pkg/broken.py": f'"""{WORDS}"""\nprint "python 2"'.encode(),
        "pkg/tests/t.py": SOURCE.encode(),
        "pkg/.hidden/h.py": SOURCE.encode(),
        "pkg/big.txt": WORDS.encode() * 100,
        "pkg/README.md": f"# Title\n{WORDS}".encode(),
        "pkg/few.txt": b"one two",
        "pkg/data.bin": b"\0",
        "pkg/zeros.txt": b"a\0b",
        "pkg/latin.rst": b"caf\xe9 " + WORDS.encode(),
        "pkg/top_level.txt": WORDS.encode(),
        "pkg/LICENSE": WORDS.encode(),
        "pkg/COPYING.txt": WORDS.encode(),
        "pkg-1.dist-info/METADATA": f"Name: pkg\nVersion: 1\n\nÜber {WORDS}\n".encode(),
        "pydoc_data/topics.py": f"topics = {{'with': 'The with. {WORDS}'}}".encode(),
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    rows = rows_of(Installed(path=str(tmp_path), min_words=10, max_file_bytes=1000))
    assert {row["id"]: (row["kind"], row["text"]) for row in rows if not row["_error"]} == {
        "pkg-1.dist-info/METADATA": ("description", f"Über {WORDS}\n"),
        "pkg/COPYING.txt": ("licence", WORDS),
        "pkg/LICENSE": ("licence", WORDS),
        "pkg/README.md": ("file", f"# Title\n{WORDS}"),
        "pkg/a.py": (
            "docstring",
            f"Module: {WORDS}\n\nf\nGrüße. {WORDS}\n\nindented\n\n"
            "f.inner\ntoo short, and \\d is an old escape\n\n"
            f"C\nClass. {WORDS}\n\nC.g\nMethod. {WORDS}",
        ),
        "pydoc_data/topics.py:with": ("topic", f"The with. {WORDS}"),
    }
    errors = {row["id"]: row["_error"] for row in rows if row["_error"]}
    assert errors["pkg/latin.rst"] == "InvalidUtf8: byte 0xe9 at 3"
    assert errors["pkg/zeros.txt"] == "BinaryFile: the file has bytes of zero"
    assert errors["pkg/broken.py"].startswith("NotPython: Missing parentheses")
    assert len(errors) == 3
    by_id = {row["id"]: row for row in rows}
    assert json.loads(by_id["pkg-1.dist-info/METADATA"]["metadata"]) == {
        "name": "pkg",
        "version": "1",
    }


def test_the_standard_library() -> None:
    folder = Path(sysconfig.get_paths()["stdlib"])
    rows = rows_of(Installed(path=str(folder / "json")))
    texts = {row["id"]: row["text"] for row in rows}
    assert str(inspect.getdoc(json.JSONDecoder)) in texts["decoder.py"]
    assert str(inspect.getdoc(json.dumps)) in texts["__init__.py"]
    topics = rows_of(Installed(path=str(folder / "pydoc_data" / "topics.py")))
    assert {row["kind"] for row in topics} == {"topic"}
    assert "with" in {row["id"].split(":")[-1] for row in topics}


def test_the_environment_has_enough_and_always_in_one_order() -> None:
    stage = Installed()
    found = stage.inputs()
    assert found == stage.inputs()
    assert len({one.relative for one in found}) == len(found) > 1000
    assert [one.relative.split("/")[0] for one in found[:1] + found[-1:]] == ["packages", "stdlib"]
    parts = tuple(part for one in found[::40] for part in stage.split(one, 1))
    rows = [row for batch in stage.read(Shard(0, parts)) for row in batch.data.to_pylist()]
    kinds = Counter(row["kind"] for row in rows)
    assert kinds["docstring"] > 40
    places = [(row["_path"], row["_position"]) for row in rows]
    assert len(set(places)) == len(places)


def test_other_files_get_the_right_reader_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("{}")
    with pytest.raises(
        DataError, match=r"no file of .* is documentation .* read\.jsonl, read\.parquet"
    ):
        Installed(path=str(tmp_path)).inputs()
    with pytest.raises(DataError, match="no file matches"):
        Installed(path=str(tmp_path / "*.md")).inputs()
