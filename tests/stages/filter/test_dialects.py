"""A rule set in a dialect is the same after YAML, whatever fields are given beside it."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from ultraclean.pipeline import Pipeline
from ultraclean.stages.filter.c4 import C4
from ultraclean.stages.filter.gopher_quality import GopherQuality
from ultraclean.stages.filter.gopher_repetition import GopherRepetition
from ultraclean.stages.filter.rule_set import RuleSet
from ultraclean.stages.read.jsonl import Jsonl

STAGES: tuple[type[RuleSet], ...] = (GopherQuality, GopherRepetition, C4)


def after_yaml(stage: RuleSet) -> object:
    pipeline = Pipeline(name="p", stages=[Jsonl(path="a.jsonl"), stage])
    return Pipeline.parse(pipeline.to_yaml()).tables["p"][1]


@pytest.mark.parametrize("dialect", ["datatrove", "dclm", "dolma"])
@pytest.mark.parametrize("kind", STAGES)
def test_round_trip(kind: type[RuleSet], dialect: str) -> None:
    plain, first = kind(dialect=dialect), kind()  # type: ignore[call-arg]
    assert after_yaml(plain) == plain
    n_changed = 0
    for name in kind.model_fields:
        if not name.startswith(("min_", "max_")):
            continue
        # Off, another number, and what the first dialect has, which is the default of the field.
        for value in (None, 0.5 if "fraction" in name else 7, getattr(first, name)):
            try:
                stage = kind(dialect=dialect, **{name: value})  # type: ignore[arg-type]
            except ValidationError as error:
                assert "the dialect dolma has no" in str(error)
                continue
            assert getattr(stage, name) == value
            assert after_yaml(stage) == stage
            written = stage.written()
            assert (name in written) == (value != getattr(plain, name)), (name, written)
            n_changed += 1
    assert n_changed >= 5
