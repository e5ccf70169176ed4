"""Counts by a byte-level tokenizer with two merges and by texts that show what is a token."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers

from ultraclean.document import Batch
from ultraclean.stage import Stage
from ultraclean.stages.score.tokens import Tokens


def case() -> tuple[Stage, Batch]:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([*alphabet, "th", "the"])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("t", "h"), ("th", "e")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens(["</s>"])
    path = Path(tempfile.mkdtemp(prefix="golden-")) / "tokenizer.json"
    tokenizer.save(str(path))
    texts = ["the theme", "the</s>", "中文 the", "😀", "a\r\nb", "", None]
    return Tokens(tokenizer=str(path)), Batch.of(text=texts)
