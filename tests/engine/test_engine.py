"""One pipeline through the engine: nothing lost, same bytes anywhere, only the needed work redone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ultraclean import Pipeline, fix, pipeline_file, read, storage
from ultraclean import filter as filters
from ultraclean.document import KEY, Batch
from ultraclean.engine import Finished, run
from ultraclean.errors import DataError, LedgerError, PlanError, StageError
from ultraclean.executors import Executor, InlineExecutor
from ultraclean.executors.base import in_order
from ultraclean.ledger import lock
from ultraclean.stage import Map, Resources
from ultraclean.stages.fit.fasttext import Fasttext
from ultraclean.stages.read.jsonl import Jsonl
from ultraclean.stages.write.parquet import Parquet

PIPELINE = """
name: test
seed: 5
shard_bytes: 40000
tables:
  raw:
    - read.jsonl: {{path: "{folder}/*.jsonl", columns: {{score: float64}}}}
    - fix.lines
    - filter.length: {{min_chars: 60}}
    - dedup.exact
  good:
    - read.table: raw
    - filter.where: score >= 0.3
    - write.parquet
"""


@pytest.fixture
def corpus(make_corpus: Callable[..., Path], tmp_path: Path) -> Path:
    return make_corpus(tmp_path / "in")


def pipeline_of(folder: Path | str, *settings: str) -> Pipeline:
    return pipeline_file.parse(PIPELINE.format(folder=folder), "test.yaml", settings)


def contents(finished: Finished, *folders: str) -> dict[str, str]:
    """Digest by relative path of everything that a run shows."""
    found = {}
    for folder in folders or ("tables", "dropped", "numbers"):
        root = storage.join(finished.out, folder)
        for one in storage.find(storage.join(root, "**/*.*")):
            content = storage.read_bytes(one.path)
            found[f"{folder}/{one.relative}"] = hashlib.sha256(content).hexdigest()
    assert found
    return found


def n_new(finished: Finished) -> dict[str, int]:
    return {name: done.n_new for name, done in finished.done.items()}


def check_counts(finished: Finished) -> None:
    """Documents read = kept + dropped, in every unit, stage and folder."""
    for done in finished.done.values():
        if done.segment.kind != "rows":
            continue
        for record in done.records:
            dropped = sum(n for stage in record["stages"] for n in stage["reasons"].values())
            added = sum(stage["n_added"] for stage in record["stages"])
            assert record["n_in"] + added == record["n_out"] + dropped
            rows = {what: (record[what] or {"n_rows": 0})["n_rows"] for what in ("data", "dropped")}
            assert rows == {"data": record["n_out"], "dropped": dropped}
            numbers = pq.read_table(storage.open_read(record["numbers"]["path"]))
            assert numbers["dropped_by"].null_count == record["n_out"]
            assert numbers.num_rows - record["n_in"] == sum(
                stage["n_in"] + stage["n_added"] for stage in record["stages"] if stage["n_added"]
            )
            before = record["n_in"]
            for stage in record["stages"]:
                assert stage["n_in"] == before, stage
                before = stage["n_out"]
            assert before == record["n_out"]


def test_nothing_is_lost_and_every_drop_is_explained(
    corpus: Path, tmp_path: Path, executor: Executor
) -> None:
    finished = run(pipeline_of(corpus), str(tmp_path / "run"), executor=executor)
    check_counts(finished)
    n_lines = sum(len(file.read_text().splitlines()) for file in corpus.iterdir())
    dropped = pa.concat_tables(
        pq.read_table(one.path) for one in storage.find(str(tmp_path / "run/dropped/**/*.parquet"))
    )
    kept = pq.read_table(tmp_path / "run/tables/good")
    assert n_lines == dropped.num_rows + kept.num_rows
    keys = dropped[KEY].to_pylist() + kept[KEY].to_pylist()
    assert len(set(keys)) == n_lines
    rows = dropped.to_pylist()
    assert {row["reason"].split(":")[0] for row in rows} == {
        "error",
        "too_few_chars",
        "exact_duplicate",
        "where",
    }
    for row in rows:
        if row["reason"] == "too_few_chars":
            assert row["value"] < row["threshold"] == 60
            assert len(row["text"]) == row["value"]
        if row["reason"] == "exact_duplicate":
            assert row["same_as"] in keys
            assert row["same_as"] != row[KEY]
        if row["reason"].startswith("error:"):
            assert row["_path"].startswith("part-")
            assert row["_position"] > 0
            assert row["detail"]


def test_the_same_bytes_inline_and_on_ray(
    corpus: Path, tmp_path: Path, ray_executor: Executor
) -> None:
    inline = run(pipeline_of(corpus), str(tmp_path / "a"), executor=InlineExecutor())
    on_ray = run(pipeline_of(corpus), str(tmp_path / "b"), executor=ray_executor)
    assert contents(inline) == contents(on_ray)


def test_a_second_run_does_nothing(corpus: Path, tmp_path: Path) -> None:
    first = run(pipeline_of(corpus), str(tmp_path / "run"))
    before = contents(first)
    second = run(pipeline_of(corpus), str(tmp_path / "run"))
    assert set(n_new(second).values()) == {0}
    assert contents(second) == before


def test_a_changed_stage_redoes_only_what_follows(corpus: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "run")
    first = run(pipeline_of(corpus), out)
    changed = run(pipeline_of(corpus, "good.filter.where.where=score >= 0.6"), out)
    new = n_new(changed)
    assert {name for name, n in new.items() if n} == {"good/0", "good/1:write.parquet"}
    fresh = run(pipeline_of(corpus, "good.filter.where.where=score >= 0.6"), f"{out}-fresh")
    assert contents(changed) == contents(fresh)
    back = run(pipeline_of(corpus), out)
    assert contents(back) == contents(first)
    assert {name for name, n in n_new(back).items() if n} == {"good/1:write.parquet"} or not any(
        n_new(back).values()
    )


def test_new_files_are_added_and_old_shards_reused(
    corpus: Path, tmp_path: Path, make_corpus: Callable[..., Path]
) -> None:
    out = str(tmp_path / "run")
    first = run(pipeline_of(corpus), out)
    more = make_corpus(tmp_path / "more", n_files=1, seed=9)
    (more / "part-0.jsonl").rename(corpus / "part-9.jsonl")
    second = run(pipeline_of(corpus), out)
    added = len(second.done["raw/0"].records) - len(first.done["raw/0"].records)
    assert n_new(second)["raw/0"] == added > 0
    check_counts(second)
    fresh = run(pipeline_of(corpus), f"{out}-fresh")
    kept = [pq.read_table(Path(o, "tables/good"))[KEY].to_pylist() for o in (out, fresh.out)]
    assert sorted(kept[0]) == sorted(kept[1])


def test_a_changed_input_stops_the_run_with_the_list(corpus: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "run")
    run(pipeline_of(corpus), out)
    with (corpus / "part-1.jsonl").open("a") as file:
        file.write(json.dumps({"id": "new", "text": "A new line. " * 20, "score": 0.9}) + "\n")
    (corpus / "part-2.jsonl").unlink()
    with pytest.raises(LedgerError) as caught:
        run(pipeline_of(corpus), out)
    assert "changed: part-1.jsonl" in str(caught.value)
    assert "vanished: part-2.jsonl" in str(caught.value)
    assert "--accept-inputs" in str(caught.value)
    accepted = run(pipeline_of(corpus), out, accept_inputs=True)
    ids = pq.read_table(Path(out, "tables/good"))["id"].to_pylist()
    assert "new" in ids
    assert not any(name.startswith("2-") for name in ids)
    assert 0 < n_new(accepted)["raw/0"] < len(accepted.done["raw/0"].records)


def test_one_run_at_a_time(corpus: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "run")
    with lock(out), pytest.raises(LedgerError, match="is in use by process"):
        run(pipeline_of(corpus), out)
    run(pipeline_of(corpus), out)


def test_another_pipeline_lives_here(corpus: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "run")
    run(pipeline_of(corpus), out)
    with pytest.raises(LedgerError, match="is the run folder of the pipeline 'test', not of 'x'"):
        run(pipeline_of(corpus, "name=x"), out)


def test_a_dead_runs_lock_is_recognised(corpus: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "run")
    import socket

    dead = {"id": "x", "host": socket.gethostname(), "pid": 1, "started": "0", "time": 0}
    storage.write_json(storage.join(out, "lock.json"), dead)
    run(pipeline_of(corpus), out)


def test_an_empty_result_is_an_alarm(corpus: Path, tmp_path: Path) -> None:
    nothing = pipeline_of(corpus, "good.filter.where.where=score > 2")
    with pytest.raises(DataError, match=r"good/0: none of \d+ documents is left .*filter.where"):
        run(nothing, str(tmp_path / "run"))
    allowed = pipeline_of(corpus, "good.filter.where.where=score > 2", "allow_empty=true")
    assert run(allowed, str(tmp_path / "run")).table("good").n_docs == 0


def test_too_many_errors_stop_the_run(make_corpus: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_corpus(tmp_path / "in", n_files=1)
    with (folder / "part-0.jsonl").open("a") as file:
        file.write("not json\n" * 300)
    with pytest.raises(StageError, match=r"3\d\d of \d+ documents are errors .*max_error_fraction"):
        run(pipeline_of(folder), str(tmp_path / "run"))


def test_limit_reads_so_many_documents(corpus: Path, tmp_path: Path) -> None:
    finished = run(pipeline_of(corpus).limited(30), str(tmp_path / "run"))
    assert sum(record["n_in"] for record in finished.done["raw/0"].records) == 30


def test_an_input_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"test\.yaml:7: read\.jsonl: .*nowhere"):
        run(pipeline_of(tmp_path / "nowhere"), str(tmp_path / "run"))


def test_a_run_on_s3(corpus: Path, tmp_path: Path, s3_folder: str, executor: Executor) -> None:
    for file in corpus.iterdir():
        storage.write_bytes(f"{s3_folder}/in/{file.name}", file.read_bytes())
    there = run(pipeline_of(f"{s3_folder}/in"), f"{s3_folder}/run", executor=executor)
    here = run(pipeline_of(corpus), str(tmp_path / "run"))
    assert contents(there) == contents(here)
    again = run(pipeline_of(f"{s3_folder}/in"), f"{s3_folder}/run", executor=executor)
    assert set(n_new(again).values()) == {0}


class Fragile(Map):
    """Fails on some documents: a stage as users write them."""

    stage: ClassVar[str] = "fix.fragile"

    def needs(self) -> tuple[str, ...]:
        return ("text",)

    def adds(self) -> Mapping[str, pa.DataType]:
        return {"n_the": pa.float64()}

    def open(self) -> Callable[[Batch], Batch]:
        def count(batch: Batch) -> Batch:
            texts = batch["text"].to_pylist()
            if any("could time" in text for text in texts):
                raise ValueError("could time")
            return batch.with_columns({"n_the": [float(text.count("the")) for text in texts]})

        return count


def test_one_bad_row_costs_only_itself(corpus: Path, tmp_path: Path) -> None:
    pipeline = Pipeline(
        name="fragile",
        stages=[Jsonl(path=f"{corpus}/*.jsonl"), Fragile(), Parquet()],
        max_error_fraction=1.0,
    )
    finished = run(pipeline, str(tmp_path / "run"))
    check_counts(finished)
    kept = pq.read_table(tmp_path / "run/tables/fragile")
    assert not any("could time" in text for text in kept["text"].to_pylist())
    dropped = pq.read_table(tmp_path / "run/dropped/fragile").to_pylist()
    mine = [row for row in dropped if row["stage"] == "fix.fragile"]
    assert mine
    assert {row["reason"] for row in mine} == {"error:ValueError"}
    assert all(row["detail"] == "ValueError: could time" for row in mine)
    numbers = pq.read_table(tmp_path / "run/numbers/fragile")
    assert numbers["n_the"].null_count == len(dropped)


class Doubled(Map):
    """Adds a row to each: a stage that expands."""

    stage: ClassVar[str] = "refine.doubled"
    expands: ClassVar[bool] = True

    def open(self) -> Callable[[Batch], Batch]:
        import numpy as np

        from ultraclean.document import PARENT, child_keys

        def double(batch: Batch) -> Batch:
            order = np.repeat(np.arange(batch.num_rows), 2)
            both = Batch(batch.data.take(pa.array(order)))
            ordinals = np.tile(np.arange(2), batch.num_rows)
            parents = both[KEY]
            return both.with_columns({PARENT: parents, KEY: child_keys(parents, ordinals)})

        return double


def test_a_stage_that_adds_rows(corpus: Path, tmp_path: Path) -> None:
    pipeline = Pipeline(
        name="double",
        stages=[
            Jsonl(path=f"{corpus}/*.jsonl"),
            filters.Length(min_chars=60),
            Doubled(),
            filters.Length(name="again", min_chars=61),
            Parquet(),
        ],
    )
    finished = run(pipeline, str(tmp_path / "run"))
    check_counts(finished)
    kept = pq.read_table(tmp_path / "run/tables/double")
    assert len(set(kept[KEY].to_pylist())) == kept.num_rows
    assert kept.num_rows == 2 * len(set(kept["_parent"].to_pylist()))


def test_a_union_says_where_rows_came_from(corpus: Path, tmp_path: Path) -> None:
    pipeline = Pipeline(
        name="union",
        tables={
            "a": (Jsonl(path=f"{corpus}/part-0.jsonl"),),
            "b": (Jsonl(path=f"{corpus}/part-1.jsonl"), fix.Lines()),
            "both": (
                read.Table(tables=("a", "b")),
                Parquet(),
            ),
        },
    )
    finished = run(pipeline, str(tmp_path / "run"))
    sources = pq.read_table(tmp_path / "run/tables/both")["_source"].to_pylist()
    assert sources.count("a") == finished.table("a").n_docs
    assert sources.count("b") == finished.table("b").n_docs


def test_drops_text_and_none(corpus: Path, tmp_path: Path) -> None:
    for drops, expected in (("text", True), ("none", False)):
        out = tmp_path / drops
        run(pipeline_of(corpus, f"drops={drops}"), str(out))
        texts = pq.read_table(out / "dropped/raw").to_pylist()
        short = [row["text"] for row in texts if row["reason"] == "too_few_chars"]
        assert all((text is not None) == expected for text in short)


ROUNDS = """
name: loop
seed: 5
tables:
  web:
    - read.jsonl: {{path: "{folder}/*.jsonl", columns: {{score: float64}}}}
  bad: [{{read.table: web}}, {{filter.where: score < 0.2}}]
  good: [{{read.table: web}}, {{filter.where: score > 0.8}}]
  out: [{{read.table: seeds}}, write.parquet]
