"""The metrics of a run: the counts of run.json, in Prometheus' text format."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from ultraclean.cli import main

SAMPLE = re.compile(r'([a-z_]+)\{((?:[a-z]+="(?:[^"\\]|\\.)*",?)*)\} (\d[0-9.e+]*)')
LABEL = re.compile(r'([a-z]+)="((?:[^"\\]|\\.)*)"')


def sampled(printed: str) -> dict[tuple[str, ...], float]:
    """(name, values of its labels without `run`) -> value."""
    found = {}
    for line in printed.splitlines():
        if line.startswith("# "):
            assert re.fullmatch(
                r"# (HELP ultraclean_\w+ .+|TYPE ultraclean_\w+ (gauge|counter))", line
            )
            continue
        matched = SAMPLE.fullmatch(line)
        assert matched, line
        _, *labels = [value for _, value in LABEL.findall(matched[2])]
        assert (matched[1], *labels) not in found
        found[(matched[1], *labels)] = float(matched[3])
    return found


def test_metrics_of_a_finished_and_of_an_interrupted_run(
    tmp_path: Path, make_corpus: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_corpus(tmp_path / "in", n_files=3)
    size = max(path.stat().st_size for path in folder.iterdir())
    pipeline, run = tmp_path / "m.yaml", tmp_path / 'a "run"'
    pipeline.write_text(
        f'shard_bytes: {size}\ntables:\n  web:\n    - read.jsonl: {{path: "{folder}/*.jsonl"}}\n'
        "    - filter.length: {min_chars: 60}\n    - dedup.exact\n    - write.parquet\n"
    )
    assert main(["run", str(pipeline), "--out", str(run), "--address", "inline"]) == 0
    capsys.readouterr()
    assert main(["status", str(run), "--metrics"]) == 0
    printed = capsys.readouterr().out
    assert r"a \"run\"" in printed
    found = sampled(printed)
    told = json.loads((run / "run.json").read_text())
    segment = next(one for one in told["segments"] if one["name"] == "web/0")
    length = next(one for one in segment["stages"] if one["label"] == "filter.length")
    place = ("web/0", "filter.length")
    assert found["ultraclean_documents_in_total", *place] == length["n_in"] > 0
    assert found["ultraclean_documents_out_total", *place] == length["n_out"]
    assert length["reasons"]
    for reason, n in length["reasons"].items():
        assert found["ultraclean_documents_dropped_total", *place, reason] == n
    assert found["ultraclean_units", "web/0", "done"] == segment["units"] > 1
    assert found["ultraclean_units", "web/0", "to_do"] == 0

    ledger = run / "ledger" / segment["fingerprint"] / "records.jsonl"
    first, *rest = ledger.read_text().splitlines(keepends=True)
    ledger.write_text("".join(rest))
    assert main(["status", str(run), "--metrics"]) == 0
    found = sampled(capsys.readouterr().out)
    assert found["ultraclean_units", "web/0", "done"] == segment["units"] - 1
    assert found["ultraclean_units", "web/0", "to_do"] == 1
    lost = next(s for s in json.loads(first)["stages"] if s["label"] == "filter.length")
    assert found["ultraclean_documents_in_total", *place] == length["n_in"] - lost["n_in"]
