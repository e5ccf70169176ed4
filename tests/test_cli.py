"""Every command as a user types it: its output, its errors, its exit status."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ultraclean import catalog
from ultraclean.cli import main, parser

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory, make_corpus: Callable[..., Path]) -> Path:
    """A finished run that the commands below look at."""
    base = tmp_path_factory.mktemp("cli")
    folder = make_corpus(base / "in", n_files=2)
    pipeline = base / "cli.yaml"
    pipeline.write_text(
        f'name: cli\ntables:\n  web:\n    - read.jsonl: {{path: "{folder}/*.jsonl"}}\n'
        "    - fix.lines\n    - filter.length: {min_chars: 60}\n    - dedup.exact\n"
        "    - write.parquet\n"
    )
    assert main(["run", str(pipeline), "--out", str(base / "run"), "--address", "inline"]) == 0
    return base


def test_run_prints_the_funnel(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["run", str(run_folder / "cli.yaml"), "--out", str(run_folder / "run")]
    assert main([*arguments, "--address", "inline"]) == 0
    printed = capsys.readouterr()
    assert re.search(r"web\.filter\.length +\d+ +\d+ +\d\d\.\d%", printed.out)
    assert re.search(r"too_few_chars +-\d+", printed.out)
    assert re.search(r"exact_duplicate +-\d+", printed.out)
    assert f"report: {run_folder}/run/report.html" in printed.out
    assert "reused" in printed.err
    assert (run_folder / "run" / "report.html").is_file()


def test_check(run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(run_folder / "cli.yaml")]) == 0
    assert "1 tables, 5 stages, no problem found" in capsys.readouterr().out
    bad = tmp_path / "bad.yaml"
    bad.write_text("stages:\n  - read.jsonl: {path: /nowhere/x.jsonl}\n  - filter.nothing\n")
    assert main(["check", str(bad)]) == 2
    assert f"{bad}:3: unknown stage 'filter.nothing'" in capsys.readouterr().err
    bad.write_text("stages:\n  - read.jsonl: {path: /nowhere/x.jsonl}\n")
    assert main(["check", str(bad)]) == 2
    assert f"{bad}:2: read.jsonl:" in capsys.readouterr().err
    assert main(["check", "quickstrat"]) == 2
    assert "did you mean the shipped pipeline 'quickstart'" in capsys.readouterr().err


def test_plan_and_status(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pipeline, run = str(run_folder / "cli.yaml"), str(run_folder / "run")
    assert main(["plan", pipeline, "--out", run]) == 0
    printed = capsys.readouterr().out
    assert "web/0  (rows)  reused" in printed
    changed = ["plan", pipeline, "--out", run, "--set", "web.filter.length.min_chars=80"]
    assert main(changed) == 0
    printed = capsys.readouterr().out
    assert re.search(r"web/0  \(rows\)  \d+ shards \(.* MB\), \d+ to do", printed)
    assert "web/1:dedup.exact  (barrier)  new (waits for what it reads)" in printed
    assert "in:  id, text, url, metadata" in printed
    assert main(["status", run]) == 0
    assert "finished 20" in capsys.readouterr().out


def test_trace_tells_why(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import pyarrow.parquet as pq

    run = run_folder / "run"
    rows = pq.read_table(run / "dropped/web").to_pylist()
    twin = next(row for row in rows if row["reason"] == "exact_duplicate")
    assert main(["trace", str(run), twin["id"]]) == 0
    printed = capsys.readouterr().out
    assert "DROPPED by dedup.exact: exact_duplicate" in printed
    assert f"(key {twin['same_as'].hex()})" in printed
    short = next(row for row in rows if row["reason"] == "too_few_chars")
    assert main(["trace", str(run), short["_key"].hex()]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"DROPPED by filter.length: too_few_chars, value \d+, threshold 60", printed)
    assert main(["trace", str(run), "no such document"]) == 1
    assert "no document with the id, url or key" in capsys.readouterr().err


def test_report_and_gc(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_folder / "gc-run"
    shutil.copytree(run_folder / "run", run)
    arguments = ["run", str(run_folder / "cli.yaml"), "--out", str(run), "--address", "inline"]
    assert main([*arguments, "--quiet"]) == 0
    assert main([*arguments, "--quiet", "--set", "web.filter.length.min_chars=80"]) == 0
    before = {file for file in run.rglob("*") if file.is_file()}
    capsys.readouterr()
    assert main(["gc", str(run), "--dry-run"]) == 0
    assert re.match(r"would delete \d+ files", capsys.readouterr().out)
    assert {file for file in run.rglob("*") if file.is_file()} == before
    assert main(["gc", str(run)]) == 0
    after = {file for file in run.rglob("*") if file.is_file()}
    assert len(after) < len(before)
    assert after < before
    assert main([*arguments, "--set", "web.filter.length.min_chars=80"]) == 0
    printed = capsys.readouterr()
    assert printed.err.count("reused") == 4, printed.err  # gc took nothing that was in use
    assert main(["report", str(run)]) == 0
    assert capsys.readouterr().out.strip() == f"{run}/report.html"
    assert main(["report", str(run_folder)]) == 1
    assert "is no run folder" in capsys.readouterr().err


@pytest.mark.parametrize("name", catalog.names())
def test_every_stage_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stages", name]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"{name}  (version ")
    stage_class = catalog.stage_class(name)
    assert stage_class.stage == name
    for field, info in stage_class.model_fields.items():
        assert info.description, f"{name}.{field} has no description"
        assert field in printed
    for reason in stage_class.reasons:
        assert re.fullmatch(r"[a-z0-9_]+", reason), reason


def test_unknown_stage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stages", "filter.gopher"]) == 2
    assert "did you mean 'filter.gopher_" in capsys.readouterr().err


def test_schema_is_a_schema_of_the_shipped_pipelines(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema comes with ray")
    validator = jsonschema.Draft202012Validator(schema)
    from ultraclean import markup
    from ultraclean.pipeline_file import shipped_pipelines

    for name, path in shipped_pipelines().items():
        errors = list(validator.iter_errors(markup.parse(path.read_text(), name).value))
        assert not errors, (name, errors[:1])
    wrong = {"stages": [{"filter.length": {"min_charz": 3}}]}
    assert list(validator.iter_errors(wrong))


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    top = capsys.readouterr().out
    for command in [
        "run",
        "check",
        "plan",
        "status",
        "stages",
        "schema",
        "trace",
        "report",
        "train",
        "gc",
    ]:
        assert command in top
        with pytest.raises(SystemExit):
            main([command, "--help"])
        assert "usage: ultraclean" in capsys.readouterr().out
    assert parser().prog == "ultraclean"


def test_the_readme_has_the_table_of_stages(capsys: pytest.CaptureFixture[str]) -> None:
    main(["stages", "--markdown"])
    table = capsys.readouterr().out.strip()
    assert table in (ROOT / "README.md").read_text(), "run `ultraclean stages --markdown`"


def test_a_missing_package_is_one_line(tmp_path: Path) -> None:
    script = (
        "import importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'trafilatura' else find(name, *a)\n"
        "from ultraclean.cli import main\n"
        "raise SystemExit(main(['check', 'web', '--set', 'web.read.warc.path=/nowhere/*']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True
    )
    assert done.returncode == 2
    wanted = "extract.html needs the package 'trafilatura', which is not installed: pip install \"ultraclean-data[extract]\""
    assert wanted in done.stderr
    assert "Traceback" not in done.stderr
