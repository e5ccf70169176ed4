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
from ultraclean.document import Batch
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


# --- without verify -------------------------------------------------------------------------------


CLOSURE = Minhash(priority=("rank",), index="sketch")


def closed(table: pa.Table) -> dict[str, str | None]:
    """id -> id of the copy that stays, months one after the other, by a loop over all pairs."""
    stage = Minhash()
    sketch = stage.sketch()
    rows = table.to_pylist()
    keys = sketch(Batch.of(text=[row["text"] for row in rows]))["bands"].to_pylist()
    bands = [key and {(b, key[8 * b : 8 * b + 8]) for b in range(stage.bands)} for key in keys]
    fates: dict[str, str | None] = {}
    kept: list[int] = []
    for month in range(3):
        mine = [i for i, row in enumerate(rows) if row["month"] == -month]
        group = {i: {i} for i in (*kept, *mine)}
        for i in mine:
            for j in (*kept, *mine):
                if bands[i] and bands[j] and bands[i] & bands[j] and group[i] is not group[j]:
                    group[i] |= group[j]
                    for member in group[j]:
                        group[member] = group[i]
        stay = []
        for i in mine:
            order = sorted(group[i], key=lambda j: (-rows[j]["month"], -rows[j]["rank"]))
            fates[rows[i]["id"]] = None if order[0] == i else rows[order[0]]["id"]
            stay += [i] if order[0] == i else []
        kept += stay
    return fates


@pytest.mark.parametrize("memory_bytes", [None, 2**14])
def test_closure_against_an_index_is_the_loop(tmp_path: Path, memory_bytes: int | None) -> None:
    table = months_of(drifting(3), (30, 60), seed=1)
    stage = CLOSURE.model_copy(update={"memory_bytes": memory_bytes})
    found, runs = each_month(tmp_path, table, stage)
    assert {name: of for name, (of, _) in found.items()} == closed(table)
    gone = runs[2].dropped("months").collect()
    assert {"run m0", "run m1"} <= set(gone["detail"].to_list())
    assert gone["similarity"].min() > 0.3
    # what months apart drop, one run over all drops too; it may drop more, by chains through dropped ones
    whole = CLOSURE.model_copy(update={"priority": ("month", "rank"), "index": None})
    together = fates(run(tmp_path, "joint", table, whole))
    apart = {name for name, (of, _) in found.items() if of}
    assert apart <= {name for name, (of, _) in together.items() if of}
    facts = index.load(str(tmp_path / "m0"))
    assert facts.kind == "sketch"


def test_a_verified_run_takes_such_an_index_too(tmp_path: Path) -> None:
    table = months_of(drifting(1, 40), (20, 39), seed=2)
    first = table.filter(pa.array([m == 0 for m in table["month"].to_pylist()]))
    second = table.filter(pa.array([m == -1 for m in table["month"].to_pylist()]))
    run(tmp_path, "m0", first, CLOSURE)
    stage = Minhash(verify=0.6, priority=("rank",), against=(str(tmp_path / "m0"),))
    gone = run(tmp_path, "m1", second, stage).dropped("months").collect()
    assert "run m0; similarity estimated" in set(gone["detail"].to_list())


def stream(table: pa.Table) -> dict[str, int | None]:
    """id -> month whose filter knows it, -1 if a document of its own month stays for it, None if kept."""
    stage = Minhash()
    rows = table.to_pylist()
    keys = stage.sketch()(Batch.of(text=[row["text"] for row in rows]))["bands"].to_pylist()
    bands = [{(b, key[8 * b : 8 * b + 8]) for b in range(stage.bands)} if key else set() for key in keys]  # fmt: skip
    fates: dict[str, int | None] = {}
    known: list[set[Any]] = []
    for month in range(3):
        mine = [i for i, row in enumerate(rows) if row["month"] == -month]
        for i in mine:
            of = next((m for m, keys in enumerate(known) if keys & bands[i]), None)
            fates[rows[i]["id"]] = of
        left = [i for i in mine if fates[rows[i]["id"]] is None]
        group = {i: {i} for i in left}
        for i in left:
            for j in left:
                if bands[i] & bands[j] and group[i] is not group[j]:
                    group[i] |= group[j]
                    for member in group[j]:
                        group[member] = group[i]
        for i in left:
            if max(group[i], key=lambda j: rows[j]["rank"]) != i:
                fates[rows[i]["id"]] = -1
        known.append(set().union(*(bands[i] for i in left if fates[rows[i]["id"]] is None)))
    return fates


