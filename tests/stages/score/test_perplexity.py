"""score.perplexity: KenLM's numbers, from an ARPA file that is counted and written here."""

from __future__ import annotations

import gzip
import itertools
import json
import math
import random
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from ultraclean.document import Batch
from ultraclean.errors import DataError
from ultraclean.stages.score.perplexity import Perplexity

kenlm = pytest.importorskip("kenlm", reason="the package kenlm is not installed")


def arpa(lines: list[str]) -> tuple[str, dict[tuple[str, ...], tuple[float, float]]]:
    """A bigram model by absolute discounting, as ARPA and as n-gram -> (log10 p, log10 back-off)."""
    unigrams: Counter[str] = Counter()
    bigrams: Counter[tuple[str, str]] = Counter()
    for line in lines:
        words = ["<s>", *line.split(), "</s>"]
        unigrams.update(words[1:])
        bigrams.update(itertools.pairwise(words))
    total, known = sum(unigrams.values()), len(unigrams) + 1
    chance = {word: (n - 0.5) / total for word, n in unigrams.items()}
    chance["<unk>"] = 0.5 * len(unigrams) / total / known
    followers: Counter[str] = Counter(first for first, _ in bigrams)
    contexts: Counter[str] = Counter()
    for (first, _), n in bigrams.items():
        contexts[first] += n
    grams: dict[tuple[str, ...], tuple[float, float]] = {("<s>",): (-99.0, 0.0)}
    for word, p in chance.items():
        grams[(word,)] = (round(math.log10(p), 6), 0.0)
    for word in contexts:
        back = 0.5 * followers[word] / contexts[word]
        grams[(word,)] = (grams[(word,)][0], round(math.log10(back), 6))
    for (first, second), n in bigrams.items():
        p = (n - 0.5) / contexts[first] + 10 ** grams[(first,)][1] * chance[second]
        grams[first, second] = (round(math.log10(p), 6), 0.0)
    ones = [gram for gram in grams if len(gram) == 1]
    twos = [gram for gram in grams if len(gram) == 2]
    text = f"\\data\\\nngram 1={len(ones)}\nngram 2={len(twos)}\n\n\\1-grams:\n"
    text += "".join(f"{grams[g][0]}\t{g[0]}\t{grams[g][1]}\n" for g in ones)
    text += "\n\\2-grams:\n" + "".join(f"{grams[g][0]}\t{' '.join(g)}\n" for g in twos)
    return text + "\n\\end\\\n", grams


def by_hand(grams: dict[tuple[str, ...], tuple[float, float]], text: str) -> float | None:
    log10, n = 0.0, 0
    for line in filter(str.strip, text.split("\n")):
        words = [w if (w,) in grams else "<unk>" for w in ["<s>", *line.split(), "</s>"]]
        for first, second in itertools.pairwise(words):
            if (first, second) in grams:
                log10 += grams[first, second][0]
            else:
                log10 += grams[(first,)][1] + grams[(second,)][0]
        n += len(words) - 1
    return 10 ** (-log10 / n) if n else None


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[tuple[str, ...], tuple[float, float]]]:  # fmt: skip
    chance = random.Random(1)
    words = [f"w{i}" for i in range(60)] + ["数据", "é"]
    lines = [" ".join(chance.choices(words, weights=range(62, 0, -1), k=9)) for _ in range(400)]
    text, grams = arpa(lines)
    path = tmp_path_factory.mktemp("kenlm") / "model.arpa"
    path.write_text(text)
    return path, grams


TEXTS = [
    "w0 w1 w2",
    "w0 w1\n\nw5 never w6\n",
    "数据 é w59",
    "unseen words 😀",
    "w3" * 40,
    "w0\r\nw1",
]


