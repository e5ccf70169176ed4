"""The report of real runs: what it says is what run.json says, and no text gets out of its place."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import fsspec
import pytest

from ultraclean import pipeline_file
from ultraclean.engine import run
from ultraclean.errors import DataError
from ultraclean.report import facts as facts_of
from ultraclean.report import folder, write_report
from ultraclean.report.elements import VOID
from ultraclean.report.facts import gather
from ultraclean.report.folder import RunFolder

EVIL = (
    "</script></pre><script>alert(1)</script><img src=x onerror=alert(2)> \"'&<!--]]>\x00\x1b\u202e"
)
LONG = "A sentence of some words that nobody needs to read twice, but which is long enough. "

PIPELINE = """
name: demo
tables:
  raw:
    - read.jsonl: {{path: "{folder}/*.jsonl", url: url, columns: {{score: float64}}}}
    - filter.length: {{min_chars: 60, max_chars: 4000}}
    - dedup.exact
  good:
    - read.table: raw
    - filter.where: score >= 0.3
    - write.parquet
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with two tables, duplicates, a broken line and injections wherever a user has a say."""
    root = tmp_path_factory.mktemp("report")
    rows = [
        {"id": f"d{n}", "url": f"https://example.org/{n}", "text": f"{n} {LONG}", "score": n / 100}
        for n in range(100)
    ]
    rows += [{"id": EVIL, "url": EVIL, "text": EVIL[:40], "score": 0.5}]
    rows += [{"id": f"evil{EVIL}", "url": EVIL, "text": EVIL * 3, "score": 0.9}]
    rows += [{"id": f"copy{n}", "text": f"{n} {LONG}", "score": 0.5} for n in range(7)]
    rows += [{"id": f"long{n}", "text": LONG * 80 + str(n), "score": 0.9} for n in range(3)]
    rows += [{"id": f"short{n}", "text": "short " * n, "score": 0.5} for n in range(9)]
    (root / "in").mkdir()
    lines = [json.dumps(row) for row in rows] + ["<b>this is no JSON"]
    (root / "in" / "a.jsonl").write_text("\n".join(lines), encoding="utf-8")
    pipeline = pipeline_file.parse(PIPELINE.format(folder=root / "in"), "demo.yaml")
    run(pipeline, str(root / "run"))
    return root / "run"


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """The run, to be changed."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def page_of(run_folder: Path | str) -> str:
    path = write_report(str(run_folder))
    assert path == f"{run_folder}/report.html"
    with fsspec.open(path, "rb") as stream:
        return str(stream.read().decode())


def change(run_folder: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    path = run_folder / "run.json"
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def words_of(page: str) -> str:
    """What a reader sees, without markup."""
    body = re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.DOTALL)
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", body)))


