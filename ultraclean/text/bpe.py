"""Byte-level BPE tokenizers as tables for the kernels, where their rules are ones that kernels know.

Known are the rules of GPT-2 (with or without single digits before it: what `fit.tokenizer` makes,
SmolLM2) and those of DeepSeek-V2's kind: expressions of one set of characters each. What a set holds
is found by asking the tokenizer's own expressions about every code point, as Python's Unicode
differs from theirs. Anything else is `None`, and the `tokenizers` package does the work.
"""

from __future__ import annotations

import functools
import json
import re
import sys
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_SET: Final = r"\[(?:[^\[\]\\]|\\[rnt])+\]"
_POOL_IDS: Final = 1 << 20


def _empty_cache() -> NDArray[np.uint64]:
    from ultrakernels.bpe import SLOTS

    return np.zeros((SLOTS, 3), dtype=np.uint64)


@dataclass(frozen=True, eq=False)
class Bpe:
    """See `ultrakernels.fasttext_ids.sum_ids` and `ultrakernels.bpe.encode`."""

    n_ids: int
    decoded: list[str]
    kinds: NDArray[np.uint8]
    rules: NDArray[np.int64]
    bits: NDArray[np.uint8]
    byte_ids: NDArray[np.int32]
    keys: NDArray[np.uint64]
    values: NDArray[np.uint64]
    specials: tuple[bytes, ...]
    cache: NDArray[np.uint64] = field(default_factory=_empty_cache)
    pool: NDArray[np.int32] = field(default_factory=lambda: np.zeros(_POOL_IDS, dtype=np.int32))
    used: NDArray[np.int64] = field(default_factory=lambda: np.zeros(2, dtype=np.int64))


def of_json(content: str) -> Bpe | None:
    """The tables of a `tokenizer.json`; None where it has a rule that the kernels do not know."""
    from tokenizers import Tokenizer
    from ultrakernels.bpe import merge_table

    tokenizer = Tokenizer.from_str(content)
    settings: dict[str, Any] = json.loads(content)
    model = settings["model"]
    plain = ("unk_token", "continuing_subword_prefix", "end_of_word_suffix", "dropout")
    if model.get("type", "BPE") != "BPE" or settings.get("normalizer") is not None:
        return None
    if any(model.get(name) for name in (*plain, "byte_fallback", "ignore_merges")):
        return None
    steps = _steps(settings.get("pre_tokenizer"))
    if steps is None:
        return None
    vocabulary: dict[str, int] = model["vocab"]
    byte_ids = np.full(256, -1, dtype=np.int32)
    for byte, char in _byte_chars().items():
        byte_ids[byte] = vocabulary.get(char, -1)
    pairs, made = [], []
    for entry in model["merges"]:
        left, right = entry.split(" ") if isinstance(entry, str) else entry
        pairs.append((vocabulary[left], vocabulary[right]))
        made.append(vocabulary[left + right])
    n_ids = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1) + 1
    kinds = np.zeros(sys.maxunicode + 1, dtype=np.uint8)
    rules, bits = _classes(steps, kinds)
    if rules is None:
        return None
    keys, values = merge_table(np.array(pairs).reshape(-1, 2), np.array(made, dtype=np.int64))
    added = tuple(token["content"].encode() for token in settings.get("added_tokens", []))
    if any(not token for token in added):
        return None
    return Bpe(
        n_ids=n_ids,
        decoded=tokenizer.decode_batch([[i] for i in range(n_ids)], skip_special_tokens=False),
        kinds=kinds,
        rules=rules,
        bits=bits,
        byte_ids=byte_ids,
        keys=keys,
        values=values,
        specials=added,
    )


