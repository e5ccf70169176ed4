"""The models that the loops use, made once and kept in the build folder.

A classifier of the published shape (256 dimensions, word trigrams, two million buckets, two labels)
and byte-level BPE tokenizers cut by the rules of DeepSeek-V2, which the published scripts use, and of
GPT-2. The released files themselves are not to be had offline; both are trained on the corpora here.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.corpora import BUILD, Corpus

PER_CORPUS = 2 * 10**6
VOCABULARY = 32_000

# The character sets of DeepSeek-V2's tokenizer.json, its rarer letters left out.
DEEPSEEK = (
    r"[\r\n]",
    r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕ]+",
    r"\s?[!-/:-~！-／：-～‘-‟　-。]+",
    r"\s+$",
    r"[一-龥ࠀ-一가-퟿]+",
)


def tokenizer(rule: str, corpora: list[Corpus]) -> str:
    """The content of a tokenizer.json: `deepseek` or `gpt2`."""
    path = BUILD / f"tokenizer-{rule}-{'-'.join(one.name for one in corpora)}.json"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_trained(rule, corpora))
    return path.read_text()


def pre_tokenizer(rule: str) -> Any:
    from tokenizers import Regex, pre_tokenizers

    if rule == "gpt2":
        return pre_tokenizers.ByteLevel(add_prefix_space=False)
    return pre_tokenizers.Sequence(
        [
            *(pre_tokenizers.Split(Regex(one), "isolated") for one in DEEPSEEK),
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def _trained(rule: str, corpora: list[Corpus]) -> str:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    from ultraclean.text import classifier

    found = Tokenizer(models.BPE())
    found.pre_tokenizer = pre_tokenizer(rule)
    found.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"],
        show_progress=False,
    )
    texts = [
        classifier.plain(text) for corpus in corpora for text in corpus.first(PER_CORPUS).texts
    ]
    found.train_from_iterator(texts, trainer)
    return str(found.to_str())


def fasttext_model(
    name: str, corpora: list[Corpus], normalised: Callable[[list[str]], list[str]]
) -> Path:
    """A classifier of the published shape: English against the rest."""
    import fasttext

    path = BUILD / f"fasttext-{name}.bin"
    if path.is_file():
        return path
    lines = BUILD / f"fasttext-{name}.txt"
    lines.parent.mkdir(parents=True, exist_ok=True)
    examples = []
    for corpus in corpora:
        label = "pos" if corpus.name == "english" else "neg"
        # documents are cut, so that the probabilities are not all 0 or 1
        for text in normalised([text[:400] for text in corpus.first(PER_CORPUS).texts]):
            examples.append(f"__label__{label} {' '.join(text.split())}\n")
    random.Random(1).shuffle(examples)
    lines.write_text("".join(examples))
    settings = {"dim": 256, "wordNgrams": 3, "bucket": 2_000_000, "epoch": 3, "lr": 0.5}
    model = fasttext.train_supervised(str(lines), thread=2, verbose=0, **settings)
    model.save_model(str(path))
    return path


def predict(model: Any, text: str) -> dict[str, float]:
    """fastText's own `predict`, past the wrapper that fails on numpy 2."""
    return {label: p for p, label in model.f.predict(text + "\n", -1, -1.0, "strict")}
