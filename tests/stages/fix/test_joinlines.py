"""fix.joinlines: what was one paragraph is one line, and nothing else is touched."""

from __future__ import annotations

import gzip
import json
import random
import textwrap
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ultraclean.document import Batch
from ultraclean.stages.fix.joinlines import Joinlines


def fixed(text: str, **fields: Any) -> str:
    (found,) = Joinlines(**fields).open()(Batch.of(text=[text]))["text"].to_pylist()
    assert isinstance(found, str)
    return found


PARAGRAPHS = [
    "The first cleaning of a corpus removes what no reader of the page would have read: menus, "
    "buttons, cookie banners. What is left is the text, in the order of the page. It has state-of-"
    "the-art quality.",
    "A second paragraph follows, which begins with a capital letter (as most do) and ends before "
    "the line does. Its words are common ones.",
]


@pytest.mark.parametrize("width", [45, 60, 72, 100])
def test_wrapped_paragraphs_come_back(width: int) -> None:
    broken = "\n\n".join(textwrap.fill(one, width, break_on_hyphens=False) for one in PARAGRAPHS)
    assert fixed(broken) == "\n\n".join(PARAGRAPHS)
    assert fixed(broken.replace("\n", "\r\n")) == "\n\n".join(PARAGRAPHS)


def test_a_short_last_line_ends_a_paragraph_without_an_empty_line() -> None:
    broken = "\n".join(textwrap.fill(one, 60, break_on_hyphens=False) for one in PARAGRAPHS)
    assert fixed(broken) == "\n".join(PARAGRAPHS)


def test_hyphens() -> None:
    start = "This line is about as wide as all of the others in the para"
    assert fixed(f"{start}-\ngraph, of which there are two lines.") == f"{start}graph, of which there are two lines."  # fmt: skip
    assert "paragraph" not in fixed(f"{start}-\ngraph.", hyphens=False)
    known = "It is a well-known fact that lines of pages end where paper does, well-\nknown or not."
    assert fixed(known).endswith("where paper does, well-known or not.")
    names = "It was the philosopher and writer of the eighteenth century Jean-\nJacques Rousseau."
    assert "Jean-Jacques" in fixed(names)
    soft = "A soft hyphen, which is not seen, stands at the end of this li\u00ad\nne and goes."
    assert "this line and goes" in fixed(soft)
    range_ = "The pages of this chapter of the book on the cleaning of data are 12-\n14, and more."
    assert "12-" in fixed(range_)


def test_chinese_and_mixed_lines() -> None:
    lines = ["数据清洗是训练大语言模型的重要一步，它决定了模型能学到", "什么内容。我们先抽取网页的正文，再用 MinHash 去掉重复", "的文档，最后用一个训练好的很小的 fastText classifier", "给每个文档打分。"]  # fmt: skip
    assert fixed("\n".join(lines)) == "".join(lines[:3]) + lines[3]
    japanese = "これは一つの段落ですが、紙の幅が足りないために二つの行に\n分かれています。"
    assert fixed(japanese) == japanese.replace("\n", "")


@pytest.mark.parametrize(
    "text",
    [
        "Roses are red,\nviolets are blue,\nsugar is sweet\nand so are you",
        "12 Long Road\nSome Town\nAB1 2CD",
        "# A heading that is longer than forty columns of text\nand text under it that is long, too.",
        "- an item of a list that is longer than forty columns\n- another item of the list, as long",
        "1. an item of a list that is longer than forty columns\n2. another item of it, as long",
        "一、第一项的内容写在这里，它足够长，超过了四十列的宽度\n二、第二项的内容也写在这里，同样足够长",
        "| a table | of Markdown | that has wide rows |\n| b | c | and another row of it |",
        "```\nsome code that is longer than forty columns of text and\nmore of it\n```",
        "Each of these lines is a sentence, so that is what it is.\nNone goes on in the next line, as each ends in a stop.\nSo all of them stay as they are, one under the other.",
        "x" * 300 + " is a paragraph on one line\n" + "y" * 290 + " and so is this one, as long",
        "one line",
        "\n\n",
        "    an indented line that is wider than forty columns\n    and another one",
    ],
)
def test_what_stays_as_it_is(text: str) -> None:
    assert fixed(text) == text


def test_nulls_types_and_cuts() -> None:
    chance = random.Random(1)
    pieces = ["a line of some words that is about so wide", "数据清洗的结果", "- item", "", "End.", "a-", "\r", "😀"]  # fmt: skip
    texts: list[str | None] = ["\n".join(chance.choices(pieces, k=chance.randrange(9))) for _ in range(80)]  # fmt: skip
    batch = Batch.of(text=pa.array([None, *texts, None], pa.large_string())).slice(1, 81)
    call = Joinlines(min_width=10).open()
    whole = call(batch)
    assert whole["text"].type == pa.large_string() and whole["text"][80].as_py() is None
    parts = [call(batch.slice(at, 1)).data for at in range(81)]
    assert pa.Table.from_batches(parts).combine_chunks() == pa.Table.from_batches([whole.data])
    assert whole["text"].to_pylist() != batch["text"].to_pylist()
    again = call(whole)["text"].to_pylist()
    assert sum(a != b for a, b in zip(again, whole["text"].to_pylist(), strict=True)) < 8


def test_real_paragraphs_wrapped_and_joined(shared_data: Path) -> None:
    """Sections of textbooks, each paragraph wrapped as on a page, come back; unwrapped ones stay."""
    with gzip.open(shared_data / "text/openstax.jsonl.gz", "rt") as lines:
        texts = [json.loads(line)["text"] for line, _ in zip(lines, range(150), strict=False)]
    same = total = kept = n_texts = 0
    for text in texts:
        paragraphs = [" ".join(p.split()) for p in text.split("\n") if len(p.split()) > 30]
        paragraphs = [p for p in paragraphs if p.isascii() and p[0].isupper()]
        broken = "\n\n".join(textwrap.fill(p, 76, break_on_hyphens=False) for p in paragraphs)
        if not paragraphs:
            continue
        n_texts += 1
        back = fixed(broken).split("\n\n")
        total += len(paragraphs)
        same += sum(a == b for a, b in zip(paragraphs, back, strict=True))
        kept += fixed("\n".join(paragraphs)) == "\n".join(paragraphs)
    assert total > 300 and same / total > 0.97
    assert kept / n_texts > 0.9
