"""score.tokens: counts by a tokenizer.json and by white space."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ultraclean.document import Batch
from ultraclean.errors import DataError
from ultraclean.stages.score.tokens import Tokens

TEXTS = ["one two  three\n", "", None, "中文字符 two", "😀\r\nb", "</s> <s>", " \t", "a" * 500]


@pytest.fixture(scope="module")
def tokenizer_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A token per byte, with special tokens, a template and a truncation that must not count."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate(alphabet)}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens(["<s>", "</s>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 256), ("</s>", 257)]
    )
    tokenizer.enable_truncation(10)
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    tokenizer.save(str(path))
    return str(path)


def counts(stage: Tokens, column: Any) -> list[int]:
    made = stage.open()(Batch.of(text=column))
    assert made[stage.into].type == stage.adds()[stage.into] == pa.int64()
    return made[stage.into].to_pylist()  # type: ignore[no-any-return]


def test_words() -> None:
    assert counts(Tokens(), TEXTS) == [3, 0, 0, 2, 2, 2, 0, 1]


def test_tokens_are_those_of_the_text_alone(tokenizer_file: str) -> None:
    expected = [len((text or "").encode()) for text in TEXTS]
    assert counts(Tokens(tokenizer=tokenizer_file), TEXTS) == expected
    folder = str(Path(tokenizer_file).parent)
    assert counts(Tokens(tokenizer=folder, into="n"), TEXTS) == expected


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_splitting_changes_nothing(tokenizer_file: str, kind: pa.DataType) -> None:
    column = pa.array(TEXTS * 20, kind)
    count = Tokens(tokenizer=tokenizer_file).open()
    whole = count(Batch.of(text=column))["n_tokens"].to_pylist()
    chance = random.Random(1)
    for _ in range(5):
        cut = chance.randint(0, len(column))
        halves = [count(Batch.of(text=part)) for part in (column[:cut], column[cut:])]
        assert [n for half in halves for n in half["n_tokens"].to_pylist()] == whole


def test_no_tokenizer_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such tokenizer"):
        Tokens(tokenizer=str(tmp_path)).open()
