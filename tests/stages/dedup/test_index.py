"""An index: a later run equals the joint run; merging, removing, and what is refused."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ultraclean import Pipeline, read, write
from ultraclean.cli import main
from ultraclean.errors import DataError, PlanError
from ultraclean.stages.dedup import index
from ultraclean.stages.dedup.minhash import Minhash

Fate = tuple[str | None, float | None]


def drifting(seed: int, n_docs: int = 90) -> list[str]:
    """Documents of which many are edits of earlier ones, some exact copies, a few too short."""
    draw = random.Random(seed)
    docs: list[list[str]] = []
    for _ in range(n_docs):
        if docs and draw.random() < 0.7:
            words = list(draw.choice(docs))
            for _ in range(draw.choice([0, 0, 1, 2, 4, 9])):
                words[draw.randrange(len(words))] = f"x{draw.randrange(10**6)}"
        else:
            words = [f"w{draw.randrange(10**6)}" for _ in range(draw.choice([3, 40, 80]))]
        docs.append(words)
    return [" ".join(words) for words in docs]


def run(folder: Path, name: str, table: pa.Table, stage: Minhash, source_name: str = "") -> Any:
    source = folder / f"{source_name or name}.parquet"
    if not source.exists():
        pq.write_table(table, source)
    columns = {"month": "int64", "rank": "int64"}
    stages = [read.Parquet(path=str(source), columns=columns), stage, write.Parquet()]
    pipeline = Pipeline(name="months", shard_bytes=4000, stages=stages)
    return pipeline.run(str(folder / name))


def dropped(finished: Any) -> list[tuple[Any, ...]]:
    """(key, id, key of the copy, similarity); a month may have dropped nothing."""
    try:
        gone = finished.dropped("months").collect()
    except DataError:
        return []
    return list(gone.select("_key", "id", "same_as", "similarity").rows())


def fates(finished: Any) -> dict[str, Fate]:
    """id -> (key of the copy, similarity), (None, None) if kept."""
    kept = finished.scan("months").collect()
    found: dict[str, Fate] = dict.fromkeys(kept["id"].to_list(), (None, None))
    return found | {row[1]: row[2:] for row in dropped(finished)}


def ids_of(finished: Any) -> dict[bytes, str]:
    kept = finished.scan("months").collect().select("_key", "id").rows()
    return dict([*kept, *(row[:2] for row in dropped(finished))])


def months_of(texts: list[str], cuts: tuple[int, int], seed: int) -> pa.Table:
    """The documents with their month, and ranks that never tie: keys differ from run to run."""
    month = [sum(i >= cut for cut in cuts) for i in range(len(texts))]
    rank = random.Random(seed).sample(range(len(texts)), len(texts))
    ids = [f"d{i}" for i in range(len(texts))]
    return pa.table({"id": ids, "text": texts, "month": [-m for m in month], "rank": rank})


def each_month(folder: Path, table: pa.Table, stage: Minhash) -> tuple[dict[str, Fate], list[Any]]:
    """Three runs, each against those before -> the fates of all, with ids for keys."""
    found: dict[str, Fate] = {}
    names: dict[bytes, str] = {}
    runs = []
    for number in range(3):
        against = tuple(str(folder / f"m{i}") for i in range(number))
        mine = table.filter(pa.array([m == -number for m in table["month"].to_pylist()]))
        runs.append(run(folder, f"m{number}", mine, stage.model_copy(update={"against": against})))
        names |= ids_of(runs[-1])
        found |= fates(runs[-1])
    return {name: (names.get(of) if of else None, s) for name, (of, s) in found.items()}, runs


STAGE = Minhash(verify=0.6, priority=("rank",), index="full")
JOINT = STAGE.model_copy(update={"priority": ("month", "rank"), "index": None})


def joint(folder: Path, table: pa.Table) -> dict[str, Fate]:
    finished = run(folder, "joint", table, JOINT)
    names = ids_of(finished)
    return {name: (names[of] if of else None, s) for name, (of, s) in fates(finished).items()}


@pytest.mark.parametrize("memory_bytes", [None, 2**14])
def test_months_equal_the_joint_run(tmp_path: Path, memory_bytes: int | None) -> None:
    table = months_of(drifting(1), (30, 60), seed=1)
    stage = STAGE.model_copy(update={"memory_bytes": memory_bytes})
    found, runs = each_month(tmp_path, table, stage)
    assert found == joint(tmp_path, table)
    gone = runs[2].dropped("months").collect()
    said = dict(gone.group_by("detail").len().rows())
    assert set(said) == {None, "run m0", "run m1"}
    by_index = gone.filter(gone["reason"] == "near_duplicate_of_index")
    assert set(by_index["detail"].to_list()) == {"run m0", "run m1"}
    card = (
        runs[2].done[next(n for n, d in runs[2].done.items() if d.segment.kind == "barrier")].card
    )
    assert card["dropped_by_index"] == len(by_index)
    assert card["dropped"] == len(gone)
    assert [one["name"] for one in card["against"]] == ["m0", "m1"]
    assert card["index"]["documents"] == len(runs[2].scan("months").collect()) - card["too_short"]
    assert card["pairs"]["proposed"] == card["pairs"]["confirmed"] + card["pairs"]["refused"]


@settings(max_examples=2, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(2, 10**6), first=st.integers(1, 40), second=st.integers(41, 59))
def test_any_cut_into_months_equals_the_joint_run(
    tmp_path: Path, seed: int, first: int, second: int
) -> None:
    folder = tmp_path / f"{seed}-{first}-{second}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    table = months_of(drifting(seed, 60), (first, second), seed)
    assert each_month(folder, table, STAGE)[0] == joint(folder, table)


def test_a_sketch_says_that_it_estimates(tmp_path: Path) -> None:
    table = months_of(drifting(1), (45, 80), seed=1)
    stage = STAGE.model_copy(update={"index": "sketch"})
    found, (_, second, _) = each_month(tmp_path, table, stage)
    gone = second.dropped("months").collect()
    guessed = gone.filter(gone["reason"] == "near_duplicate_of_index")
    assert set(guessed["detail"].to_list()) == {"run m0; similarity estimated"}
    assert min(guessed["similarity"]) >= 0.6
    exact = joint(tmp_path, table)
    same = sum((found[name][1] is None) == (exact[name][1] is None) for name in exact)
    assert same >= 0.9 * len(exact)
    facts = index.load(str(tmp_path / "m0"))
    assert facts.kind == "sketch"
    assert not list((tmp_path / "m0" / "index").rglob("sets-*"))


def test_merged_indexes_and_a_removed_corpus(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = months_of(drifting(1), (30, 60), seed=1)
    separate, _ = each_month(tmp_path, table, STAGE)
    merged = str(tmp_path / "merged")
    assert main(["index", "merge", f"{tmp_path}/m0", f"{tmp_path}/m1", "--into", merged]) == 0
    assert main(["index", "show", merged]) == 0
    assert "m1: " in capsys.readouterr().out
    assert [corpus["name"] for corpus in index.load(merged).corpora] == ["m0", "m1"]
    mine = table.filter(pa.array([m == -2 for m in table["month"].to_pylist()]))
    stage = STAGE.model_copy(update={"against": (merged,)})
    whole = run(tmp_path, "whole", mine, stage)
    assert {n: s for n, (_, s) in fates(whole).items()} == {
        name: separate[name][1] for name in mine["id"].to_pylist()
    }
    assert main(["index", "remove", merged, "m1"]) == 0
    assert not list((tmp_path / "merged" / "m1").glob("*"))
    less = run(tmp_path, "less", mine, stage, "whole")
    alone = run(
        tmp_path,
        "alone",
        mine,
        STAGE.model_copy(update={"against": (str(tmp_path / "m0"),)}),
        "whole",
    )
    assert fates(less) == fates(alone) != fates(whole)
    with pytest.raises(DataError, match="has no corpus 'm1'; it has: m0"):
        index.remove(merged, "m1")
    with pytest.raises(DataError, match="of the same name: m0"):
        index.merge([merged, str(tmp_path / "m0")], str(tmp_path / "again"))
    with pytest.raises(DataError, match="holds an index already"):
        index.merge([str(tmp_path / "m1")], merged)


def test_other_parameters_are_refused_field_by_field(tmp_path: Path) -> None:
    table = months_of(drifting(1, 20), (21, 22), seed=1)
    run(tmp_path, "m0", table, STAGE)
    other = Minhash(verify=0.6, ngram=3, rows=4, against=(str(tmp_path / "m0"),))
    assert other.problems() == [
        f"the index {tmp_path}/m0 was made with other parameters "
        "(ngram: 3 here, 5 in the index; rows: 4 here, 8 in the index)"
    ]
    with pytest.raises(PlanError, match="ngram: 3 here, 5 in the index"):
        run(tmp_path, "m1", table, other)
    run(tmp_path, "m2", table, STAGE.model_copy(update={"ngram": 3}))
    with pytest.raises(DataError, match=r"ngram: 5 in .*m0, 3 there"):
        index.merge([str(tmp_path / "m0"), str(tmp_path / "m2")], str(tmp_path / "m"))


def test_damage_is_named(tmp_path: Path) -> None:
    table = months_of(drifting(1), (45, 90), seed=1)
    old, new = (table.slice(0, 45), table.slice(45))
    run(tmp_path, "m0", old, STAGE)
    stage = STAGE.model_copy(update={"against": (str(tmp_path / "m0"),)})
    part = sorted((tmp_path / "m0" / "index").rglob("sets-*"))[0]
    content = part.read_bytes()
    part.write_bytes(content[:-100] + b"x" + content[-99:])
    with pytest.raises(DataError, match=f"the index partition {part} is corrupt"):
        run(tmp_path, "m1", new, stage)
    part.unlink()
    with pytest.raises(DataError, match=f"the index partition {part} is missing; copy it back"):
        run(tmp_path, "m1", new, stage)
    part.write_bytes(content)
    run(tmp_path, "m1", new, stage)
    manifest = next((tmp_path / "m0" / "index").rglob("index.json"))
    manifest.write_text(manifest.read_text()[:50])
    assert "index.json is damaged" in stage.problems()[0]
    assert "holds no index" in Minhash(verify=1, against=(str(tmp_path),)).problems()[0]


def test_an_index_needs_verify() -> None:
    with pytest.raises(ValueError, match="index and against need verify"):
        Minhash(index="full")