class Outline(HTMLParser):
    """Checks nesting, and collects elements, attributes and scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: set[str] = set()
        self.attributes: list[tuple[str, str, str | None]] = []
        self.ids: list[str] = []
        self.scripts: list[tuple[str | None, str]] = []
        self.kind: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.kind = dict(attrs).get("type")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts.append((self.kind, data))


def outline(page: str) -> Outline:
    parser = Outline()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    assert len(parser.ids) == len(set(parser.ids))
    links = [value for _, name, value in parser.attributes if name == "href" and value]
    assert {link[1:] for link in links} <= set(parser.ids)
    return parser


def data_of(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    data: dict[str, Any] = json.loads(found[1])
    return data


# --- content --------------------------------------------------------------------------------------


def test_numbers_are_those_of_run_json(finished: Path) -> None:
    page, said = page_of(finished), words_of(page_of(finished))
    summary = json.loads((finished / "run.json").read_text())
    embedded = data_of(page)["run"]
    for mine, theirs in zip(embedded["segments"], summary["segments"], strict=True):
        assert mine == {
            key: value for key, value in theirs.items() if key not in ("card", "folder")
        }
    for segment in summary["segments"]:
        for stage in segment.get("stages", []):
            for reason, n in stage["reasons"].items():
                assert re.search(rf"{re.escape(reason)} {n:,} ", said), reason
                assert f"Reason {reason} Dropped {n:,} of input" in said
    raw = [s for s in summary["segments"] if s["kind"] == "rows" and s["table"] == "raw"]
    n_gone = sum(n for s in raw for stage in s["stages"] for n in stage["reasons"].values())
    account = f"raw: {raw[0]['n_in']} read = {raw[-1]['n_out']} kept + {n_gone} dropped."
    assert raw[0]["n_in"] == 122 == raw[-1]["n_out"] + n_gone
    assert account in said
    assert f"Documents read {raw[0]['n_in']} " in said
    assert f"Written {summary['tables']['good']} in good" in said


def test_header_names_run_date_versions_and_executor(finished: Path) -> None:
    said = words_of(page_of(finished))
    summary = json.loads((finished / "run.json").read_text())
    assert "demo" in said and "inline executor" in said
    assert summary["finished"].replace("T", " ").replace("Z", " UTC") in said
    for version in summary["versions"].values():
        assert version in said


def test_reasons_have_threshold_median_and_texts_nearest_first(finished: Path) -> None:
    said = words_of(page_of(finished))
    start = said.index("Reason too_few_chars Dropped")
    part = said[start : said.index("Stage ", start + 30)]
    assert part.startswith("Reason too_few_chars Dropped 10 of input 8.3% Threshold 60 Median")
    measured = [int(n) for n in re.findall(r"measured (\d+) \(threshold 60\)", part)]
    assert len(measured) == 10
    assert measured == sorted(measured, reverse=True)
    assert "https://example.org/" in said
    assert re.search(r"measured [\d,]+ \(threshold 4,000\)", said)


def test_long_texts_are_cut_and_say_so(finished: Path) -> None:
    page = page_of(finished)
    longest = max(
        len(html.unescape(text))
        for text in re.findall(r"<pre dir[^>]*>(.*?)</pre>", page, re.DOTALL)
    )
    assert longest == folder.MAX_CHARS + 1  # and the line break that HTML drops
    n = len(LONG * 80 + "0") - folder.MAX_CHARS
    assert f"{n:,} more characters" in page


def test_duplicates_show_the_copy_that_was_kept(finished: Path) -> None:
    page = page_of(finished)
    start = page.index('id="r-raw-2-1-0"')
    part = words_of(page[start : page.index("</section>", start)])
    assert part.count("The copy that was kept") == 7
    # the lower key is kept, so either of the two may be the one that went
    assert re.search(r"\b(copy3|d3)\b.*The copy that was kept (copy3|d3)\b", part)


def test_errors_are_an_alarm_with_their_message(finished: Path) -> None:
    said = words_of(page_of(finished))
    assert (
        "1 of 122 documents (0.8%) could not be read or processed, most often read error:" in said
    )
    assert "a.jsonl:" in said


def test_charts_count_what_was_measured(finished: Path) -> None:
    page = page_of(finished)
    charts = data_of(page)["charts"]
    figures = re.findall(r'<h5>(.*?)</h5>.*?data-chart="([^"]*)"', page, re.DOTALL)
    by_name = {name: charts[place] for name, place in figures}
    chars = by_name["n_chars"]
    assert sum(chars["kept"]) == 108
    assert sum(chars["rule"]) == 13 and sum(chars["other"]) == 0
    assert {59.5, 4000.5} & set(chars["edges"])
    where = by_name["where"]
    assert where["edges"] == [-0.5, 0.5, 1.5]
    summary = json.loads((finished / "run.json").read_text())
    (good,) = (s for s in summary["segments"] if s["kind"] == "rows" and s["table"] == "good")
    assert where["kept"] == [0, good["n_out"]]
    assert where["rule"] == [good["n_in"] - good["n_out"], 0]
    assert "too_few_chars" in page and "keeps ≥ 60" in words_of(page)
    assert "keeps ≤ 4,000" in words_of(page)


def test_pipeline_times_and_cards_are_there(finished: Path) -> None:
    page = page_of(finished)
    said = words_of(page)
    yaml = (finished / "pipeline.yaml").read_text()
    assert f'<pre class="yaml">\n{html.escape(yaml)}</pre>' in page
    assert "dedup.exact, sketch" in said and "write.parquet" in said
    card = next(
        s["card"]
        for s in json.loads((finished / "run.json").read_text())["segments"]
        if s["kind"] == "barrier"
    )
    assert f"clusters {card['clusters']}" in said


def test_kept_texts_are_those_with_the_lowest_keys(finished: Path) -> None:
    first, second = page_of(finished), page_of(finished)
    assert first == second
    table = gather(RunFolder(str(finished))).tables[1]
    keys = [sample.key for sample in table.kept]
    assert keys == sorted(keys) and len(keys) == 10
    assert all(sample.scores["score"] >= 0.3 for sample in table.kept)


# --- safety ---------------------------------------------------------------------------------------


def test_planted_markup_stays_text(finished: Path) -> None:
    page = page_of(finished)
    parsed = outline(page)
    assert not parsed.names & {
        "img",
        "iframe",
        "object",
        "embed",
        "link",
        "base",
        "form",
        "b onerror",
    }
    assert [kind for kind, _ in parsed.scripts] == ["application/json", None]
    assert not [
        name for _, name, _ in parsed.attributes if name.startswith("on") or name == "style"
    ]
    assert "alert(1)" not in "".join(content for kind, content in parsed.scripts if kind is None)
    assert "&lt;script&gt;alert(1)" in page
    assert not set(page) & {chr(n) for n in range(32) if chr(n) not in "\n"}


def test_nothing_is_loaded_from_anywhere(finished: Path) -> None:
    page = page_of(finished)
    parsed = outline(page)
    loads = {"src", "srcset", "data", "poster", "action", "background", "xlink:href", "formaction"}
    assert not [one for one in parsed.attributes if one[1] in loads]
    assert all(
        value and value.startswith("#") for _, name, value in parsed.attributes if name == "href"
    )
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style and "url(" not in style[1] and "@import" not in style[1]


def test_policy_allows_our_script_and_style_only(finished: Path) -> None:
    page = page_of(finished)
    policy = html.unescape(str(re.search(r'Security-Policy" content="([^"]*)"', page)[1]))  # type: ignore[index]
    assert policy.startswith("default-src 'none'; ") and "unsafe" not in policy
    for element in ("style", "script"):
        content = re.search(rf"<{element}>(.*?)</{element}>", page, re.DOTALL)
        assert content
        digest = base64.b64encode(hashlib.sha256(content[1].encode()).digest()).decode()
        assert f"{element}-src 'sha256-{digest}'" in policy


def test_names_and_cards_are_escaped(copied: Path) -> None:
    def plant(content: dict[str, Any]) -> None:
        content["name"] = content["executor"] = EVIL
        content["versions"] = {EVIL: EVIL}
        for segment in content["segments"]:
            if "card" in segment:
                segment["card"] = {
                    EVIL: EVIL,
                    "alarms": [EVIL],
                    "nested": {
                        EVIL: {"1": EVIL},
                        "rows": [{EVIL: EVIL, "mean": 1, "low": 0, "high": 2, "arm": EVIL}],
                    },
                    "text": f"{EVIL}\n{EVIL}",
                }
            for stage in segment.get("stages", []):
                stage["label"] = f"{EVIL}{stage['label']}"
                stage["reasons"] = {f"{EVIL}{name}": n for name, n in stage["reasons"].items()}

    change(copied, plant)
    (copied / "pipeline.yaml").write_text(EVIL)
    page = page_of(copied)
    parsed = outline(page)
    assert "img" not in parsed.names
    assert [kind for kind, _ in parsed.scripts] == ["application/json", None]
    assert data_of(page)["run"]["name"] == EVIL


# --- whatever the run -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "missing", ["numbers", "dropped", "tables", "segments", "pipeline.yaml", "ledger", "everything"]
)
def test_missing_parts_are_left_out(copied: Path, missing: str) -> None:
    for name in ["numbers", "dropped", "tables", "segments", "ledger", "pipeline.yaml"]:
        if missing in (name, "everything"):
            path = copied / name
            path.unlink() if path.is_file() else shutil.rmtree(path)
    page = page_of(copied)
    outline(page)
    assert "Reason too_few_chars Dropped 10 of input" in words_of(page)
    if missing == "dropped":
        assert "No text was kept of these documents" in page
    if missing == "segments":
        assert "It was not met in the part of the run" in page
    if missing == "numbers":
        assert "No stage measured anything." in page


def test_a_run_without_drops(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(
        "\n".join(json.dumps({"text": f"{n} {LONG}"}) for n in range(5))
    )
    text = f'name: calm\nstages: [{{read.jsonl: "{tmp_path}/in.jsonl"}}, write.jsonl]'
    run(pipeline_file.parse(text, "calm.yaml"), str(tmp_path / "run"))
    page = page_of(tmp_path / "run")
    outline(page)
    said = words_of(page)
    assert "Nothing was dropped." in said and "No stage measured anything." in said
    assert "None. Every document is accounted for." in said
    assert "calm: 5 read = 5 kept + 0 dropped." in said
    assert "Written 5 100.0% of those read" in said
    assert said.count(LONG.strip()) >= 5  # JSON lines were written, so texts are from the segment


def test_large_runs_are_read_in_part(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[folder.Group] = []
    before = folder.RunFolder.groups

    def groups(self: RunFolder, place: str, prefix: str, max_rows: int) -> Any:
        found, _ = before(self, place, prefix, max_rows)
        many = [folder.Group(g.path, g.index, g.n_rows) for g in found for _ in range(50)]
        n_all = sum(g.n_rows for g in many)
        chosen = folder.spread(many, max(1, len(many) * 100 // n_all)) if n_all > 100 else many
        read.extend(chosen)
        return chosen, folder.Extent(sum(g.n_rows for g in chosen), n_all, len(chosen) == len(many))

    monkeypatch.setattr(folder.RunFolder, "groups", groups)
    page = page_of(finished)
    outline(page)
    assert "in row groups spread evenly over the files" in page
    assert "Reason too_few_chars Dropped 10 of input" in words_of(page)


def test_row_groups_are_spread_and_bounded(finished: Path) -> None:
    whole = RunFolder(str(finished)).groups("numbers/raw", "", 10**9)
    assert whole[1] == folder.Extent(sum(g.n_rows for g in whole[0]), whole[1].n_all, True)
    some, extent = RunFolder(str(finished)).groups("numbers/raw", "", 10)
    assert len(some) == 1 and not extent.complete and extent.n_all == whole[1].n_all
    assert folder.spread(list(range(10)), 4) == [0, 2, 5, 7]
    assert folder.spread([1, 2], 4) == [1, 2]


def test_other_file_systems(finished: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.put(str(finished), "/report-run", recursive=True)
    try:
        page = page_of("memory://report-run")
        assert page == page_of(finished)
    finally:
        memory.rm("/report-run", recursive=True)


def test_an_unfinished_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"run\.json: there is none; a report needs a run that has"):
        write_report(str(tmp_path))


# --- alarms ---------------------------------------------------------------------------------------


def test_alarms_of_counts_cards_and_stages(copied: Path) -> None:
    def spoil(content: dict[str, Any]) -> None:
        for segment in content["segments"]:
            if segment["kind"] == "barrier":
                segment["card"]["alarms"] = ["clusters are huge"]
            if segment["kind"] == "sink":
                segment["n_out"] += 1
            for stage in segment.get("stages", []):
                if stage["label"] == "filter.length":
                    stage["reasons"]["too_few_chars"] = stage["n_in"]

    change(copied, spoil)
    said = words_of(page_of(copied))
    assert "clusters are huge" in said
    assert re.search(r"wrote \d+ documents, but \d+ were kept", said)
    assert "raw: the counts do not add up: 122 documents were read" in said
    assert "filter.length dropped" in said
    assert "Every document is accounted for" not in said


def test_a_card_that_is_not_valid_is_an_alarm() -> None:
    card = {"valid": False, "reason": "the null arm was accepted", "warnings": ["few seeds"]}
    assert facts_of.card_alarms(card) == ["few seeds", "the null arm was accepted"]
    assert facts_of.card_alarms({"valid": True, "reason": "fine"}) == []


def test_a_classifier_shows_its_calibration(copied: Path) -> None:
    bins = [{"from": 0.0, "to": 0.5, "n": 60, "mean": 0.1, "positive": 0.05}]
    bins += [{"from": 0.5, "to": 1.0, "n": 40, "mean": 0.9, "positive": 0.975}]
    bins += [{"from": 0.5, "to": 1.0, "n": 0, "mean": None, "positive": None}]
    held_out = {"n": 100, "precision": 0.91, "recall": None, "auc": 0.987, "calibration": bins}

    def add(content: dict[str, Any]) -> None:
        card = {"kind": "fit.fasttext", "held_out": held_out}
        content["segments"].append(
            {"name": "quality/0:fit.fasttext", "table": "quality", "kind": "artifact", "card": card}
        )

    change(copied, add)
    page = page_of(copied)
    outline(page)
    assert page.count('<circle class="dot"') == 2
    assert "60 documents: mean 0.1, positive 5.0%" in page
    assert "precision 0.910 AUC 0.987 held out 100" in words_of(page)


# --- many reasons -----------------------------------------------------------------------------------


def test_size_is_bounded_by_fewer_samples(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    before = RunFolder.dropped

    def dropped(self: RunFolder, table: str, segment: Any, n_samples: int) -> Any:
        asked.append(n_samples)
        return before(self, table, segment, n_samples)

    monkeypatch.setattr(RunFolder, "dropped", dropped)
    source = RunFolder(str(finished))
    gather(source)
    assert set(asked) == {10}
    stage = source.rows_segments("raw")[0]["stages"][1]
    stage["reasons"] |= {f"reason_{n}": 0 for n in range(100)}
    asked.clear()
    gather(source)
    assert set(asked) == {3}
