"""The chain without strings: the same ids as the tokenizers package, the same scores as strings."""

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
from numpy.typing import NDArray
from ultrakernels import bpe as kernel
from ultrakernels import fasttext, pretokens

from ultraclean.document import texts
from ultraclean.text import bpe, chain, classifier
from ultraclean.text.buffers import of_strings

DEEPSEEK = (
    r"[\r\n]",
    r"\s?[A-Za-zµß-öø-ƺͰ-ͳΑ-ϵа-яႠ-ჅḀ-ἕ]+",
    r"\s?[!-/:-~！-／：-～‘-‟　-。]+",
    r"\s+$",
    r"[一-龥ࠀ-一가-퟿]+",
)
EDGES = [
    "",
    "a",
    "x y  z   w    ",
    "don't we'll i've 's x'y ' ''s 'll'r 're",
    "１２３ ½ ² 12 345 a1b2",
    "tab\there\r\n \n a",
    "\u200b\ufeff a\u3000b　c",
    "字。字 字，한국어 ქართული",
    "ß straße naïve",
    "a" * 300,
    "字" * 200,
    "ab " * 100,
    "<|end|>",
    "x <|end|> y",
    "x \x1c",
    "ΣΑΣ",
    "__label__pos </s> </s",
    "😀👨‍👩‍👧 ok  ",
    " \x85\u2028 ",
]


def pre_tokenizer(rule: str) -> Any:
    from tokenizers import Regex, pre_tokenizers

    if rule == "gpt2":
        return pre_tokenizers.ByteLevel(add_prefix_space=False)
    if rule == "digits":
        digits = pre_tokenizers.Digits(individual_digits=True)
        return pre_tokenizers.Sequence([digits, pre_tokenizer("gpt2")])
    return pre_tokenizers.Sequence(
        [
            *(pre_tokenizers.Split(Regex(one), "isolated") for one in DEEPSEEK),
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def tokenizer_json(rule: str, corpus: list[str], alphabet: bool = True) -> str:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer(rule)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=3000 if alphabet else 900,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet() if alphabet else [],
        special_tokens=["<|end|>"],
        show_progress=False,
    )
    tokenizer.train_from_iterator([classifier.plain(text) for text in corpus], trainer)
    content: str = tokenizer.to_str()
    return content


@pytest.fixture(scope="module")
def corpus(shared_data: Path) -> list[str]:
    found = []
    for name, count in (("text/bbc", 60), ("text/zh_lctt", 15), ("langid/udhr", 98)):
        with gzip.open(shared_data / f"{name}.jsonl.gz", "rt") as lines:
            found += [
                json.loads(line)["text"] for line, _ in zip(lines, range(count), strict=False)
            ]
    return found


@pytest.fixture(scope="module")
def made(corpus: list[str]) -> Callable[[str], str]:
    done: dict[str, str] = {}

    def get(rule: str) -> str:
        if rule not in done:
            done[rule] = tokenizer_json(rule.removesuffix("-"), corpus, not rule.endswith("-"))
        return done[rule]

    return get


def odd_texts(count: int) -> list[str]:
    rng = random.Random(2)
    pool = [chr(code) for code in range(0x3000)]
    pool += [chr(rng.randrange(0x3000, 0x110000)) for _ in range(500)]
    pool = [char for char in pool if not 0xD800 <= ord(char) < 0xE000]
    pool += list("中文。，！？ \n\n\n\t  ") * 60 + list("abc ABC  123 '.") * 100
    return ["".join(rng.choice(pool) for _ in range(rng.randrange(1, 220))) for _ in range(count)]


def ids_of(tables: bpe.Bpe, text: str) -> list[int] | None:
    """By the kernels; None where a byte has no id."""
    data = np.frombuffer(text.encode(), dtype=np.uint8)
    n = len(data)
    if (tables.byte_ids[data] < 0).any():
        return None
    kinds, marks = np.empty(n + 1, dtype=np.uint8), np.zeros(n + 2, dtype=np.uint8)
    pretokens.classes(data, 0, n, tables.kinds, kinds)
    pretokens.cut(data, 0, n, kinds, tables.rules, tables.bits, marks)
    ids = np.empty(n + 1, dtype=np.int32)
    found, at = kernel.encode(
        data, 0, n, marks, np.int64(0), tables.byte_ids, tables.keys, tables.values,
        tables.cache, tables.pool, tables.used, ids,
    )  # fmt: skip
    assert at == n
    return [int(one) for one in ids[:found]]


@pytest.mark.parametrize("rule", ["gpt2", "digits", "deepseek", "gpt2-"])
def test_ids_are_the_packages(rule: str, made: Callable[[str], str], corpus: list[str]) -> None:
    from tokenizers import Tokenizer

    tables = bpe.of_json(made(rule))
    assert tables is not None
    tokenizer = Tokenizer.from_str(made(rule))
    missing = 0
    for text in [*EDGES, *odd_texts(400), *corpus]:
        plain = classifier.plain(text)
        if "<|end|>" in plain:
            continue
        ids = ids_of(tables, plain)
        if ids is None:
            missing += 1
            continue
        assert ids == tokenizer.encode(plain, add_special_tokens=False).ids, text[:80]
    assert (missing > 0) == (rule == "gpt2-")
    assert tables.used[0] > 500


def test_merging_is_the_reference() -> None:
    rng = random.Random(3)
    merges = {}
    made = list(range(4))
    for rank in range(60):
        pair = (rng.choice(made), rng.choice(made))
        if pair not in merges:
            merges[pair] = (rank, len(made))
            made.append(len(made))
    pairs = np.array(list(merges))
    ordered = np.array([one for _, one in merges.values()])
    keys, values = kernel.merge_table(pairs, ordered)
    merges = {pair: (rank, one) for rank, (pair, (_, one)) in enumerate(merges.items())}
    for length in [0, 1, 2, 3, 10, 95, 96, 97, 700]:
        for _ in range(5):
            symbols = [rng.randrange(4) for _ in range(length)]
            expected = kernel.reference(symbols, merges)
            short = np.array(symbols, dtype=np.int32)
            ranks = np.empty(length, dtype=np.uint64)
            n = kernel.merge_short(short, ranks, length, keys, values)
            assert short[:n].tolist() == expected
            if length:
                long = np.array(symbols, dtype=np.int32)
                n = kernel.merge_long(long, length, keys, values)
                assert long[:n].tolist() == expected


def test_rules_are_the_reference() -> None:
    rng = random.Random(4)
    white, letters, digits, marks = set(" \n\u2003"), set("abé"), set("12"), set(".中")
    sets = [white, letters, digits, marks]
    kinds = np.zeros(0x110000, dtype=np.uint8)
    for bit, chosen in enumerate(sets):
        kinds[[ord(char) for char in chosen]] |= 1 << bit
    for _ in range(400):
        rules = [
            (rng.choice([pretokens.EACH, pretokens.RUNS, pretokens.SPACED_RUNS]), bit)
            for bit in rng.sample([1, 2, 3], 3)
        ]
        rules.insert(rng.randrange(4), (pretokens.TRAILING, 0))
        text = "".join(rng.choice(" \n\u2003abé12.中😀") for _ in range(rng.randrange(30)))
        data = np.frombuffer(text.encode() or b"", dtype=np.uint8)
        n = len(data)
        classes, cuts = np.zeros(n + 1, dtype=np.uint8), np.zeros(n + 2, dtype=np.uint8)
        pretokens.classes(data, 0, n, kinds, classes)
        pretokens.cut(
            data, 0, n, classes, np.array([rule for rule, _ in rules]),
            np.array([1 << bit for _, bit in rules], dtype=np.uint8), cuts,
        )  # fmt: skip
        places = np.flatnonzero(cuts[: n + 1])
        found = [data[a:b].tobytes().decode() for a, b in itertools.pairwise(places)]
        expected = pretokens.reference(text, [(rule, sets[bit]) for rule, bit in rules], white)
        assert found == expected, (text, rules)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, corpus: list[str]) -> Path:
    """Two labels, words up to three, trained as `fit.fasttext` does on the normalised corpus."""
    import os
    import subprocess
    import sys

    folder = tmp_path_factory.mktemp("model")
    lines = []
    for number, text in enumerate(classifier.normalise_batch(corpus, classifier.words)):
        words = text.split()
        for start in range(0, min(len(words), 400), 40):
            label = "pos" if number < 60 else "neg"
            lines.append(f"__label__{label} {' '.join(words[start : start + 40])}\n")
    random.Random(1).shuffle(lines)
    (folder / "train.txt").write_text("".join(lines))
    program = (
        "import fasttext, sys; m = fasttext.train_supervised(sys.argv[1], dim=8, wordNgrams=3, "
        "bucket=20000, thread=2, lr=0.5, verbose=0); m.save_model(sys.argv[2])"
    )
    path = folder / "model.bin"
    # see stages/fit/fasttext.py
    environment = os.environ | {"MALLOC_PERTURB_": "255"}
    command = [sys.executable, "-c", program, str(folder / "train.txt"), str(path)]
    subprocess.run(command, check=True, env=environment)
    return path


