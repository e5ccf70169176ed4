"""`dedup.repeats` against plain Python over the whole corpus, whatever the partitions."""

from __future__ import annotations

import gzip
import json
import random
import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ultraclean.document import AT, Batch, keys_of
from ultraclean.stages.dedup.repeats import Repeats

RunBarrier = Callable[..., Any]


def plain_pieces(text: str, grain: str) -> list[str]:
    if grain == "line":
        return re.findall("[^\n]*\n|[^\n]+", text)
    made: list[str] = []
    for piece in re.split(r"(?<=\n\n)(?=[^\n])", text):
        if made and not (piece.strip() and made[-1].strip()):
            made[-1] += piece
        elif piece:
            made.append(piece)
    return made


def plain(
    stage: Repeats, texts: list[str | None], keys: list[bytes], rank: list[float]
) -> list[str]:
    """What the corpus should become, read off the definition."""
    cut = [plain_pieces(text or "", stage.grain) for text in texts]
    seen: dict[tuple[str, ...], list[tuple[float, bytes, int, int]]] = defaultdict(list)
    for row, some in enumerate(cut):
        simple = [" ".join(piece.lower().split()) for piece in some]
        for place in range(len(some) - stage.run + 1):
            run = tuple(simple[place : place + stage.run])
            if sum(map(len, run)) >= stage.min_chars:
                seen[run].append((-rank[row], keys[row], row, place))
    gone: dict[int, set[int]] = defaultdict(set)
    for places in seen.values():
        n = len({row for _, _, row, _ in places}) if stage.count == "documents" else len(places)
        if n >= stage.min_count:
            for _, _, row, place in sorted(places)[1 if stage.keep == "first" else 0 :]:
                gone[row].update(range(place, place + stage.run))
    made = []
    for row, some in enumerate(cut):
        left = "".join(piece for place, piece in enumerate(some) if place not in gone[row])
        made.append(left.rstrip() if len(some) - 1 in gone[row] else left)
    return made


def results(result: Any, column: str = "text") -> list[str | None]:
    """The texts after the stage; None where a document was dropped."""
    made: list[str | None] = []
    for decision in result.decisions:
        texts = decision.columns.get(column)
        for row, keep in enumerate(decision.keep):
            made.append(texts[row].as_py() if keep and texts is not None else "?" if keep else None)
    return made


def corpus(seed: int, n_docs: int, joint: str) -> tuple[list[str | None], list[float]]:
    draw = random.Random(seed)
    choices = [*"abc", "Hello  World", "hello world", "我们。", "😀", "", " ", *map(str, range(3))]
    texts: list[str | None] = [
        joint.join(draw.choices(choices, k=draw.randrange(9))) for _ in range(n_docs)
    ]
    return [*texts, None, "", "only\r", None], [float(draw.randrange(3)) for _ in range(n_docs + 4)]


STAGES = [
    Repeats(grain="line", priority=("rank",)),
    Repeats(grain="line", run=3, priority=("rank",)),
    Repeats(grain="line", run=2, keep="none", min_count=3, count="documents", priority=("rank",)),
    Repeats(grain="line", keep="none", min_chars=5, min_count=4, priority=("rank",)),
    Repeats(grain="paragraph", priority=("rank",)),
]


@pytest.mark.parametrize("stage", STAGES, ids=range(len(STAGES)))
def test_the_corpus_becomes_what_the_definition_says(
    run_barrier: RunBarrier, stage: Repeats
) -> None:
    texts, rank = corpus(5, 120, "\n\n" if stage.grain == "paragraph" else "\n")
    table = pa.table({"text": pa.array(texts, pa.string()), "rank": rank})
    cards = []
    for n_shards, batch_rows, memory_bytes, backwards in (
        (1, 1000, 2**29, False),
        (5, 7, 2**12, True),
        (3, 50, 2**13, False),
    ):
        result = run_barrier(
            stage,
            table,
            n_shards=n_shards,
            batch_rows=batch_rows,
            memory_bytes=memory_bytes,
            backwards=backwards,
        )
        expected = plain(stage, texts, result.keys, rank)
        for found, left, text in zip(results(result), expected, texts, strict=True):
            if found == "?":
                assert left == (text or "")
            elif found is None:
                assert not left.split()
            else:
                assert found == left
        cards.append(result.card)
    assert cards[0] == cards[1] == cards[2]
    assert cards[0]["removed"] > 10
    assert any(text is None for text in results(result)) or stage.min_count > 3


