"""Pipelines in YAML and in Python: one-to-one, and every error of a file at once."""

from __future__ import annotations

import pytest

from ultraclean import Pipeline, pipeline_file, read, write
from ultraclean import filter as filters
from ultraclean.errors import PipelineError
from ultraclean.plan import check, make_plan, unroll

GOOD = """
name: two
seed: 3
tables:
  web:
    - read.jsonl: {path: in/*.jsonl, text: content}
    - filter.where: n_chars > 3
    - write.parquet
  both:
    - read.table: [web, web2]
  web2:
    - read.text: {path: texts}
"""


def problems(text: str) -> list[str]:
    with pytest.raises(PipelineError) as caught:
        pipeline_file.parse(text, "p.yaml")
    return [str(problem) for problem in caught.value.problems]


def test_yaml_and_python_are_the_same_pipeline() -> None:
    parsed = pipeline_file.parse(
        "name: x\nstages:\n  - read.jsonl: {path: a, text: content}\n"
        "  - filter.length: {min_chars: 5}\n  - write.parquet\n",
        "x.yaml",
    )
    written = Pipeline(
        name="x",
        stages=[
            read.Jsonl(path="a", text="content"),
            filters.Length(min_chars=5),
            write.Parquet(),
        ],
    )
    assert parsed == written
    assert pipeline_file.parse(written.to_yaml(), "x.yaml") == written


def test_every_error_of_a_file_is_found_at_once() -> None:
    found = problems(
        """name: bad
tables:
  web:
    - read.jsonl: {path: x, txt: a}
    - filter.gopher_qality
    - write.parquet: {column: no}
  two:
    - write.parquet
  three:
    - read.table: wep
  four: 3
sed: 3
seed: a
"""
    )
    assert found == [
        "p.yaml:4: unknown field of read.jsonl 'txt'; did you mean 'text'?",
        "p.yaml:5: unknown stage 'filter.gopher_qality'; did you mean 'filter.gopher_quality'?",
        "p.yaml:6: unknown field of write.parquet 'column'; did you mean 'columns'?",
        "p.yaml:8: a table begins with read.*, not write.parquet",
        "p.yaml:10: unknown table 'wep'; did you mean 'web'?",
        "p.yaml:11: four: expected a list of stages",
        "p.yaml:12: unknown setting 'sed'; did you mean 'seed'?",
        "p.yaml:13: seed: expected int, got 'a'",
    ]


def test_a_missing_column_names_the_stage_that_adds_it(tmp_path: object) -> None:
    text = "stages:\n  - read.text: {path: x}\n  - filter.language: {languages: [en]}\n"
    found = [str(problem) for problem in check(pipeline_file.parse(text, "p.yaml"))]
    assert any(
        "p.yaml:3: filter.language needs the column 'language'; score.language would add it" in line
        for line in found
    ), found
    assert any("p.yaml:2: read.text" in line and "x" in line for line in found)


def test_missing_required_field_and_bad_value() -> None:
    found = problems("stages:\n  - read.jsonl\n  - filter.length: {min_chars: many}\n")
    assert found[0] == "p.yaml:2: read.jsonl needs the field 'path'"
    assert found[1].startswith("p.yaml:3: filter.length.min_chars:")
    assert found[1].endswith("got 'many'")


def test_tables_in_a_circle() -> None:
    found = problems("tables:\n  a: [{read.table: b}]\n  b: [{read.table: a}]\n")
    assert found == ["p.yaml:2: tables read each other in a circle: a -> b -> a"]


def test_the_same_stage_twice_wants_a_name() -> None:
    found = problems(
        "stages:\n  - read.text: {path: x}\n  - filter.length: {min_chars: 1}\n  - filter.length: {min_words: 3}\n"
    )
    assert found == ["p.yaml:4: filter.length stands twice in p: tell them apart with `name:`"]


def test_a_stage_in_the_wrong_place() -> None:
    text = (
        "stages:\n  - read.text: {path: x}\n  - write.parquet\n  - filter.length: {min_chars: 1}\n"
    )
    found = [str(problem) for problem in check(pipeline_file.parse(text, "p.yaml"))]
    assert "p.yaml:4: filter.length comes after the end of the table" in found


