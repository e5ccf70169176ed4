"""Steps over storage: order, partitions, resume, and rows that come home."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from ultraclean import exchange
from ultraclean.exchange import Piece, Sketches

CALLS: list[int] = []


@pytest.fixture
def sketches(tmp_path: Path) -> Sketches:
    """Four shards of five rows; `x` counts them."""
    pieces = []
    for shard in range(4):
        at = (shard << 32) + np.arange(5)
        path = str(tmp_path / f"{shard}.parquet")
        pq.write_table(pa.table({"_at": at, "x": shard * 5 + np.arange(5)}), path)
        pieces.append(Piece(((path, 0),), 5))
    return Sketches(pieces, [5] * 4, str(tmp_path / "steps"), map)


def modulo(n: int, table: pa.Table) -> NDArray[np.int64]:
    return table["x"].to_numpy() % n


def counted(table: pa.Table) -> pa.Table:
    CALLS.append(table.num_rows)
    return table


def only_even(table: pa.Table) -> pa.Table:
    return table.filter(pa.array(table["x"].to_numpy() % 2 == 0))


def test_rows_of_a_partition_come_in_order_of_input(sketches: Sketches) -> None:
    sketches.memory_bytes = 2048 * 5  # one shard a task
    parts = sketches.step("a", exchange.identity, by=functools.partial(modulo, 3), n_partitions=3)
    assert [part.n_rows for part in parts] == [7, 7, 6]
    read = [part.read() for part in parts]
    assert [table["x"].to_pylist() for table in read if table] == [
        list(range(i, 20, 3)) for i in range(3)
    ]
    assert len({path for part in parts for path, *_ in part.ranges}) == 4


def test_a_finished_task_is_not_run_again(sketches: Sketches) -> None:
    CALLS.clear()
    first = sketches.step("a", counted)
    assert sketches.step("a", counted) == first
    # Equal strings that are not one object, as a resumed run has them.
    sketches.pieces = [
        Piece(tuple(("".join(list(path)), group) for path, group in piece.groups), piece.n_rows)
        for piece in sketches.pieces
    ]
    assert sketches.step("a", counted) == first
    assert CALLS == [20]


def test_an_input_that_differs_is_another_task(sketches: Sketches) -> None:
    CALLS.clear()
    sketches.step("a", counted)
    sketches.step("a", counted, inputs=sketches.pieces[:1])
    sketches.step("a", counted, inputs=sketches.pieces[:1], columns=["x"])
    assert CALLS == [20, 5, 5]


def test_a_step_reads_the_columns_that_it_names(sketches: Sketches) -> None:
    table = sketches.collect(sketches.step("a", exchange.identity, columns=["x"]))
    assert table is not None
    assert table.column_names == ["x"]


def test_empty_partitions_and_empty_results(sketches: Sketches) -> None:
    parts = sketches.step("a", only_even, by=functools.partial(modulo, 4), n_partitions=4)
    assert [part.n_rows for part in parts] == [5, 0, 5, 0]
    assert parts[1].read() is None
    nothing = sketches.step("b", lambda table: table.slice(0, 0), inputs=parts)
    assert sketches.collect(nothing) is None


def test_a_partition_out_of_range_is_refused(sketches: Sketches) -> None:
    with pytest.raises(ValueError, match="outside 0 to 2"):
        sketches.step("a", exchange.identity, by=functools.partial(modulo, 4), n_partitions=3)


def test_verdicts_come_home_sorted(sketches: Sketches) -> None:
    shuffled = sketches.step(
        "a", exchange.identity, by=functools.partial(modulo, 2), n_partitions=2
    )
    sketches.verdicts("home", shuffled[::-1])
    for shard in range(4):
        table = sketches.verdicts_of(shard)
        assert table is not None
        assert table["x"].to_pylist() == list(range(shard * 5, shard * 5 + 5))


def test_rows_at_home_are_found_beside_a_table(sketches: Sketches) -> None:
    home = sketches.home("home", sketches.step("a", only_even))
    third = sketches.pieces[2].read()
    assert third is not None
    beside = home.beside(third)
    assert beside is not None
    assert beside["x"].to_pylist() == [10, 12, 14]
    nothing = sketches.home("none", [])
    assert nothing.beside(third) is None
