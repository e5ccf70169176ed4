"""Row-local stages inside other people's programs: Ray Data, polars, pyarrow, or a test.

dataset.map_batches(functools.partial(apply, stages), batch_format="pyarrow")
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import pyarrow as pa

from ultraclean.document import ERROR, Batch
from ultraclean.errors import PlanError
from ultraclean.stage import ByMeaning, Decision, Filter, Map, Stage


def apply(stages: Sequence[Stage], data: pa.Table) -> pa.Table:
    """The rows of a table that some row-local stages keep, with the columns that they made.

    Rows that a stage could not process are left out, like those that a filter drops; use a
    pipeline where it matters why. Raises PlanError for a stage that must see all rows.
    """
    calls = _open(ByMeaning(stages))
    out = []
    for data_batch in data.to_batches() or [pa.RecordBatch.from_pylist([], data.schema)]:
        batch = Batch(data_batch)
        for call in calls:
            result = call(batch)
            if isinstance(result, Decision):
                batch = batch.with_columns(result.columns).filter(result.keep)
            else:
                batch = result
                if ERROR in batch:
                    good = batch[ERROR].is_null().to_numpy(zero_copy_only=False)
                    batch = batch.filter(good).without(ERROR)
        out.append(batch.data)
    return pa.Table.from_batches(out)


@functools.lru_cache(maxsize=8)
def _open(stages: ByMeaning) -> list[Callable[[Batch], Batch | Decision]]:
    calls: list[Callable[[Batch], Batch | Decision]] = []
    for stage in stages:
        if not isinstance(stage, Map | Filter):
            raise PlanError.one(stage.called, "only row-local stages can be applied by themselves")
        calls.append(stage.open())
    return calls
