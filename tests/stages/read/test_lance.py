"""read.lance and write.lance: what was written, by versions and fragments, and what is no dataset."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ultraclean.engine import run
from ultraclean.errors import DataError, LedgerError
from ultraclean.executors import Executor, InlineExecutor
from ultraclean.finished import Finished
from ultraclean.inputs import Shard
from ultraclean.pipeline import Pipeline
from ultraclean.plan import check
from ultraclean.stages.read.lance import Lance
from ultraclean.stages.write.lance import Lance as WriteLance
from ultraclean.stages.write.parquet import Parquet
from ultraclean.stages.write.rows import row_groups

lance = pytest.importorskip("lance", reason="the package pylance is not installed")

TEXTS = [f"document {number} 日本 🙂\r\nline" for number in range(1000)]


def table(first: int = 0, last: int = 1000) -> pa.Table:
    rows = [{"name": f"n{i}", "text": TEXTS[i], "score": i / 10, "deep": {"a": i}} for i in range(first, last)]  # fmt: skip
    return pa.Table.from_pylist(rows)


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """Fragments of 300, 300, 300 and 100 rows."""
    path = str(tmp_path / "web.lance")
    lance.write_dataset(table(), path, max_rows_per_file=300)
    return path


def rows_of(source: Lance, shard_bytes: int = 2**20) -> list[dict[str, Any]]:
    parts = [part for found in source.inputs() for part in source.split(found, shard_bytes)]
    return [row for batch in source.read(Shard(0, tuple(parts))) for row in batch.data.to_pylist()]


def test_rows_are_those_of_the_dataset(folder: str) -> None:
    found = rows_of(Lance(path=folder, id="name", columns={"score": "float64"}))
    assert [row["text"] for row in found] == TEXTS
    assert [row["id"] for row in found] == [f"n{i}" for i in range(1000)]
    assert found[42]["score"] == 4.2 and json.loads(found[42]["metadata"]) == {"deep": {"a": 42}}
    assert {row["_path"]: row["_position"] for row in found} == {
        f"fragment-{n:05d}": last for n, last in enumerate((299, 299, 299, 99))
    }


def test_only_what_is_needed_is_read(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    scan = lance.LanceFragment.to_batches
    monkeypatch.setattr(
        lance.LanceFragment,
        "to_batches",
        lambda self, **told: (asked.append(told["columns"]), scan(self, **told))[1],
    )
    source = Lance(path=folder, id="deep.a", columns={"score": "float64"}, metadata=False)
    assert [row["id"] for row in rows_of(source)] == [str(i) for i in range(1000)]
    assert asked == [["text", "score", "deep"]] * 4


@pytest.mark.parametrize("shard_bytes", [500, 3000, 2**20])
def test_a_fragment_may_be_cut_anywhere(folder: str, shard_bytes: int) -> None:
    lance.dataset(folder).delete("score >= 10 and score < 20")
    source = Lance(path=folder, id="name")
    parts = [part for found in source.inputs() for part in source.split(found, shard_bytes)]
    assert (len(parts) > 4) == (shard_bytes < 2**20)
    assert rows_of(source, shard_bytes) == rows_of(source)
    assert [row["id"] for row in rows_of(source)] == [f"n{i}" for i in (*range(100), *range(200, 1000))]  # fmt: skip


def test_positions_do_not_move_when_rows_go(folder: str) -> None:
    before = {row["text"]: (row["_path"], row["_position"], row["id"]) for row in rows_of(Lance(path=folder))}  # fmt: skip
    lance.dataset(folder).delete("name in ('n0', 'n7', 'n450')")
    after = rows_of(Lance(path=folder))
    assert len(after) == 997
    assert all(before[row["text"]] == (row["_path"], row["_position"], row["id"]) for row in after)
    assert after[0]["id"] == "fragment-00000#1"  # made up, since no field is called id


def test_versions_by_number_and_by_tag(folder: str) -> None:
    lance.dataset(folder).tags.create("released", 1)
    lance.dataset(folder).delete("score >= 50")
    assert len(rows_of(Lance(path=folder))) == 500
    assert len(rows_of(Lance(path=folder, revision=1))) == 1000
    assert len(rows_of(Lance(path=folder, revision="released"))) == 1000
    for unknown in (99, "nightly"):
        message = rf"web\.lance has no version {unknown!r}; there are: 1, 2, released"
        with pytest.raises(DataError, match=message):
            Lance(path=folder, revision=unknown).inputs()


def test_several_datasets(folder: str, tmp_path: Path) -> None:
    lance.write_dataset(table(0, 5), str(tmp_path / "more.lance"))
    found = rows_of(Lance(path=f"{tmp_path}/*.lance"))
    assert len(found) == 1005
    assert found[0]["_path"] == "more.lance/fragment-00000"
    with pytest.raises(DataError, match="no folder matches"):
        Lance(path=f"{tmp_path}/*.nothing").inputs()


# --- bad input ------------------------------------------------------------------------------------


def test_what_is_no_dataset_is_said_by_check(folder: str, tmp_path: Path) -> None:
    def said(path: str) -> str:
        pipeline = Pipeline(name="p", stages=[Lance(path=path), Parquet()])
        return "\n".join(map(str, check(pipeline)))

    assert said(folder) == ""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file.lance").write_text("no folder")
    for wrong in ("folder", "file.lance", "nowhere"):
        assert f"{wrong} is no Lance dataset" in said(str(tmp_path / wrong))
    manifest = next(Path(folder, "_versions").glob("*.manifest"))
    manifest.write_bytes(manifest.read_bytes()[:50])
    assert "is no Lance dataset, or damaged" in said(folder)


def test_a_damaged_file_costs_its_fragment(folder: str) -> None:
    fragments = lance.dataset(folder).get_fragments()
    cut, gone = (Path(folder, "data", fragments[n].data_files()[0].path) for n in (1, 2))
    cut.write_bytes(cut.read_bytes()[:1000])
    gone.unlink()
    found = rows_of(Lance(path=folder, id="name"))
    errors = [row for row in found if row["_error"]]
    assert [row["_path"] for row in errors] == ["fragment-00001", "fragment-00002"]
    assert all("CorruptFile: rows from 0" in row["_error"] for row in errors)
    assert [row["id"] for row in found if not row["_error"]] == [f"n{i}" for i in (*range(300), *range(900, 1000))]  # fmt: skip


def test_bad_values_are_rows_of_their_own(tmp_path: Path) -> None:
    path = str(tmp_path / "x.lance")
    lance.write_dataset(pa.table({"text": ["a", None, "", "b"], "n": ["1", "2", "x", "4"]}), path)
    found = rows_of(Lance(path=path, columns={"n": "int64"}))
    assert [row["_error"] and row["_error"].split(":")[0] for row in found] == [None, "NullText", "ColumnType", None]  # fmt: skip
    missing = rows_of(Lance(path=path, text="content"))
    assert all("there is no field 'content'" in row["_error"] for row in missing)


# --- runs -----------------------------------------------------------------------------------------


def copied(folder: str, out: Path, executor: Executor | None = None) -> Finished:
    stages = [Lance(path=folder, id="name", columns={"score": "float64"}), Parquet()]
    return run(Pipeline(name="copy", stages=stages), str(out), executor=executor or InlineExecutor())  # fmt: skip


def test_new_fragments_are_read_and_changed_ones_stop_the_run(folder: str, tmp_path: Path) -> None:
    first = copied(folder, tmp_path / "run")
    assert first.table("copy").n_docs == 1000
    lance.write_dataset(table(0, 50), folder, mode="append")
    second = copied(folder, tmp_path / "run")
    assert second.table("copy").n_docs == 1050
    assert second.done["copy/0"].n_new < len(second.done["copy/0"].records)
    lance.dataset(folder).delete("name = 'n5'")
    with pytest.raises(LedgerError, match="fragment-00000"):
        copied(folder, tmp_path / "run")


def test_a_fragment_that_changes_during_a_run(folder: str) -> None:
    source = Lance(path=folder)
    parts = [part for found in source.inputs() for part in source.split(found, 2**20)]
    lance.dataset(folder).delete("name = 'n5'")
    with pytest.raises(DataError, match=r"fragment 0 of .* is not the one that was found"):
        list(source.read(Shard(0, tuple(parts))))
    lance.dataset(folder).delete("score < 30")
    with pytest.raises(DataError, match=r"fragment 0 of .* was deleted, rewritten"):
        list(source.read(Shard(0, tuple(parts[:1]))))
    assert len(rows_of(Lance(path=folder, revision=1))) == 1000


def written(folder: str, out: str, executor: Executor, **fields: Any) -> Finished:
    pipeline = Pipeline(
        name="again",
        stages=[Lance(path=folder, id="name", columns={"score": "float64"}), WriteLance(**fields)],
    )
    assert not check(pipeline)
    return run(pipeline, out, executor=executor)


def test_written_datasets_are_read_again(folder: str, tmp_path: Path, executor: Executor) -> None:
    fields = {"columns": ["id", "text", "score"], "tag": "v1", "fragment_rows": 400}
    finished = written(folder, str(tmp_path / "run"), executor, **fields)
    card = finished.card("again")
    assert (card["n_docs"], card["n_fragments"], card["tag"]) == (1000, 3, "v1")
    found = rows_of(Lance(path=card["path"], revision="v1", columns={"score": "float64"}))
    assert [(row["id"], row["text"], row["score"]) for row in found] == [
        (f"n{i}", TEXTS[i], i / 10) for i in range(1000)
    ]
    assert lance.dataset(card["path"]).schema.names == fields["columns"]


def test_a_write_that_fails_leaves_no_dataset(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(*given: Any) -> Iterator[pa.Table]:
        yield next(row_groups(*given))
        raise OSError("the disk is full")

    out = tmp_path / "run"
    monkeypatch.setattr("ultraclean.stages.write.lance.row_groups", full_disk)
    with pytest.raises(OSError, match="the disk is full"):
        written(folder, str(out), InlineExecutor())
    assert not list(out.rglob("data.lance/_versions/*"))
    left = next((out / "models/again").iterdir()) / "data.lance/data"
    left.mkdir(parents=True, exist_ok=True)
    (left / "half.lance").write_bytes(b"half of a file")
    monkeypatch.undo()
    card = written(folder, str(out), InlineExecutor()).card("again")
    assert card["n_docs"] == 1000
    assert len(list(Path(card["path"]).glob("data/*"))) == card["n_fragments"]


def test_on_s3(folder: str, s3_folder: str, executor: Executor) -> None:
    """The package has an S3 client of its own, which must find the same server."""
    finished = written(folder, f"{s3_folder}/run", executor)
    card = finished.card("again")
    assert card["path"].startswith("s3://")
    found = rows_of(Lance(path=card["path"], metadata=False))
    assert [row["text"] for row in found] == TEXTS
    many = rows_of(Lance(path=card["path"].replace("data.lance", "*.lance"), metadata=False))
    assert [row["_path"] for row in many][:1] == ["data.lance/fragment-00000"]
    shutil.rmtree(folder)
    assert len(rows_of(Lance(path=card["path"]))) == 1000
