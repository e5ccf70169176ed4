"""Integers that sort as floats do."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ultrakernels import order

SPECIAL = [0.0, -0.0, 1.0, -1.0, 5e-324, -5e-324, np.inf, -np.inf, np.nan, 1.7e308, -1.7e308]


@given(st.lists(st.floats() | st.sampled_from(SPECIAL), max_size=30))
def test_ordered_is_the_reference_and_sorts(values: list[float]) -> None:
    array = np.array(values, dtype=np.float64)
    bits = order.ordered(array)
    assert np.array_equal(bits, order.reference(array))
    back = order.unordered(np.sort(bits))
    assert np.array_equal(back[~np.isnan(back)], np.sort(array[~np.isnan(array)]))
    assert np.isnan(back[: int(np.isnan(array).sum())]).all()


def test_zeros_tie() -> None:
    assert len(np.unique(order.ordered(np.array([0.0, -0.0])))) == 1


def test_locate() -> None:
    table, wanted = np.array([2, 5, 9]), np.array([9, 1, 5, 10])
    assert order.locate(table, wanted).tolist() == [2, -1, 1, -1]
    assert order.locate(table[:0], wanted).tolist() == [-1] * 4


def test_runs() -> None:
    first = np.array([1, 1, 2, 2, 2], dtype=np.uint64)
    second = np.array([1, 1, 1, 3, 3], dtype=np.uint64)
    assert order.runs(first, second).tolist() == [0, 2, 3]
    assert order.runs(first[:0]).tolist() == []


def test_as_float() -> None:
    values = order.as_float(pa.array([1, None, 3], pa.int16()))
    assert values[0] == 1
    assert np.isnan(values[1])
    days = pa.array([dt.date(2020, 1, 2), dt.date(2020, 1, 1), None])
    first, second, third = order.as_float(days)
    assert first > second
    assert np.isnan(third)
    times = pa.array([dt.datetime(2020, 1, 1, 0, 0, 1)], pa.timestamp("ns", tz="UTC"))
    assert order.as_float(times)[0] > second
    assert order.as_float(pa.array([True, False])).tolist() == [1, 0]
    assert np.isnan(order.as_float(pa.nulls(2))).all()
    assert order.as_float(pa.array([9, 2.5, None]).slice(1, 1)).tolist() == [2.5]
    with pytest.raises(TypeError, match="string is not a number, a boolean or a date"):
        order.as_float(pa.array(["x"]))
