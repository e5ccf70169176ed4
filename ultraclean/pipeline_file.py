"""Pipeline files: YAML to a Pipeline and back, with all errors of a file at once, file:line each."""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Iterator, Sequence
from pathlib import Path as LocalPath
from typing import Any, get_args

from pydantic import ValidationError

from ultraclean import catalog, foreach, markup
from ultraclean.catalog import unknown
from ultraclean.errors import PipelineError, Problem
from ultraclean.markup import Markup, Path
from ultraclean.pipeline import SETTINGS, Drops, Pipeline, Rounds, structure_problems
from ultraclean.stage import Stage


def load(path: str, settings: Sequence[str] = ()) -> Pipeline:
    """The pipeline in a YAML file, or a shipped one by name, with addresses set as by `--set`."""
    text, name = read_pipeline_file(path)
    return parse(text, name, settings)


def parse(text: str, name: str, settings: Sequence[str] = ()) -> Pipeline:
    """The pipeline in a YAML text; PipelineError with all its problems, file:line each."""
    from ultraclean.plan import column_problems

    tree = markup.parse(text, name)
    foreach.expand(tree)
    for setting in settings:
        _apply_setting(tree, setting)
    pipeline, problems = _build(tree)
    if problems:
        # What is well-formed of the file is looked at too, so that one check shows everything.
        problems += [*structure_problems(pipeline), *column_problems(pipeline)]
        lines = {str(problem): problem for problem in problems}
        raise PipelineError(sorted(lines.values(), key=_by_line))
    return pipeline


def _by_line(problem: Problem) -> tuple[str, int]:
    file, _, line = problem.where.rpartition(":")
    return file, int(line) if line.isdigit() else 0


def read_pipeline_file(path: str) -> tuple[str, str]:
    """(text, name for messages) of a pipeline file, or of a shipped pipeline by its name."""
    local = LocalPath(path)
    if local.is_file():
        try:
            return local.read_text(encoding="utf-8"), path
        except UnicodeDecodeError as error:
            raise PipelineError.one(path, f"not UTF-8 at byte {error.start}") from None
    shipped = shipped_pipelines()
    if path in shipped:
        return shipped[path].read_text(encoding="utf-8"), f"{path}.yaml"
    near = catalog.nearest(path, sorted(shipped))
    hint = f"; did you mean the shipped pipeline {near!r}?" if near else ""
    raise PipelineError.one(path, f"no such file, and no shipped pipeline of that name{hint}")


def shipped_pipelines() -> dict[str, LocalPath]:
    """Name -> file of the pipelines that come with the library."""
    package = LocalPath(str(importlib.resources.files("ultraclean")))
    for folder in (package / "pipelines", package.parent / "pipelines"):
        if folder.is_dir():
            return {file.stem: file for file in sorted(folder.glob("*.yaml"))}
    return {}


def _build(tree: Markup) -> tuple[Pipeline, list[Problem]]:
    """The pipeline as far as it is well-formed, and what is not."""
    problems = list(tree.problems)
    top = tree.value
    if not isinstance(top, dict):
        raise PipelineError.one(tree.where(()), "a pipeline file is a mapping: name, tables, ...")
    for key in top:
        if key not in SETTINGS:
            problems.append(Problem(tree.where((key,)), unknown("setting", key, list(SETTINGS))))
    values: dict[str, Any] = {"name": _default_name(tree.name)}
    kinds = {"name": str, "seed": int, "max_error_fraction": float, "allow_empty": bool}
    for key, kind in {**kinds, "shard_bytes": int, "drops": str}.items():
        if key in top:
            value = _as(kind, top[key])
            if value is None or (key == "drops" and value not in get_args(Drops)):
                expected = " or ".join(get_args(Drops)) if key == "drops" else kind.__name__
                message = f"{key}: expected {expected}, got {top[key]!r}"
                problems.append(Problem(tree.where((key,)), message))
            else:
                values[key] = value
    tables: dict[str, tuple[Stage, ...]] = {}
    if "stages" in top:
        if "tables" in top:
            problems.append(Problem(tree.where(("stages",)), "give either tables or stages"))
        else:
            tables[values["name"]] = _stages(tree, ("stages",), top["stages"], problems)
    elif "tables" not in top:
        problems.append(Problem(tree.where(()), "there are no tables (and no stages)"))
    tables |= _tables(tree, ("tables",), top.get("tables"), problems)
    rounds = None
    if "rounds" in top:
        rounds, repeated = _rounds(tree, top["rounds"], problems)
        tables |= repeated
    short = "stages" in top
    pipeline = Pipeline(
        tables=tables,
        rounds=rounds,
        locate=lambda path: _locate(tree, short, path),
        broken=_broken(tree, tables, rounds) if problems else frozenset(),
        **values,
    )
    return pipeline, problems