rounds:
  max: 3
  until: quality.{until}
  first: {{seeds: good}}
  tables:
    quality: [{{fit.fasttext: {{positive: prev.seeds, negative: bad, dim: 4, bucket: 1000}}}}]
    seeds: [{{read.table: web}}, {{score.fasttext: {{model: quality}}}}, {{sample.quantile: {{column: quality, share: 0.3}}}}]
"""


@pytest.mark.parametrize(("until", "n_rounds"), [("deterministic", 1), ("positive_empty", 3)])
def test_rounds_run_until_a_card_says_so(
    corpus: Path, tmp_path: Path, until: str, n_rounds: int
) -> None:
    text = ROUNDS.format(folder=corpus, until=until)
    if until != "deterministic":
        text = text.replace("  until: quality.positive_empty\n", "")
    finished = run(pipeline_file.parse(text, "loop.yaml"), str(tmp_path / "run"))
    assert [f"quality@{k}" in finished.plan.artifact_of for k in (1, 2, 3)] == [
        k <= n_rounds for k in (1, 2, 3)
    ]
    last = finished.table(f"seeds@{n_rounds}")
    assert finished.table("out").n_docs == last.n_docs > 0
    assert finished.card(f"quality@{n_rounds}")["positive"] == [
        "good" if n_rounds == 1 else f"seeds@{n_rounds - 1}"
    ]


@pytest.mark.parametrize(("gain", "meant"), [("deterministic", 3), ("negative_empty", None)])
def test_rounds_go_on_while_they_gain(
    corpus: Path, tmp_path: Path, gain: str, meant: int | None
) -> None:
    text = ROUNDS.format(folder=corpus, until="x").replace(
        "until: quality.x", f"gain: quality.{gain}"
    )
    pipeline = pipeline_file.parse(text, "loop.yaml")
    if meant is None:  # the very first has no gain
        with pytest.raises(PlanError, match=r"rounds\.gain: the card of quality has no field"):
            run(pipeline, str(tmp_path / "run"))
        return
    finished = run(pipeline, str(tmp_path / "run"))
    assert finished.plan.segment("out/0").reads == (finished.plan.rows_of[f"seeds@{meant}"],)


def test_a_round_that_does_not_gain_is_not_meant(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cards say that the second round, or the first, did not gain."""
    text = ROUNDS.format(folder=corpus, until="x").replace(
        "until: quality.x", "gain: quality.better"
    )
    pipeline = pipeline_file.parse(text, "loop.yaml")
    make = Fasttext.make
    rounds_that_gain: list[bool] = []

    def said(self: Fasttext, *given: Any) -> dict[str, Any]:
        return {**make(self, *given), "better": rounds_that_gain.pop(0), "reason": "no better"}

    monkeypatch.setattr(Fasttext, "make", said)
    rounds_that_gain = [True, False]
    finished = run(pipeline, str(tmp_path / "run"))
    assert "quality@2" in finished.plan.artifact_of and "quality@3" not in finished.plan.artifact_of
    assert finished.plan.segment("out/0").reads == (finished.plan.rows_of["seeds@1"],)
    assert finished.table("out").n_docs == finished.table("seeds@1").n_docs
    rounds_that_gain = [False]
    with pytest.raises(
        DataError, match=r"the first round did not gain.*quality\.better: no better"
    ):
        run(pipeline, str(tmp_path / "other"))
    assert "no better" in (tmp_path / "other/report.html").read_text()


