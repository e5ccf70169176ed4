"""Blocks as text and as Markdown, and the lines of several extractors in one text."""

from __future__ import annotations

import pytest
from ultrakernels import html_blocks

from ultraclean.text.blocks import all_text, chances, main_text
from ultraclean.text.extractors import lines_of_all


@pytest.mark.parametrize(
    ("page", "text", "markdown"),
    [
        ("<h2>A</h2><p>b <b>c</b></p>", "A\nb c", "## A\n\nb **c**"),
        ("<ul><li>a<li>b<ol><li>c</ol></ul>", "- a\n- b\n  1. c", "- a\n- b\n  1. c"),
        ("<ol><li><p>a<p>b<li>c</ol>", "1. a\n  b\n1. c", "1. a\n  b\n1. c"),
        (
            "<table><tr><th>a<th>b<tr><td>1<td>2</table><p>c",
            "a | b\n1 | 2\nc",
            "| a | b |\n|---|---|\n| 1 | 2 |\n\nc",
        ),
        ("<pre>a\n  b</pre><p>c", "a\n  b\nc", "```\na\n  b\n```\n\nc"),
        ("<blockquote>a<br>b</blockquote>c", "a\nb\nc", "> a\n> b\n\nc"),
        ("<p>a &lt; b&amp;c&nbsp;d</p>", "a < b&c d", "a < b&c d"),
        ("<p>x<i> y </i>z <code>f()</code></p>", "x y z f()", "x *y* z `f()`"),
        ("", "", ""),
    ],
)
def test_rendering(page: str, text: str, markdown: str) -> None:
    assert all_text(page) == text
    assert all_text(page, markdown=True) == markdown


def test_a_page_without_text_is_empty() -> None:
    assert main_text("") == main_text("<p></p>") == ""


def test_a_block_is_judged_the_same_wherever_it_runs() -> None:
    page = ("<nav><a href=/>Home</a></nav><p>" + "A sentence, and more. " * 20).encode()
    nodes, blocks, _ = html_blocks.read(page)
    found = chances(nodes, blocks)
    assert found.shape == (2,) and found[0] < 0.5 < found[1]
    assert (chances(nodes, blocks) == found).all()


@pytest.mark.parametrize(
    ("texts", "merged", "by"),
    [
        (["a\nc", "a\nb\nc"], "a\nb\nc", "0+1"),
        (["a", ""], "a", "0"),
        (["", "a"], "a", "1"),
        (["- a!\nb", "a"], "- a!\nb", "0"),
        (["b\nc", "a\nb"], "a\nb\nc", "0+1"),
        (["a\nb", "b\nx\na"], "a\nb\nx", "0+1"),
        (["", ""], "", ""),
    ],
)
def test_lines_of_all(texts: list[str], merged: str, by: str) -> None:
    named = [(text, str(place)) for place, text in enumerate(texts)]
    assert lines_of_all(named, "\n") == (merged, by)
