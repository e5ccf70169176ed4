"""What each extractor keeps and drops on pages whose text is known, and what a page costs.

    python tests/bench/train_blocks.py WEB DEBIAN_WARC_FOLDER --folds --out chances.npz
    python tests/bench/extraction.py WEB chances.npz DEBIAN_WARC_FOLDER [--n 40] [--rounds 3]

prints the table of docs/extraction.md. `blocks` reads each page with trees that were trained without
its site (`chances.npz`); its time is that of the shipped trees. `readability` needs
`pip install readability-lxml` and is left out, with a line that says so, where it is not installed.
Times are CPU milliseconds a page, all systems in turn in every round; the median of rounds.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from gold_pages import Gold, documentation, f1, pages, precision_recall, readable
from ultrakernels import html_blocks

from ultraclean.text.blocks import THRESHOLD, rendered
from ultraclean.text.extractors import Settings, lines_of_all, open_extractors
from ultraclean.text.page_characters import decode

SINGLE = ("blocks", "trafilatura", "resiliparse", "justext")


class Row(NamedTuple):
    """One system: on articles, its F1 on documentation, shares of segments, CPU time a page."""

    system: str
    precision: float
    recall: float
    f1: float
    documentation: float
    kept: float
    dropped: float
    ms: float


def rows(web: Path, chances: Path, debian: Path, n_timed: int = 40, n_rounds: int = 3) -> list[Row]:
    """A row for each extractor, and for unions of them."""
    gold = [page for page in pages(web) if page.kind != "readability"]
    gold += documentation(debian)
    systems = {name: _alone(name) for name in SINGLE}
    if importlib.util.find_spec("readability") is not None:
        systems["readability-lxml"] = _readability
    else:
        print("readability-lxml is not installed and left out")
    with np.load(chances) as held_out:
        texts = {
            name: [
                _held_out(page, held_out[page.id]) if name == "blocks" else function(page.html)
                for page in gold
            ]
            for name, function in systems.items()
        }
    ms = _times(
        systems,
        [page.html for page in gold if page.kind == "article_extraction"][:n_timed],
        n_rounds,
    )
    table = [_row(name, gold, found, ms[name]) for name, found in texts.items()]
    for union in (("blocks", "trafilatura"), ("resiliparse", "trafilatura", "justext")):
        parts = [texts[name] for name in union]
        cost = sum(ms[name] for name in union)
        longest = [max(found, key=len) for found in zip(*parts, strict=True)]
        lines = [
            lines_of_all(list(zip(found, union, strict=True)), "\n")[0]
            for found in zip(*parts, strict=True)
        ]
        first = [
            next((text for text in found if len(text) >= 200), max(found, key=len))
            for found in zip(*parts, strict=True)
        ]
        asked = [
            next((k + 1 for k, text in enumerate(found) if len(text) >= 200), len(union))
            for found in zip(*parts, strict=True)
        ]
        needed = statistics.mean(sum(ms[name] for name in union[:n]) for n in asked)
        name = " + ".join(union)
        table.append(_row(f"{name}, first", gold, first, needed))
        table.append(_row(f"{name}, longest", gold, longest, cost))
        table.append(_row(f"{name}, lines", gold, lines, cost))
    return table


def _alone(name: Any) -> Callable[[bytes], str]:
    extract = open_extractors(Settings((name,)))
    return lambda html: extract((html, None, None)).text


def _readability(html: bytes) -> str:
    from readability import Document

    try:
        return readable(Document(decode(html)).summary(html_partial=True))
    except Exception:  # it raises on pages without text
        return ""


def _held_out(page: Gold, chance: Any) -> str:
    content = decode(page.html).encode("utf-8", "replace")
    nodes, blocks, pieces = html_blocks.read(content)
    return rendered(content, nodes, blocks[chance >= THRESHOLD], pieces, False, False)


def _row(system: str, gold: list[Gold], texts: list[str], ms: float) -> Row:
    scores, manuals, kept, dropped = [], [], [], []
    for page, text in zip(gold, texts, strict=True):
        if page.text is not None:
            among = manuals if page.kind == "documentation" else scores
            among.append(precision_recall(text, page.text))
            continue
        flat = " ".join(text.split())
        kept += [" ".join(one.split()) in flat for one in page.must]
        dropped += [" ".join(one.split()) not in flat for one in page.must_not]
    return Row(
        system, *f1(scores), f1(manuals)[2], statistics.mean(kept), statistics.mean(dropped), ms
    )


def _times(
    systems: dict[str, Callable[[bytes], str]], html: list[bytes], n_rounds: int
) -> dict[str, float]:
    found: dict[str, list[float]] = {name: [] for name in systems}
    for _ in range(n_rounds):
        for name, function in systems.items():
            started = time.process_time()
            for page in html:
                function(page)
            found[name].append((time.process_time() - started) / len(html) * 1000)
    return {name: statistics.median(values) for name, values in found.items()}


def markdown(table: list[Row]) -> str:
    lines = [
        "| extractor | precision | recall | F1 | documentation F1 | segments kept | segments dropped | ms a page |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in table:
        shares = " | ".join(f"{value:.3f}" for value in row[1:7])
        lines.append(f"| {row.system} | {shares} | {row.ms:.1f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("web", type=Path)
    parser.add_argument("chances", type=Path)
    parser.add_argument("debian", type=Path)
    parser.add_argument("--n", type=int, default=40, help="pages that are timed")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    print(markdown(rows(given.web, given.chances, given.debian, given.n, given.rounds)))