def test_an_artifact_is_asked_for_with_its_resources() -> None:
    asked: list[Resources] = []

    class Noting(InlineExecutor):
        def map(self, function: Any, items: Any, resources: Any = None) -> Any:
            asked.append(resources)
            return super().map(function, items)

    wanted = Resources(cpus=2, gpus=0.5)
    assert in_order(Noting(), wanted)(str, [1, 2]) == ["1", "2"]
    assert asked == [wanted]


def test_gpus_that_no_node_has_are_not_waited_for_in_silence(
    ray_executor: Executor, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = Resources(model=True, gpus=1)
    with pytest.raises(
        StageError, match=r"needs 1 GPU, and no node has more than 0: .*device: cpu"
    ):
        list(ray_executor.map(str, [1], wanted))
    # A cluster may grow, so there it is only said.
    monkeypatch.setattr(ray_executor, "_alone", False)
    monkeypatch.setattr(
        ray_executor, "_drive", lambda workers, items, resources: iter([(0, "ran")])
    )
    assert list(ray_executor.map(str, [1], wanted)) == [(0, "ran")]
    assert "waiting for a node that has" in capsys.readouterr().err


def test_a_file_of_nothing_and_two_documents_of_one_id(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "empty.jsonl").write_bytes(b"")
    twin = {"id": "twin", "text": "A sentence that is long enough to be kept. " * 3, "score": 0.9}
    other = {**twin, "text": twin["text"] + "And another."}
    (folder / "two.jsonl").write_text(json.dumps(twin) + "\n" + json.dumps(other) + "\n")
    finished = run(pipeline_of(folder), str(tmp_path / "run"))
    kept = pq.read_table(tmp_path / "run/tables/good")
    assert kept["id"].to_pylist() == ["twin", "twin"]
    assert len(set(kept[KEY].to_pylist())) == 2
    check_counts(finished)


def test_a_finished_run_is_polars_frames(corpus: Path, tmp_path: Path) -> None:
    finished = run(pipeline_of(corpus), str(tmp_path / "run"))
    assert finished.scan("good").collect().height == finished.table("good").n_docs
    reasons = dict(finished.dropped("raw").group_by("reason").len().collect().iter_rows())
    assert reasons["exact_duplicate"] > 0
    numbers = finished.numbers("raw").collect()
    assert numbers.filter(numbers["reason"] == "too_few_chars").height == reasons["too_few_chars"]
    assert "filter.length.n_chars" in numbers.columns


def test_another_seed_is_another_sample(corpus: Path, tmp_path: Path) -> None:
    kept = []
    for seed in (1, 2, 1):
        text = PIPELINE.replace("- dedup.exact", "- sample.random: {{share: 0.5}}")
        pipeline = pipeline_file.parse(text.format(folder=corpus), "test.yaml", [f"seed={seed}"])
        finished = run(pipeline, str(tmp_path / "run"))
        kept.append(sorted(finished.scan("raw").collect()["id"].to_list()))
    assert kept[0] == kept[2] != kept[1]
