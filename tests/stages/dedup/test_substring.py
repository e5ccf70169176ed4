"""`dedup.substring` against brute force, and against the published tool read as code."""

from __future__ import annotations

import gzip
import itertools
import json
import random
import struct
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ultraclean.document import Batch
from ultraclean.stages.dedup import substring
from ultraclean.stages.dedup.substring import Substring
from ultraclean.text import units

RunBarrier = Callable[..., Any]


def left(result: Any) -> list[str | None]:
    made: list[str | None] = []
    for decision in result.decisions:
        texts = decision.columns.get("text")
        for row, keep in enumerate(decision.keep):
            made.append(None if not keep else "?" if texts is None else texts[row].as_py())
    return made


def spans(result: Any) -> list[list[tuple[int, int]]]:
    told = [value for d in result.decisions for value in d.columns["gone"].to_pylist()]
    return [[tuple(span) for span in json.loads(value)] if value else [] for value in told]


def brute_force(
    stage: Substring, texts: list[str], keys: list[bytes], rank: list[float]
) -> list[list[tuple[int, int]]]:
    """Spans of units that go, by a dictionary of all windows."""
    found = stage.splitter().units(pa.array(texts))
    ids = [found.ids[a:b].tolist() for a, b in itertools.pairwise(found.doc.tolist())]
    seen: dict[tuple[int, ...], list[tuple[float, bytes, int, int]]] = defaultdict(list)
    for row, one in enumerate(ids):
        for at in range(len(one) - stage.length + 1):
            seen[tuple(one[at : at + stage.length])].append((-rank[row], keys[row], at, row))
    gone: list[set[int]] = [set() for _ in ids]
    for places in seen.values():
        if len(places) >= stage.min_count:
            for _, _, at, row in sorted(places)[1 if stage.keep == "first" else 0 :]:
                gone[row].update(range(at, at + stage.length))
    return [runs(sorted(one)) for one in gone]


def runs(places: list[int]) -> list[tuple[int, int]]:
    made: list[tuple[int, int]] = []
    for place in places:
        if made and made[-1][1] == place:
            made[-1] = (made[-1][0], place + 1)
        else:
            made.append((place, place + 1))
    return made


