"""spaCy's words by table, against spaCy itself in languages whose rules differ."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from texts import odd_texts, real_rows

from ultraclean.text.buffers import of_strings
from ultraclean.text.spacy_letters import stay_whole
from ultraclean.text.spacy_tokens import Cutter

spacy = pytest.importorskip("spacy")


LANGUAGES = ("en", "de", "fr", "es", "it", "el", "tr", "id", "hi", "fi", "xx")


@pytest.mark.parametrize("language", LANGUAGES)
def test_words_are_spacys(language: str, shared_data: Path) -> None:
    tokenizer = spacy.blank(language).tokenizer
    chance = random.Random(language)
    cases = chance.sample(sorted(tokenizer.rules), min(60, len(tokenizer.rules)))
    texts = [f"{a} {b}\n({c})" for a, b, c in zip(cases, cases[1:], cases[2:], strict=False)]
    texts += [*map(str.upper, cases), *odd_texts(40, seed=3)]
    texts += [row["text"][:800] for row in list(real_rows(shared_data, {"langid/udhr": 0}))[::40]]
    texts = [text.replace("IS_ALPHA", "") for text in texts]
    cutter = Cutter(tokenizer)
    text = of_strings(texts)
    doc, begin, end = cutter.spans(text.data, text.offsets)
    for row, one in enumerate(texts):
        spans = range(doc[row], doc[row + 1])
        found = [text.data[begin[i] : end[i]].tobytes().decode() for i in spans]
        assert found == [token.text for token in tokenizer(one) if not token.is_space], one


def test_letters_are_told_to_stay_whole_only_where_every_rule_needs_another_character() -> None:
    assert stay_whole(spacy.blank("en").tokenizer)
    assert not stay_whole(spacy.blank("id").tokenizer)  # cuts off `USD`, `Rp`
    tokenizer = spacy.blank("en").tokenizer
    for pattern, whole in {
        r"[0-9]+": True,
        r"(?<=[0-9])km": True,
        r"(?:km)?": False,
        r"k+[.:]": True,
        r"k|[.]": False,
        r".": False,
        r"[^.]": False,
        r"(?![.])k": False,
        r"[\d\s]": True,
        r"\w": False,
        r"(?i:\.K)|(?i:0)": True,
        r"(?i:[0-9])k": True,
    }.items():
        tokenizer.suffix_search = re.compile(pattern).search
        assert stay_whole(tokenizer) == whole, pattern
    tokenizer.suffix_search = lambda text: None
    assert not stay_whole(tokenizer)
