"""fix.navigation: lines of menus and buttons go, as a whole; prose stays."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pytest
from pydantic import ValidationError

from ultraclean.document import Batch
from ultraclean.stages.fix.navigation import Navigation

BUTTONS = [
    "Click here",
    "CLICK HERE",
    "Print this page",
    "Comments are closed.",
    "Click to enlarge.",
    "Advertisement - Continue Reading Below",
    "Return to News and Events",
    "Back to Top",
    "Close (esc)",
    "Add to cart",
    "Share on Facebook",
    "- Share",
    "点击查看更多",
    "返回顶部",
    "分享到：微博 微信",
    "阅读全文",
]
PAGES = [
    "Page 148",
    "Page: 3",
    "page 1 of 3",
    "(Page 2 of 14)",
    "• Page 2 of 5",
    "Pages: 1 2 3 4 5",
    "Pages: 1 2 ... 7 Next »",
    "« Previous page",
    "Previous Article",
    "(next entry)",
    "« Previous 1 2 3 … 20 21 Next »",
    "Page 2 Next Page",
    "page 1, page 2, page 3",
    "prev | next",
    "上一页 1 2 3 下一页",
    "第 3 页 共 10 页",
    "下一篇：怎样写好代码",
]
BARS = [
    "Home » Site Map",
    "Site Map",
    "Home > Products > Shoes",
    "Home | About Us | Contact",
    "News | Sport | Weather | Contact us",
    "首页 > 新闻 > 国内",
    "关于我们 | 联系我们 | 网站地图",
]
PROSE = [
    "Click here to see how the bridge was built in 1890.",
    "The next page of his life began.",
    "He was back to the top of his form.",
    "We turned to page 12 and read.",
    "share.",
    "Home is where the heart is.",
    "| Name | Home | Contact |",
    "# Navigation",
    "## 第一章",
    "Contact between the two groups was rare.",
    "x | y | z",
    "1 2 3 4 5",
    "下一页的内容更精彩。",
    "我们返回首页看了看。",
    "Previous work has shown that it holds.",
    "Login shells read the file first.",
    "Menu: soup, fish, and a cake with cherries",
]


def cleaned(text: str, **fields: object) -> str:
    result = Navigation(**fields).open()(Batch.of(text=[text]))["text"][0].as_py()
    assert isinstance(result, str)
    return result


@pytest.mark.parametrize("line", [*BUTTONS, *PAGES, *BARS])
def test_lines_that_go(line: str) -> None:
    assert cleaned(line) == ""
    assert cleaned(f"Before.\r\n  {line}  \r\nBehind.") == "Before.\r\nBehind."
    assert cleaned(f"Before.\n{line}") == "Before.\n"


@pytest.mark.parametrize("line", PROSE)
def test_lines_that_stay(line: str) -> None:
    assert cleaned(f"a\n{line}\nb") == f"a\n{line}\nb"


def test_each_kind_alone_and_lines_of_ones_own() -> None:
    text = f"{BUTTONS[0]}\n{PAGES[0]}\n{BARS[0]}\nDownload PDF"
    off = {"buttons": False, "pages": False, "bars": False}
    assert cleaned(text, **off) == text
    for place, kind in enumerate(off):
        lines = text.split("\n")
        del lines[place]
        assert cleaned(text, **(off | {kind: True})) == "\n".join(lines)
    assert cleaned(text, lines=("download .*",)) == ""
    with pytest.raises(ValidationError, match=r"'\(' is no regular expression"):
        Navigation(lines=("(",))


def test_nulls_slices_types_and_unchanged_batches() -> None:
    clean = Navigation().open()
    batch = Batch.of(text=pa.array(["x", None, "Click here\nb", ""], pa.large_string()))
    assert clean(batch)["text"].to_pylist() == ["x", None, "b", ""]
    assert clean(batch)["text"].type == pa.large_string()
    assert clean(batch.slice(2, 1))["text"].to_pylist() == ["b"]
    plain = Batch.of(text=["x", None, "中\n😀"])
    assert clean(plain) is plain
    assert clean(plain.slice(0, 0)).num_rows == 0


def test_text_without_menus_loses_nothing(shared_data: Path) -> None:
    """Textbooks, reviews and news have none; of web pages people kept, a few lines go."""
    for name, most in (("text/openstax", 0), ("text/imdb", 0), ("text/reuters", 1), ("labels/dclm_human", 12)):  # fmt: skip
        with gzip.open(shared_data / f"{name}.jsonl.gz", "rt") as lines:
            texts = [json.loads(line)["text"] for line in lines][:500]
        after = Navigation().open()(Batch.of(text=texts))["text"].to_pylist()
        n_lines = [sum(text.count("\n") for text in some) for some in (texts, after)]
        assert n_lines[0] - n_lines[1] <= most, name
