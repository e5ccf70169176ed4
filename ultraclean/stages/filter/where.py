"""Keeps documents for which an expression over their columns is true.

Our own. The expression is parsed by Python's parser, checked against a short list of what is
allowed, and turned into Arrow's compute functions: nothing is evaluated as Python.

- columns by name, or `col("any name")`; numbers, strings, `true`, `false`, lists of them
- `and`, `or`, `not`, parentheses; `== != < <= > >=`, also chained; `in [..]`, `not in [..]`
- `+ - * /` on numbers
- `contains(x, "s")`, `starts_with(x, "s")`, `ends_with(x, "s")`, `matches(x, "RE2 pattern")`,
  `lower(x)`, `length(x)` in code points, `is_null(x)`

A comparison with null is neither true nor false, as in SQL, and so is its `not`; a document for
which the whole expression is not true goes, with reason `where`. `is_null` asks for nulls.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator

from ultraclean.document import Batch
from ultraclean.stage import Decision, Filter, at_least, decide
from ultraclean.text.expression import columns_of, parse


class Where(Filter):
    stage: ClassVar[str] = "filter.where"
    main: ClassVar[str | None] = "where"
    paper: ClassVar[str] = "our own"
    reasons: ClassVar[tuple[str, ...]] = ("where",)

    where: str = Field(
        description="what must be true of a document to keep it: `quality >= 0.5 and "
        'language in ["en", "de"] and not contains(url, "spam")`'
    )

    @field_validator("where")
    @classmethod
    def _can_be_parsed(cls, value: str) -> str:
        parse(value)
        return value

    def needs(self) -> tuple[str, ...]:
        return columns_of(self.where)

    def open(self) -> Callable[[Batch], Decision]:
        evaluate = parse(self.where)
        rules = [at_least("where", "where", 1)]

        def judge(batch: Batch) -> Decision:
            found = evaluate(batch.data)
            if isinstance(found, pa.Scalar):
                found = pa.array([found.as_py()] * batch.num_rows, pa.bool_())
            true = pc.fill_null(found, False).to_numpy(zero_copy_only=False)
            return decide({"where": true.astype(np.int64)}, rules)

        return judge
