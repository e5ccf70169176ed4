"""score.minhash writes what datasketch reads, and dedup.minhash reads what datasketch writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from ultraclean.document import Batch
from ultraclean.errors import StageError
from ultraclean.stages.dedup.minhash import Minhash as Dedup
from ultraclean.stages.score.minhash import Minhash, shingles_of

datasketch = pytest.importorskip("datasketch")
RunBarrier = Callable[..., Any]

STORY = " ".join(f"sentence {i} of the story, which has {i * i} words in it." for i in range(40))
TEXTS = [
    STORY,
    STORY.replace("sentence 7 of", "line 7 of"),
    " ".join(f"something else {i * 7919} entirely {i}" for i in range(60)),
    "".join(f"第{i}天我们去北京看长城，天气很好。🙂" for i in range(30)),
    "too short a text",
    "",
    None,
    STORY.upper(),
]


@pytest.mark.parametrize("scheme", ["affine32", "affine64", "legacy"])
def test_signatures_are_datasketchs(scheme: Any) -> None:
    score = Minhash(scheme=scheme, permutations=32, seed=7).open()
    found = score(Batch.of(text=TEXTS))["minhash"].to_pylist()
    for text, content in zip(TEXTS, found, strict=True):
        theirs = datasketch.MinHash(num_perm=32, seed=7, scheme=scheme)
        shingles = shingles_of(text or "", 5)
        for shingle in shingles:
            theirs.update(shingle.encode())
        if not shingles:
            assert content is None
            continue
        lean = datasketch.LeanMinHash.deserialize(content, "<")
        assert lean == datasketch.LeanMinHash(theirs)
    assert shingles_of("Ein Wort: naïve 日本!", 2) == [
        "ein wort",
        "wort naïve",
        "naïve 日",
        "日 本",
    ]


def test_a_batch_split_anywhere_gives_the_same_rows() -> None:
    score = Minhash(permutations=16).open()
    whole = score(Batch.of(text=pa.array(TEXTS, pa.large_string())))["minhash"].to_pylist()
    for at in range(len(TEXTS) + 1):
        data = pa.RecordBatch.from_pydict({"text": pa.array(TEXTS, pa.string_view())})
        parts = [data.slice(0, at), data.slice(at)]
        assert [one for part in parts for one in score(Batch(part))["minhash"].to_pylist()] == whole


@pytest.mark.parametrize("form", ["bytes", "list"])
def test_theirs_are_deduplicated_as_their_lsh_finds_them(form: str, run_barrier: RunBarrier) -> None:  # fmt: skip
    made = []
    lsh = datasketch.MinHashLSH(threshold=0.7, num_perm=64)
    for row, text in enumerate(TEXTS):
        found = datasketch.MinHash(num_perm=64, seed=3)
        for word in (text or "").lower().split():
            found.update(word.encode())
        lsh.insert(row, found)
        lean = datasketch.LeanMinHash(found)
        buffer = bytearray(lean.bytesize("@"))
        lean.serialize(buffer)
        made.append(bytes(buffer) if form == "bytes" else found.hashvalues.tolist())
    stage = Dedup(signatures="sig", threshold=0.7, permutations=64)
    assert (stage.bands, stage.rows) == (lsh.b, lsh.r)
    assert Dedup.model_validate(stage.written()) == stage
    kind = pa.binary() if form == "bytes" else pa.list_(pa.int64())
    result = run_barrier(stage, pa.table({"sig": pa.array(made, kind)}))
    found_by_lsh = {row for row in (0, 1, 7) for other in lsh.query(_again(made[row])) if other != row}  # fmt: skip
    assert found_by_lsh == {0, 1, 7}
    dropped = [row for row, keep in enumerate(result.keep) if not keep]
    assert len(dropped) == 2 and set(dropped) < {0, 1, 7}  # texts without words are never copies


def _again(value: Any) -> Any:
    if isinstance(value, bytes):
        lean = datasketch.LeanMinHash.deserialize(value)
        return datasketch.MinHash(seed=3, hashvalues=lean.hashvalues, scheme="affine32")
    return datasketch.MinHash(seed=3, hashvalues=value, scheme="affine32")


def test_our_own_go_through(run_barrier: RunBarrier) -> None:
    batch = Minhash().open()(Batch.of(text=TEXTS))
    by_signature = run_barrier(Dedup(signatures="minhash"), pa.Table.from_batches([batch.data]))
    by_text = run_barrier(Dedup(), pa.Table.from_batches([batch.data]))
    assert by_signature.keep.count(False) == by_text.keep.count(False) == 2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([b"no signature"], "12 bytes are no LeanMinHash"),
        ([[1, 2, 3]], "3 values, 14 bands of 8 need 112"),
        ([[-1] * 112], "the column 'sig'"),
    ],
)
def test_what_is_no_signature_is_named(values: list[Any], message: str) -> None:
    with pytest.raises(StageError, match=message):
        Dedup(signatures="sig").sketch()(Batch.of(sig=values))


def test_signatures_that_cannot_be_compared() -> None:
    seeds = [Minhash(seed=seed).open()(Batch.of(text=[STORY]))["minhash"][0].as_py() for seed in (1, 2)]  # fmt: skip
    with pytest.raises(StageError, match="mixes what cannot be compared: affine32 of seed 1, affine32 of seed 2"):  # fmt: skip
        Dedup(signatures="sig").sketch()(Batch.of(sig=seeds))
    with pytest.raises(ValueError, match="no shingles to verify"):
        Dedup(signatures="sig", verify=0.7)
    with pytest.raises(ValueError, match=r"threshold 0\.7 chooses 14 bands of 9 rows"):
        Dedup(threshold=0.7, bands=20)
