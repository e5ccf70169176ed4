"""Trains the extractor `blocks` on pages whose text is known, and writes `ultraclean/text/blocks.npz`.

    pip install lightgbm
    python tests/bench/train_blocks.py ../shared/data/web DEBIAN_WARC_FOLDER [--folds] [--out FILE]

A block's label is the share of its words that a longest-match alignment finds in the gold text. Of
pages with segments only, those are labels, and trafilatura's text is one of a quarter of the weight.
`--folds` measures instead: each page by trees that were trained without its fold (its site); FILE then
gets the chances of its blocks, from which `extraction.py` makes its table.
"""

from __future__ import annotations

import argparse
import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gold_pages import N_FOLDS, WORD, Gold, documentation, f1, pages, precision_recall
from numpy.typing import NDArray
from ultrakernels import html_blocks

from ultraclean.text.block_features import features
from ultraclean.text.blocks import MODEL, THRESHOLD, block_text
from ultraclean.text.page_characters import decode

WEIGHT = {
    "article_extraction": 1.0,
    "readability": 0.6,
    "pages_segments": 0.5,
    "documentation": 0.4,
}
SETTINGS = {
    "objective": "binary",
    "num_leaves": 15,
    "learning_rate": 0.07,
    "min_data_in_leaf": 30,
    "min_sum_hessian_in_leaf": 0.02,
    "feature_fraction": 0.35,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 0.5,
    "use_missing": False,
    "verbose": -1,
    "num_threads": 1,
    "seed": 0,
    "deterministic": True,
    "force_row_wise": True,
}
N_TREES = 160


@dataclass
class Page:
    """A gold page's blocks: x float32[n, n_features], and label, weight float64[n]."""

    gold: Gold
    texts: list[str]
    x: NDArray[np.float32]
    label: NDArray[np.float64]
    weight: NDArray[np.float64]


def read(gold: Gold) -> Page | None:
    html = decode(gold.html)
    page = html.encode("utf-8", "replace")
    nodes, blocks, pieces = html_blocks.read(page)
    if not len(blocks):
        return None
    texts = [block_text(page, pieces[first:last]) for first, last in blocks[:, 1:3].tolist()]
    weight = np.ones(len(texts))
    if gold.text is not None:
        label, n_words = aligned(texts, gold.text)
    else:
        import trafilatura

        taught = trafilatura.extract(html, fast=True, include_comments=False) or ""
        label, n_words = aligned(texts, taught)
        weight[:] = 0.25
        for segments, value in ((gold.must, 1.0), (gold.must_not, 0.0)):
            for segment in (" ".join(one.split()) for one in segments):
                for row, text in enumerate(texts):
                    # what must go may also be a word of a sentence that stays
                    if segment in text and (value or label[row] < 0.99 or text == segment):
                        label[row], weight[row] = value, 2.0
    total = max(float((label * n_words).sum()), 50.0)
    share = WEIGHT[gold.kind] * np.minimum(weight * (n_words + 4) / total, 0.5)
    return Page(gold, texts, features(nodes, blocks), label, share)


def aligned(texts: list[str], gold: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """(share of each text's words that stand in `gold` in this order, number of its words)."""
    words = [WORD.findall(text) for text in texts]
    owner = np.repeat(np.arange(len(texts)), [len(some) for some in words])
    ours = [word for some in words for word in some]
    found = np.zeros(len(texts))
    matcher = difflib.SequenceMatcher(None, ours, WORD.findall(gold), autojunk=False)
    for match in matcher.get_matching_blocks():
        np.add.at(found, owner[match.a : match.a + match.size], 1)
    n_words = np.array([len(some) for some in words])
    return found / np.maximum(n_words, 1), n_words


def train(rows: list[Page]) -> Any:
    """The trees of some pages. A label between 0 and 1 is two rows of that weight."""
    import lightgbm

    x = np.concatenate([row.x for row in rows] * 2)
    label = np.concatenate([row.label for row in rows])
    weight = np.concatenate([row.weight for row in rows])
    target = np.repeat([1.0, 0.0], len(label))
    weight = np.concatenate([weight * label, weight * (1 - label)])
    some = weight > 0
    data = lightgbm.Dataset(x[some], target[some], weight=weight[some])
    return lightgbm.train(SETTINGS, data, N_TREES)


def arrays(booster: Any) -> dict[str, NDArray[Any]]:
    """The trees as `ultrakernels.trees` takes them."""
    roots, feature, threshold, left, right, value = [], [], [], [], [], []

    def add(node: dict[str, Any]) -> int:
        if "leaf_value" in node:
            value.append(node["leaf_value"])
            return ~(len(value) - 1)
        at = len(feature)
        assert node["decision_type"] == "<="
        feature.append(node["split_feature"])
        threshold.append(node["threshold"])
        left.append(0)
        right.append(0)
        left[at], right[at] = add(node["left_child"]), add(node["right_child"])
        return at

    for tree in booster.dump_model()["tree_info"]:
        roots.append(add(tree["tree_structure"]))
    columns = (roots, feature, threshold, left, right, value)
    kinds = (np.int32, np.int32, np.float64, np.int32, np.int32, np.float64)
    return {
        name: np.array(column, dtype=kind)
        for name, column, kind in zip(MODEL, columns, kinds, strict=True)
    }


def held_out(rows: list[Page]) -> dict[str, NDArray[np.float64]]:
    """Page id -> chances of its blocks, by trees that saw no page of its fold."""
    found = {}
    for fold in range(N_FOLDS):
        booster = train([row for row in rows if row.gold.fold != fold])
        for row in rows:
            if row.gold.fold == fold:
                found[row.gold.id] = booster.predict(row.x, num_threads=1)
        print(f"fold {fold} of {N_FOLDS}", flush=True)
    return found


def measure(rows: list[Page], chances: dict[str, NDArray[np.float64]]) -> None:
    for kind in ("article_extraction", "readability", "documentation"):
        line = []
        for threshold in (0.4, 0.45, 0.5, THRESHOLD, 0.6):
            scores = [
                precision_recall(
                    "\n".join(
                        text
                        for text, chance in zip(row.texts, chances[row.gold.id], strict=True)
                        if chance >= threshold
                    ),
                    row.gold.text or "",
                )
                for row in rows
                if row.gold.kind == kind
            ]
            line.append(f"{threshold}: " + " ".join(f"{value:.3f}" for value in f1(scores)))
        print(kind, "precision, recall, F1 by threshold", *line, sep="\n  ")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("web", type=Path)
    parser.add_argument("debian", type=Path)
    parser.add_argument("--folds", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("ultraclean/text/blocks.npz"))
    given = parser.parse_args()
    if given.folds and given.out == parser.get_default("out"):
        parser.error("--folds needs --out: its file is not the extractor's")
    found = [row for gold in pages(given.web) + documentation(given.debian) if (row := read(gold))]
    print(f"{len(found)} pages, {sum(len(row.texts) for row in found)} blocks", flush=True)
    if given.folds:
        chances = held_out(found)
        measure(found, chances)
        np.savez_compressed(given.out, **chances)
    else:
        np.savez_compressed(given.out, **arrays(train(found)))
        print(f"wrote {given.out}")
