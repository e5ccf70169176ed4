"""Numbers and names that a text has and its source lacks; a bench on real text with a new seed each time."""

from __future__ import annotations

import gzip
import json
import random
import re
from pathlib import Path

import pytest

from ultraclean.text.cuts import passages
from ultraclean.text.invention import invented, names, numbers

SEED = random.SystemRandom().randrange(2**32)


@pytest.mark.parametrize(
    ("text", "source", "new_numbers", "new_names"),
    [
        ("It has 1,234.50 and .5", "1234.5 and 0.5", set(), set()),
        ("It has 12 and 40", "twelve, forty", set(), set()),
        ("共25人，306只，1998年，12个", "二十五人，三百零六只，一九九八年，十二个", set(), set()),
        ("１２ of them", "12", set(), set()),
        ("It grew by 13 %", "It grew by 12 %", {"13"}, set()),
        ("1. First\n2) Second\n# 3. Third\n(4) Fourth", "", set(), set()),
        ("on 3.14 and 2.50", "3.14159 and 2.5", {"3.14"}, set()),
        ("He met Newton's friend Halley in London.", "newton, halley; London", set(), set()),
        ("He met Newton there.", "He met someone.", set(), {"Newton"}),
        ("The Seine rose. Water came. It was Paris.", "the seine; water", set(), {"Paris"}),
        ("I’m here, and I saw: No one.", "", set(), set()),
        ("# The Great Fire of London\n\nFire Burns Many Houses\n\nit burned.", "", set(), set()),
        ("爱因斯坦（Einstein）写了《相对论》，阿尔伯特·爱因斯坦是物理学家", "爱因斯坦", set(),
         {"Einstein", "相对论", "伯特·爱因"}),
        ("", "x", set(), set()),
        ("x", "", set(), set()),
    ],
)  # fmt: skip
def test_what_is_new(text: str, source: str, new_numbers: set[str], new_names: set[str]) -> None:
    found = invented(text, source)
    assert found.new_numbers == new_numbers and found.new_names == new_names
    assert not invented(text, text).new_numbers | invented(text, text).new_names


def real(shared_data: Path) -> list[str]:
    with gzip.open(shared_data / "text" / "openstax.jsonl.gz", "rt") as stream:
        texts = [json.loads(line)["text"] for _, line in zip(range(120), stream, strict=False)]
    return [part for text in texts for part in passages(text, 3000)[:1] if len(part) > 500]


def test_bench_on_real_text(shared_data: Path) -> None:
    """A text with its sentences in another order invents nothing; altered numbers are all caught."""
    rng = random.Random(SEED)
    sources = real(shared_data)
    n_altered = n_caught = n_named = n_seen = 0
    for source in sources:
        sentences = re.split(r"(?<=[.!?])\s+", source)
        rng.shuffle(sentences)
        mixed = invented("\n\n".join(sentences), source)
        assert not mixed.new_numbers and not mixed.new_names, f"seed {SEED}"
        known = sorted(numbers(source))
        if known:
            old = rng.choice(known)
            new = str(rng.randrange(10**6, 10**7))
            altered = re.sub(rf"(?<![\d.,]){re.escape(old)}(?![\d.,])", new, source)
            if altered != source:
                n_altered += 1
                n_caught += new in invented(altered, source).new_numbers
        other = rng.choice(sources)
        strange = sorted(names(other) - names(source))
        strange = [name for name in strange if name.lower().rstrip("s") not in source.lower()]
        if strange:
            name = rng.choice(strange)
            n_named += 1
            n_seen += (
                name in invented(f"{source}\n\nThis was found by {name} later.", source).new_names
            )
    assert n_altered > 20 and n_caught == n_altered, f"seed {SEED}: {n_caught} of {n_altered}"
    assert n_named > 50 and n_seen == n_named, f"seed {SEED}: {n_seen} of {n_named}"


def test_passages() -> None:
    text = "One two.\n\nThree four five. Six seven.\nEight nine " + "x" * 50
    for size in (5, 12, 20, 30, 200):
        parts = passages(text, size)
        assert all(0 < len(part) <= size for part in parts)
        assert "".join("".join(parts).split()) == "".join(text.split())
    assert passages("", 10) == passages(" \n ", 10) == []
    assert passages("aaaa bb. cccc dddd", 10) == ["aaaa bb.", "cccc dddd"]
