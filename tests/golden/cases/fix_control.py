"""Each kind of character, in several scripts; null."""

from __future__ import annotations

from ultraclean.document import Batch
from ultraclean.stage import Stage
from ultraclean.stages.fix.control import Control


def case() -> tuple[Stage, Batch]:
    texts = [
        *["a\x00b\x7f\x9f", "page\x0cnext\u2028line\r\n\t", "icon \ue001\U000f0001", "\ufeffsoft\u00adhyphen"],
        *["a\u200eb\u202e", "10\u00a0km\u3000全角", "می\u200cخواهم 👩\u200d👧", "\ufdd0\uffff\ufffd", "", None],
    ]  # fmt: skip
    return Control(), Batch.of(text=texts)