@pytest.mark.parametrize(
    ("setting", "address", "value"),
    [
        ("seed=9", None, 9),
        ("web.read.jsonl.text=body", ("web", 0, "text"), "body"),
        ("web.filter.where.where=n_chars > 5", ("web", 1, "where"), "n_chars > 5"),
    ],
)
def test_set(setting: str, address: tuple[str, int, str] | None, value: object) -> None:
    text = GOOD.replace("n_chars > 3", "id == 'a'").replace("n_chars > 5", "id == 'b'")
    setting = setting.replace("n_chars > 5", "id == 'b'")
    pipeline = pipeline_file.parse(text, "p.yaml", [setting])
    if address is None:
        assert pipeline.seed == value
    else:
        table, index, name = address
        got = getattr(pipeline.tables[table][index], name)
        assert str(got) == str(value).replace("n_chars > 5", "id == 'b'")


def test_set_with_a_wrong_address() -> None:
    with pytest.raises(PipelineError, match="unknown table 'wob'; did you mean 'web'"):
        pipeline_file.parse(GOOD, "p.yaml", ["wob.read.jsonl.text=a"])
    with pytest.raises(PipelineError, match=r"unknown stage of web 'read\.jsn"):
        pipeline_file.parse(GOOD, "p.yaml", ["web.read.jsn.text=a"])
    with pytest.raises(PipelineError, match="expected ADDRESS=VALUE"):
        pipeline_file.parse(GOOD, "p.yaml", ["web"])


ROUNDS = """
name: loop
tables:
  web: [{read.text: {path: x}}]
  out: [{read.table: seeds}]
rounds:
  max: 2
  until: quality.enough
  first: {seeds: web}
  tables:
    quality: [{fit.fasttext: {positive: prev.seeds, negative: web}}]
    seeds: [{read.table: web}, {score.fasttext: {model: quality}}]
"""


def test_rounds_unroll() -> None:
    pipeline = pipeline_file.parse(ROUNDS, "p.yaml")
    tables = unroll(pipeline, 2).tables
    assert list(tables) == ["web", "out", "quality@1", "seeds@1", "quality@2", "seeds@2"]
    assert dict(tables["quality@1"][0])["positive"] == "web"
    assert dict(tables["quality@2"][0])["positive"] == "seeds@1"
    assert dict(tables["seeds@2"][1])["model"] == "quality@2"
    assert dict(tables["out"][0])["tables"] == "seeds@2"
    assert pipeline_file.parse(pipeline.to_yaml(), "p.yaml") == pipeline
    names = [segment.name for segment in make_plan(pipeline, 2).segments]
    assert names == [
        "web/0",
        "quality@1/0:fit.fasttext",
        "seeds@1/0",
        "quality@2/0:fit.fasttext",
        "seeds@2/0",
        "out/0",
    ]


def test_rounds_that_gain() -> None:
    """`gain` is written back, `first` may name what a card lists, outside means the round meant."""
    text = ROUNDS.replace("until: quality.enough", "gain: quality.better")
    text = text.replace("{seeds: web}", "{seeds: trusted.accepted}")
    text = text.replace(
        "  out:", "  trusted: [{fit.fasttext: {positive: web, negative: out}}]\n  out:"
    )
    pipeline = pipeline_file.parse(text.replace("read.table: seeds", "read.table: web"), "p.yaml")
    assert pipeline_file.parse(pipeline.to_yaml(), "p.yaml") == pipeline
    tables = unroll(pipeline, 2).tables
    assert dict(tables["quality@1"][0])["positive"] == "trusted.accepted"
    meant = unroll(pipeline_file.parse(ROUNDS, "p.yaml"), 2, 1).tables
    assert dict(meant["out"][0])["tables"] == "seeds@1"
    wrong = ROUNDS.replace("until: quality.enough", "gain: qualty.better")
    assert "'qualty.better' is no table of the rounds" in problems(wrong)[0]


def test_set_the_rounds() -> None:
    found = pipeline_file.parse(ROUNDS, "p.yaml", ["rounds.max=1", "rounds.until=quality.ready"])
    assert found.rounds and (found.rounds.max, found.rounds.until) == (1, "quality.ready")
    with pytest.raises(PipelineError, match=r"rounds\.max: expected a number of 1 or more"):
        pipeline_file.parse(ROUNDS, "p.yaml", ["rounds.max=0"])


def test_prev_needs_a_first() -> None:
    found = problems(ROUNDS.replace("  first: {seeds: web}\n", ""))
    assert "prev.seeds: the first round needs `rounds.first: {seeds: TABLE}`" in found[0]


def test_a_mapping_as_the_main_field_is_written_with_its_name() -> None:
    text = "name: p\ntables:\n  t:\n  - read.jsonl: x\n  - score.badwords: {lists: {en: en.txt, de: de.txt}}\n"
    pipeline = pipeline_file.parse(text, "p.yaml")
    assert pipeline_file.parse(pipeline.to_yaml(), "p.yaml") == pipeline
