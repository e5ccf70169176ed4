"""The dialect datatrove of filter.decontaminate decides as datatrove's n-gram decontamination."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest

from ultraclean.document import Batch
from ultraclean.stages.filter.decontaminate import Decontaminate
from ultraclean.text.contamination import DIVIDING, simplified

pytest.importorskip("datatrove", reason="datatrove is not installed: ultraclean-data[datatrove]")
pytest.importorskip("spacy", reason="spacy is not installed: ultraclean-data[datatrove]")

from datatrove.data import Document
from datatrove.pipeline.decont.n_grams import (
    NGramsDecontConfig,
    NGramsDecontFilter,
    NGramsDecontIndexer,
)
from datatrove.utils.hashing import HashConfig, create_hash_func
from datatrove.utils.text import PUNCTUATION_TRANS, simplify_text
from datatrove.utils.word_tokenizers import load_word_tokenizer

CHARACTERS = [*"aBé 1２٣.,،—!:\n\t\u3000中文。？，😀'\"ß İ\u0301\x00\x85", "3.14", "12,5", "don't"]


def test_the_same_characters_divide_words() -> None:
    assert {chr(code) for code in PUNCTUATION_TRANS} == DIVIDING


def test_texts_are_simplified_alike() -> None:
    rng = random.Random(3)
    for _ in range(3000):
        text = "".join(rng.choices(CHARACTERS, k=rng.randint(0, 30)))
        assert simplified(text) == simplify_text(text), repr(text)


def theirs(items: list[tuple[str, str]]) -> NGramsDecontFilter:
    """Their filter with an index of their indexer, which wants lighteval only to fetch tasks."""
    indexer: Any = object.__new__(NGramsDecontIndexer)
    # their default hash needs xxhash before 4; which one it is decides nothing
    indexer.config = NGramsDecontConfig(hash_config=HashConfig(hash_fc="sha1"))
    indexer.tokenizer = load_word_tokenizer("eng")
    indexer.hash_func = create_hash_func(indexer.config.hash_config)
    judge = NGramsDecontFilter(index_folder="memory://none", config=indexer.config)
    hashes = (found for query, answer in items for found in indexer.compute_hashes(answer, query))
    judge._index_hashes = dict.fromkeys(hashes, "task")
    return judge


def test_decisions_and_words(shared_data: Path, tmp_path: Path) -> None:
    items = [(row["context"], row["chain_of_thought"]) for row in read(shared_data / "eval/gsm8k.jsonl.gz")]  # fmt: skip
    items += [(row["prompt"], row["canonical_solution"]) for row in read(shared_data / "eval/human_eval.jsonl.gz")]  # fmt: skip
    rng = random.Random(7)
    texts = [row["text"] for row in read(shared_data / "text/bbc.jsonl.gz")[:150]]
    for query, answer in rng.sample(items, 150):
        whole = f"{query} {answer}".split(" ")
        start = rng.randrange(len(whole))
        piece = " ".join(whole[start : start + rng.randint(8, 30)])
        texts.append(
            rng.choice([f"Before. {piece.upper()} after", piece, query, answer, query[:90]])
        )
    texts += ["", "12 12 12", " "]

    path = tmp_path / "items.jsonl"
    rows = [{"question": query, "answer": answer} for query, answer in items]
    path.write_text("\n".join(map(json.dumps, rows)))
    stage = Decontaminate(
        benchmarks=str(path), dialect="datatrove", into="found", max_item_fraction=0
    )
    ours = stage.open()(Batch.of(text=texts))
    judge = theirs(items)
    n_dropped = 0
    for row, text in enumerate(texts):
        document = Document(text=text, id=str(row))
        verdict = judge.filter(document)
        assert (verdict is True) == bool(ours.keep[row]), text
        if verdict is not True:
            n_dropped += 1
            told = json.loads(ours.columns["found"][row].as_py())
            first = min(told, key=lambda match: match["at"][0])
            words = first["words"][first["at"].index(min(first["at"]))]
            assert words.startswith(document.metadata["contaminated_ngram"])
    assert 60 < n_dropped < 200


def read(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt") as lines:
        return [json.loads(line) for line in lines]