def _broken(
    tree: Markup, tables: dict[str, tuple[Stage, ...]], rounds: Rounds | None
) -> frozenset[str]:
    """Tables of which a stage could not be built; "" stands for the rest of the file."""
    top = tree.value
    written = dict(top.get("tables") or {}) if isinstance(top.get("tables"), dict) else {}
    if rounds:
        written |= top["rounds"]["tables"] or {}
    broken = {
        table
        for table, stages in tables.items()
        if not isinstance(written.get(table), list) or len(written[table]) != len(stages)
    }
    return frozenset({*broken, ""})


def _locate(tree: Markup, short: bool, path: Path) -> str:
    return tree.where(("stages", *path[2:]) if short else path)


def _default_name(file: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "-", LocalPath(file).stem) or "pipeline"


def _as(kind: type, value: Any) -> Any:
    """`value` as a bool, int, float or str if it is one without loss, else None."""
    if kind is bool or isinstance(value, bool):
        return value if isinstance(value, bool) and kind is bool else None
    if kind is str:
        return str(value) if isinstance(value, str | int | float) else None
    if isinstance(value, int | float) and (kind is float or float(value).is_integer()):
        return kind(value)
    return None


def _tables(
    tree: Markup, path: Path, value: Any, problems: list[Problem]
) -> dict[str, tuple[Stage, ...]]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        problems.append(Problem(tree.where(path), "tables: expected name -> list of stages"))
        return {}
    return {
        table: _stages(tree, (*path, table), stages, problems) for table, stages in value.items()
    }


def _stages(tree: Markup, path: Path, value: Any, problems: list[Problem]) -> tuple[Stage, ...]:
    if not isinstance(value, list) or not value:
        problems.append(Problem(tree.where(path), f"{path[-1]}: expected a list of stages"))
        return ()
    stages = []
    for index, entry in enumerate(value):
        stage = _stage(tree, (*path, index), entry, problems)
        if stage is not None:
            stages.append(stage)
    return tuple(stages)


def _stage(tree: Markup, path: Path, entry: Any, problems: list[Problem]) -> Stage | None:
    if isinstance(entry, str):
        kind, fields = entry, None
    elif isinstance(entry, dict) and len(entry) == 1:
        kind, fields = next(iter(entry.items()))
        path = (*path, kind)
    else:
        message = "expected a stage: `name`, `name: value`, or `name: {field: value}`"
        problems.append(Problem(tree.where(path), message))
        return None
    try:
        stage_class = catalog.stage_class(kind)
    except KeyError:
        problems.append(Problem(tree.where(path), unknown("stage", kind, catalog.names())))
        return None
    if fields is None:
        fields = {}
    elif not isinstance(fields, dict):
        if stage_class.main is None:
            known = ", ".join(stage_class.model_fields)
            message = f"{kind} has no main field: write {{field: value}}, with one of {known}"
            problems.append(Problem(tree.where(path), message))
            return None
        fields = {stage_class.main: fields}
    try:
        return stage_class.model_validate(fields)
    except ValidationError as error:
        problems.extend(_field_problems(tree, path, stage_class, error))
        return None


def _field_problems(
    tree: Markup, path: Path, stage_class: type[Stage], error: ValidationError
) -> Iterator[Problem]:
    seen = set()
    for detail in error.errors(include_url=False):
        location = detail["loc"]
        name = str(location[0]) if location else ""
        where = tree.where((*path, *location[:1]))
        if detail["type"] == "extra_forbidden":
            message = unknown(f"field of {stage_class.stage}", name, list(stage_class.model_fields))
        elif detail["type"] == "missing":
            message = f"{stage_class.stage} needs the field {name!r}"
        else:
            text = detail["msg"].removeprefix("Value error, ")
            got = "" if detail["type"] == "value_error" else f", got {detail['input']!r}"
            field = f"{stage_class.stage}.{name}" if name else stage_class.stage
            message = f"{field}: {text}{got}"
        if (where, name) not in seen:  # a union reports each of its members
            seen.add((where, name))
            yield Problem(where, message)


