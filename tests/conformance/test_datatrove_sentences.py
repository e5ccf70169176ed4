"""`dedup.repeats` in the dialect datatrove against datatrove's own SentenceDedup."""

from __future__ import annotations

import gzip
import itertools
import json
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("datatrove")
pytest.importorskip("spacy")

from ultraclean.document import AT, KEY, Batch, keys_of
from ultraclean.exchange import Piece, Sketches
from ultraclean.stages.dedup.repeats import Repeats


def documents(shared_data: Path) -> list[str]:
    """News with sentences of one another, whitespace of all kinds, one of them with none."""
    texts = []
    for name, n_docs in (("bbc", 40), ("reuters", 60)):
        with gzip.open(shared_data / "text" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            texts += [json.loads(line)["text"] for line, _ in itertools.islice(zip(lines, range(n_docs), strict=False), n_docs)]  # fmt: skip
    draw = random.Random(3)
    for _ in range(60):
        left, right = draw.choice(texts), draw.choice(texts)
        words, others = left.split(" "), right.split(" ")
        at, to = draw.randrange(len(words)), draw.randrange(len(others))
        texts.append(" ".join(words[at : at + 120] + others[to : to + 80]))
    odd = [
        "Short. Text.",
        "A one.  B two.\n\nC three. D four.",
        "IS_ALPHA is here. Twice IS_ALPHA.",
    ]
    return [*texts, *texts[5:12], *odd, *odd, "😀 one. Two? 三。 Four! “Five.” Six... seven"]


def theirs(
    folder: Path, texts: list[str], split: bool, n_sentences: int, min_words: int, min_pieces: int
) -> dict[int, str]:
    import xxhash
    from datatrove.data import Document
    from datatrove.pipeline.dedup.sentence_dedup import (
        SentDedupConfig,
        SentenceDedupFilter,
        SentenceDedupSignature,
        SentenceFindDedups,
    )

    config = SentDedupConfig(
        n_sentences=n_sentences,
        split_sentences=split,
        min_doc_words=min_words,
        min_num_sentences=min_pieces,
    )
    folders = [str(folder / name) for name in ("signatures", "found")]
    step = SentenceDedupSignature(folders[0], config=config, language="eng")
    # datatrove 0.10.1 hands str to xxhash, which version 4 no longer takes.
    step.hash_fc = lambda text: xxhash.xxh64_intdigest(text.encode())
    step.run(Document(text=text, id=str(row)) for row, text in enumerate(texts))
    SentenceFindDedups(folders[0], folders[1], config=config).run()
    keep = SentenceDedupFilter(folders[1], config=config, language="eng")
    made = keep.run(Document(text=text, id=str(row)) for row, text in enumerate(texts))
    return {int(document.id): document.text for document in made}


@pytest.mark.parametrize(
    ("split", "n_sentences", "min_words", "min_pieces"),
    [(True, 3, 50, 3), (True, 1, 10, 2), (False, 1, 10, 0), (False, 2, 0, 3)],
)
def test_the_same_texts(
    tmp_path: Path,
    shared_data: Path,
    split: bool,
    n_sentences: int,
    min_words: int,
    min_pieces: int,
) -> None:
    texts = documents(shared_data)
    expected = theirs(tmp_path / "theirs", texts, split, n_sentences, min_words, min_pieces)
    stage = Repeats(
        dialect="datatrove",
        grain="sentence" if split else "line",
        run=n_sentences,
        priority=("first",),
        min_words=min_words or None,
        min_pieces=min_pieces or None,
    )
    first = -np.arange(len(texts), dtype=np.float64)
    table = pa.table({"text": texts, "first": first})
    found = ours(tmp_path, stage, table)
    assert sum(text != texts[row] for row, text in found.items()) > 10
    assert len(found) < len(texts)
    assert found == expected


def ours(folder: Path, stage: Repeats, table: pa.Table) -> dict[int, str]:
    """The texts that the stage keeps, by row."""
    n_docs = table.num_rows
    columns = {AT: pa.array(np.arange(n_docs)), KEY: keys_of("t", "rows", np.arange(n_docs))}
    batch = Batch(table.to_batches()[0]).with_columns(columns)
    rows = pa.Table.from_batches([stage.sketch()(batch)])
    for name in columns:
        rows = rows.append_column(name, batch[name])
    path = str(folder / "sketch.parquet")
    pq.write_table(rows, path, row_group_size=50)
    groups = range(-(-n_docs // 50))
    pieces = [Piece(tuple((path, group) for group in groups), n_docs)]
    sketches = Sketches(pieces, [n_docs], str(folder / "steps"), map, 2**16)
    card = stage.resolve(sketches)
    decision = stage.apply(card, sketches.verdicts_of(0))(batch)
    texts = decision.columns.get("text", batch["text"])
    return {row: texts[row].as_py() for row in np.flatnonzero(decision.keep).tolist()}
