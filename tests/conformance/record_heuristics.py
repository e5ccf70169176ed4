"""Records what the heuristics of NeMo Curator and data-juicer measure, for `test_heuristics_of_peers.py`.

    python tests/conformance/record_heuristics.py CURATOR DATA_JUICER SHARED_DATA

Checkouts of github.com/NVIDIA-NeMo/Curator and github.com/datajuicer/data-juicer; needs `regex`. What else
they import is replaced by stand-ins, since neither can be installed beside this library.
"""

from __future__ import annotations

import importlib
import itertools
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).parent))

from texts import PIECES, address, marked_texts, odd_texts, real_rows, varied_texts, write_record

SCORES = {
    "non_alphanumeric_fraction": "NonAlphaNumericFilter",
    "digit_fraction": "NumbersFilter",
    "url_fraction": "UrlsFilter",
    "white_space_fraction": "WhiteSpaceFilter",
    "parenthesis_fraction": "ParenthesesFilter",
    "symbol_word_fraction": "SymbolsToWordsFilter",
    "longest_word_chars": "LongWordFilter",
    "mean_word_chars": "MeanWordLengthFilter",
    "boilerplate_fraction": "BoilerPlateStringFilter",
    "bullet_line_fraction": "BulletsFilter",
    "unended_line_fraction": "PunctuationFilter",
    "ellipsis_line_fraction": "EllipsisFilter",
    "url_word": "PornographicUrlsFilter",
}
"""Our measure -> Curator's filter that has it as its score."""
STATS = {
    "alphanumeric_fraction": "alnum_ratio",
    "mean_line_chars": "avg_line_length",
    "longest_line_chars": "max_line_length",
    "repeated_char_fraction": "char_rep_ratio",
}
"""Our measure -> data-juicer's."""


def heuristic_texts(count: int, seed: int = 14) -> Iterator[str]:
    """Each with much of one thing that a heuristic measures."""
    chance = random.Random(seed)
    much = [
        ["12", "2024", "3.14", "٣", "２"],
        ["(", ")", "[x]", "{", "⟨y⟩", "(z)"],
        ["http://a.org/b?c=d", "https://porn.example/x-y%20z", "http://ü.org", "https://", "www.a.org"],
        ["http://a.porn.org/", "see https://b.org/Porn", "https://c.org/porno"],
        ["#", "##", "#a", "#a#", "...", "…", "[...]", "(…)"],
        ["\t", "  ", "\n\n", "\r\n", "\b", "\xa0", "\u3000"],
        ["• one\n", " ‣ two\n", "● three\n", "⁃\n", "- four\n"],
        ["• one\n", "• two and more\n", "◦ three\n"],
        ["Privacy Policy", "we use cookies", "terms of use\n\n", "Lorem ipsum", "privacy & cookies policy\n\n"],
        ["Read more\n", "[...]\n", "more…\n", "-»\n", "read more..\n", "end...\n"],
        ["A line without an end\n", "an end.\n", 'so "it"\n', "it's'\n", "what? \n"],
        ["x" * 1001, "y" * 1000, "z" * 12, "ab"],
        ["。", "，", "—", "€", "★", "😀", "的"],
        PIECES,
    ]  # fmt: skip
    plain = ["word", "the", "of", "sentence.", "\n", "\n\n", "Another", "é", "中文"]
    for _ in range(count):
        some, share = chance.choice(much), chance.choice([0.03, 0.1, 0.3, 0.9, 1])
        pieces = [
            chance.choice(some if chance.random() < share else plain)
            for _ in range(chance.choice([1, 3, 10, 40]))
        ]
        yield chance.choice([" ", " ", ""]).join(pieces)


def module(name: str, path: Path | None = None, **members: Any) -> None:
    made = ModuleType(name)
    made.__dict__.update(members)
    if path is not None:
        made.__path__ = [str(path)]
    sys.modules[name] = made


def curator(peer: Path) -> dict[str, Any]:
    """Our measure -> its filter."""
    sys.modules["loguru"] = mock.MagicMock()
    for name in (
        "",
        ".stages",
        ".stages.text",
        ".stages.text.filters",
        ".stages.text.filters.heuristic",
    ):
        module(f"nemo_curator{name}", peer / f"nemo_curator{name}".replace(".", "/"))
    module("nemo_curator.stages.text.utils", peer / "nemo_curator/stages/text/utils")
    theirs = importlib.import_module("nemo_curator.stages.text.filters.heuristic.string")
    filters = {ours: getattr(theirs, name)() for ours, name in SCORES.items()}
    for one in filters.values():
        one._sentences = None
    return filters


def data_juicer(peer: Path) -> list[Any]:
    register = mock.MagicMock()
    register.register_module = lambda name: lambda made: made

    class Filter:
        text_key = "text"

        def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    class Keys:
        def __getattr__(self, name: str) -> str:
            return name

    for name in ("data_juicer", "data_juicer.ops", "data_juicer.ops.filter", "data_juicer.utils"):
        module(name, peer / name.replace(".", "/"))
    module("data_juicer.ops.base_op", OPERATORS=register, Filter=Filter)
    module("data_juicer.ops.op_fusion", INTER_LINES=register)
    module("data_juicer.ops.common", get_words_from_document=None)
    keys = {name: Keys() for name in ("Fields", "StatsKeys", "InterVars")}
    module("data_juicer.utils.constant", **keys)
    module("data_juicer.utils.model_utils", get_model=None, prepare_model=None)
    names = {
        "alphanumeric": "AlphanumericFilter",
        "average_line_length": "AverageLineLengthFilter",
        "maximum_line_length": "MaximumLineLengthFilter",
        "character_repetition": "CharacterRepetitionFilter",
    }
    load = importlib.import_module
    return [
        getattr(load(f"data_juicer.ops.filter.{n}_filter"), made)() for n, made in names.items()
    ]


def score(one: Any, text: str) -> float | None:
    """None where Curator fails on a text without lines or words."""
    try:
        return float(one.score_document(text))
    except (ZeroDivisionError, ValueError):
        return None


def commit(peer: Path, known: str) -> str:
    asked = ["git", "-C", str(peer), "rev-parse", "HEAD"]
    return (
        subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip() or known
    )


def main(nc: Path, dj: Path, shared: Path) -> None:
    made = itertools.chain(
        odd_texts(100), varied_texts(100), marked_texts(100), heuristic_texts(3000)
    )
    real = [row for row in real_rows(shared) if len(row["text"]) <= 4000]
    rows: list[dict[str, Any]] = [*({"text": text} for text in made), *real[::3]]
    filters = curator(nc)
    samples = {"text": [row["text"] for row in rows], "stats": [{} for _ in rows]}
    for one in data_juicer(dj):
        samples = one.compute_stats_batched(samples)
    out = []
    for row, stats in zip(rows, samples["stats"], strict=True):
        found = {name: score(one, row["text"]) for name, one in filters.items()}
        found |= {ours: stats[theirs] for ours, theirs in STATS.items()}
        out.append({**(address(row) if "file" in row else row), "measured": found})
    head = {
        "curator": commit(nc, "1e2e4275eb6cf79fafaebc5b35c253a146417113"),
        "data_juicer": commit(dj, "1dc20a58fa685af93c18dfa7c7900c093029af79"),
        "command": "python tests/conformance/record_heuristics.py CURATOR DATA_JUICER SHARED_DATA",
    }
    write_record(Path(__file__).parent / "recorded" / "heuristics.jsonl.gz", head, out)
    print(len(out), "documents")


if __name__ == "__main__":
    main(*(Path(place).resolve() for place in sys.argv[1:]))
