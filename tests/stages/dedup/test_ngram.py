"""`dedup.ngram` against DCLM's bff, read as code and written down in Python, and without mistakes."""

from __future__ import annotations

import gzip
import itertools
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from ultrakernels import bff as kernel

from ultraclean.document import Batch
from ultraclean.stages.dedup.ngram import Ngram
from ultraclean.text import units

RunBarrier = Callable[..., Any]


def unit_words(text: str) -> list[str]:
    kinds = units._kinds()
    made: list[str] = []
    for kind, group in itertools.groupby(text, key=lambda char: int(kinds[ord(char)])):
        run = "".join(group)
        made += [run] if kind == 1 else [*run] if kind == 2 else []
    return made


def unicode_words(text: str) -> list[str]:
    regex = pytest.importorskip("regex")
    return [word for word in regex.split(r"(?wV1)\b", text) if word.strip()]


class Bff:
    """`process_line` (paragraph, document) and `process_line_oldboth`, with a set for the filter."""

    def __init__(self, stage: Ngram) -> None:
        self.stage = stage
        self.words = unit_words if stage.words == "units" else unicode_words
        self.seen: set[tuple[str, ...]] = set()

    def __call__(self, text: str) -> str | None:
        """The text that is left; None where the document goes."""
        stage = self.stage
        cuts = [0, *(i for i, char in enumerate(text) if char == "\n"), len(text)]
        if stage.remove == "document":
            cuts = [0, len(text)]
        n_all = n_seen = 0
        remove = []
        for start, stop in itertools.pairwise(cuts):
            words = self.words(text[start:stop])
            size = stage.ngram or len(words)
            grams = (
                [tuple(words[i : i + size]) for i in range(len(words) - size + 1)] if words else []
            )
            if not stage.ngram:
                whole = text[start:stop].strip()
                grams = [(whole,)] if whole else []
            if stage.ngram and not grams and len(words) >= (stage.min_ngram or stage.ngram):
                grams = [tuple(words)]
            there = sum(gram in self.seen for gram in grams)
            n_all, n_seen = n_all + len(grams), n_seen + there
            if grams and there / len(grams) > stage.threshold:
                remove.append((start, stop))
            else:
                self.seen.update(grams)
        left, last = "", 0
        for start, stop in remove:
            left, last = left + text[last:start], stop
        left += text[last:]
        both = stage.remove == "old_both" and n_all and n_seen / n_all > stage.threshold
        return None if both or (remove and not left.strip()) else left


