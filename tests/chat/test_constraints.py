"""Every checker against answers that obey by construction and answers that do not."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import pytest

from ultrachat.checks.constraints import CONFLICTS, KINDS, Instruction, check_all, draw
from ultrachat.checks.constraints.kind import sentences, words
from ultraclean.text.languages import language_of

SEED = random.SystemRandom().randrange(2**32)  # another bench each time
CASES = [(name, language) for name, kind in KINDS.items() for language in kind.say]


@pytest.mark.parametrize(("name", "language"), CASES)
def test_good_ones_pass_and_bad_ones_are_caught(name: str, language: str) -> None:
    rng = random.Random(f"{SEED} {name} {language}")
    kind = KINDS[name]
    for _ in range(150):
        instruction = Instruction(name, kind.draw(rng, language, ""), language)
        params = {**instruction.params, "language": language}
        good, bad = kind.make(rng, params), kind.spoil(rng, params)
        verdict = instruction.check(good)
        assert verdict.ok, f"seed {SEED}: {instruction} {verdict}\n{good}"
        verdict = instruction.check(bad)
        assert not verdict.ok, f"seed {SEED}: {instruction}\n{bad}"
        assert verdict.reason == name.split(":")[1] and verdict.detail
        assert "{" not in instruction.text.replace(str(params.get("prompt", "{")), "")


def test_there_are_the_25_of_ifeval_and_as_many_in_chinese() -> None:
    languages = [language for _, language in CASES]
    assert languages.count("en") >= 25 and languages.count("zh") >= 25
    families = {name.split(":")[0] for name in KINDS}
    assert {"keywords", "language", "length_constraints", "detectable_content"} < families
    assert all(group <= set(KINDS) for group in CONFLICTS)


def test_empty_and_odd_answers_do_not_crash() -> None:
    rng = random.Random(SEED)
    for answer in ("", " ", "\n\n***\n", "```", "<<>>", "😀" * 50, "\x00", "“", '"', "a" * 10_000):
        for name, language in CASES:
            Instruction(name, KINDS[name].draw(rng, language, ""), language).check(answer)


def test_instructions_are_drawn_by_seed_without_conflicts() -> None:
    for seed in range(200):
        drawn = draw(random.Random(seed), "en", 4, prompt="Why?")
        assert drawn == draw(random.Random(seed), "en", 4, prompt="Why?")
        names = {one.kind for one in drawn}
        assert len(names) == 4 and not any(len(names & group) > 1 for group in CONFLICTS)


def test_all_constraints_of_an_answer_at_once() -> None:
    both = [
        Instruction("punctuation:no_comma", {}),
        Instruction("keywords:existence", {"keywords": ["river"]}),
    ]
    assert [v.reason for v in check_all("The river, at last.", both)] == ["no_comma", None]
    assert check_all("Nothing here.", both)[1].detail == "lacks ['river']"


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("One. Two! Three?", 3),
        ("Dr. Smith paid 3.50 at 5 p.m. He left.", 2),
        ("他来了。她走了！真的吗？", 3),
        ("A line\nAnother line", 2),
        ('He said "Stop." Then he left.', 2),
        ("Wait... what?!", 2),
        ("***\n---", 0),
    ],
)
def test_sentences(text: str, count: int) -> None:
    assert len(sentences(text)) == count


def test_words() -> None:
    assert words("Don't re-read 3 books, 好的 OK") == [
        "Don't",
        "re-read",
        "3",
        "books",
        "好",
        "的",
        "OK",
    ]


def test_languages_of_the_declaration(shared_data: Path) -> None:
    with gzip.open(shared_data / "langid" / "udhr.jsonl.gz") as stream:
        rows = [json.loads(line) for line in stream]
    codes = {"de", "es", "fr", "it", "nl", "pt", "ru", "ja", "ko", "el", "ar", "he", "hi", "th"}
    known = [row for row in rows if row["lang"].split("-")[0] in codes]
    assert len(known) >= 6
    for row in known:
        assert language_of(row["text"][200:900]) == row["lang"].split("-")[0]
    assert language_of("12345 !!!") == "und" and language_of("") == "und"
