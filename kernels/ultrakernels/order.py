"""Order-preserving integers: floats, and several columns, that sort as their uint64 do."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

_SIGN = np.uint64(1 << 63)


def reference(values: NDArray[np.float64]) -> NDArray[np.uint64]:
    """`ordered` by looking at one value at a time."""
    out = []
    for value in values.tolist():
        bits = int(np.float64(value + 0.0).view(np.uint64))
        if math.isnan(value):
            out.append(0)
        elif bits >> 63:
            out.append(bits ^ (2**64 - 1))
        else:
            out.append(bits | 1 << 63)
    return np.array(out, dtype=np.uint64)


def ordered(values: NDArray[np.float64]) -> NDArray[np.uint64]:
    """float64[n] -> uint64[n] in the same order; NaN is 0, below minus infinity, and -0.0 is 0.0."""
    bits = (np.asarray(values, dtype=np.float64) + 0.0).view(np.uint64)
    out = np.where(bits & _SIGN, ~bits, bits | _SIGN)
    out[np.isnan(values)] = 0
    return out


def unordered(bits: NDArray[np.uint64]) -> NDArray[np.float64]:
    """The values of which `ordered` made `bits`."""
    values = np.where(bits & _SIGN, bits ^ _SIGN, ~bits).view(np.float64)
    values[bits == 0] = np.nan
    return values


def as_float(column: pa.Array) -> NDArray[np.float64]:
    """Numbers, booleans, dates and times as float64[n], null as NaN; TypeError for anything else.

    Integers beyond 2^53 and times beyond microseconds are rounded, so some may tie that differ.
    """
    kind = column.type
    if pa.types.is_null(kind):
        return np.full(len(column), np.nan)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        column = column.cast(pa.timestamp("us", tz=getattr(kind, "tz", None)), safe=False)
        column = column.cast(pa.int64())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise TypeError(f"{kind} is not a number, a boolean or a date")
    column = column.cast(pa.float64(), safe=False)
    if column.null_count:
        column = pc.fill_null(column, float("nan"))
    values: NDArray[np.float64] = column.to_numpy(zero_copy_only=False)
    return values


def locate(table: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each `wanted` value is in the sorted `table`, int64[n]; -1 where it is not."""
    if not len(table):
        return np.full(len(wanted), -1, dtype=np.int64)
    place = np.minimum(np.searchsorted(table, wanted), len(table) - 1)
    return np.where(table[place] == wanted, place, -1)


def runs(*columns: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Where the runs of equal rows of sorted columns begin, int64[n_runs]."""
    n_rows = len(columns[0])
    starts = np.zeros(n_rows, dtype=bool)
    if n_rows:
        starts[0] = True
    for column in columns:
        starts[1:] |= column[1:] != column[:-1]
    return np.flatnonzero(starts)
