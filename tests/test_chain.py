"""Row-local stages applied to a table of somebody else's."""

from __future__ import annotations

import pyarrow as pa
import pytest

from ultraclean import apply, dedup, fix
from ultraclean import filter as filters
from ultraclean.errors import PlanError


def test_a_table_through_some_stages() -> None:
    table = pa.table({"text": ["short", "long enough  \r\nto stay", None]})
    stages = [fix.Lines(), filters.Length(min_chars=8)]
    assert apply(stages, table)["text"].to_pylist() == ["long enough\nto stay"]
    assert apply(stages, table.slice(0, 0)).num_rows == 0
    # Another threshold is another chain, whatever was opened before.
    assert apply([filters.Length(min_chars=3)], table).num_rows == 2


def test_a_barrier_cannot_be_applied_by_itself() -> None:
    with pytest.raises(PlanError, match=r"dedup\.exact: only row-local stages"):
        apply([dedup.Exact()], pa.table({"text": ["a"]}))
