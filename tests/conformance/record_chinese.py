"""Records what ChineseWebText's own rules and data-juicer's decide on Chinese, for `test_chinese.py`.

    python tests/conformance/record_chinese.py CHINESEWEBTEXT DATA_JUICER SHARED_DATA

Checkouts of github.com/CASIA-LM/ChineseWebText and github.com/datajuicer/data-juicer. What they import
beyond what the rules need is replaced by stand-ins, and so is zhconv: the rule on traditional characters
is not compared. The list of sensitive words is `WORDS`, since theirs is not to be copied.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).parent))

from texts import PIECES, address, real_rows, write_record

WORDS = ("服务器", "数据", "我们", "的函数", "AI")
HAN = "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工也能下过子说产种面而方后多定行学法所民得经"
FOLDERS = ("length", "character", "sensitive", "duplication", "remain")


def chinese_texts(count: int, seed: int = 11) -> Iterator[str]:
    """Around every limit: lengths, lines, shares of Han characters, words, and repeats."""
    chance = random.Random(seed)
    for _ in range(count):
        other = chance.choice(["", "abc ", "1", "，", "国家 ", chance.choice(PIECES)])
        share = chance.choice([0, 0.1, 0.5, 0.68, 0.72, 0.9])
        size = chance.choice([3, 60, 190, 199, 200, 201, 202, 230, 400, 900])
        pieces = [
            other if other and chance.random() < share else chance.choice(HAN) for _ in range(size)
        ]
        for _ in range(chance.choice([0, 0, 1, 3, 12])):
            start, length = chance.randrange(len(pieces)), chance.choice([5, 14, 30, 120])
            pieces[start:start] = pieces[start : start + length] * chance.choice([1, 1, 4])
        if chance.random() < 0.5:
            for _ in range(chance.choice([1, 4, 30])):
                pieces.insert(chance.randrange(len(pieces)), chance.choice(WORDS))
        if chance.random() < 0.6:
            every = chance.choice([4, 8, 9, 10, 11, 40])
            pieces = [piece + "\n" * (at % every == 0) for at, piece in enumerate(pieces)]
        text = "".join(pieces)
        yield text[: chance.choice([size, len(text), 200, 201])]
    for _ in range(count // 4):
        piece = "".join(chance.choices(HAN, k=chance.choice([20, 40, 90])))
        unlike = "".join(chance.choices(HAN, k=chance.choice([60, 120, 180])))
        yield unlike + (piece + chance.choice(["", "\n", " "])) * chance.choice([2, 3, 6])
    for _ in range(count // 8):
        yield "".join(chance.choices(HAN, k=chance.randrange(14)))
        n_marks, n_han = chance.choice([80, 90, 92, 200]), chance.choice([8, 10, 20])
        yield "".join(chance.sample("，。！ " * n_marks + HAN[:n_han], n_marks))


def texts(shared: Path) -> Iterator[dict[str, Any]]:
    names = ("zh_d2l", "zh_lctt", "zh_oiwiki", "zh_react", "zh_tidb")
    yield from real_rows(shared, {f"text/{name}": 40 for name in names})
    yield from ({"text": text} for text in chinese_texts(1600))


def chinesewebtext(peer: Path, rows: list[dict[str, Any]]) -> list[str]:
    """The folder into which each document is put, by its position."""
    for name in ("zhconv", "tqdm"):
        sys.modules[name] = mock.MagicMock()
    sys.modules["zhconv"].convert = lambda text, _: text  # type: ignore[attr-defined]
    sys.path.insert(0, str(peer))
    rules = importlib.import_module("preprocess")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("dict.txt").write_text("".join(f"x\t{word}\n" for word in WORDS), "utf-8")
        Path("in").mkdir()
        about = {"title": "", "source_domain": ""}
        lines = [
            json.dumps({"raw_content": row["text"], "url": str(at), **about})
            for at, row in enumerate(rows)
        ]
        Path("in/a.jsonl").write_text("\n".join(lines), "utf-8")
        rules.preprocess("in/a.jsonl")
        found = {}
        for name in FOLDERS:
            for line in Path(f"in/{name}/a.jsonl").read_text("utf-8").split("\n"):
                if line:
                    found[int(json.loads(line)["info"]["url"])] = name
    return [found[at] for at in range(len(rows))]


def data_juicer(peer: Path, rows: list[dict[str, Any]]) -> list[dict[str, float]]:
    """The numbers of the filters of its recipe for Chinese that need no list and no tokenizer."""
    register = mock.MagicMock()
    register.register_module = lambda name: lambda made: made

    class Filter:
        text_key = "text"

        def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    class Keys:
        def __getattr__(self, name: str) -> str:
            return name

    def module(name: str, **members: Any) -> None:
        made = ModuleType(name)
        made.__dict__.update(members)
        made.__path__ = [str(peer / name.replace(".", "/"))]
        sys.modules[name] = made

    for name in ("data_juicer", "data_juicer.ops", "data_juicer.ops.filter", "data_juicer.utils"):
        module(name)
    module("data_juicer.ops.base_op", OPERATORS=register, Filter=Filter)
    module("data_juicer.ops.common", get_words_from_document=None)
    module("data_juicer.utils.constant", Fields=Keys(), StatsKeys=Keys())
    module("data_juicer.utils.model_utils", get_model=None, prepare_model=None)
    load = lambda name: importlib.import_module(f"data_juicer.ops.filter.{name}")  # noqa: E731
    filters = [
        load("alphanumeric_filter").AlphanumericFilter(),
        load("character_repetition_filter").CharacterRepetitionFilter(),
        load("text_length_filter").TextLengthFilter(),
    ]
    samples = {"text": [row["text"] for row in rows], "stats": [{} for _ in rows]}
    for one in filters:
        samples = one.compute_stats_batched(samples)
    return samples["stats"]


def commit(peer: Path) -> str:
    asked = ["git", "-C", str(peer), "rev-parse", "HEAD"]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()


def main(cwt: Path, dj: Path, shared: Path) -> None:
    rows = list(texts(shared))
    folders = chinesewebtext(cwt, rows)
    numbers = data_juicer(dj, rows)
    head = {
        "chinesewebtext": commit(cwt) or "aa459c4c8d61e82401ceef960b29b6b9482f638f",
        "data_juicer": commit(dj) or "1dc20a58fa685af93c18dfa7c7900c093029af79",
        "command": "python tests/conformance/record_chinese.py CHINESEWEBTEXT DATA_JUICER SHARED_DATA",
        "words": WORDS,
    }
    out = []
    for row, folder, found in zip(rows, folders, numbers, strict=True):
        kept = address(row) if "file" in row else row
        out.append({**kept, "chinesewebtext": folder, "data_juicer": found})
    write_record(Path(__file__).parent / "recorded" / "chinese.jsonl.gz", head, out)
    print(Counter(folders))
    for name, limit in (("alnum_ratio", 0.1), ("char_rep_ratio", -0.6), ("text_len", 10)):
        sign = -1 if limit < 0 else 1
        print(name, sum(sign * found[name] < limit for found in numbers))


if __name__ == "__main__":
    places = [Path(place).resolve() for place in sys.argv[1:]]
    main(*places)
