"""Tests of a trained classifier beyond its own kind of data: people's labels, and one source less.

Held-out documents are of the same tables as the training set, so they say how well the tables are
told apart, not whether that is quality. Labels that people gave say that (`human`), and training
again without each positive table says how much of the classifier is that table (`without`).
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ultraclean import storage
from ultraclean.errors import DataError
from ultraclean.stages.fit import fasttext_card
from ultraclean.stages.fit.fasttext_sample import POSITIVE, training_text
from ultraclean.text.buffers import of_strings

Labelled = list[tuple[str, bool]]


def labelled(path: str) -> Labelled:
    """(text, keep) from JSON lines with `text` and `label`: 1 or true is to be kept, 0 or false not."""
    path = storage.expand(path)
    if not storage.exists(path):
        raise DataError(f"labels: there is no file {path}")
    content = storage.read_bytes(path)
    if path.endswith(".gz"):
        content = gzip.decompress(content)
    found: Labelled = []
    for number, line in enumerate(content.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            text, label = row["text"], row["label"]
        except (ValueError, KeyError, TypeError):
            raise DataError(f"labels: {path}:{number} is no object with text and label") from None
        if label not in (0, 1) or not isinstance(text, str):
            raise DataError(f"labels: {path}:{number}: a text and a label of 0 or 1, not {label!r}")
        found.append((text, bool(label)))
    if len({keep for _, keep in found}) < 2:
        raise DataError(f"labels: {path} has {len(found)} lines and not both labels")
    return found


def scores(
    model_path: Path, found: Labelled, normalise: Callable[[Sequence[str]], list[str]]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """P(positive) of each labelled text, read as the classifier's own training texts."""
    from ultrakernels import fasttext

    with open(model_path, "rb") as stream:
        model = fasttext.load(stream, str(model_path))
    column = model.labels.index(POSITIVE.removeprefix("__label__"))
    text = of_strings([training_text(one) for one in normalise([text for text, _ in found])])
    probability = fasttext.probabilities(model, text.offsets, text.data)[:, column]
    keep = np.array([label for _, label in found])
    return np.nan_to_num(probability.astype(np.float64), nan=0.5), keep


def compared(
    whole: NDArray[np.float64],
    less: NDArray[np.float64],
    is_positive: NDArray[np.bool_],
    threshold: float,
) -> dict[str, Any]:
    """What changes on held-out documents if a classifier saw one table less."""
    return {
        "auc": fasttext_card.auc(less, is_positive),
        "auc_change": _change(
            fasttext_card.auc(less, is_positive), fasttext_card.auc(whole, is_positive)
        ),
        "decided_otherwise": float(((whole >= threshold) != (less >= threshold)).mean()),
    }


def _change(now: float | None, before: float | None) -> float | None:
    return None if now is None or before is None else now - before
