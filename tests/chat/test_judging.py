"""The strict parser, and agreement with people on real ratings."""

from __future__ import annotations

import gzip
import json
import math
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats

from ultrachat.judging import (
    ASPECTS,
    Error,
    Judgement,
    Malformed,
    agreement,
    ensemble,
    parse,
    render,
    schema,
)
from ultrachat.judging.agreement import kendall, pearson, ranks, spearman
from ultraclean.llm import Constraint, Request, Teacher

SEED = random.SystemRandom().randrange(2**32)
GOOD = """The model-generated output contains 2 errors, with a total score reduction of 4.5.
Error location 1: "the third line"
Error aspect 1: Accuracy
Explanation 1: It says 7: the answer is 8.
It should have been checked.
Severity 1: Major
Score reduction 1: 4
Error location 2: end
Error aspect 2: Coherence
Explanation 2: 结尾不通顺。
Severity 2: Minor
Score reduction 2: 0.5"""


def test_the_text_form() -> None:
    judgement = parse(GOOD, ASPECTS["instruction"])
    assert judgement.score == -4.5 and len(judgement.errors) == 2
    assert judgement.errors[0].explanation.endswith("8.\nIt should have been checked.")
    assert judgement.errors[1] == Error("end", "Coherence", "结尾不通顺。", "Minor", 0.5)
    for text in (
        "The model-generated output contains 0 errors, with a total score reduction of 0.",
        "The model-generated output contains no errors.",
    ):
        assert parse(text).score == 0 and math.copysign(1, parse(text).score) == 1


def test_the_json_forms() -> None:
    one = {
        "error_location": "x",
        "error_aspect": "Accuracy",
        "explanation": "y",
        "severity": "major",
        "score_reduction": 2,
    }
    listed = json.dumps({"errors": [one, one]})
    named = json.dumps({"errors": {"error_1": one, "error_2": {**one, "score_reduction": "-2"}}})
    for text in (listed, named, f"```json\n{listed}\n```"):
        assert parse(text).score == -4
    assert parse('{"errors": []}').score == 0
    with pytest.raises(Malformed, match="wrong_count"):
        parse(json.dumps({"errors": {"error_2": one}}))


@pytest.mark.parametrize(
    ("change", "reason", "detail"),
    [
        (lambda text: "", "empty", "no text"),
        (lambda text: "I think it is fine.", "no_opening", "it begins"),
        (lambda text: "Sure! " + text, "no_opening", "something comes before"),
        (lambda text: text.replace("contains 2", "contains 3"), "wrong_count", "says 3 errors and lists 2"),
        (lambda text: text.replace("of 4.5", "of 4"), "wrong_total", "says 4, the errors add up to 4.5"),
        (lambda text: text.replace(", with a total score reduction of 4.5", ""), "no_total", "total"),
        (lambda text: text.replace("Severity 2: Minor\n", ""), "missing_field", "error 2 lacks Score reduction"),
        (lambda text: text[: text.index("Severity 2")], "missing_field", "error 2 lacks Severity"),
        (lambda text: text.replace("Error aspect 1", "Error aspect 2"), "wrong_field", "Error aspect 2 where Error aspect 1"),
        (lambda text: text.replace("Severity 1: Major", "Severity 1: Huge"), "unknown_severity", "error 1: 'Huge'"),
        (lambda text: text.replace("reduction 1: 4", "reduction 1: four"), "not_a_number", "'four'"),
        (lambda text: text.replace("reduction 1: 4", "reduction 1: 40"), "out_of_range", "not 0.5 to 5"),
        (lambda text: text.replace("reduction 1: 4", "reduction 1: nan"), "out_of_range", "nan"),
        (lambda text: text.replace("location 2: end", "location 2:"), "missing_field", "error 2 has no location"),
        (lambda text: text.replace("Accuracy", "Politeness"), "unknown_aspect", "error 1: 'Politeness'"),
        (lambda text: text.replace("4.5.\n", "4.5.\nHere they are:\n"), "stray_text", "Here they are"),
        (lambda text: '{"errors": [', "malformed_json", "Expecting"),
        (lambda text: '{"errors": "none"}', "malformed_json", "no list"),
        (lambda text: '{"errors": [1]}', "malformed_json", "error 1 is no object"),
        (lambda text: "[]", "missing_field", "no `errors`"),
        (lambda text: '{"errors": [{"error_location": "x"}]}', "missing_field", "error 1 lacks error_aspect"),
    ],
)  # fmt: skip
def test_what_is_malformed_is_said(change: Any, reason: str, detail: str) -> None:
    with pytest.raises(Malformed) as caught:
        parse(change(GOOD), ASPECTS["instruction"])
    assert caught.value.reason == reason and detail in caught.value.detail


def test_what_is_rendered_is_read_back_and_what_is_damaged_is_refused() -> None:
    rng = random.Random(SEED)
    for _ in range(200):
        errors = tuple(
            Error(
                rng.choice(["line 3", "「结尾」", "everywhere: all"]),
                rng.choice(ASPECTS["maths"]),
                rng.choice(["It is wrong.", "两行\n解释"]),
                rng.choice(["Major", "Minor"]),
                rng.choice([0.5, 1, 2.5, 5]),
            )
            for _ in range(rng.randint(1, 4))
        )
        text = render(Judgement(errors))
        assert parse(text, ASPECTS["maths"]) == Judgement(errors), f"seed {SEED}"
        lines = text.split("\n")
        labelled = [at for at, line in enumerate(lines) if ":" in line and line[0] in "ESs"]
        del lines[rng.choice(labelled)]
        with pytest.raises(Malformed):
            parse("\n".join(lines), ASPECTS["maths"])


