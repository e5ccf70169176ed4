"""verify.anneal: what it refuses before it trains, and one whole job on real text with tiny models."""

from __future__ import annotations

import dataclasses
import gzip
import json
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from ultraclean.errors import DataError
from ultraclean.stages.fit.tokenizer import Tokenizer
from ultraclean.stages.verify import texts
from ultraclean.stages.verify.anneal import Anneal
from ultraclean.stages.verify.pack import pack
from ultraclean.stages.verify.prepare import Wanted, prepare
from ultraclean.stages.verify.texts import look
from ultraclean.stages.verify.trial import Trial, load_tokenizer
from ultraclean.train import ModelConfig, TrainSpec
from ultraclean.train.data import Position, draw, open_sources
from ultraclean.train.shards import open_folder

Table = Callable[..., Any]


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    torch.set_num_threads(1)


def lines_of(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


def written(path: Path, found: Iterable[str]) -> str:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in found))
    return str(path)


def noised(text: str, chance: random.Random) -> str:
    """A third as it is; else menus, typos, capitals, or cut short: an uncleaned mix."""
    kind = chance.randrange(6)
    if kind < 2:
        return text
    if kind == 2:
        return f"Home | News | Log in | Contact\n{text}\nShare Tweet Print"
    if kind == 3:
        letters = "abcdefghijklmnopqrstuvwxyz"
        return "".join(c if chance.random() > 0.02 else chance.choice(letters) for c in text)
    return text.upper() if kind == 4 else text[: len(text) * 2 // 3]


# --- one whole job --------------------------------------------------------------------------------


def test_real_text_is_judged_rightly(
    shared_data: Path, memory_table: Table, tmp_path: Path
) -> None:
    """Textbooks against noised reviews and news: the facts let no more be said of so small a model."""
    chance = random.Random(5)
    mix = []
    for name, n_docs in (("imdb", 1500), ("bbc", 200), ("reuters", 500)):
        found = lines_of(shared_data / "text" / f"{name}.jsonl.gz")
        mix += [noised(row["text"], chance) for row in chance.sample(found, n_docs)]
    chance.shuffle(mix)
    books = chance.sample(lines_of(shared_data / "text" / "openstax.jsonl.gz"), 40)
    tables = {
        "mix": memory_table("mix", text=mix),
        "textbooks": memory_table("textbooks", text=[row["text"] for row in books]),
    }
    tokenizer = str(tmp_path / "tokenizer")
    Tokenizer(tables="mix", vocab_size=2048, held_out=0).make(tables, tokenizer, map)
    news = lines_of(shared_data / "labels" / "onestop.jsonl.gz")
    web = lines_of(shared_data / "sft" / "c4_demo.jsonl.gz")
    stage = Anneal(
        candidates="textbooks",
        default="mix",
        tokenizer=tokenizer,
        evaluation={
            "onestop": written(tmp_path / "onestop", (r["text"] for r in news if "adv" in r["id"])),
            "lambada": str(shared_data / "eval" / "lambada.jsonl.gz"),
            "web": written(tmp_path / "web", (row["text"] for row in web)),
        },
        base_tokens=200_000,
        tokens=30_000,
        seeds=(3,),
        evaluation_bytes=10_000,
        seed=11,
    )
    folder = tmp_path / "verify"
    done: list[str] = []
    specs: dict[str, dict[str, Any]] = {}

    def killed(function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
        for number, item in enumerate(items):
            if isinstance(item, Trial) and number == 2:
                raise KeyboardInterrupt
            yield function(item)

    def counting(function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
        for item in items:
            assert isinstance(item, Trial), "what is prepared stays prepared"
            done.append(f"{item.arm}.{item.seed}")
            specs[done[-1]] = item.spec
            yield function(item)

    with pytest.raises(KeyboardInterrupt):
        stage.make(tables, str(folder), killed)
    card = stage.make(tables, str(folder), counting)
    arms = ("control", "null", "textbooks", "textbooks.placebo")
    expected = [f"{arm}.{seed}" for seed in range(3) for arm in arms]
    assert done == expected[2:], "the base and two trials were done before"

    assert card["valid"], card["reason"]
    verdict = card["verdicts"][0]
    assert verdict["outcome"] == "accepted" or (
        verdict["outcome"] == "undecided" and verdict["mean"] > 0
    ), card["table"]
    assert "textbooks" in card["accepted"] + card["undecided"]
    assert {one["arm"] for one in card["guards"]} == {"null", "textbooks.placebo"}
    assert all(one["outcome"] != "accepted" for one in card["guards"]), card["table"]
    assert len(verdict["seeds"]) == 3 and set(verdict["sets"]) == {"onestop", "lambada", "web"}
    assert card["cost"]["trials"] == 12 and 0 < card["cost"]["saving"] < 1
    assert json.loads(json.dumps(card, allow_nan=False)) == card
    assert not list(folder.glob("trials/*/checkpoints")), "only the base's checkpoint stays"
    assert (folder / card["base"]["checkpoint"]).is_dir()

    orders = [shared_part(specs[f"{arm}.1"]) for arm in arms[2:]]
    assert orders[0] == orders[1], "the shared part is the same, sample for sample"
    assert orders[0] != shared_part(specs["control.2"]), "and another one with another seed"


def shared_part(given: dict[str, Any]) -> list[tuple[int, bytes]]:
    """The places and the tokens of the default mix in the first steps of an arm."""
    spec = TrainSpec.model_validate(given)
    sources = open_sources(spec)
    samples, _ = draw(spec.stages[0].mix, Position(), 3 * spec.batch)
    return [
        (at, sources[name].sample(taken)[0].tobytes())
        for at, (name, taken) in enumerate(samples)
        if name == "default"
    ]


# --- what is refused before anything is trained ---------------------------------------------------

WORDS = [
    "river",
    "stone",
    "market",
    "letter",
    "engine",
    "garden",
    "winter",
    "paper",
    "signal",
    "harbour",
    "music",
    "bridge",
]


def prose(n: int, seed: int, n_words: int = 80) -> list[str]:
    chance = random.Random(seed)
    return [" ".join(chance.choices(WORDS, k=n_words)) for _ in range(n)]


@pytest.fixture(scope="module")
def tokenizer(memory_table: Table, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = str(tmp_path_factory.mktemp("tokenizer"))
    table = memory_table("t", text=prose(100, 1))
    Tokenizer(tables="t", vocab_size=300, held_out=0).make({"t": table}, folder, map)
    return folder


@pytest.fixture
def refused(memory_table: Table, tokenizer: str, tmp_path: Path) -> Callable[..., str]:
    """The message of a job that must not come to training."""

    def message(
        candidate: Sequence[str | None], mix: Sequence[str] | None = None, **fields: Any
    ) -> str:
        tables = {
            "mix": memory_table("mix", text=list(mix) if mix is not None else prose(400, 2)),
            "new": memory_table("new", text=list(candidate)),
        }
        evaluation = {"held": written(tmp_path / "held.jsonl", prose(5, 3))}
        given: dict[str, Any] = {"tokens": 2_000, "base_tokens": 4_000, "evaluation": evaluation}
        stage = Anneal(
            **{"candidates": "new", "default": "mix", "tokenizer": tokenizer, **given, **fields}
        )

        def never(function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
            assert function in (look, pack), "nothing may be trained"
            return [function(item) for item in items]

        with pytest.raises(DataError) as caught:
            stage.make(tables, str(tmp_path / "out"), never)
        return str(caught.value)

    return message


def test_a_candidate_that_would_repeat_is_refused(refused: Callable[..., str]) -> None:
    found = refused(prose(3, 4, n_words=15))
    assert "the candidate new is too small" in found and "times; beyond 2" in found
    copies = refused(prose(3, 4, n_words=15) * 20)
    assert "are exact copies" in copies and "would be seen" in copies


def test_a_candidate_without_text_is_refused(refused: Callable[..., str]) -> None:
    assert "the table new holds no text" in refused([None, "", "  "])
    assert "nothing is left to train on" in refused(["only one document"])


def test_an_overlap_with_the_evaluation_is_refused(refused: Callable[..., str]) -> None:
    found = refused([*prose(50, 5), *(f"before {text} after" for text in prose(5, 3))])
    assert "overlaps the evaluation (held): 5 of 55 documents" in found
    assert "filter.decontaminate" in found


def test_a_small_default_mix_is_refused(refused: Callable[..., str]) -> None:
    assert "too small to train a base on" in refused(prose(100, 4), prose(6, 2))
    found = refused(prose(100, 4), prose(60, 2, n_words=20), base_tokens=500, tokens=9000)
    assert "the part default has" in found


def test_evaluation_files_are_read_first(refused: Callable[..., str], tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"text": "fine"}\nnot json\n')
    assert "bad.jsonl:2 is not JSON" in refused(prose(100, 4), evaluation={"x": str(bad)})
    bad.write_text('{"question": "?"}\n')
    assert "no line with a `text`" in refused(prose(100, 4), evaluation={"x": str(bad)})
    gone = str(tmp_path / "gone.jsonl")
    assert "no file at" in refused(prose(100, 4), evaluation={"x": gone})
    stage = Anneal(candidates="a", default="b", tokenizer="t", evaluation={"x": gone})
    assert stage.problems() == [f"evaluation.x: no file at {gone}"]


def test_a_base_that_is_none_is_refused(refused: Callable[..., str], tmp_path: Path) -> None:
    assert "has no finished checkpoint" in refused(
        prose(100, 4), base=str(tmp_path / "nothing"), base_tokens=None
    )


def test_a_base_that_does_not_fit_is_refused(refused: Callable[..., str], tmp_path: Path) -> None:
    """Another tokenizer, an embedding too small, a file cut short: before anything is packed."""
    base = tmp_path / "base"
    base.mkdir()
    for name in ("model.safetensors", "optimizer.safetensors"):
        (base / name).write_bytes(b"0123456789")
    record: dict[str, Any] = {
        "model": ModelConfig.preset("tiny").model_dump(mode="json") | {"vocab_size": 100},
        "tokens": 1000,
        "tokenizer": "of another",
        "sizes": {"model.safetensors": 10, "optimizer.safetensors": 10},
        "spec": {"lr": 0.005, "length": 256, "batch": 10, "stages": [{"peak": 1.0}]},
    }

    def said(**changes: Any) -> str:
        (base / "checkpoint.json").write_text(json.dumps(record | changes))
        return refused(prose(100, 4), base=str(base), base_tokens=None)

    assert "was trained with the tokenizer of another" in said()
    assert "an embedding of 100" in said(tokenizer=None)
    short = said(sizes={"model.safetensors": 4000, "optimizer.safetensors": 10})
    assert "was cut short: it has 10 bytes, its record says 4,000" in short
    (base / "optimizer.safetensors").unlink()
    assert "has no optimizer.safetensors" in said(sizes={"model.safetensors": 10})
    assert not (tmp_path / "out" / "tokens").exists()


def test_what_the_mix_trains_on_anyway_is_left_out(
    memory_table: Table, tokenizer: str, tmp_path: Path
) -> None:
    """A candidate out of the pool: documents of the base and of the shared part are not repeated."""
    mix = prose(400, 2)
    tables = {"mix": memory_table("mix", text=mix), "new": memory_table("new", text=mix)}
    wanted = Wanted("mix", ("new",), 0.3, 2_000, 4_000, 0.0, 2.0, 0.01, {}, 5_000)
    path = f"{tokenizer}/tokenizer.json"
    evaluation = {"held": written(tmp_path / "held.jsonl", prose(5, 3))}
    wanted = dataclasses.replace(wanted, evaluation=evaluation)
    prepared = prepare(wanted, tables, load_tokenizer(path), path, str(tmp_path / "p"), map)
    facts = prepared["tables"]["new"]
    assert 0 < facts["in_the_mix"] < 400
    tokens = {
        name: open_folder(str(tmp_path / "p" / "tokens" / name))
        for name in ("new", "default", "base")
    }
    seen = {one for name in ("default", "base") for one in documents_of(tokens[name])}
    assert not seen & set(documents_of(tokens["new"]))


def documents_of(folder: Any) -> Iterator[Any]:
    start = 0
    for end in folder.ends.tolist():
        yield folder.window(start, end - start).tokens.tobytes()
        start = end


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"seeds": (1,)}, "one seed has no deviation"),
        ({"seeds": (5, 3)}, "rising"),
        ({"candidates": ("b",)}, "both the default mix and a candidate"),
        ({"candidates": ("x", "x")}, "each once"),
        ({"base": "c", "base_tokens": 10}, "trained here"),
        ({"against": "a"}, "both a candidate and what it is compared with"),
    ],
)
def test_wrong_fields(fields: dict[str, Any], message: str) -> None:
    given = {"candidates": "a", "default": "b", "tokenizer": "t", "evaluation": {"x": "y"}}
    with pytest.raises(ValidationError, match=message):
        Anneal(**{**given, **fields})


# --- texts ----------------------------------------------------------------------------------------


def test_shuffling_keeps_the_words_and_is_the_same_every_time() -> None:
    text = prose(1, 9)[0]
    mixed = texts.shuffled(text)
    assert mixed != text and sorted(mixed.split()) == sorted(text.split())
    assert mixed == texts.shuffled(text)
    chinese = "这是一个没有空格的句子，用来测试字符的顺序。"
    assert texts.shuffled(chinese) != chinese
    assert sorted(texts.shuffled(chinese)) == sorted(chinese)


def test_copies_have_one_place() -> None:
    assert texts.place("one") == texts.place("one") != texts.place("two")
    assert 0 <= texts.place("") < 1
