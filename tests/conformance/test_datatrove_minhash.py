"""The dialect `datatrove` of `dedup.minhash` against datatrove itself: signatures and clusters."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from texts import odd_texts

from ultraclean.document import AT, KEY, Batch, keys_of
from ultraclean.exchange import Piece, Sketches
from ultraclean.stages.dedup.minhash import Minhash

pytest.importorskip("datatrove")
pytest.importorskip("spacy")
pytest.importorskip("xxhash")

import datatrove_peer as peer


def read(path: Path, n_docs: int) -> list[str]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line, _ in zip(lines, range(n_docs), strict=False)]


STAGES = [
    Minhash(dialect="datatrove"),
    Minhash(dialect="datatrove", shingle_hash="sha1", seed=7, ngram=3, bands=5, rows=4),
]


@pytest.mark.parametrize("stage", STAGES, ids=["default", "sha1"])
def test_signatures_are_the_same_bits(tmp_path: Path, shared_data: Path, stage: Minhash) -> None:
    folder = shared_data / "text"
    some = read(folder / "bbc.jsonl.gz", 40) + read(folder / "zh_lctt.jsonl.gz", 5)
    some += ["", "too short", "Ünï 12,5 😀 naïve — “quoted” x\r\ny\x00z", "a b c d e f g"]
    some += odd_texts(60)
    wrong, _ = peer.different(*peer.signatures(stage, str(tmp_path)), some)
    assert not wrong, (len(wrong), wrong[:3])


def test_clusters_are_the_same(tmp_path: Path, shared_data: Path) -> None:
    from datatrove.data import Document
    from datatrove.pipeline.dedup.minhash import MinhashDedupBuckets, MinhashDedupCluster

    lines = (shared_data / "dedup" / "articles_100.train").read_text().splitlines()
    texts = [line.split(" ", 1)[1] for line in lines] + read(
        shared_data / "text" / "bbc.jsonl.gz", 60
    )
    texts += [text.replace("the", "a", 2) for text in texts[::3]] + texts[5:9]
    stage = Minhash(dialect="datatrove")

    step = peer.signature_step(stage, str(tmp_path / "signatures"))
    step.run(Document(text=text, id=str(row)) for row, text in enumerate(texts))
    folders = [str(tmp_path / name) for name in ("signatures", "buckets", "clusters")]
    for bucket in range(stage.bands):
        buckets = MinhashDedupBuckets(folders[0], folders[1], config=step.config)
        buckets.run(rank=bucket, world_size=stage.bands)
    MinhashDedupCluster(
        folders[1], folders[2], config=step.config, save_cluster_id=True, save_cluster_size=True
    ).run()
    pairs = np.fromfile(tmp_path / "clusters" / "000000.clusters", dtype="<u4").reshape(-1, 2)
    expected = defaultdict(set)
    for row, cluster in pairs.tolist():
        expected[cluster].add(row)
    removed = np.fromfile(tmp_path / "clusters" / "000000.remove", dtype="<u4")

    same_as, keys, card = ours(tmp_path, stage, texts)
    found = defaultdict(set)
    for row, key in enumerate(same_as):
        if key is not None:
            found[key] |= {row, keys.index(key)}
    assert sorted(map(sorted, found.values())) == sorted(map(sorted, expected.values()))
    # Which copy is kept differs: theirs is the root of the last merge, ours the lowest key.
    assert card["dropped"] == len(removed) > 40


def test_their_shingles_verified(tmp_path: Path) -> None:
    text = "Spelling, words and numbers such as 12.5 are simplified before anything is compared"
    texts = [text, text.upper().replace("12.5", "7"), text + " or counted"]
    jaccard = 9 / 11
    for threshold, n_dropped in ((jaccard, 2), (jaccard + 0.01, 1)):
        folder = tmp_path / str(n_dropped)
        folder.mkdir()
        stage = Minhash(dialect="datatrove", verify=threshold, rows=1)
        assert ours(folder, stage, texts)[2]["dropped"] == n_dropped


def ours(
    tmp_path: Path, stage: Minhash, texts: list[str]
) -> tuple[list[bytes | None], list[bytes], dict[str, Any]]:
    at = pa.array(np.arange(len(texts)))
    batch = Batch.of(text=texts, **{AT: at, KEY: keys_of("t", "rows", np.arange(len(texts)))})
    rows = pa.Table.from_batches([stage.sketch()(batch)])
    rows = rows.append_column(AT, batch[AT]).append_column(KEY, batch[KEY])
    path = str(tmp_path / "sketch.parquet")
    pq.write_table(rows, path)
    pieces = [Piece(((path, 0),), len(texts))]
    sketches = Sketches(pieces, [len(texts)], str(tmp_path / "steps"), map)
    card = stage.resolve(sketches)
    decision = stage.apply(card, sketches.verdicts_of(0))(batch)
    assert decision.same_as is not None
    return decision.same_as.to_pylist(), batch[KEY].to_pylist(), card
