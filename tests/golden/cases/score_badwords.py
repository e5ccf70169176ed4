"""Words with and without spaces around them, by the list of each document's language."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ultraclean.document import Batch
from ultraclean.stage import Stage
from ultraclean.stages.score.badwords import Badwords


def case() -> tuple[Stage, Batch]:
    folder = Path(tempfile.mkdtemp(prefix="golden-"))
    (folder / "en").write_text("bad\nbad word\n")
    (folder / "zh").write_text("傻瓜\nsb\n")
    texts = ["Bad! badly, bad words", "是傻瓜吗 sb isbn", "bad", "bad", None]
    stage = Badwords(lists={"en": str(folder / "en"), "zh": str(folder / "zh")})
    return stage, Batch.of(text=texts, language=["en", "zh", "zh", None, "en"])
