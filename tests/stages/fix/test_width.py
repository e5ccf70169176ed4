"""fix.width: full-width letters, and punctuation where it is asked for."""

from __future__ import annotations

import gzip
import json
import unicodedata
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ultraclean.document import Batch
from ultraclean.stages.fix.width import Width

CHINESE = {
    "你好,世界!真的吗?": "你好，世界！真的吗？",
    "他说:“好”.完": "他说：“好”.完",
    "今天是1.5度,明天呢?\n结束.": "今天是1.5度，明天呢？\n结束。",
    "见 a.txt 或 文件.txt, 谢谢": "见 a.txt 或 文件.txt, 谢谢",
    "苹果, 梨; 桃": "苹果，梨；桃",
    "北京(首都)在北方, see (this)": "北京（首都）在北方， see (this)",
    "English, only (here).": "English, only (here).",
    "时间12:30, 比分3:2": "时间12:30, 比分3:2",
    "等等...": "等等...",
}


def fixed(text: str, **fields: Any) -> str:
    result = Width(**fields).open()(Batch.of(text=[text]))["text"][0].as_py()
    assert isinstance(result, str)
    return result


@pytest.mark.parametrize("text", CHINESE)
def test_chinese_punctuation(text: str) -> None:
    assert fixed(text, punctuation="chinese") == CHINESE[text]
    assert fixed(CHINESE[text], punctuation="chinese") == CHINESE[text]


def test_letters() -> None:
    assert fixed("Ｐｙｔｈｏｎ３．１１，ｶﾀｶﾅ　ok") == "Python3．11，ｶﾀｶﾅ　ok"
    assert fixed("Ａ１", letters=False) == "Ａ１"
    every = "".join(map(chr, range(0xFF00, 0xFF5F)))
    expected = "".join(
        unicodedata.normalize("NFKC", char) if unicodedata.category(char)[0] in "LN" else char
        for char in every
    )
    assert fixed(every) == expected


def test_ascii_punctuation() -> None:
    assert (
        fixed("“你好”，（世界）！…、‘a’【b】", punctuation="ascii") == "\"你好\",(世界)!...,'a'[b]"
    )


def test_nulls_slices_types_and_unchanged_batches() -> None:
    fix = Width(punctuation="chinese").open()
    batch = Batch.of(text=pa.array(["x", None, "好,的", ""], pa.large_string()))
    assert fix(batch)["text"].to_pylist() == ["x", None, "好，的", ""]
    assert fix(batch)["text"].type == pa.large_string()
    assert fix(batch.slice(2, 1))["text"].to_pylist() == ["好，的"]
    plain = Batch.of(text=["a,b", None, "好的，😀"])
    assert fix(plain) is plain
    assert fix(plain.slice(0, 0)).num_rows == 0


def test_well_set_chinese_hardly_changes(shared_data: Path) -> None:
    with gzip.open(shared_data / "text/zh_lctt.jsonl.gz", "rt") as lines:
        texts = [json.loads(line)["text"] for line in lines][:300]
    after = Width(punctuation="chinese").open()(Batch.of(text=texts))["text"].to_pylist()
    n_changed = sum(
        a != b for x, y in zip(texts, after, strict=True) for a, b in zip(x.split("\n"), y.split("\n"), strict=True)
    )  # fmt: skip
    n_lines = sum(text.count("\n") + 1 for text in texts)
    assert 0 < n_changed < 0.1 * n_lines
