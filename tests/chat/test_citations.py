"""Citations that exist pass, invented ones do not."""

from __future__ import annotations

import random

import pytest

from ultrachat.checks.citations import check_citations, cited

SEED = random.SystemRandom().randrange(2**32)


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("As shown [1], and again [3, 5-7].", ["1", "3", "5", "6", "7"]),
        ("综述【2】与[4，2]", ["2", "4"]),
        (
            "See [@smith2020; @lee.2021] and \\cite{a:b, c} or \\citep[p. 3]{d}.",
            ["smith2020", "lee.2021", "a:b", "c", "d"],
        ),
        ("`a[1]` and ```\nx[2]\n``` and [3](http://x) and ![4](y)", []),
        ("[2020-1] is no range, nor is [x] a citation", ["2020", "1"]),
        ("", []),
    ],
)
def test_cited(text: str, keys: list[str]) -> None:
    assert cited(text) == keys


def test_known_against_invented() -> None:
    rng = random.Random(SEED)
    for _ in range(300):
        index = rng.sample([*map(str, range(1, 200)), *(f"key{n}" for n in range(200))], 30)
        used = rng.sample(index, rng.randint(1, 5))

        def shown(key: str) -> str:
            return f"[{key}]" if key.isdigit() else rng.choice([f"[@{key}]", rf"\cite{{{key}}}"])

        text = " ".join(f"a claim {shown(key)}." for key in used)
        assert check_citations(text, index).ok, f"seed {SEED}: {text}"
        invented = rng.choice([str(rng.randint(200, 999)), f"key{rng.randint(200, 999)}"])
        verdict = check_citations(f"{text} Another {shown(invented)}.", index)
        assert verdict.reason == "unknown_citation" and verdict.detail == invented
    assert check_citations("none", ["1"]).reason == "too_few_citations"
