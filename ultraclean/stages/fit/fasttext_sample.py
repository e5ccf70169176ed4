"""The training set of a classifier: a balanced sample of two groups of tables, in one random order.

Nothing here depends on how the tables are cut into shards: which documents are taken, which are held
out and in which order they come are three hashes of (seed, key). Two passes read the tables; the
sample lies in temporary files, sorted piece by piece, and is never whole in memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ultraclean.document import KEY, Batch, random64, texts
from ultraclean.stage import Rows

POSITIVE: Final = "__label__pos"
NEGATIVE: Final = "__label__neg"
_N_PIECES: Final = 64
_TEXTS_AT_ONCE: Final = 256
# three independent random numbers per document from one seed
_TAKE, _HOLD_OUT, _ORDER = 0x5A, 0xC3, 0x3C
_PREFIX: Final = len(f"{0:016x}{0:032x} ")
_FASTTEXT_SPACES: Final = str.maketrans(dict.fromkeys("\n\r\t\v\f\0", " "))


@dataclass(frozen=True)
class Candidates:
    """What the first pass knows of one class."""

    n_docs: int
    n_empty: int
    lowest: NDArray[np.uint64]
    """uint64[at most the limit], sorted: the random numbers of the documents that may be taken."""


def candidates(tables: Sequence[Rows], limit: int, seed: int) -> Candidates:
    """Counts the documents with text, and finds the `limit` lowest of their random numbers."""
    n_docs = n_empty = 0
    lowest = np.empty(0, dtype=np.uint64)
    for table in tables:
        for batch in table.batches([KEY, "text"]):
            has_text = _has_text(batch)
            n_docs += batch.num_rows
            n_empty += int((~has_text).sum())
            lowest = np.concatenate([lowest, _random(batch, seed, _TAKE)[has_text]])
            if len(lowest) > 2 * limit:
                lowest = np.partition(lowest, limit)[:limit]
    return Candidates(n_docs, n_empty, np.sort(lowest)[:limit])


@dataclass(frozen=True)
class TrainingSet:
    """Lines `__label__pos text`, in random order, for training and held out."""

    train: Path
    held_out: Path
    counts: dict[str, int]
    """train_positive, train_negative, held_out_positive, held_out_negative"""
    fingerprint: str
    """A hash over order, keys, labels and texts of all lines."""


@dataclass(frozen=True)
class Reading:
    """How documents become lines."""

    seed: int
    held_out: float
    """Fraction of the documents that is not trained on."""
    normalise: Callable[[Sequence[str]], list[str]]


def write_training_set(
    classes: Mapping[str, tuple[Sequence[Rows], Candidates]],
    n_per_class: int,
    reading: Reading,
    folder: Path,
) -> TrainingSet:
    """Takes `n_per_class` documents of each label; the second pass over the tables."""
    counts: dict[str, int] = {}
    with ExitStack() as stack:
        pieces = {
            part: [
                stack.enter_context(open(folder / f"{part}-{i:02}", "wb")) for i in range(_N_PIECES)
            ]
            for part in ("train", "held_out")
        }
        for label, (tables, found) in classes.items():
            name = "positive" if label == POSITIVE else "negative"
            highest = found.lowest[n_per_class - 1]
            counts |= {f"train_{name}": 0, f"held_out_{name}": 0}
            for order, key, is_held_out, text in _taken(tables, highest, reading):
                part = "held_out" if is_held_out else "train"
                counts[f"{part}_{name}"] += 1
                line = f"{order:016x}{key} {label} {text}\n".encode("utf-8", "replace")
                pieces[part][order >> 58].write(line)

    digest = hashlib.blake2b(digest_size=16)
    for part in ("train", "held_out"):
        with open(folder / f"{part}.txt", "wb") as out:
            for i in range(_N_PIECES):
                piece = folder / f"{part}-{i:02}"
                for line in sorted(piece.read_bytes().splitlines(keepends=True)):
                    digest.update(line)
                    out.write(line[_PREFIX:])
                piece.unlink()
        digest.update(b"\0")
    return TrainingSet(folder / "train.txt", folder / "held_out.txt", counts, digest.hexdigest())


def _taken(
    tables: Sequence[Rows],
    highest: np.uint64,
    reading: Reading,
) -> Iterator[tuple[int, str, bool, str]]:
    """(order, key, whether held out, text as fastText reads it) of each document that is taken."""
    held_below = np.uint64(reading.held_out * 2**64)
    for table in tables:
        for batch in table.batches([KEY, "text"]):
            taken = batch.filter(
                _has_text(batch) & (_random(batch, reading.seed, _TAKE) <= highest)
            )
            for start in range(0, taken.num_rows, _TEXTS_AT_ONCE):
                some = taken.slice(start, _TEXTS_AT_ONCE)
                found = reading.normalise(texts(some["text"]))
                orders = _random(some, reading.seed, _ORDER).tolist()
                held = (_random(some, reading.seed, _HOLD_OUT) < held_below).tolist()
                keys = [value.hex() for value in some[KEY].to_pylist()]
                for row, text in enumerate(found):
                    yield orders[row], keys[row], held[row], training_text(text)


def training_text(text: str) -> str:
    """One line that fastText trains on exactly as it would score it.

    In a training file a word that begins with `__label__` would be a label of its document, so it
    goes (scoring passes over it, too); nothing after the word `</s>` counts.
    """
    text = text.translate(_FASTTEXT_SPACES)
    if "__label__" not in text and "</s>" not in text:
        return text
    kept = []
    for word in text.split(" "):
        if word == "</s>":
            break
        if not word.startswith("__label__"):
            kept.append(word)
    return " ".join(kept)


def _has_text(batch: Batch) -> NDArray[np.bool_]:
    text = batch["text"]
    if not (pa.types.is_string(text.type) or pa.types.is_large_string(text.type)):
        text = text.cast(pa.large_string())
    lengths = pc.utf8_length(pc.utf8_trim_whitespace(pc.fill_null(text, "")))
    found: NDArray[np.bool_] = lengths.to_numpy(zero_copy_only=False) > 0
    return found


def _random(batch: Batch, seed: int, purpose: int) -> NDArray[np.uint64]:
    return random64(batch[KEY], (seed << 8) ^ purpose)


def n_in_both(positive: Candidates, negative: Candidates) -> int:
    """Documents (by key) that are candidates of both classes."""
    return len(np.intersect1d(positive.lowest, negative.lowest))