def load(path: Path) -> fasttext.Classifier:
    with path.open("rb") as stream:
        return fasttext.load(stream, str(path))


@pytest.mark.parametrize("rule", ["gpt2", "digits", "deepseek", "gpt2-", "words", None])
def test_scores_are_those_of_strings(
    rule: str | None, made: Callable[[str], str], corpus: list[str], model: Path
) -> None:
    classifier_ = load(model)
    assert classifier_.single
    tokenizer = rule if rule in ("words", None) else made(rule)
    split = {"words": classifier.words, None: None}.get(rule) if rule in ("words", None) else (
        classifier.of_json(made(str(rule)))
    )  # fmt: skip
    column = pa.array([*EDGES, None, *odd_texts(150), *corpus, "the cat " * 20_000])
    ours = chain.scorer(classifier_, tokenizer)(column)
    text = of_strings(classifier.normalise_batch(texts(column), split))
    theirs = fasttext.probabilities(classifier_, text.offsets, text.data)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)
    assert np.nanstd(ours[:, 0]) > 0.05
    halves = [column.slice(0, 40), column.slice(40)]
    again: NDArray[np.float32] = np.concatenate(
        [chain.scorer(classifier_, tokenizer)(half) for half in halves]
    )
    np.testing.assert_array_equal(ours, again)


def test_what_the_kernels_do_not_know_is_none(made: Callable[[str], str]) -> None:
    settings = json.loads(made("gpt2"))
    for change in (
        {"normalizer": {"type": "NFC"}},
        {"pre_tokenizer": {"type": "Whitespace"}},
        {"pre_tokenizer": None},
        {"model": settings["model"] | {"ignore_merges": True}},
    ):
        assert bpe.of_json(json.dumps(settings | change)) is None


@pytest.mark.parametrize("kind", [pa.large_string(), pa.string_view()])
def test_types_and_slices(kind: pa.DataType, model: Path) -> None:
    column = pa.array(["x", "ΣΑΣ", None, "the cat"], pa.string())
    expected = chain.scorer(load(model), "words")(column)[1:]
    found = chain.scorer(load(model), "words")(column.cast(kind).slice(1))
    np.testing.assert_array_equal(found, expected)