def _byte_chars() -> dict[int, str]:
    """The character by which byte-level BPE writes each byte (GPT-2)."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return {byte: chr(byte) for byte in shown} | {
        byte: chr(256 + place) for place, byte in enumerate(hidden)
    }


Step = tuple[int, str]
"""A rule of `ultrakernels.pretokens`, and the expression of its set (`digits`: the package's own)."""


def _steps(pre_tokenizer: Any) -> list[Step] | None:
    from ultrakernels.pretokens import EACH, GPT2, RUNS, SPACED_RUNS, TRAILING

    if not isinstance(pre_tokenizer, dict):
        return None
    listed = pre_tokenizer.get("pretokenizers", [pre_tokenizer])
    if not listed or listed[-1].get("type") != "ByteLevel" or listed[-1].get("add_prefix_space"):
        return None
    steps: list[Step] = []
    for step in listed[:-1]:
        kind = step.get("type")
        if kind == "Digits" and step.get("individual_digits"):
            steps.append((EACH, "digits"))
            continue
        pattern = step.get("pattern", {}).get("Regex")
        if (
            kind != "Split"
            or step.get("behavior") != "Isolated"
            or step.get("invert")
            or not pattern
        ):
            return None
        if re.fullmatch(_SET, pattern):
            steps.append((EACH, pattern))
        elif re.fullmatch(_SET + r"\+", pattern):
            steps.append((RUNS, pattern[:-1]))
        elif re.fullmatch(r"\\s\?" + _SET + r"\+", pattern):
            steps.append((SPACED_RUNS, pattern[3:-1]))
        elif pattern == r"\s+$" and any(r == EACH and re.search("\n|\\\\n", p) for r, p in steps):
            # in these expressions `$` is the end of a line, so lines must be apart already
            steps.append((TRAILING, ""))
        else:
            return None
    return [*steps, (GPT2, "")] if listed[-1].get("use_regex", True) else steps


def _classes(
    steps: list[Step], kinds: NDArray[np.uint8]
) -> tuple[NDArray[np.int64] | None, NDArray[np.uint8]]:
    """Sets the classes of every code point; (rules, bits), rules None if the classes do not fit."""
    from ultrakernels.pretokens import GPT2, LETTER, NUMBER, SPACED_RUNS, TRAILING, WHITE

    kinds[_members(r"\s")] |= WHITE
    bit = WHITE
    if any(rule == GPT2 for rule, _ in steps):
        kinds[_members(r"\p{L}")] |= LETTER
        kinds[_members(r"\p{N}")] |= NUMBER
        bit = NUMBER
    bits = []
    for rule, expression in steps:
        if rule in (TRAILING, GPT2):
            bits.append(0)
            continue
        bit <<= 1
        if bit > 128:
            return None, np.empty(0, dtype=np.uint8)
        kinds[_members(expression)] |= bit
        bits.append(bit)
        both = kinds & (bit | WHITE) == bit | WHITE
        # decomposition leaves none of these, but for U+1680
        if rule == SPACED_RUNS and both.any() and not set(np.flatnonzero(both)) <= {0x3000}:
            return None, np.empty(0, dtype=np.uint8)
    return np.array([rule for rule, _ in steps], dtype=np.int64), np.array(bits, dtype=np.uint8)


_ASSIGNED: Final = (range(0xD800), range(0xE000, 0x40000), range(0xE0000, 0xE1000))
"""Where Unicode has assigned characters, now and for some years to come."""
_REST: Final = (range(0x40000, 0xE0000), range(0xE1000, sys.maxunicode + 1))


def _members(expression: str) -> NDArray[np.int64]:
    """The code points that a set of the tokenizers package holds."""
    found = _members_of(expression, _codes(_ASSIGNED))
    # of the planes without characters some are asked: a set may reach so far
    if len(_members_of(expression, _codes(_REST)[::997])):
        found = np.concatenate([found, _members_of(expression, _codes(_REST))])
    return found


@functools.cache
def _codes(ranges: tuple[range, ...]) -> NDArray[np.int64]:
    return np.concatenate([np.array(one) for one in ranges])


def _members_of(expression: str, codes: NDArray[np.int64]) -> NDArray[np.int64]:
    from tokenizers import Regex, pre_tokenizers

    everything = "".join(map(chr, codes.tolist()))
    if expression == "digits":
        digits = pre_tokenizers.Digits(individual_digits=False)
        pieces = digits.pre_tokenize_str(everything)
        # runs of digits and of others take turns
        first = len(digits.pre_tokenize_str("a" + everything[0])) == 2
        spans = [span for _, span in pieces[0 if first else 1 :: 2]]
    else:
        one = pre_tokenizers.Split(Regex(expression + "+"), "removed", invert=True)
        spans = [span for _, span in one.pre_tokenize_str(everything)]
    held = np.zeros(len(codes), dtype=bool)
    for start, stop in spans:
        held[start:stop] = True
    members: NDArray[np.int64] = codes[held]
    return members
