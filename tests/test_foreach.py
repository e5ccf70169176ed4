"""`foreach:` in a pipeline file: tables for each of some values, with names and lines of their own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ultraclean import Pipeline, pipeline_file
from ultraclean.cli import main
from ultraclean.errors import PipelineError

LANGUAGES = """name: many
foreach:
  each: {lang: [en, de]}
  tables:
    web-${lang}:
      - read.jsonl: in/${lang}/*.jsonl
      - filter.where: text != "${lang} ${HOME}"
    good-${lang}:
      - read.table: web-${lang}
tables:
  all:
    - read.table: ["good-${lang}", other]
  other: [{read.jsonl: "${IN}/x.jsonl"}]
"""


def problems(text: str) -> list[str]:
    with pytest.raises(PipelineError) as caught:
        pipeline_file.parse(text, "p.yaml")
    return [str(problem) for problem in caught.value.problems]


def test_is_the_same_as_writing_the_tables_out() -> None:
    written = """name: many
tables:
  web-en: [{read.jsonl: in/en/*.jsonl}, {filter.where: 'text != "en ${HOME}"'}]
  good-en: [{read.table: web-en}]
  web-de: [{read.jsonl: in/de/*.jsonl}, {filter.where: 'text != "de ${HOME}"'}]
  good-de: [{read.table: web-de}]
  all: [{read.table: [good-en, good-de, other]}]
  other: [{read.jsonl: "${IN}/x.jsonl"}]
"""
    found = pipeline_file.parse(LANGUAGES, "p.yaml")
    assert found == pipeline_file.parse(written, "p.yaml")
    assert list(found.tables) == ["web-en", "good-en", "web-de", "good-de", "all", "other"]
    assert pipeline_file.parse(found.to_yaml(), "p.yaml") == found
    assert found.where("web-de", 1) == "p.yaml:7"
    one = pipeline_file.parse(LANGUAGES, "p.yaml", ["web-de.filter.where.where=n_chars > 3"])
    assert one.tables["web-de"][1] != found.tables["web-de"][1]
    assert one.tables["web-en"] == found.tables["web-en"]


def test_several_names_and_values_of_their_kind() -> None:
    every = pipeline_file.parse(
        "foreach:\n  each: {crawl: [a, b], part: [1, 2]}\n  tables:\n"
        "    t-${crawl}-${part}: [{read.jsonl: '${crawl}/${part}/x'}]\n", "p.yaml"
    )  # fmt: skip
    assert list(every.tables) == ["t-a-1", "t-a-2", "t-b-1", "t-b-2"]
    assert every.tables["t-b-2"][0].model_dump()["path"] == "b/2/x"
    listed = pipeline_file.parse(
        "foreach:\n"
        "  - each:\n"
        "      - {lang: de, min_words: 30, stop: [der, die]}\n"
        "      - {lang: zh, min_words: null, stop: [的]}\n"
        "    tables:\n"
        "      web-${lang}:\n"
        "        - read.jsonl: in/${lang}\n"
        "        - filter.length: {min_words: '${min_words}', min_chars: 5}\n"
        "  - each: {year: [2024]}\n"
        "    tables: {'old-${year}': [{read.jsonl: 'in/${year}'}]}\n",
        "p.yaml",
    )
    assert [listed.tables[f"web-{lang}"][1].model_dump()["min_words"] for lang in ("de", "zh")] == [30, None]  # fmt: skip
    assert listed.tables["old-2024"][0].model_dump()["path"] == "in/2024"


EACH = "name: p\nforeach:\n  each: {x: [a, b]}\n  tables:\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("foreach: 3\n", ["p.yaml:1: foreach: expected `each` and `tables`"]),
        (
            f"{EACH}    t: [{{read.jsonl: x}}]\n",
            [
                "p.yaml:5: foreach makes the table t twice: have every name of `each` in its name",
            ],
        ),
        (
            f"{EACH}    't-${{x}}':\n      - read.jsonl: x\n      - filter.lenth: 3\n",
            ["p.yaml:7: unknown stage 'filter.lenth'; did you mean 'filter.length'?"],
        ),
        (
            f"{EACH}    't-${{x}}':\n      - read.table: u-${{x}}\ntables: {{u-a: [{{read.jsonl: x}}]}}\n",
            ["p.yaml:6: unknown table 'u-b'; did you mean 'u-a'?"],
        ),
        (
            f"{EACH}    't-${{x}}': [{{read.jsonl: x}}]\n  table: 3\ntables:\n  t-a: [{{read.jsonl: x}}]\n",
            [
                "p.yaml:6: unknown field of foreach 'table'; did you mean 'tables'?",
                "p.yaml:8: foreach makes a table t-a, which stands under tables, too",
            ],
        ),
        (
            "foreach:\n  each: [{a: 1}, {b: 2}]\n  tables: {t: []}\n",
            [
                "p.yaml:2: foreach.each: expected {name: [value, ...]}, or a list of "
                "{name: value, ...} that all have the same names; got b and a"
            ],
        ),
        (
            "foreach:\n  each: {a: 1}\n  tables: {t: []}\n",
            [
                "p.yaml:2: foreach.each: expected {name: [value, ...]}, or a list of "
                "{name: value, ...} that all have the same names"
            ],
        ),
        (
            "foreach:\n  each: {a: [1]}\n  tables: 7\n",
            ["p.yaml:3: foreach.tables: expected name -> list of stages"],
        ),
        (
            f"{EACH.replace('a, b', 'a/b')}    't-${{x}}': [{{read.jsonl: x}}]\n",
            ["p.yaml:5: 't-a/b': a table's name is letters, digits, `_` and `-`"],
        ),
    ],
)
def test_what_is_wrong_and_where(text: str, expected: list[str]) -> None:
    assert problems(text) == expected


def test_a_run_knows_the_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for lang in ("en", "de"):
        (tmp_path / f"{lang}.jsonl").write_text(json.dumps({"text": f"a text in {lang}"}) + "\n")
    file = tmp_path / "p.yaml"
    file.write_text(
        f"name: p\nforeach:\n  each: {{lang: [en, de]}}\n  tables:\n    web-${{lang}}:\n"
        f"      - read.jsonl: {tmp_path}/${{lang}}.jsonl\n"
        f"tables:\n  all:\n    - read.table: web-${{lang}}\n    - write.jsonl\n"
    )
    out = tmp_path / "run"
    finished = Pipeline.load(str(file)).run(str(out))
    assert finished.scan("all").collect()["text"].to_list() == ["a text in en", "a text in de"]
    assert finished.scan("all").collect()["_source"].to_list() == ["web-en", "web-de"]
    capsys.readouterr()
    assert main(["plan", str(file), "--out", str(out)]) == 0
    told = capsys.readouterr().out
    assert "web-en" in told and "web-de" in told
    assert "web-de" in (out / "report.html").read_text()
    # one language more: what is finished is used again
    file.write_text(file.read_text().replace("[en, de]", "[en, de, fr]"))
    (tmp_path / "fr.jsonl").write_text('{"text": "un texte"}')
    again = Pipeline.load(str(file)).run(str(out))
    new = {name: done.n_new for name, done in again.done.items()}
    assert [n for name, n in new.items() if name.startswith(("web-en", "web-de"))] == [0, 0]
    assert again.scan("all").collect().height == 3
