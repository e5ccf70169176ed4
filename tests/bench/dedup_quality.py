"""What `dedup.minhash` finds against exact Jaccard similarities: the tables of docs/deduplication.md.

    python tests/bench/dedup_quality.py --warcs debian --data ../shared/data --folder /tmp/quality

Pairs of pages of two kernel and two Boost releases (`debian_corpus.py`), made denser by edits until
each bucket of similarity has 2,000 pairs; planted edits and chains; the articles with planted pairs;
the reading levels of OneStopEnglish. Exits with 1 if a bound does not hold.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import shutil
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from ultrakernels import minhash as kernel
from ultrakernels.shingles import shingle_sets

from ultraclean import Pipeline, read, write
from ultraclean.document import Batch
from ultraclean.inputs import Shard
from ultraclean.stages.dedup.minhash import Minhash
from ultraclean.stages.read.warc import Warc
from ultraclean.stages.score.language import Language

BANDS, ROWS = 14, 8
PER_BUCKET = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("warcs", "data", "folder"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    arguments = parser.parse_args()
    shutil.rmtree(arguments.folder, ignore_errors=True)
    arguments.folder.mkdir(parents=True)
    pages = releases(arguments.warcs)
    good = recall(pages)
    good &= planted_edits(list(pages.values()))
    good &= chains(arguments.folder)
    good &= articles(arguments.folder, arguments.data / "dedup")
    good &= levels(arguments.folder, arguments.data / "labels")
    good &= translations(arguments.folder, arguments.data / "langid", arguments.warcs)
    good &= translations(arguments.folder, arguments.data / "langid", arguments.warcs)
    good &= against_brute_force(arguments.folder, list(pages.values())[:3000])
    sys.exit(0 if good else 1)


# --- recall by similarity -----------------------------------------------------------------------------


def releases(warcs: Path) -> dict[tuple[str, str], str]:
    """(package, path in it) -> text of kernel and Boost pages."""
    found = pages_of(warcs, r"(linux-doc-[\d.]+|libboost[\d.]+-doc)/(.*)")
    inner = r"(linux-doc|libboost)[-\d.]*(-doc)?"
    return {(package, re.sub(inner, "", path)): text for (package, path), text in found.items()}


def pages_of(warcs: Path, pattern: str) -> dict[tuple[str, str], str]:
    """The two groups of the pattern in the address -> text of a page, tags cut out roughly."""
    found: dict[tuple[str, str], str] = {}
    for path in sorted(warcs.glob("*.warc.gz")):
        source = Warc(path=str(path))
        parts = tuple(part for one in source.inputs() for part in source.split(one, 2**30))
        for batch in source.read(Shard(0, parts)):
            for url, raw in zip(batch["url"].to_pylist(), batch["html"].to_pylist(), strict=True):
                name = re.search(pattern, url or "")
                if name and raw:
                    html = raw.decode("utf-8", "ignore")
                    page = re.sub(r"(?s)<(script|style).*?</\1>|<[^>]*>|&#?\w+;", " ", html)
                    found[name[1], name[2]] = " ".join(page.split())[:20_000]
    return found


def recall(pages: dict[tuple[str, str], str]) -> bool:
    by_path = defaultdict(list)
    for (package, path), text in pages.items():
        by_path[package[:6], path].append(text)
    pairs = [tuple(texts[:2]) for texts in by_path.values() if len(texts) > 1]
    n_natural = len(pairs)
    draw = random.Random(1)
    texts = [text for text in pages.values() if len(text) > 1000]
    for _ in range(26_000):  # a run of words from a page, and an edit of it
        words = draw.choice(texts).split()
        start = draw.randrange(max(1, len(words) - 300))
        words = words[start : start + 300]
        pairs.append((" ".join(words), " ".join(edited(draw, words, draw.random() ** 2 * 0.3))))
    left, right = (pa.array(list(side)) for side in zip(*pairs, strict=True))
    jaccard, shares = np.concatenate([jaccards(left, right)]), shares_band(left, right)
    natural = np.arange(len(pairs)) < n_natural
    print(
        f"\n{n_natural} natural pairs; recall before verification, {BANDS} bands of {ROWS} rows\n"
    )
    print(
        "| Jaccard | pairs | of them natural | found | theory | bound | holds |\n|---|---|---|---|---|---|---|"
    )
    good = True
    for low in np.arange(0.1, 1.0, 0.1):
        inside = np.flatnonzero((jaccard >= low) & (jaccard < low + 0.1 + (low > 0.89) * 1e-9))
        inside = inside[:PER_BUCKET] if natural[inside].sum() < PER_BUCKET else inside
        theory = float(np.mean(1 - (1 - jaccard[inside] ** ROWS) ** BANDS))
        found = float(np.mean(shares[inside]))
        bound = max(0.01, 3 * np.sqrt(theory * (1 - theory) / max(1, len(inside))))
        holds = abs(found - theory) <= bound and len(inside) >= PER_BUCKET
        good &= holds
        print(
            f"| {low:.1f} to {low + 0.1:.1f} | {len(inside):,} | {natural[inside].sum():,} | {found:.4f} | {theory:.4f} | {bound:.4f} | {'yes' if holds else 'NO'} |"
        )
    return good


def edited(draw: random.Random, words: list[str], share: float) -> list[str]:
    return [word if draw.random() >= share else f"new{draw.randrange(10**6)}" for word in words]


def jaccards(left: pa.Array, right: pa.Array) -> NDArray[np.float64]:
    """By the sets themselves, brute force."""
    pairs = zip(shingle_sets(left, 5).to_pylist(), shingle_sets(right, 5).to_pylist(), strict=True)
    return np.array([len(set(a) & set(b)) / max(1, len(set(a) | set(b))) for a, b in pairs])


def shares_band(left: pa.Array, right: pa.Array) -> NDArray[np.bool_]:
    a, b = kernel.parameters(1, BANDS * ROWS)
    keys = [
        kernel.band_keys(kernel.signatures(side, 5, a, b)[0], BANDS, ROWS, 1)
        for side in (left, right)
    ]
    found: NDArray[np.bool_] = (keys[0] == keys[1]).any(axis=1)
    return found


def planted_edits(texts: list[str]) -> bool:
    draw = random.Random(2)
    print(
        "\n| words edited | mean Jaccard | found before verification | dropped at 0.7 |\n|---|---|---|---|"
    )
    for share in (0.01, 0.05, 0.1, 0.2, 0.4):
        pairs = []
        for text in draw.sample(texts, 1000):
            words = text.split()[:400]
            pairs.append((" ".join(words), " ".join(edited(draw, words, share))))
        left, right = (pa.array(list(side)) for side in zip(*pairs, strict=True))
        jaccard, found = jaccards(left, right), shares_band(left, right)
        print(
            f"| {share:.0%} | {jaccard.mean():.2f} | {found.mean():.3f} | {(found & (jaccard >= 0.7)).mean():.3f} |"
        )
    return True


# --- whole runs -----------------------------------------------------------------------------------------


def run(
    folder: Path, name: str, texts: list[str], stage: Minhash
) -> tuple[dict[str, Any], list[int], dict[int, int]]:
    """(card, kept rows, dropped row -> the row that it duplicates)."""
    source = folder / f"{name}.parquet"
    pq.write_table(pa.table({"id": [str(i) for i in range(len(texts))], "text": texts}), source)
    stages = [read.Parquet(path=str(source)), stage, write.Parquet()]
    done = Pipeline(name=name, stages=stages).run(str(folder / name))
    kept = done.scan(name).collect().select("_key", "id").rows()
    try:
        gone = done.dropped(name).collect().select("_key", "id", "same_as").rows()
    except Exception:
        gone = []
    number = {key: int(row) for key, row, *_ in [*kept, *gone]}
    card = next(one.card for one in done.done.values() if one.segment.kind == "barrier")
    return card, [int(row) for _, row in kept], {int(row): number[of] for _, row, of in gone}


def chain_texts() -> list[str]:
    """50 chains of 40, A~B~C~...: each an edit of the one before, the ends unrelated."""
    draw = random.Random(3)
    texts = []
    for _ in range(50):
        words = [f"w{draw.randrange(10**6)}" for _ in range(300)]
        for _ in range(40):
            texts.append(" ".join(words))
            for _ in range(6):
                words[draw.randrange(len(words))] = f"w{draw.randrange(10**6)}"
    return texts


def chains(folder: Path) -> bool:
    texts = chain_texts()
    sets = [set(found) for found in shingle_sets(pa.array(texts), 5).to_pylist()]
    print(
        "\n| 50 chains of 40 | dropped | of them unrelated (Jaccard to the kept copy < 0.7) |\n|---|---|---|"
    )
    lost = 0
    for name, stage in (("closure", Minhash()), ("verify", Minhash(verify=0.7))):
        _, _, copies = run(folder, f"chains_{name}", texts, stage)
        lost = sum(len(sets[a] & sets[b]) / len(sets[a] | sets[b]) < 0.7 for a, b in copies.items())
        print(f"| {name} | {len(copies):,} | {lost:,} |")
    return lost == 0


def articles(folder: Path, data: Path) -> bool:
    print("\n| articles | planted pairs | found | missed | wrong |\n|---|---|---|---|---|")
    good = True
    for n_docs in (100, 1000):
        lines = (data / f"articles_{n_docs}.train").read_text().splitlines()
        names, texts = zip(*(line.split(" ", 1) for line in lines), strict=True)
        truth = {
            frozenset(line.split())
            for line in (data / f"articles_{n_docs}.truth").read_text().splitlines()
        }
        _, _, copies = run(folder, f"articles_{n_docs}", list(texts), Minhash(verify=0.7))
        found = {frozenset((names[a], names[b])) for a, b in copies.items()}
        good &= found == truth
        print(
            f"| {n_docs} | {len(truth)} | {len(found & truth)} | {len(truth - found)} | {len(found - truth)} |"
        )
    return good


def levels(folder: Path, labels: Path) -> bool:
    """The same articles at three levels: none may go."""
    (path,) = labels.glob("onestop*")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    _, kept, copies = run(folder, "onestop", texts, Minhash(verify=0.7))
    print(f"\nreading levels: {len(kept)} of {len(texts)} kept, {len(copies)} merged")
    return not copies


def translations(folder: Path, langid: Path, warcs: Path) -> bool:
    """The declaration of human rights, and pages of a program's help in three languages: none may merge."""
    with gzip.open(langid / "udhr.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    _, kept, copies = run(
        folder, "declarations", [row["text"] for row in rows], Minhash(verify=0.7)
    )
    print(f"\ntranslations: {len(kept)} of {len(rows)} declarations kept, {len(copies)} merged")
    found = pages_of(warcs, r"libreoffice/help/(en-US|de|zh-CN)/(text/.*)")
    named = Language().open()(Batch.of(text=list(found.values())))["language"].to_pylist()
    # Many a page of the Chinese help is English still: such a page is a copy and no translation.
    translated = [
        name for name, language in zip(found, named, strict=True) if language == name[0][:2]
    ]
    n_languages = Counter(path for _, path in translated)
    shared = [name for name in translated if n_languages[name[1]] > 1]
    texts = [found[name] for name in shared]
    _, kept, merged = run(folder, "help", texts, Minhash(verify=0.7))
    across = {a: b for a, b in merged.items() if shared[a][0] != shared[b][0]}
    print(
        f"help pages in two or three languages: {len(kept)} of {len(texts)} kept, {len(merged)} merged, "
        f"{len(across)} with a page of another language"
    )
    return not copies and not across


def against_brute_force(folder: Path, texts: list[str]) -> bool:
    """Each dropped document has a kept copy of Jaccard 0.7 or more, by the sets themselves."""
    card, kept, copies = run(folder, "brute", texts, Minhash(verify=0.7))
    sets = [set(found) for found in shingle_sets(pa.array(texts), 5).to_pylist()]
    low = sum(
        len(sets[a] & sets[b]) / len(sets[a] | sets[b]) < 0.7 or b not in set(kept)
        for a, b in copies.items()
    )
    print(
        f"\n{len(texts)} kernel and Boost pages at verify 0.7: {len(copies)} dropped, {low} without a kept copy of 0.7; pairs {card['pairs']}; closure would drop {card['closure_would_drop']}"
    )
    return low == 0


if __name__ == "__main__":
    main()
