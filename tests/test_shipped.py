"""Every shipped pipeline is read, written back, checked and planned."""

from __future__ import annotations

import re
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from ultraclean import Pipeline, pipeline_file
from ultraclean.cli import parser
from ultraclean.pipeline_file import shipped_pipelines
from ultraclean.plan import column_problems, make_plan


@pytest.mark.parametrize("name", sorted(shipped_pipelines()))
def test_shipped(name: str) -> None:
    pipeline = pipeline_file.load(name)
    assert pipeline.name
    assert pipeline_file.parse(pipeline.to_yaml(), name) == pipeline
    assert not column_problems(pipeline)
    plan = make_plan(pipeline)
    assert {segment.table.split("@")[0] for segment in plan.segments} == set(pipeline.tables)
    text = shipped_pipelines()[name].read_text()
    assert text.startswith("# "), "a recipe begins by saying what it makes"
    readme = (shipped_pipelines()[name].parent / "README.md").read_text()
    assert f"`{name}`" in readme


def test_the_readmes_pipeline_and_python() -> None:
    """What the README shows is a pipeline, and names that exist."""
    text = (Path(__file__).parent.parent / "README.md").read_text()
    (block,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    pipeline = pipeline_file.parse(block, "README.md")
    assert not column_problems(pipeline)
    assert list(pipeline.tables) == ["web", "textbooks", "quality", "clean"]
    (python,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    built: list[Pipeline] = []

    def run(self: Pipeline, out: str, **options: object) -> MagicMock:
        built.append(self)
        return MagicMock()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pipeline, "run", run)
        exec(compile(python, "README.md", "exec"), {})
    assert [stage.stage for stage in built[0].tables["first"]] == [
        "read.jsonl",
        "filter.gopher_quality",
        "write.parquet",
    ]


def test_what_the_readme_says_of_commands_is_so() -> None:
    text = (Path(__file__).parent.parent / "README.md").read_text()
    known = set(parser()._subparsers._group_actions[0].choices)  # type: ignore[union-attr,arg-type]
    for command in re.findall(r"^ultraclean ([a-z]+)", text, re.MULTILINE):
        assert command in known