def test_equals_kenlm_and_the_sum_by_hand(model: tuple[Path, dict[tuple[str, ...], tuple[float, float]]]) -> None:  # fmt: skip
    path, grams = model
    stage = Perplexity(model=str(path), normalise="none")
    assert stage.problems() == []
    texts = [*TEXTS, "", " \n ", None]
    found = stage.open()(Batch.of(text=texts))["perplexity"].to_pylist()
    assert found[-3:] == [None, None, None]
    reference = kenlm.Model(str(path))
    for text, value in zip(TEXTS, found, strict=False):
        lines = [line for line in text.split("\n") if line.strip()]
        log10 = sum(reference.score(line) for line in lines)
        n = sum(len(line.split()) + 1 for line in lines)
        assert value == pytest.approx(10 ** (-log10 / n), rel=1e-6)
        assert value == pytest.approx(by_hand(grams, text), rel=1e-4)
    batch = Batch.of(text=pa.array([None, *texts], pa.large_string())).slice(1, 9)
    assert stage.open()(batch)["perplexity"].to_pylist() == found
    one = [stage.open()(batch.slice(at, 1))["perplexity"][0].as_py() for at in range(9)]
    assert one == found


def test_ccnets_normalisation_and_tokens(model: tuple[Path, object], tmp_path: Path) -> None:
    path = str(model[0])
    score = Perplexity(model=path).open()
    plain = Perplexity(model=path, normalise="none").open()
    expected = plain(Batch.of(text=["unk w0", "e 数据", "w00"]))["perplexity"].to_pylist()
    assert score(Batch.of(text=["UNK W7", "É 数据", "w14"]))["perplexity"].to_pylist() == expected
    tokenizer = Tokenizer(models.WordLevel({"w": 0, "1": 1, "?": 2}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.save(str(tmp_path / "t.json"))
    pieces = Perplexity(model=path, tokenizer=str(tmp_path / "t.json"), normalise="none").open()
    expected = plain(Batch.of(text=["w 1"]))["perplexity"].to_pylist()
    assert pieces(Batch.of(text=["w1"]))["perplexity"].to_pylist() == expected


def test_sentencepiece(model: tuple[Path, object], tmp_path: Path) -> None:
    sentencepiece = pytest.importorskip("sentencepiece", reason="sentencepiece is not installed")
    (tmp_path / "in.txt").write_text("w0 w1 w2 w3 数据\n" * 50)
    prefix = str(tmp_path / "sp")
    sentencepiece.SentencePieceTrainer.Train(
        input=str(tmp_path / "in.txt"), model_prefix=prefix, vocab_size=12, minloglevel=2
    )
    stage = Perplexity(model=str(model[0]), tokenizer=f"{prefix}.model", normalise="none")
    assert stage.problems() == []
    processor = sentencepiece.SentencePieceProcessor(model_file=f"{prefix}.model")
    line = " ".join(processor.EncodeAsPieces("w0 w1"))
    plain = Perplexity(model=str(model[0]), normalise="none").open()
    assert stage.open()(Batch.of(text=["w0 w1"]))["perplexity"] == plain(Batch.of(text=[line]))["perplexity"]  # fmt: skip
    (tmp_path / "bad.model").write_text("no model")
    bad = Perplexity(model=str(model[0]), tokenizer=str(tmp_path / "bad.model"))
    assert "not a SentencePiece model" in bad.problems()[0]


def test_files_of_another_kind(model: tuple[Path, object], tmp_path: Path) -> None:
    content = model[0].read_bytes()
    packed = tmp_path / "model.arpa.gz"
    packed.write_bytes(gzip.compress(content))
    assert Perplexity(model=str(packed)).problems() == []
    for name, wrong, message in (
        ("other", b"PK\x03\x04 something", "neither a KenLM binary nor ARPA; it begins with b'PK"),
        ("cut", content[: len(content) // 2], "truncated: it does not end with \\end\\"),
        ("empty", b"", "neither a KenLM binary"),
    ):
        (tmp_path / name).write_bytes(wrong)
        stage = Perplexity(model=str(tmp_path / name))
        assert message in stage.problems()[0]
        with pytest.raises(DataError):
            stage.open()
    assert "there is no such model" in Perplexity(model=str(tmp_path / "gone")).problems()[0]
    damaged = tmp_path / "damaged"
    damaged.write_bytes(b"mmap lm http://kheafield.com/code format version 5\n\0" + b"\0" * 90)
    with pytest.raises(DataError, match="KenLM cannot read this model"):
        Perplexity(model=str(damaged)).open()
    (tmp_path / "t.json").write_text(json.dumps({"a": 1}))
    both = Perplexity(model=str(model[0]), tokenizer=str(tmp_path / "t.json"))
    assert "not a tokenizer.json" in both.problems()[0]
