"""Needle in a haystack: is one sentence, hidden at some depth of a long text, found again?

The task is "single needle" of RULER (arXiv 2404.06654, appendix B): a sentence gives a word a number
of seven digits, the text around it is the caller's, and greedy decoding has to repeat the number.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ultraclean.errors import DataError
from ultraclean.train.chat import BEGIN
from ultraclean.train.inference import Engine, Writing
from ultraclean.train.model import MiniCPM4

NEEDLE = "One of the special magic numbers for {word} is: {number}."
QUESTION = (
    "\nWhat is the special magic number for {word} mentioned in the provided text? "
    "The special magic number for {word} mentioned in the provided text is"
)
WORDS = ("lantern", "harbour", "cactus", "violin", "glacier", "orchard", "compass", "teapot")
MAX_TOKENS = 16


@dataclass(frozen=True)
class Found:
    """One needle: where it lay, what was asked for and what was written."""

    length: int
    depth: float
    number: str
    written: str
    found: bool
    seconds: float


def search(
    model: MiniCPM4,
    tokenizer: Any,
    haystack: str,
    *,
    lengths: Sequence[int],
    depths: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 1.0),
    trials: int = 1,
    seed: int = 0,
    chunk: int = 2048,
) -> list[Found]:
    """One prompt for each length (tokens, the answer included), depth (0 is the start) and trial.

    A haystack that is too short comes round again.
    """
    straw: list[int] = tokenizer.encode(haystack, add_special_tokens=False).ids
    if not straw:
        raise DataError("the haystack holds no text")
    found = []
    for length in lengths:
        engine = Engine(model, places=1, room=length, chunk=chunk)
        for depth in depths:
            for trial in range(trials):
                rng = random.Random(f"{seed} {length} {depth} {trial}")
                word, number = rng.choice(WORDS), str(rng.randrange(1_000_000, 10_000_000))
                prompt = _prompt(tokenizer, straw, word, number, length - MAX_TOKENS, depth)
                started = time.perf_counter()
                (ids,) = engine.write([Writing(prompt, max_tokens=MAX_TOKENS)])
                seconds = time.perf_counter() - started
                written = tokenizer.decode(ids, skip_special_tokens=True)
                found.append(
                    Found(length, depth, number, written, number in written, round(seconds, 2))
                )
    return found


def _prompt(
    tokenizer: Any, straw: Sequence[int], word: str, number: str, length: int, depth: float
) -> list[int]:
    """Exactly `length` tokens: straw, needle, straw, question."""

    def ids(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False).ids)

    begin = tokenizer.token_to_id(BEGIN)
    first = [] if begin is None else [begin]
    needle = ids("\n" + NEEDLE.format(word=word, number=number) + "\n")
    question = ids(QUESTION.format(word=word))
    room = length - len(first) - len(needle) - len(question)
    if room < 0:
        raise DataError(f"{length + MAX_TOKENS} tokens have no room for needle and question")
    hay = [straw[index % len(straw)] for index in range(room)]
    at = round(depth * room)
    return [*first, *hay[:at], *needle, *hay[at:], *question]


def table(found: Sequence[Found]) -> str:
    """Markdown: the share of needles found, by length and depth."""
    depths = sorted({one.depth for one in found})
    lines = ["| tokens | " + " | ".join(f"depth {depth:.0%}" for depth in depths) + " | seconds |"]
    lines.append("|---" * (len(depths) + 2) + "|")
    for length in sorted({one.length for one in found}):
        row = [one for one in found if one.length == length]
        shares = []
        for depth in depths:
            cell = [one.found for one in row if one.depth == depth]
            shares.append(f"{sum(cell)}/{len(cell)}")
        seconds = sum(one.seconds for one in row) / len(row)
        lines.append(f"| {length} | " + " | ".join(shares) + f" | {seconds:.1f} |")
    return "\n".join(lines)


def record(found: Sequence[Found]) -> list[dict[str, Any]]:
    return [asdict(one) for one in found]