def corpus(folder: Path, n_docs: int = 120) -> list[str]:
    texts = []
    for name in ("reuters", "zh_lctt"):
        with gzip.open(folder / "text" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            texts += [json.loads(line)["text"][:4000] for line, _ in zip(lines, range(n_docs // 2), strict=False)]  # fmt: skip
    draw = random.Random(1)
    for _ in range(n_docs // 2):
        one, other = draw.choice(texts).split("\n"), draw.choice(texts).split("\n")
        texts.append("\n".join(one[: draw.randrange(1, 12)] + other[draw.randrange(len(other)) :]))
    return [*texts, *texts[3:9], "", "\n\n", "short", "short", texts[0].replace(" ", "  ")]


@pytest.mark.parametrize(
    "stage",
    [
        Ngram(filter="exact"),
        Ngram(filter="exact", words="unicode"),
        Ngram(filter="exact", remove="paragraph", ngram=5, min_ngram=2, threshold=0.5),
        Ngram(filter="exact", remove="document", ngram=7, threshold=0.3),
        Ngram(filter="exact", remove="paragraph", ngram=None),
        Ngram(fp_rate=1e-9),
    ],
    ids=["old_both", "unicode", "paragraph", "document", "whole", "bloom"],
)
def test_as_bff_does_it(run_barrier: RunBarrier, shared_data: Path, stage: Ngram) -> None:
    texts = corpus(shared_data)
    table = pa.table({"text": pa.array(texts, pa.large_string())})
    cards = []
    for n_shards, batch_rows in ((1, 1000), (5, 7)):
        result = run_barrier(stage, table, n_shards=n_shards, batch_rows=batch_rows)
        bff, row, n_changed = Bff(stage), 0, 0
        for decision in result.decisions:
            made = decision.columns.get("text")
            for i, keep in enumerate(decision.keep):
                left = bff(texts[row])
                if left is None:
                    assert not keep
                else:
                    assert keep
                    found = texts[row] if made is None else made[i].as_py()
                    # Theirs takes the newline before a paragraph, ours the one behind.
                    assert found.split() == left.split()
                    assert (found == texts[row]) == (left == texts[row])
                    n_changed += found != texts[row]
                row += 1
        assert row == len(texts)
        assert n_changed > 5 or stage.remove == "document"
        assert sum(not keep for keep in result.keep) > 5
        cards.append(result.card)
    assert cards[0] == cards[1]


def test_streams_are_by_themselves(run_barrier: RunBarrier, shared_data: Path) -> None:
    texts = corpus(shared_data, 40)
    table = pa.table({"text": texts + texts})
    one = run_barrier(Ngram(filter="exact"), table, n_shards=2)
    assert sum(one.keep[len(texts) :]) < sum(one.keep[: len(texts)]) / 2
    two = run_barrier(Ngram(filter="exact", streams=2), table, n_shards=2)
    assert two.keep[: len(texts)] == two.keep[len(texts) :] == one.keep[: len(texts)]


def test_the_filter_is_as_wrong_as_it_says(run_barrier: RunBarrier) -> None:
    draw = np.random.default_rng(1)
    grams = draw.integers(1, 2**63, 60_000).astype(np.uint64)
    unit = np.arange(len(grams) + 1)
    for rate in (0.1, 0.01):
        n_words, n_functions = kernel.bloom_size(len(grams), rate)
        words = np.zeros(n_words, dtype=np.uint64)
        kernel.judge_bloom(grams, unit, words, n_functions, 0.5)
        other = draw.integers(1, 2**63, 20_000).astype(np.uint64)
        _, seen = kernel.judge_bloom(
            other, np.arange(len(other) + 1), words.copy(), n_functions, 0.5
        )
        known = kernel.judge_bloom(grams, unit, words.copy(), n_functions, 0.5)[1]
        assert known.all()
        assert 0.3 * rate < seen.mean() < 3 * rate
        assert rate / 2 < kernel.false_positive_rate(n_words, n_functions, len(grams)) < 1.5 * rate
    card = run_barrier(
        Ngram(fp_rate=0.3), pa.table({"text": [" ".join(map(str, range(3000)))]})
    ).card
    assert 0.05 < card["false_positive_rate"] < 0.4


@pytest.mark.parametrize("seed", range(2))
def test_exactly_as_the_reference(seed: int) -> None:
    draw = np.random.default_rng(seed)
    exact, seen = kernel.Exactly(), set[int]()
    for _ in range(4):
        grams = draw.integers(1, 60_000, 50_000).astype(np.uint64)
        unit = np.append(np.sort(draw.integers(0, len(grams), 5000)), len(grams))
        unit[0] = 0
        gone, there = exact.judge(grams, unit, 0.6)
        expected = kernel.reference(grams, unit, seen, 0.6)
        assert gone.tolist() == expected[0]
        assert there.tolist() == expected[1]
        assert exact.n_inserted == len(seen)


def test_reasons_and_empty_texts(run_barrier: RunBarrier) -> None:
    line = " ".join(f"w{i}" for i in range(30))
    other = " ".join(f"v{i}" for i in range(30))
    new = " ".join(f"n{i}" for i in range(16))
    texts = [line, line, f"{line}\nnew words", f"{other}", f"{other}\n{new}\n{line}\n", None, ""]
    stage = Ngram(filter="exact", remove="paragraph", min_words=3, max_removed_fraction=0.5, into="gone")  # fmt: skip
    result = run_barrier(stage, pa.table({"text": texts}), n_shards=2)
    reasons = [d.reasons[code] if code >= 0 else None for d in result.decisions for code in d.code]
    assert reasons == [None, "emptied", "short_after", None, "mostly_repeated", None, None]
    both = run_barrier(
        Ngram(filter="exact", threshold=0.6), pa.table({"text": [line, f"{line}\n{new}"]})
    )
    assert [d.reasons[code] for d in both.decisions for code in d.code if code >= 0] == [
        "mostly_seen"
    ]
    empty = run_barrier(Ngram(), pa.table({"text": pa.array([None, ""], pa.string())}))
    assert empty.keep == [True, True] and empty.card["n_grams"] == 0


def test_a_batch_split_anywhere_gives_the_same_sketches() -> None:
    column = pa.array(
        ["skip", "a b c\nd e f g", None, "", "我们在北京", "a\r\n"], pa.large_string()
    )
    batch = Batch.of(text=column.slice(1))
    for stage in (
        Ngram(ngram=2),
        Ngram(ngram=4, min_ngram=1),
        Ngram(ngram=None),
        Ngram(remove="document"),
    ):
        sketch = stage.sketch()
        whole = sketch(batch).to_pylist()
        for cut in range(6):
            parts = [sketch(batch.slice(0, cut)), sketch(batch.slice(cut, 5 - cut))]
            assert [row for part in parts for row in part.to_pylist()] == whole