def test_reviews_and_news(run_barrier: RunBarrier, shared_data: Path) -> None:
    texts: list[str | None] = []
    for name in ("imdb", "reuters"):
        with gzip.open(shared_data / "text" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            texts += [json.loads(line)["text"] for line, _ in zip(lines, range(1500), strict=False)]
    stage = Repeats(grain="line", min_chars=20)
    table = pa.table({"text": pa.array(texts, pa.large_string())})
    result = run_barrier(stage, table, n_shards=4, memory_bytes=2**20)
    expected = plain(stage, texts, result.keys, [0.0] * len(texts))
    found = results(result)
    changed = 0
    for made, left, text in zip(found, expected, texts, strict=True):
        if made is not None and made != "?":
            assert made == left
            changed += made != text
        else:
            assert (left if made == "?" else "") == (text if made == "?" else left)
    assert changed > 50


def test_sentences_in_threes_as_c4_did(run_barrier: RunBarrier) -> None:
    shared = "One is here. Two is here! Three is here? "
    texts = [
        f"Alpha comes first. {shared}Omega ends it.",
        f"Beta comes first. {shared}",
        "One is here. Two is here! But not the third. One is here.",
        "第一句在这里。第二句在这里。第三句在这里。第四句不同。",
        "不同的开头。第一句在这里。第二句在这里。第三句在这里。",
    ]
    stage = Repeats(grain="sentence", run=3, priority=("rank",), into="gone")
    table = pa.table({"text": texts, "rank": [5, 4, 3, 2, 1]})
    result = run_barrier(stage, table, n_shards=2)
    assert results(result)[:3] == [texts[0], "Beta comes first.", texts[2]]
    assert results(result)[3:] == [texts[3], "不同的开头。"]
    spans = [value for d in result.decisions for value in d.columns["gone"].to_pylist()]
    start = texts[1].index("One")
    assert json.loads(spans[1]) == [[start, len(texts[1])]]
    assert spans[0] is None
    removed = np.concatenate([d.numbers["removed_chars"] for d in result.decisions])
    assert removed[1] == len(shared) and removed[0] == 0


def test_every_reason(run_barrier: RunBarrier) -> None:
    page = "a line of menu\nanother line of menu\n"
    texts = [
        page + "the best of all texts\nwith two lines",
        page,
        page + "three words left",
        page * 3 + "words enough but few lines are left to it after all",
        page + "one two three four five six seven eight nine\nten",
    ]
    stage = Repeats(
        grain="line", priority=("rank",), min_words=4, max_removed_fraction=0.6, min_pieces=2
    )
    table = pa.table({"text": texts, "rank": [9, 1, 1, 1, 1]})
    result = run_barrier(stage, table, n_shards=1)
    decision = result.decisions[0]
    reasons = [decision.reasons[code] if code >= 0 else None for code in decision.code]
    assert reasons == [None, "emptied", "short_after", "mostly_repeated", None]
    assert decision.value[2] == 3 and decision.threshold[2] == 4
    assert result.copy_of == [None, 0, 0, 0, 0]
    assert np.isnan(decision.value[0]) and np.isnan(decision.value[4])
    stage = Repeats(grain="line", priority=("rank",), min_pieces=2)
    decision = run_barrier(stage, table, n_shards=1).decisions[0]
    reasons = [decision.reasons[code] if code >= 0 else None for code in decision.code]
    assert reasons == [None, "emptied", "few_pieces_after", "few_pieces_after", None]
    assert set(stage.reasons) == {"emptied", "short_after", "mostly_repeated", "few_pieces_after"}


def test_a_batch_split_anywhere_gives_the_same_sketches() -> None:
    column = pa.array(["skip", "a\nb", None, "", "我\n\n我", "a b. C d.", "😀"], pa.large_string())
    batch = Batch.of(text=column.slice(1))
    for stage in (
        Repeats(grain="line"),
        Repeats(run=2),
        Repeats(grain="sentence", normalise="none"),
    ):
        sketch = stage.sketch()
        whole = sketch(batch).to_pylist()
        for cut in range(7):
            parts = [sketch(batch.slice(0, cut)), sketch(batch.slice(cut, 6 - cut))]
            assert [row for part in parts for row in part.to_pylist()] == whole


def test_normalisation_none_and_line_ends(run_barrier: RunBarrier) -> None:
    texts = ["Same line\r\nx", "Same line\ny", "same line\nz", "Same line"]
    result = run_barrier(Repeats(grain="line", normalise="none", keep="none"), pa.table({"text": texts}), n_shards=1)  # fmt: skip
    assert results(result) == ["x", "y", "same line\nz", None]


def test_ten_thousand_identical_paragraphs_cost_a_task_one_row(run_barrier: RunBarrier) -> None:
    texts = ["the same paragraph of ten words over and over again", "other"] * 5000
    table = pa.table({"text": texts})
    result = run_barrier(Repeats(), table, n_shards=8, memory_bytes=2**16)
    assert result.card["removed"] == 2 * 4999
    assert sum(result.keep) == 2


def test_no_text_at_all(run_barrier: RunBarrier) -> None:
    table = pa.table({"text": pa.array([None, "", " \n "], pa.string())})
    result = run_barrier(Repeats(), table)
    assert result.keep == [True] * 3
    assert result.card["removed"] == 0
    empty = Batch.of(text=pa.array([], pa.string()), **{AT: pa.array([], pa.int64())})
    decision = Repeats(into="gone").apply(result.card, None)(empty)
    assert len(decision.code) == 0 and decision.columns["gone"].type == pa.string()
    assert keys_of("t", "rows", np.arange(0)).null_count == 0


def test_the_dialect_has_no_paragraphs() -> None:
    assert "sentences and lines" in Repeats(dialect="datatrove").problems()[0]
    assert not Repeats(dialect="datatrove", grain="sentence").problems()
