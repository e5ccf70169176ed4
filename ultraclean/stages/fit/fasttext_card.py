"""How good a two-class classifier is on documents that it has not seen: the numbers of its card."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ultraclean.text.buffers import of_strings

N_BINS: Final = 10
_LINES_AT_ONCE: Final = 512


def scores_of(
    model_path: Path, lines_path: Path, positive: str
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """P(positive) and whether it is one, for each line `label text` of a held-out file."""
    from ultrakernels import fasttext

    with open(model_path, "rb") as stream:
        model = fasttext.load(stream, str(model_path))
    column = model.labels.index(positive.removeprefix("__label__"))
    probability, is_positive = [np.empty(0)], [np.empty(0, dtype=bool)]
    for lines in _lines(lines_path):
        pairs = [line.split(" ", 1) for line in lines]
        text = of_strings([pair[1] for pair in pairs])
        found = fasttext.probabilities(model, text.offsets, text.data)[:, column]
        probability.append(np.nan_to_num(found.astype(np.float64), nan=0.5))
        is_positive.append(np.array([pair[0] == positive for pair in pairs]))
    return np.concatenate(probability), np.concatenate(is_positive)


def _lines(path: Path) -> Iterator[list[str]]:
    lines: list[str] = []
    with open(path, encoding="utf-8", newline="\n") as stream:
        for line in stream:
            lines.append(line.rstrip("\n"))
            if len(lines) == _LINES_AT_ONCE:
                yield lines
                lines = []
    if lines:
        yield lines


def measured(
    probability: NDArray[np.float64], is_positive: NDArray[np.bool_], threshold: float
) -> dict[str, Any]:
    """Precision, recall and F1 at a threshold, AUC, and calibration in ten bins.

    A number that does not exist (precision where nothing is called positive, AUC of one class) is
    None. `calibration_error` is the mean over documents of |share of positives - mean probability|
    of their bin.
    """
    called = probability >= threshold
    true_positive = int((called & is_positive).sum())
    precision = _ratio(true_positive, int(called.sum()))
    recall = _ratio(true_positive, int(is_positive.sum()))
    bins = np.minimum((probability * N_BINS).astype(int), N_BINS - 1)
    calibration = []
    error = 0.0
    for i in range(N_BINS):
        inside = bins == i
        n = int(inside.sum())
        mean = float(probability[inside].mean()) if n else None
        share = float(is_positive[inside].mean()) if n else None
        calibration.append(
            {"from": i / N_BINS, "to": (i + 1) / N_BINS, "n": n, "mean": mean, "positive": share}
        )
        if mean is not None and share is not None:
            error += n * abs(share - mean)
    return {
        "n": len(probability),
        "n_positive": int(is_positive.sum()),
        "accuracy": _ratio(int((called == is_positive).sum()), len(probability)),
        "precision": precision,
        "recall": recall,
        "f1": _ratio(2 * true_positive, int(called.sum()) + int(is_positive.sum())),
        "auc": auc(probability, is_positive),
        "calibration": calibration,
        "calibration_error": error / len(probability) if len(probability) else None,
    }


def auc(probability: NDArray[np.float64], is_positive: NDArray[np.bool_]) -> float | None:
    """How often a positive document scores above a negative one; equal scores count one half."""
    n_positive = int(is_positive.sum())
    n_negative = len(is_positive) - n_positive
    if n_positive == 0 or n_negative == 0:
        return None
    _, place, count = np.unique(probability, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    rank = (last - (count - 1) / 2)[place]  # equal scores share the mean of their ranks
    above = float(rank[is_positive].sum()) - n_positive * (n_positive + 1) / 2
    return above / (n_positive * n_negative)


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
