"""Buttons, pages, menus and a line of one's own, among prose that looks like them."""

from __future__ import annotations

from ultraclean.document import Batch
from ultraclean.stage import Stage
from ultraclean.stages.fix.navigation import Navigation


def case() -> tuple[Stage, Batch]:
    texts = [
        *[
            "A text.\nClick here\nMore.",
            "Page 2 of 5\r\nText\r\n",
            "Home > Shoes > Red\nRed shoes.",
        ],
        *[
            "正文。\n返回顶部\n下一篇：标题",
            "Pages: 1 2 3 4\n",
            "Click here to see the bridge.",
            "share.",
        ],
        *["Download PDF\nx", "| Name | Home |", "", None],
    ]
    return Navigation(lines=("download .*",)), Batch.of(text=texts)
