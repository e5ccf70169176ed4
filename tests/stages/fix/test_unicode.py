"""fix.unicode: the same as ftfy in datatrove's configuration, on real text and planted mojibake."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import ftfy
import pyarrow as pa
import pytest
from ftfy.badness import BADNESS_RE
from hypothesis import given
from hypothesis import strategies as st

from ultraclean.document import Batch, texts
from ultraclean.stages.fix import unicode as module
from ultraclean.stages.fix.unicode import Unicode, configuration, fixer

FIX = fixer()
CONFIG = configuration()


def ftfys(text: str) -> str:
    return ftfy.fix_text(text, CONFIG)


CASES = {
    "plain text": "plain text",
    "schÃ¶n": "schön",
    "donâ€™t": "don’t",
    "“curled” ﬁ ﬂ ，全角！": "“curled” ﬁ ﬂ ，全角！",
    "a &amp; b &eacute;": "a & b é",
    "<b>a &amp; b</b>": "<b>a &amp; b</b>",
    "a &amp; b\n<b>\nc &amp; d": "a & b\n<b>\nc &amp; d",
    "\x1b[31mred\x1b[0m": "red",
    "bell\x07 and mark﻿": "bell and mark",
    "\x93quoted\x94": "“quoted”",
    "good é\nschÃ¶n\ngood é": "good é\nschön\ngood é",
    "Â line": "Â line",
    "ok\nÃ la carte": "ok\nà la carte",
    "": "",
    "\r\n\r\n": "\r\n\r\n",
    "你好，世界 😀 naïve": "你好，世界 😀 naïve",
}


@pytest.mark.parametrize("text", CASES)
def test_cases(text: str) -> None:
    assert FIX(text) == ftfys(text)
    if text != "Â line":
        assert FIX(text) == CASES[text]


def test_the_configuration_is_datatroves() -> None:
    formatters = pytest.importorskip("datatrove.pipeline.formatters")
    assert formatters.FTFYFormatter().config == CONFIG


def corpora(folder: Path) -> Iterator[str]:
    for path in sorted((folder / "text").glob("*.jsonl.gz")) + sorted(
        (folder / "langid").glob("*.jsonl.gz")
    ):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines):
                if number >= 120:
                    break
                yield json.loads(line)["text"][:20_000]


def test_real_text_comes_out_as_from_ftfy(shared_data: Path) -> None:
    n_docs = n_changed = 0
    for text in corpora(shared_data):
        fixed = ftfys(text)
        assert FIX(text) == fixed
        n_docs += 1
        n_changed += fixed != text
    assert n_docs > 700
    assert n_changed > 5


def test_mojibake_of_real_text(shared_data: Path) -> None:
    generator = random.Random(5)
    n_changed = 0
    for text in list(corpora(shared_data))[::5]:
        start = generator.randrange(max(1, len(text) - 400))
        piece = text[start : start + 400]
        for encoding in ("latin-1", "cp1252", "cp1251", "macroman", "cp437"):
            broken = piece.encode().decode(encoding, "replace")
            mixed = f"{piece}\n{broken}\n{piece}"
            fixed = ftfys(mixed)
            assert FIX(mixed) == fixed
            n_changed += fixed != mixed
    assert n_changed > 100


ALPHABET = "aZ .,\n\r<&;#\x1b[m\x00\x85\xa0Ââ€™Ãœ©°²Ððàµ¼¹×ØÙß‚Äìш ВГўЂв√±≈ñ│┌²‘“”»«¿é中😀β€ā\x9d"


@given(st.text(st.sampled_from(ALPHABET), max_size=60))
def test_random_text_of_the_worst_characters(text: str) -> None:
    assert FIX(text) == ftfys(text)


@given(st.text(max_size=60))
def test_random_text(text: str) -> None:
    assert FIX(text) == ftfys(text)


def test_no_match_of_badness_is_wide_or_of_ascii_alone() -> None:
    assert module._parser.parse(BADNESS_RE.pattern, BADNESS_RE.flags).getwidth()[1] < 10
    generator = random.Random(1)
    for _ in range(300):
        text = "".join(chr(generator.randrange(128)) for _ in range(300))
        assert BADNESS_RE.search(text) is None


def test_lines_of_more_than_a_million_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "x" * 999_999 + "é" + "Ã la carte" + "y" * 50
    assert FIX(text) == ftfys(text)
    assert FIX(text) != text


def test_rows_that_change_and_rows_that_do_not() -> None:
    fix = Unicode().open()
    clean = Batch.of(text=["a", None, "ü 你好", ""], id=[1, 2, 3, 4])
    assert clean.view("text", texts) == ["a", "", "ü 你好", ""]
    assert fix(clean) is clean
    broken = Batch.of(text=pa.array(["x", "schÃ¶n", None, ""], pa.large_string()), id=[1, 2, 3, 4])
    fixed = fix(broken)
    assert fixed["text"].to_pylist() == ["x", "schön", None, ""]
    assert fixed["text"].type == pa.large_string()
    assert fix(broken.slice(1, 2))["text"].to_pylist() == ["schön", None]
    assert fix(broken.slice(0, 0)).num_rows == 0
    assert Unicode(column="body").open()(Batch.of(body=["schÃ¶n"]))["body"].to_pylist() == ["schön"]


def test_a_wider_expression_is_searched_for_in_the_whole_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "UNKNOWN_WIDTH", 0)
    whole: Callable[[str], str] = fixer()
    for text in CASES:
        assert whole(text) == ftfys(text)
