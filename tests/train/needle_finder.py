"""A model that finds needles, with weights set by hand instead of trained: two layers of our own class.

What it does, for the sentences of `ultraclean.train.needle` and any text around them:

1. Layer 1 looks back by exact distances (heads made of RoPE's fast turns) for one of the eight words.
   As a key, a digit remembers that a word came j + 5 tokens before it, which the j-th digit of a needle
   has; as a query, a token remembers that it came j - 1 tokens after the end of a question.
2. Layer 2 matches the two, word and j (in RoPE's slow turns, which distance hardly changes), and
   copies the digit. Its blocks are chosen as any model's: by averages over 32 keys, of which one matches.

So a number comes out only if the one right block of the whole text was chosen and attended to.
Run as a program it writes the model and its tokenizer to a folder, for `ultraclean needle`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

from ultraclean.train.config import ModelConfig
from ultraclean.train.convert import export_model
from ultraclean.train.model import MiniCPM4, empty_model
from ultraclean.train.needle import NEEDLE, QUESTION, WORDS

DIGITS, CODE = 7, 4  # of a number; a word is plus or minus one of four directions
HALF = 32  # half a head: RoPE turns pairs (i, i + 32)
FAST, SLOW = range(12), range(16, 32)  # the pairs that tell neighbours apart; that hardly turn
THETA = 1e12
LOOK, MATCH, IS_DIGIT = 20.0, 60.0, 30.0  # scores

# Columns of the states
ONE, WORD, DIGIT, ASKS = 0, 1, 1 + CODE, 1 + CODE + 10
HOLDS = ASKS + DIGITS * CODE
ANSWER = HOLDS + DIGITS * CODE
WIDTH = 96


def make_tokenizer() -> Any:
    """Bytes, and the eight words whole."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: i for i, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<s>", "</s>", "<|im_start|>", "<|im_end|>"])
    tokenizer.add_tokens([AddedToken(word, normalized=False) for word in WORDS])
    return tokenizer


def distances() -> tuple[list[int], list[int]]:
    """From each digit of a needle, and from each token before a digit of the answer, to the word."""
    before_number = NEEDLE.split("{word}")[1].index("{number}")
    after_question = len(QUESTION.rsplit("{word}", 1)[1])
    holds = [1 + before_number + j for j in range(DIGITS)]
    return holds, [after_question + j for j in range(DIGITS)]


def make_model(tokenizer: Any, longest: int, **changes: Any) -> MiniCPM4:
    config = ModelConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=WIDTH,
        intermediate_size=8,
        num_hidden_layers=2,
        num_attention_heads=16,
        num_key_value_heads=1,
        head_dim=2 * HALF,
        max_position_embeddings=longest,
        rope_theta=THETA,
        scale_emb=1.0,
        scale_depth=2**0.5,
        dim_model_base=WIDTH,
        **{"attention": "sparse", **changes},
    )
    model = empty_model(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.fill_(1.0 if "norm" in name else 0.0)
        _set(model, tokenizer)
    return model


def _set(model: MiniCPM4, tokenizer: Any) -> None:
    embed, head = model.model.embed_tokens.weight, model.lm_head.weight
    embed[:, ONE] = 4.0  # most of each state, so that norms hardly change what is in it
    for i, word in enumerate(WORDS):
        embed[tokenizer.token_to_id(word), WORD + i % CODE] = 1.0 if i < CODE else -1.0
    for digit in range(10):
        embed[tokenizer.token_to_id(str(digit)), DIGIT + digit] = 1.0
        head[tokenizer.token_to_id(str(digit)), ANSWER + digit] = 1.0
    head[tokenizer.token_to_id("."), ONE] = 0.01  # where nothing is found
    # A state of rms 1 has about sqrt(WIDTH) in the column of ones, a quarter of it in a 1.
    norm = WIDTH**0.5
    width = (2 * HALF) ** 0.5  # scores are divided by it

    layers: Any = model.model.layers
    first, second = (layer.self_attn for layer in layers)
    turns = THETA ** (-torch.arange(HALF) / HALF)
    for i in FAST:
        first.k_proj.weight[i, ONE] = width / norm
    for i in range(CODE):
        first.v_proj.weight[i, WORD + i] = 4 / norm
    for kind, (column, aways) in enumerate(zip((HOLDS, ASKS), distances(), strict=True)):
        for j, away in enumerate(aways):
            start = (kind * DIGITS + j) * 2 * HALF
            for i in FAST:
                first.q_proj.weight[start + i, ONE] = LOOK * torch.cos(turns[i] * away) / norm
                first.q_proj.weight[start + HALF + i, ONE] = (
                    -LOOK * torch.sin(turns[i] * away) / norm
                )
            for i in range(CODE):
                first.o_proj.weight[column + j * CODE + i, start + i] = 1.0

    slow = [*SLOW, *(HALF + i for i in SLOW)]
    for i in range(DIGITS * CODE):
        second.q_proj.weight[slow[i], ASKS + i] = 4 / norm * MATCH
        second.k_proj.weight[slow[i], HOLDS + i] = 4 / norm * width
    second.q_proj.weight[slow[-1], ONE] = IS_DIGIT / norm
    for digit in range(10):
        second.k_proj.weight[slow[-1], DIGIT + digit] = 4 / norm * width
        second.v_proj.weight[digit, DIGIT + digit] = 4 / norm
        second.o_proj.weight[ANSWER + digit, digit] = 1.0


def write(folder: Path, longest: int, **changes: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer()
    tokenizer.save(str(folder / "made.json"))
    model = make_model(tokenizer, longest, **changes)
    export_model(model, str(folder), "minicpm", str(folder / "made.json"))


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]))