@pytest.mark.parametrize(
    "stage",
    [
        Substring(length=4, into="gone", priority=("rank",)),
        Substring(length=3, into="gone", keep="first", priority=("rank",)),
        Substring(length=9, unit="bytes", min_count=3, into="gone", priority=("rank",)),
        Substring(length=6, unit="bytes", keep="first", into="gone", priority=("rank",)),
    ],
    ids=["words", "words-first", "bytes", "bytes-first"],
)
def test_brute_force_for_any_cut(
    run_barrier: RunBarrier, stage: Substring, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = random.Random(2)
    letters = ["a", "b", "hello", "我", "é", ",", "\r\n", "😀", "the end."]
    texts = [" ".join(draw.choices(letters, k=draw.randrange(25))) for _ in range(60)] + ["", "a"]
    texts[7] = "a " * 40
    rank = [float(draw.randrange(3)) for _ in texts]
    table = pa.table({"text": texts, "rank": rank})
    splitter, cards, block = stage.splitter(), [], substring._BLOCK
    for n_shards, memory_bytes, backwards in ((1, 2**29, False), (5, 2**11, True)):
        result = run_barrier(
            stage,
            table,
            n_shards=n_shards,
            batch_rows=9,
            memory_bytes=memory_bytes,
            backwards=backwards,
        )
        expected = brute_force(stage, texts, result.keys, rank)
        assert spans(result) == [
            splitter.spans(text, some) for text, some in zip(texts, expected, strict=True)
        ]
        cards.append(result.card)
        monkeypatch.setattr(substring, "_BLOCK", 37 if block else 0)
    assert cards[0] == cards[1]
    assert cards[0]["units_removed"] == sum(b - a for some in expected for a, b in some) > 50


def published(
    documents: list[bytes], length: int, frequency_threshold: int
) -> list[tuple[int, int]]:
    """`self-similar` and `collect` of the tool, over its sequence: ranges of bytes of the whole file."""
    text = b"".join(
        b"\xff\xff" + struct.pack("<I", number) + document
        for number, document in enumerate(documents, start=1)
    )
    suffixes = sorted(range(len(text)), key=lambda at: text[at : at + length])
    pointers = []
    for _, group in itertools.groupby(suffixes, key=lambda at: text[at : at + length]):
        pairs = [at for at in group if at + length <= len(text)]
        if len(pairs) >= 2 and len(pairs) > frequency_threshold:
            pointers += pairs
    ranges: list[tuple[int, int]] = []
    for at in sorted(pointers):
        if ranges and at <= ranges[-1][1]:
            ranges[-1] = (ranges[-1][0], at + length)
        else:
            ranges.append((at, at + length))
    return ranges


@pytest.mark.parametrize("frequency_threshold", [0, 2])
def test_the_spans_of_the_published_tool(
    run_barrier: RunBarrier, shared_data: Path, frequency_threshold: int
) -> None:
    with gzip.open(shared_data / "text" / "reuters.jsonl.gz", "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line, _ in zip(lines, range(200), strict=False)]
    draw = random.Random(4)
    for _ in range(40):
        one, other = draw.choice(texts), draw.choice(texts)
        at, to = draw.randrange(len(one)), draw.randrange(len(other))
        texts.append(one[at : at + 400] + other[to : to + 150])
    texts += ["你好，世界。" * 30, "前言。" + "你好，世界。" * 30]
    length = 100
    stage = Substring(
        length=length, unit="bytes", min_count=max(2, frequency_threshold + 1), into="gone"
    )
    result = run_barrier(stage, pa.table({"text": texts}), n_shards=3, memory_bytes=2**20)
    ranges = published([text.encode() for text in texts], length, frequency_threshold)
    at, expected = 0, []
    for text in texts:
        first, last = at + 6, at + 6 + len(text.encode())
        inside = [(max(a, first) - first, min(b, last) - first) for a, b in ranges if a < last and b > first]  # fmt: skip
        expected.append(inside)
        at = last
    differs = 0
    for text, ours, theirs in zip(texts, spans(result), expected, strict=True):
        told = units.Bytes().spans(text, theirs)
        if ours == told:
            continue
        # Theirs may take bytes of a separator for text: a run at an end that is up to 5 bytes short.
        differs += 1
        size = len(text.encode())
        edges = [(a, b) for a, b in theirs if a == 0 or b == size]
        assert set(ours) ^ set(told) <= set(units.Bytes().spans(text, edges)) | set(
            ours[:1] + ours[-1:]
        )
        assert edges
    assert sum(map(bool, spans(result))) > (5 if frequency_threshold else 40)
    assert differs <= 6


def test_tokens(run_barrier: RunBarrier, tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = [
        "<unk>",
        *["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"],
        "我",
        "们",
    ]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    texts = ["one two three four five", "ten two three four nine", "nine 我 two three", "", None]
    stage = Substring(length=3, unit="tokens", tokenizer=str(path), into="gone")
    assert not stage.problems()
    result = run_barrier(stage, pa.table({"text": texts}), n_shards=2)
    assert spans(result) == [[(4, 18)], [(4, 18)], [], [], []]
    assert left(result)[:2] == ["one  five", "ten  nine"]
    assert "go together" in Substring(unit="tokens").problems()[0]
    assert "go together" in Substring(tokenizer=str(path)).problems()[0]
    path.write_text("{}")
    assert "not a tokenizer.json" in stage.problems()[0]
    assert Substring(unit="tokens", tokenizer=str(tmp_path / "none")).problems()


def test_reasons_and_first_copy(run_barrier: RunBarrier) -> None:
    passage = " ".join(f"w{i}" for i in range(20))
    texts = [
        f"{passage} tail of the best",
        passage,
        f"x y {passage} z",
        f"{passage}\n\n{passage} and five more words here",
    ]
    stage = Substring(length=10, keep="first", priority=("rank",), min_words=4, max_removed_fraction=0.7)  # fmt: skip
    table = pa.table({"text": texts, "rank": [9, 1, 1, 1]})
    result = run_barrier(stage, table, n_shards=2)
    reasons = [d.reasons[code] if code >= 0 else None for d in result.decisions for code in d.code]
    assert reasons == [None, "emptied", "short_after", "mostly_repeated"]
    assert set(filter(None, reasons)) == set(stage.reasons)
    assert result.copy_of == [None, 0, 0, 0]
    none = run_barrier(Substring(length=10), table, n_shards=2)
    assert left(none)[0] == "tail of the best"
    assert left(none)[2] == "x y z"


def test_a_batch_split_anywhere_gives_the_same_sketches() -> None:
    batch = Batch.of(
        text=pa.array(["skip", "a b", None, "", "我", "é"], pa.large_string()).slice(1)
    )
    for stage in (Substring(), Substring(unit="bytes")):
        sketch = stage.sketch()
        whole = sketch(batch).to_pylist()
        for cut in range(6):
            parts = [sketch(batch.slice(0, cut)), sketch(batch.slice(cut, 5 - cut))]
            assert [row for part in parts for row in part.to_pylist()] == whole


def test_many_copies_of_one_text_are_no_more_work_than_others(run_barrier: RunBarrier) -> None:
    table = pa.table(
        {"text": ["all work and no play makes jack a dull boy " * 50] * 300 + ["ab " * 9000]}
    )
    stage = Substring(length=20)
    result = run_barrier(stage, table, n_shards=6, memory_bytes=2**18)
    assert not any(result.keep)
    assert result.card["units_removed"] == 300 * 500 + 9000
    assert (
        run_barrier(Substring(), pa.table({"text": pa.array([None, ""], pa.string())})).keep
        == [True] * 2
    )
    assert (
        np.isnan(result.decisions[0].similarity).all()
        if result.decisions[0].similarity is not None
        else True
    )