@pytest.mark.parametrize("memory_bytes", [None, 2**13])
def test_a_stream_against_bloom_filters(tmp_path: Path, memory_bytes: int | None) -> None:
    table = months_of(drifting(3), (30, 60), seed=1)
    stage = CLOSURE.model_copy(update={"index": "bloom", "memory_bytes": memory_bytes})
    _, runs = each_month(tmp_path, table, stage.model_copy(update={"bloom_rate": 1e-9}))
    found: dict[str, int | None] = {}
    for finished in runs:
        found |= dict.fromkeys(finished.scan("months").collect()["id"].to_list())
        try:
            gone = finished.dropped("months").collect()
        except DataError:
            continue
        for name, reason, detail, same_as in gone.select("id", "reason", "detail", "same_as").rows():  # fmt: skip
            by_filter = reason == "near_duplicate_of_index"
            found[name] = int(detail.removeprefix("run m")) if by_filter else -1
            assert (same_as is None) == by_filter
    expected = stream(table)
    assert found == expected and {0, 1, -1} <= set(expected.values())
    facts = index.load(str(tmp_path / "m0"))
    assert facts.kind == "bloom"
    n_parts = len(facts.corpora[0]["parts"])
    assert (n_parts > 1) == (memory_bytes is not None)


def test_what_a_bloom_index_costs_and_how_often_it_is_wrong(tmp_path: Path) -> None:
    draw = random.Random(7)
    texts = [" ".join(f"w{draw.randrange(10**6)}" for _ in range(8)) for _ in range(12_000)]
    ids, nothing = [f"d{i}" for i in range(6000)], [0] * 6000
    tables = [pa.table({"id": ids, "text": some, "month": nothing, "rank": nothing}) for some in (texts[:6000], texts[6000:])]  # fmt: skip
    first = run(tmp_path, "m0", tables[0], Minhash(index="bloom", bloom_rate=0.02))
    facts = next(d for d in first.done.values() if d.segment.kind == "barrier").card["index"]
    assert facts["false_positive_rate"] == 0.02
    assert 23 < facts["bytes_per_document"] < 25  # 13.6 bits a key at 0.02 / 14
    second = run(tmp_path, "m1", tables[1], Minhash(against=(str(tmp_path / "m0"),)))
    n_wrong = 6000 - len(second.scan("months").collect())
    assert 60 <= n_wrong <= 180  # 120 are expected


def test_filters_merge_are_removed_and_are_found_damaged(tmp_path: Path) -> None:
    table = months_of(drifting(1), (30, 60), seed=1)
    stage = CLOSURE.model_copy(update={"index": "bloom", "bloom_rate": 1e-9})
    each_month(tmp_path, table, stage)
    merged = str(tmp_path / "merged")
    index.merge([str(tmp_path / "m0"), str(tmp_path / "m1")], merged)
    last = table.filter(pa.array([m == -2 for m in table["month"].to_pylist()]))
    apart = stage.model_copy(update={"index": None, "against": (merged,)})
    both = fates(run(tmp_path, "again", last, apart, "m2"))
    assert both == fates(run(tmp_path, "m2b", last, stage.model_copy(update={"index": None, "against": (f"{tmp_path}/m0", f"{tmp_path}/m1")}), "m2"))  # fmt: skip
    index.remove(merged, "m0")
    fewer = fates(run(tmp_path, "fewer", last, apart, "m2"))
    assert sum(of is not None for of, _ in fewer.values()) <= sum(of is not None for of, _ in both.values())  # fmt: skip
    part = next((tmp_path / "m0" / "index").rglob("bloom-*.bin"))
    part.write_bytes(part.read_bytes()[:-1])
    against = stage.model_copy(update={"index": None, "against": (str(tmp_path / "m0"),)})
    with pytest.raises(DataError, match=r"bloom-00000\.bin is corrupt"):
        run(tmp_path, "broken", last, against, "m2")
    part.unlink()
    with pytest.raises(DataError, match=r"bloom-00000\.bin is missing"):
        run(tmp_path, "broken2", last, against, "m2")
    verified = Minhash(verify=0.6, against=(str(tmp_path / "m0"),))
    assert "is a Bloom filter, which has nothing to verify by" in verified.problems()[0]
    run(tmp_path, "s0", last, CLOSURE, "m2")
    mixed = Minhash(against=(str(tmp_path / "m1"), str(tmp_path / "s0")))
    assert "Bloom filters go with no other kind" in mixed.problems()[0]


def test_what_does_not_fit_an_index_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="index: full is for verify"):
        Minhash(index="full")
    with pytest.raises(ValueError, match="estimate: false makes none"):
        Minhash(index="sketch", estimate=False)
    with pytest.raises(ValueError, match="signatures of a column leave no index"):
        Minhash(index="sketch", signatures="sig")
    run(tmp_path, "m0", months_of(drifting(1, 9), (9, 9), seed=2), STAGE)
    against = Minhash(against=(str(tmp_path / "m0"),))
    assert "holds shingles and no signatures" in against.problems()[0]
