"""Bins have edges at thresholds, and rules are found by the values that they dropped."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ultraclean.report.charts import Chart
from ultraclean.report.drawing import figure, tick_values
from ultraclean.report.folder import Extent
from ultraclean.report.histogram import Bins, Drops, Threshold, choose_bins, match_rule

FLOATS = st.floats(-1e6, 1e6, width=32) | st.integers(-50, 5000).map(float)


@given(
    values=st.lists(FLOATS, min_size=1, max_size=200),
    at=st.integers(0, 199),
    sign=st.sampled_from([">=", ">", "<=", "<"]),
)
def test_every_value_is_counted_and_no_bar_spans_a_threshold(
    values: list[float], at: int, sign: str
) -> None:
    column = np.array(values, dtype=np.float32)
    cut = float(column[at % len(column)])
    bins = choose_bins(column, [Threshold("r", cut, sign)])
    assert bins is not None
    assert (np.diff(bins.edges) > 0).all()
    assert bins.counts(column).sum() == len(column)
    right = column >= cut if sign in {">=", "<"} else column > cut
    if len(bins.edges) > 2:
        assert not (bins.counts(column[right]) * bins.counts(column[~right])).any()


def test_whole_numbers_have_a_bin_each() -> None:
    bins = choose_bins(np.array([0, 1, 1, 2, 5], dtype=np.float32))
    assert bins is not None and bins.whole
    assert bins.edges.tolist() == [-0.5, 0.5, 1.5, 2.5, 3.5, 4.5, 5.5]
    assert bins.counts(np.array([0, 1, 1, 2, 5, np.nan], dtype=np.float32)).tolist() == [
        1,
        2,
        1,
        0,
        0,
        1,
    ]


def test_many_whole_numbers_have_bins_of_whole_width() -> None:
    column = np.arange(1000, dtype=np.float32)
    bins = choose_bins(column, [Threshold("few", 100, ">=")])
    assert bins is not None
    assert 99.5 in bins.edges
    assert set(np.diff(bins.edges)) == {25.0}


def test_a_long_tail_is_shown_on_a_logarithmic_scale() -> None:
    random = np.random.default_rng(0)
    column = np.round(np.exp(random.normal(5, 1.6, 20_000))).astype(np.float32)
    bins = choose_bins(column, [Threshold("too_few_words", 50, ">=")])
    assert bins is not None and bins.log and bins.high_open
    assert 49.5 in bins.edges
    counts = bins.counts(column)
    assert counts.sum() == 20_000 and counts.max() < 4000


def test_outliers_go_into_the_last_bin() -> None:
    column = np.append(np.linspace(-1, 1, 5000), [1e5]).astype(np.float32)
    bins = choose_bins(column)
    assert bins is not None and bins.high_open and not bins.low_open
    assert bins.edges[-1] < 2
    assert bins.counts(column)[-1] >= 2


def test_drops_beyond_a_threshold_at_the_end_are_beside_it() -> None:
    column = np.append(np.zeros(5000), [0.417, 0.45]).astype(np.float32)
    limit = Threshold("repeated", 0.3, "<=")
    bins = choose_bins(column, [limit])
    assert bins is not None
    assert bins.edges[-1] > limit.edge
    assert bins.counts(column)[-1] == 2


def test_nothing_measured_has_no_bins() -> None:
    assert choose_bins(np.array([np.nan, np.inf], dtype=np.float32)) is None


@pytest.mark.parametrize("value", [0.0, 0.5, -3.25, 1e7])
def test_one_value_is_one_bin(value: float) -> None:
    bins = choose_bins(np.full(5, value, dtype=np.float32))
    assert bins is not None
    assert len(bins.edges) == 2 and bins.counts(np.full(5, value, dtype=np.float32)).tolist() == [5]


# --- rules ----------------------------------------------------------------------------------------


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def test_a_rule_is_found_by_its_values() -> None:
    drops = Drops(np.array([10.0, 20.0, 49.0]), (50.0,))
    measured = {
        "f.n_chars": (column(100, 90, 300), column(500, 600)),
        "f.n_words": (column(20, 49, 10), column(50, 600)),
    }
    assert match_rule("too_few_words", drops, measured) == (
        "f.n_words",
        [Threshold("too_few_words", 50.0, ">=")],
    )


@pytest.mark.parametrize(
    ("values", "threshold", "comparison"),
    [
        ([1.0, 2.0], 3.0, ">="),
        ([1.0, 3.0], 3.0, ">"),
        ([4.0, 5.0], 3.0, "<="),
        ([3.0, 5.0], 3.0, "<"),
    ],
)
def test_the_comparison_follows_from_what_was_dropped(
    values: list[float], threshold: float, comparison: str
) -> None:
    kept = column(9.0) if comparison.startswith(">") else column(-9.0)
    found = match_rule("r", Drops(np.array(values), (threshold,)), {"m": (column(*values), kept)})
    assert found == ("m", [Threshold("r", threshold, comparison)])


def test_kept_values_beyond_the_threshold_speak_against_a_measurement() -> None:
    drops = Drops(np.array([0.12]), (0.1,))
    measured = {
        "f.repeated_5gram_fraction": (column(0.12), column(0.0, 0.14)),
        "f.repeated_10gram_fraction": (column(0.12), column(0.0, 0.05)),
    }
    found = match_rule("repeated_10grams", drops, measured)
    assert found is not None and found[0] == "f.repeated_10gram_fraction"


def test_of_equal_candidates_the_name_decides() -> None:
    drops = Drops(np.array([0.5]), (0.2,))
    measured = {
        "f.top_2gram_fraction": (column(0.5), column(0.1)),
        "f.top_3gram_fraction": (column(0.5), column(0.1)),
    }
    found = match_rule("top_3gram", drops, measured)
    assert found is not None and found[0] == "f.top_3gram_fraction"


@pytest.mark.parametrize(
    "drops",
    [
        Drops(np.array([np.nan]), (1.0,)),
        Drops(np.array([1.0]), ()),
        Drops(np.array([0.0, 9.0]), (5.0,)),
        Drops(np.array([77.0]), (5.0,)),
    ],
)
def test_no_rule_is_made_up(drops: Drops) -> None:
    assert match_rule("r", drops, {"m": (column(1.0), column(9.0))}) is None


def test_a_sample_of_other_rows_is_enough() -> None:
    random = np.random.default_rng(1)
    measured = {
        "f.other": (random.uniform(0, 100, 3000).astype(np.float32), column(200)),
        "f.n_words": (random.uniform(0, 50, 3000).astype(np.float32), column(200)),
    }
    found = match_rule("r", Drops(random.uniform(0, 50, 1000), (50.0,)), measured)
    assert found is not None and found[0] == "f.n_words"


# --- drawing --------------------------------------------------------------------------------------


@given(low=st.floats(-1e4, 1e4), width=st.floats(1e-3, 1e5), whole=st.booleans())
def test_ticks_are_few_and_inside(low: float, width: float, whole: bool) -> None:
    if whole:
        low, width = round(low) - 0.5, max(2, round(width))
    bins = Bins(np.linspace(low, low + width, 11), False, whole, False, False)
    ticks = tick_values(bins)
    assert len(ticks) <= 7
    assert all(bins.edges[0] <= tick <= bins.edges[-1] for tick in ticks)


def test_a_bar_far_taller_than_the_others_is_cut_and_says_its_count() -> None:
    kept = np.array([90_000, 40, 30, 20])
    bins = Bins(np.array([0.0, 0.1, 0.2, 0.3, 0.4]), False, False, False, False)
    none = np.zeros(4, dtype=np.int64)
    limit = (Threshold("top", 0.2, "<="),)
    chart = Chart(
        "h", "f", "m", bins, kept, none, none, (0.0, None, None), limit, ("top",), Extent()
    )
    drawn = figure(chart)
    assert 'class="gap"' in drawn and ">90,000</text>" in drawn and "≤ 0.2" in drawn
    even = Chart(
        "h", "f", "m", bins, kept // kept, none, none, (0.0, None, None), limit, ("top",), Extent()
    )
    assert 'class="gap"' not in figure(even)