def _rounds(
    tree: Markup, value: Any, problems: list[Problem]
) -> tuple[Rounds | None, dict[str, tuple[Stage, ...]]]:
    where = tree.where(("rounds",))
    known = ["max", "until", "gain", "first", "tables"]
    if not isinstance(value, dict) or "tables" not in value:
        problems.append(Problem(where, "rounds: expected max, until, gain, first and tables"))
        return None, {}
    for key in value:
        if key not in known:
            problems.append(
                Problem(tree.where(("rounds", key)), unknown("field of rounds", key, known))
            )
    most = value.get("max")
    if not isinstance(most, int) or most < 1:
        problems.append(Problem(where, f"rounds.max: expected a number of 1 or more, got {most!r}"))
        most = 1
    tables = _tables(tree, ("rounds", "tables"), value["tables"], problems)
    first = value.get("first") or {}
    return Rounds(most, value.get("until"), first, tuple(tables), value.get("gain")), tables


def _apply_setting(tree: Markup, setting: str) -> None:
    """Sets one address, `table.stage.field=value` or `setting=value`, in the parsed tree."""
    address, separator, text = setting.partition("=")
    where = f"--set {setting}"
    if not separator:
        raise PipelineError.one(where, "expected ADDRESS=VALUE, as in web.filter.c4.name=VALUE")
    value = markup.parse_scalar(text)
    top = tree.value if isinstance(tree.value, dict) else {}
    if address in SETTINGS and address not in ("tables", "stages", "rounds", "foreach"):
        top[address] = value
        return
    if address in ("rounds.max", "rounds.gain", "rounds.until") and isinstance(
        top.get("rounds"), dict
    ):
        top["rounds"][address.partition(".")[2]] = value
        return
    groups = [top.get("tables"), (top.get("rounds") or {}).get("tables")]
    if "stages" in top:
        groups.append({top.get("name", _default_name(tree.name)): top["stages"]})
    tables = {name: stages for group in groups if group for name, stages in group.items()}
    table, _, rest = address.partition(".")
    if table not in tables:
        raise PipelineError.one(where, unknown("table", table, list(tables)))
    labels = []
    for index, entry in enumerate(tables[table]):
        kind, fields = next(iter(entry.items())) if isinstance(entry, dict) else (entry, {})
        label = (fields.get("name") if isinstance(fields, dict) else None) or kind
        labels.append(label)
        if rest.startswith(f"{label}."):
            if not isinstance(fields, dict):
                fields = _as_fields(kind, fields)
            tables[table][index] = {kind: {**fields, rest[len(label) + 1 :]: value}}
            return
    raise PipelineError.one(where, unknown(f"stage of {table}", rest, labels))


def _as_fields(kind: str, value: Any) -> dict[str, Any]:
    """The fields of a stage that is written as a bare value, or with none."""
    main = catalog.stage_class(kind).main if kind in catalog.names() else None
    return {} if main is None or value is None else {main: value}


def dump(pipeline: Pipeline) -> str:
    """The YAML of a pipeline; fields that have their default are left out."""
    rounds = pipeline.rounds
    repeated = set(rounds.tables) if rounds else set()
    out: dict[str, Any] = {"name": pipeline.name}
    for setting in ("seed", "drops", "max_error_fraction", "allow_empty", "shard_bytes"):
        if getattr(pipeline, setting) != getattr(Pipeline, setting):
            out[setting] = getattr(pipeline, setting)
    plain = {
        table: [_plain_stage(stage) for stage in stages]
        for table, stages in pipeline.tables.items()
    }
    out["tables"] = {table: plain[table] for table in plain if table not in repeated}
    if rounds:
        out["rounds"] = {
            "max": rounds.max,
            **({"until": rounds.until} if rounds.until else {}),
            **({"gain": rounds.gain} if rounds.gain else {}),
            **({"first": dict(rounds.first)} if rounds.first else {}),
            "tables": {table: plain[table] for table in rounds.tables},
        }
    return markup.dump(out)


def _plain_stage(stage: Stage) -> Any:
    """A stage as YAML values: its name alone, or with the fields that differ from the defaults."""
    fields = stage.written()
    if not fields:
        return stage.stage
    # A mapping would be read back as the fields of the stage.
    main = stage.main
    if main is not None and list(fields) == [main] and not isinstance(fields[main], dict):
        return {stage.stage: fields[main]}
    return {stage.stage: fields}
