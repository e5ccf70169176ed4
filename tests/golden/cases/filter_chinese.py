"""Chinese prose, lists, traditional characters, repeats, and texts in other scripts."""

from __future__ import annotations

from ultraclean.document import Batch
from ultraclean.stage import Stage
from ultraclean.stages.filter.chinese import Chinese

DIALECTS = ("data_juicer",)
PROSE = "这里写的是一段没有空格的中文，讲的是数据怎样清洗，为什么要清洗，以及清洗以后还剩下多少。"


def case() -> tuple[Stage, Batch]:
    varied = "".join(chr(0x4E00 + 7 * at) for at in range(300))
    texts = [
        PROSE + varied,
        PROSE * 9,
        PROSE,
        "\n".join([PROSE[:6]] * 60),
        "The text is English, and 中文 is but a word of it. " * 9,
        "臺灣的繁體文字與簡體不同" + varied,
        "，。！？" * 90 + "中文",
        "😀\u200b é Ａ１ \r\n中 文" * 30,
        "\n",
        "",
        None,
    ]
    return Chinese(max_traditional_fraction=0.05, min_han_chars=10), Batch.of(text=texts)
