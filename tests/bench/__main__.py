"""Runs the loops, prints their tables, writes a dated report.

    PYTHONPATH=tests python -m bench [LOOP ...] [--quick] [--write] [--debian FOLDER]

`--write` also puts the report into tests/bench/reports/ and each table into docs/performance.md.
"""

from __future__ import annotations

import argparse
import importlib
import re
import sys
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pyarrow as pa

from bench import machine, peers
from bench.corpora import BUILD, ROOT, Corpus, corpora
from bench.measure import Row, markdown

LOOPS = {
    "classifier": "fastText scoring of a two-label model, raw text",
    "chain": "the UltraClean chain: normalise, tokenise, score",
    "langid": "language identification, lid.176.ftz",
    "signatures": "MinHash signatures of word 5-grams",
    "lsh": "bands to components, in memory",
    "heuristics": "Gopher quality, Gopher repetition, C4, FineWeb",
    "unicode": "Unicode repair in datatrove's configuration",
    "files": "reading",
    "pipeline": "the whole pipeline, Parquet to Parquet",
    "growth": "cost against number and length of documents",
    "overhead": "what Ray adds to the same work in one process",
}
DOCUMENT = ROOT / "docs" / "performance.md"


@dataclass(frozen=True)
class Run:
    """What a loop is given."""

    corpora: list[Corpus]
    quick: bool
    debian: Path | None

    @property
    def rounds(self) -> int:
        return 3 if self.quick else 5

    def corpus(self, name: str) -> Corpus | None:
        return next((one for one in self.corpora if one.name == name), None)


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("loops", nargs="*", metavar="LOOP", help=", ".join(LOOPS))
    parser.add_argument("--quick", action="store_true", help="less text, fewer rounds")
    parser.add_argument("--write", action="store_true", help="into docs/ and reports/")
    parser.add_argument("--debian", type=Path, default=BUILD / "debian", help="Debian corpus")
    given = parser.parse_args()
    unknown = [name for name in given.loops if name not in LOOPS]
    if unknown:
        parser.error(f"no such loop: {', '.join(unknown)}; there are {', '.join(LOOPS)}")
    peers.install()
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    texts = corpora(given.debian, (1 if given.quick else 12) * 10**6)
    run = Run(texts, given.quick, given.debian)

    report = [
        f"# Benchmark of {date.today()}{', quick' if given.quick else ''}",
        machine.describe(),
    ]
    for corpus in texts:
        report.append(
            f"- {corpus.name}: {len(corpus.texts):,} documents, {corpus.n_bytes / 1e6:.1f} MB"
        )
    for name in given.loops or LOOPS:
        before, begun = machine.load(), time.time()
        table: list[Row] = list(importlib.import_module(f"bench.{name}").rows(run))
        warm = max((row.warm_s for row in table), default=0)
        facts = (
            f"{date.today()}, load before {before} and after {machine.load()}, medians of "
            f"{run.rounds} rounds in turns, CPU seconds; longest warm-up of ours {warm:.1f} s; "
            f"the loop took {time.time() - begun:.0f} s"
        )
        text = f"{markdown(table)}\n\n{facts}"
        print(f"\n## {name}: {LOOPS[name]}\n\n{text}", flush=True)
        report.append(f"\n## {name}: {LOOPS[name]}\n\n{text}")
        if given.write:
            _into_document(name, text)
    folder = Path(__file__).parent / "reports" if given.write else BUILD / "reports"
    folder.mkdir(parents=True, exist_ok=True)
    kind = "quick" if given.quick else "full"
    only = "-".join(given.loops)
    path = folder / f"{date.today()}-{kind}{'-' if only else ''}{only}.md"
    path.write_text("\n".join(report) + "\n")
    print(f"\nreport: {path}", file=sys.stderr)


def _into_document(name: str, text: str) -> None:
    """Puts a table between its marks in docs/performance.md."""
    content = DOCUMENT.read_text()
    begin, end = f"<!-- bench:{name} -->", f"<!-- /bench:{name} -->"
    if begin not in content:
        raise SystemExit(f"{DOCUMENT} has no place for {name}: {begin} ... {end}")
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    DOCUMENT.write_text(pattern.sub(lambda _: f"{begin}\n{text}\n{end}", content))


if __name__ == "__main__":
    main()
