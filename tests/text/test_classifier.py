"""The normalisation before a classifier: each step, their order, and the batch version."""

from __future__ import annotations

import gzip
import itertools
import json
import random
from pathlib import Path

import pytest

from ultraclean.text import classifier


def tokenizer_json() -> str:
    """A byte-level BPE like those of the large models, trained on a few words, with a special."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|end|>"],
        show_progress=False,
    )
    tokenizer.train_from_iterator(
        ["the cat sat on the mat\n\n", "die katze the 中文"] * 20, trainer
    )
    # limits of a model that must not cut a document
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=32)
    content: str = tokenizer.to_str()
    return content


@pytest.fixture(scope="module")
def bpe() -> classifier.Split:
    return classifier.of_json(tokenizer_json())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("   ", ""),
        ("a\n\n\n\n\nb", "a\\n\\nb"),
        ("a\n\nb\nc", "a\\n\\nb\\nc"),
        ("a\r\n\r\n\r\nb", "a\\r\\n\\r\\n\\r\\nb"),
        ("Hello WORLD", "hello world"),
        ("naïve Café", "naive cafe"),
        ("ＦＵＬＬ　ｗｉｄｔｈ", "full width"),
        ("ﬁne ½", "fine 1⁄2"),
        ("İ", "i"),
        ("한", "\u1112\u1161\u11ab"),
        ("tab\there", "tab\\there"),
        ("  a   b  ", "a b"),
        ("\n a \n", "\\n a \\n"),
        ("😀 中文", "😀 中文"),
    ],
)
def test_steps_without_tokens(text: str, expected: str) -> None:
    assert classifier.normalise(text, None) == expected


def test_order_of_steps() -> None:
    # newlines collapse before marks go, so a mark between them keeps them apart
    assert classifier.normalise("a\n\n\u0301\nb", None) == "a\\n\\n\\nb"
    # lower case comes before decomposition: a capital that only NFKD makes stays a capital
    assert classifier.normalise("℡", None) == "TEL"
    # pieces are joined before the escape, so that a newline is a word of its own
    assert classifier.normalise("a\nb", classifier.words) == "a \\n b"


def test_words() -> None:
    (found,) = classifier.words(["don't go_to 中文字 カナ x2\t1.5\n\n😀 __label__pos\u3000</s>"])
    assert found == [
        *["don", "'", "t", "go", "_", "to", "中", "文", "字", "カ", "ナ", "x2", "\t"],
        *["1", ".", "5", "\n", "\n", "😀", "_", "_", "label", "_", "_", "pos", "<", "/", "s", ">"],
    ]


def test_pieces_are_decoded_one_by_one(bpe: classifier.Split) -> None:
    (pieces,) = bpe(["the cat\n"])
    assert "".join(pieces) == "the cat\n"
    assert pieces[0] == "the"
    # a character that the vocabulary cuts into bytes gives U+FFFD for each of them
    assert list(bpe(["€"])) == [["\ufffd"] * 3]
    assert classifier.normalise("€", bpe) == "\ufffd \ufffd \ufffd"
    # special tokens are pieces, not nothing; a long text is not cut
    assert classifier.normalise("cat<|END|>sat", bpe) == "cat <|end|> sat"
    assert len(next(iter(bpe(["the cat sat " * 50])))) > 100
    assert classifier.normalise("the\n\n\ncat", bpe) == "the \\n \\n cat"


def test_not_a_tokenizer() -> None:
    with pytest.raises(ValueError, match="not a tokenizer"):
        classifier.of_json('{"model": 1}')


def test_batch_is_the_same_as_one_by_one(bpe: classifier.Split) -> None:
    chance = random.Random(1)
    alphabet = [
        *"aAbZ .,_<>/\n\n\n\r\t\0\v",
        *"éÉİßΣς中文カ한😀\u0301\u0307\u0345\u0f71\u3000\u2028\x1c€",
    ]
    texts = ["".join(chance.choices(alphabet, k=chance.randrange(60))) for _ in range(400)]
    for split in (None, classifier.words, bpe):
        expected = [classifier.normalise(text, split) for text in texts]
        assert classifier.normalise_batch(texts, split) == expected
    assert classifier.normalise_batch([], bpe) == []


def test_batch_on_real_text(bpe: classifier.Split, shared_data: Path) -> None:
    texts = []
    for name in ("langid/udhr", "labels/dclm_human", "text/zh_tidb"):
        with gzip.open(shared_data / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            texts += [json.loads(line)["text"][:3000] for line in itertools.islice(lines, 40)]
    for split in (None, classifier.words, bpe):
        found = classifier.normalise_batch(texts, split)
        assert found == [classifier.normalise(text, split) for text in texts]
        assert not any(set("\n\r\t") & set(text) for text in found)
        assert sum(map(len, found)) > 50_000
