"""The shipped pipelines on real input: every document that is read is kept or explained."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ultraclean import pipeline_file, storage
from ultraclean.engine import Finished, run
from ultraclean.executors import Executor
from ultraclean.pipeline import Pipeline

ARTICLES = """
name: articles
tables:
  pages:
    - read.jsonl: {{path: "{data}/web/*.jsonl.gz", text: html}}
    - extract.html: {{html: text}}
    - score.language
    - filter.length: {{min_chars: 50}}
    - dedup.exact
    - write.jsonl
"""


def assert_all_accounted_for(finished: Finished) -> int:
    """Documents read = kept + dropped in every segment; returns how many were read from files."""
    n_read = 0
    for done in finished.done.values():
        if done.segment.kind != "rows":
            continue
        n_in = sum(record["n_in"] for record in done.records)
        n_out = sum(record["n_out"] for record in done.records)
        n_dropped = sum((record["dropped"] or {"n_rows": 0})["n_rows"] for record in done.records)
        assert n_in == n_out + n_dropped, done.segment.name
        before = [finished.done[name] for name in done.segment.reads]
        if before:
            assert n_in == sum(record["n_out"] for one in before for record in one.records)
        else:
            n_read += n_in
    for table in finished.plan.rows_of:
        folder = storage.join(finished.out, "dropped", table)
        shown = sum(
            pq.read_metadata(storage.open_read(one.path)).num_rows for one in storage.find(folder)
        )
        counted = sum(
            record["dropped"]["n_rows"]
            for done in finished.done.values()
            if done.segment.kind == "rows" and done.segment.table == table
            for record in done.records
            if record["dropped"]
        )
        assert shown == counted
    return n_read


@pytest.mark.slow
def test_quickstart(tmp_path: Path, ray_executor: Executor) -> None:
    stdlib = sysconfig.get_paths()["stdlib"]
    settings = [f"raw.read.installed.path={stdlib}", "shard_bytes=2000000"]
    pipeline = pipeline_file.load("quickstart", settings)
    finished = run(pipeline, str(tmp_path / "run"), executor=ray_executor)
    assert assert_all_accounted_for(finished) > 500
    card = finished.card("quality")
    assert card["held_out"]["auc"] > 0.7
    kept = pq.read_table(tmp_path / "run/tables/clean")
    assert kept.num_rows > 0
    assert min(kept["quality"].to_pylist()) >= 0.5
    page = (tmp_path / "run/report.html").read_text()
    assert "filter.gopher_repetition" in page


@pytest.mark.slow
def test_web_on_the_archives(
    shared_data: Path, tmp_path: Path, ray_executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRAWL", str(shared_data / "warc"))
    settings = [
        'web.read.warc.path="${CRAWL}/*arc*"',
        "web.filter.language.min_score=0.3",
        "max_error_fraction=1.0",
        "shard_bytes=500000",
    ]
    pipeline = pipeline_file.load("web", settings)
    finished = run(pipeline, str(tmp_path / "run"), executor=ray_executor)
    assert assert_all_accounted_for(finished) > 100
    dropped = pq.read_table(tmp_path / "run/dropped/web").to_pylist()
    errors = [row for row in dropped if row["reason"].startswith("error:")]
    assert {row["stage"] for row in errors} >= {"read"}
    assert all(row["detail"] and row["_path"] and row["_position"] >= 0 for row in errors)


@pytest.mark.slow
def test_the_article_pages(shared_data: Path, tmp_path: Path, ray_executor: Executor) -> None:
    pipeline: Pipeline = pipeline_file.parse(ARTICLES.format(data=shared_data), "articles.yaml")
    finished = run(pipeline, str(tmp_path / "run"), executor=ray_executor)
    assert assert_all_accounted_for(finished) == 89 + 133 + 87
    assert finished.table("pages").n_docs > 200