def test_a_teacher_held_to_the_schema_gives_judgements() -> None:
    constraint = Constraint(json_schema=schema(ASPECTS["qa"]))
    with Teacher(engine="scripted", model="s").open() as teacher:
        for response in teacher.generate(
            [Request.of(str(n), constraint=constraint) for n in range(20)]
        ):
            assert parse(response.text or "", ASPECTS["qa"]).score <= -0.5


# --- agreement ----------------------------------------------------------------------------------


def test_measures_are_those_of_scipy() -> None:
    rng = np.random.default_rng(SEED)
    for _ in range(30):
        n = int(rng.integers(3, 700))
        x, y = rng.integers(0, 6, n).astype(float), rng.normal(size=n).round(1)
        y += rng.choice([0, 0.5]) * x
        if (x == x[0]).all() or (y == y[0]).all():
            continue
        assert np.allclose(ranks(x), scipy.stats.rankdata(x))
        assert pearson(x, y) == pytest.approx(scipy.stats.pearsonr(x, y).statistic, abs=1e-9)
        assert spearman(x, y) == pytest.approx(scipy.stats.spearmanr(x, y).statistic, abs=1e-9)
        assert kendall(x, y) == pytest.approx(scipy.stats.kendalltau(x, y).statistic, abs=1e-9)


def test_constant_groups_and_missing_values_are_skipped_and_counted() -> None:
    judge = [1, 2, 3, 5, 5, 5, 1, 2, None, 4]
    people = [1, 2, 3, 1, 2, 3, 2, 1, 3, None]
    users = ["a", "a", "a", "b", "b", "b", "c", "c", "c", "d"]
    items = ["x", "x", "y", "x", "x", "y", "x", "x", "x", "x"]
    found = {(f.level, f.measure): f for f in agreement(judge, people, users, items)}
    user = found["user", "pearson"]
    assert (user.value, user.n_groups, user.n_constant) == (0.0, 3, 1)
    assert (user.n_rows, user.n_missing) == (8, 2)
    pair = found["pair", "kendall"]
    assert (pair.n_groups, pair.n_constant) == (5, 3) and pair.value == 0.0
    dataset = found["dataset", "spearman"]
    assert dataset.value is not None and dataset.low is not None and dataset.high is not None
    assert dataset.low <= dataset.value <= dataset.high


def test_nothing_to_correlate() -> None:
    for rows in ([], [3.0, 3.0]):
        for found in agreement(rows, rows, [0] * len(rows), [0] * len(rows)):
            assert found.value is None and found.low is None
    with pytest.raises(ValueError, match="one entry per row"):
        agreement([1], [1, 2], [0], [0])


def test_intervals_cover_the_truth() -> None:
    rng = np.random.default_rng(3)
    n_covered = 0
    for _ in range(15):
        x = rng.normal(size=(40, 5)) + rng.normal(size=(40, 1))
        y = 0.6 * x + 0.8 * rng.normal(size=(40, 5))
        truth = 0.6 * math.sqrt(2) / math.sqrt(0.36 * 2 + 0.64)
        users = np.repeat(np.arange(40), 5).tolist()
        found = agreement(x.ravel().tolist(), y.ravel().tolist(), users, users, n_bootstrap=100)
        low, high = found[0].low, found[0].high
        assert low is not None and high is not None
        n_covered += low <= truth <= high
    assert n_covered >= 12, "95 % intervals"


def test_ensembles() -> None:
    judges = {"a": [1, 2, 3, None], "b": [10, 30, 20, None], "c": [5, 5, 5, 5]}
    both = ensemble(judges)
    assert both[3] is None and both[0] == pytest.approx(-1.2247, abs=1e-3)
    assert ensemble(judges, standardise=False)[3] == 5


def test_two_people_and_their_mean_against_the_users(shared_data: Path) -> None:
    """Third-party raters stand in for judges; the mean of both is an ensemble."""
    with gzip.open(shared_data / "judge" / "llmasevaluator_third_party.jsonl.gz") as stream:
        rows = [json.loads(line) for line in stream]

    def column(name: str) -> list[float | None]:
        return [float(row[name]) if row[name] not in ("", "nan") else None for row in rows]

    people = column("persuasiveness")
    one, other = column("persuasiveness_1"), column("persuasiveness_2")
    items = [row["movie_id"] for row in rows]
    started = time.monotonic()
    values = {}
    for name, judge in (("one", one), ("other", other), ("both", ensemble({"1": one, "2": other}))):
        found = agreement(judge, people, items, items, n_bootstrap=30)
        values[name] = {(f.level, f.measure): f for f in found}
    assert time.monotonic() - started < 30
    x = np.array([v if v is not None else np.nan for v in one])
    y = np.array([v if v is not None else np.nan for v in people])
    good = ~np.isnan(x) & ~np.isnan(y)
    expected = scipy.stats.spearmanr(x[good], y[good]).statistic
    assert values["one"]["dataset", "spearman"].value == pytest.approx(expected)
    averaged = values["both"]["dataset", "spearman"].value
    alone = [values[name]["dataset", "spearman"].value for name in ("one", "other")]
    assert averaged is not None and averaged > min(value for value in alone if value is not None)
