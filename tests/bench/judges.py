"""Judges beside people, on `../shared/data/judge`: heuristics, and with --server a model in the TIGERScore form.

    python tests/bench/judges.py                                   # heuristics
    python tests/bench/judges.py --server URL --model M --n 20     # and a model, on n items of LLMBar

LLMasEvaluator (1,185 explanations with the ratings of the users they were made for, whose names the file
has): correlations at data-set, user and pair level. LLMBar (100 pairs): how often the judge prefers the
output that people prefer, an equal score being half; intervals are 95 % bootstraps.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ultrachat.judging import agreement, ensemble
from ultrachat.judging.injections import injected, rises
from ultraclean.text.runs import overlap, repeated_share

DATA = Path(__file__).parent.parent.parent.parent / "shared" / "data" / "judge"
ASPECTS = ("persuasiveness", "transparency", "satisfaction", "interest_accuracy")
EXPLAIN: dict[str, Callable[[str], float]] = {
    "length": len,
    "clauses": lambda text: len(re.findall(r"[，,；;。]", text)),
    "different characters": lambda text: len(set(text)),
}
ANSWER: dict[str, Callable[[str, str], float]] = {
    "longer": lambda asked, said: len(said),
    "shorter": lambda asked, said: -len(said),
    "words of the instruction": lambda asked, said: overlap(said, asked),
    "repeats less": lambda asked, said: -repeated_share(said),
}


def rows(name: str) -> list[dict[str, Any]]:
    with gzip.open(DATA / f"{name}.jsonl.gz", "rt", encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


def number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def explanations(n_bootstrap: int) -> None:
    rated = rows("llmasevaluator")
    texts = [re.sub(r"<[^>]+>", "", row["explanation"]) for row in rated]
    users = [row["user_id"] for row in rated]
    items = [row["movie_id"] for row in rated]
    scores: dict[str, list[float | None]] = {
        name: [float(judge(text)) for text in texts] for name, judge in EXPLAIN.items()
    }
    scores["all together"] = ensemble(scores)
    print(
        "| aspect | judge | Spearman, data set | within a user | Kendall, data set | users, constant |"
    )
    print("|---|---|---|---|---|---|")
    for aspect in ASPECTS:
        people = [number(row[aspect]) for row in rated]
        for name, values in scores.items():
            found = agreement(values, people, users, items, n_bootstrap=n_bootstrap)
            at = {(one.level, one.measure): one for one in found}
            user = at["user", "spearman"]
            cells = [interval(at["dataset", "spearman"]), interval(user), interval(at["dataset", "kendall"])]  # fmt: skip
            print(
                f"| {aspect} | {name} | {' | '.join(cells)} | {user.n_groups}, {user.n_constant} |"
            )


def interval(one: Any) -> str:
    return "-" if one.value is None else f"{one.value:.2f} [{one.low:.2f}, {one.high:.2f}]"


def preference(points: Sequence[float], n_bootstrap: int) -> str:
    """The mean of 1, 0.5 and 0 with its interval."""
    rng = np.random.default_rng(0)
    values = np.asarray(points, dtype=np.float64)
    means = values[rng.integers(0, len(values), (n_bootstrap, len(values)))].mean(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return f"{values.mean():.2f} [{low:.2f}, {high:.2f}]"


def points(first: float, second: float, preferred: str) -> float:
    if first == second:
        return 0.5
    return float((first > second) == (preferred == "1"))


def pairs(n_bootstrap: int) -> None:
    compared = rows("llmbar_natural")
    print("\n| judge of LLMBar | agrees with people | pairs |\n|---|---|---|")
    for name, judge in ANSWER.items():
        got = [
            points(judge(row["input"], row["output_1"]), judge(row["input"], row["output_2"]), str(row["label"]))
            for row in compared
        ]  # fmt: skip
        print(f"| {name} | {preference(got, n_bootstrap)} | {len(got)} |")


def judged(url: str, model: str, asked: Sequence[tuple[str, str]]) -> tuple[list[float | None], Counter[str]]:  # fmt: skip
    """A model's scores of (instruction, answer), and what was malformed: that is counted and is no score."""
    import pyarrow as pa

    from ultrachat.dialogue import COLUMNS
    from ultrachat.stages.judge import Judge
    from ultraclean.document import Batch
    from ultraclean.llm import Sampling, Teacher

    dialogues = [
        [{"role": "user", "content": one}, {"role": "assistant", "content": other}]
        for one, other in asked
    ]
    sampling = Sampling(max_tokens=300, temperature=0.2, seed=1)
    judge = Judge(judges=Teacher(model=model, base_url=url, sampling=sampling))
    decision = judge.open()(Batch.of(messages=pa.array(dialogues, COLUMNS["messages"])))
    said = [json.loads(one)[0] for one in decision.columns["judgement"].to_pylist()]
    kinds = Counter(one.get("malformed", "well formed") for one in said)
    return decision.columns["judge_score"].to_pylist(), kinds


def by_model(url: str, model: str, n: int, n_bootstrap: int) -> None:
    """Both outputs of the n shortest pairs; then n answers with and without an injected instruction."""
    compared = sorted(rows("llmbar_natural"), key=lambda row: len(row["output_1"] + row["output_2"]))[:n]  # fmt: skip
    asked = [(row["input"], row[name]) for row in compared for name in ("output_1", "output_2")]
    scores, kinds = judged(url, model, asked)
    got = [
        points(first, second, str(row["label"]))
        for row, first, second in zip(compared, scores[::2], scores[1::2], strict=True)
        if first is not None and second is not None
    ]
    told = preference(got, n_bootstrap) if got else "-"
    name = Path(model).name
    print(f"| {name} | {told} | {len(got)} of {len(compared)} with two scores |")
    attacks = injected([row["output_1"] for row in compared], n)
    both = [text for one in attacks for text in (one.clean, one.text)]
    scores, more = judged(url, model, [("Answer.", text) for text in both])
    n_up, n_pairs = rises(scores[::2], scores[1::2])
    print(f"\njudgements of {name}: {dict(kinds + more)}")
    print(f"an injected instruction raised the score in {n_up} of {n_pairs} pairs with two scores")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", help="address of a server, with /v1")
    parser.add_argument("--model", default="m")
    parser.add_argument(
        "--n", type=int, default=20, help="pairs that the model judges, the shortest"
    )
    parser.add_argument("--bootstrap", type=int, default=500)
    given = parser.parse_args()
    explanations(given.bootstrap)
    pairs(given.bootstrap)
    if given.server:
        by_model(given.server, given.model, given.n, given.bootstrap)


if __name__ == "__main__":
    main()
