"""Stages for people and editors: the list, one stage explained, the JSON Schema of pipeline files."""

from __future__ import annotations

import inspect
import sys
import types
import typing
from typing import Any

from ultraclean import catalog
from ultraclean.pipeline import SETTINGS
from ultraclean.stage import Stage


def list_stages(*, markdown: bool = False) -> str:
    """Every stage with the first sentence of its module, aligned or as a Markdown table."""
    rows = [(name, first_sentence(catalog.stage_class(name))) for name in catalog.names()]
    if markdown:
        lines = ["| stage | what it does |", "|---|---|"]
        return "\n".join([*lines, *(f"| `{name}` | {sentence} |" for name, sentence in rows)])
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {sentence}" for name, sentence in rows)


def one_stage(name: str) -> str:
    """A stage's documentation, fields, columns and reasons."""
    stage_class = catalog.stage_class(name)
    lines = [f"{name}  (version {stage_class.version})", "", _module_text(stage_class), ""]
    if stage_class.paper:
        lines += [f"source: {stage_class.paper}", ""]
    lines.append("fields:")
    for field_name, info in stage_class.model_fields.items():
        default = "required" if info.is_required() else f"default {info.default!r}"
        main = ", main field" if field_name == stage_class.main else ""
        lines.append(f"  {field_name}: {_type_name(info.annotation)} ({default}{main})")
        if info.description:
            lines.append(f"      {info.description}")
    if stage_class.reasons:
        lines += ["", f"reasons: {', '.join(stage_class.reasons)}"]
    try:
        stage = stage_class()
    except ValueError:
        pass  # it has required fields, on which its columns may depend
    else:
        lines += ["", f"needs: {', '.join(stage.needs()) or 'nothing'}"]
        lines.append(
            f"adds: {', '.join(f'{n} ({t})' for n, t in stage.adds().items()) or 'nothing'}"
        )
    for arguments in dict.fromkeys(stage_class.extras.values()):
        lines.append(f"needs: pip install {arguments}")
    return "\n".join(lines)


def first_sentence(stage_class: type[Stage]) -> str:
    text = " ".join(_module_text(stage_class).split("\n\n")[0].split())
    return text.split(". ")[0].rstrip(".")


def _module_text(stage_class: type[Stage]) -> str:
    return inspect.cleandoc(sys.modules[stage_class.__module__].__doc__ or "")


def _type_name(annotation: Any) -> str:
    if annotation is type(None):
        return "none"
    origin = typing.get_origin(annotation)
    arguments = typing.get_args(annotation)
    if origin is typing.Literal:
        return " | ".join(str(argument) for argument in arguments)
    if origin in {typing.Union, types.UnionType}:
        return " | ".join(_type_name(argument) for argument in arguments)
    if origin is typing.Annotated:
        return _type_name(arguments[0])
    if origin in {tuple, list}:
        return f"list of {_type_name(arguments[0])}"
    if origin is not None:
        return f"{getattr(origin, '__name__', origin)}[{', '.join(map(_type_name, arguments))}]"
    names = {str: "text", int: "integer", float: "number", bool: "true or false"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)))


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a pipeline file, for completion and checks in an editor."""
    definitions: dict[str, Any] = {}
    choices: list[dict[str, Any]] = [{"enum": catalog.names()}]
    for name in catalog.names():
        stage_class = catalog.stage_class(name)
        schema = stage_class.model_json_schema(ref_template="#/$defs/{model}")
        definitions |= schema.pop("$defs", {})
        _allow_single(stage_class, schema["properties"])
        schema["description"] = first_sentence(stage_class)
        value: dict[str, Any] = {"anyOf": [schema, {"type": "null"}]}
        if stage_class.main is not None:
            value["anyOf"].append(schema["properties"][stage_class.main])
        choices.append(
            {
                "type": "object",
                "properties": {name: value},
                "required": [name],
                "additionalProperties": False,
            }
        )
    definitions["stage"] = {"anyOf": choices}
    stages = {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/stage"}}
    tables = {"type": "object", "additionalProperties": stages}
    kinds: dict[str, Any] = {
        "name": {"type": "string"},
        "seed": {"type": "integer"},
        "drops": {"enum": ["sample", "text", "none"]},
        "max_error_fraction": {"type": "number"},
        "allow_empty": {"type": "boolean"},
        "shard_bytes": {"type": "integer"},
        "tables": tables,
        "stages": stages,
        "foreach": _foreach(tables),
        "rounds": {
            "type": "object",
            "properties": {
                "max": {"type": "integer", "minimum": 1},
                "until": {"type": "string"},
                "gain": {"type": "string"},
                "first": {"type": "object", "additionalProperties": {"type": "string"}},
                "tables": tables,
            },
            "required": ["max", "tables"],
            "additionalProperties": False,
        },
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "ultraclean pipeline",
        "type": "object",
        "properties": {key: {**kinds[key], "description": SETTINGS[key]} for key in SETTINGS},
        "additionalProperties": False,
        "$defs": definitions,
    }


def _allow_single(stage_class: type[Stage], properties: dict[str, Any]) -> None:
    """A list that its validator takes one member of may be written as that member."""
    for found in stage_class.__pydantic_decorators__.field_validators.values():
        for name in found.info.fields if found.info.mode == "before" else ():
            field = properties[name]
            if field.get("type") == "array" and "items" in field:
                properties[name] = {"anyOf": [field, field["items"]]}


def _foreach(tables: dict[str, Any]) -> dict[str, Any]:
    lists = {"type": "object", "additionalProperties": {"type": "array", "minItems": 1}}
    group = {
        "type": "object",
        "properties": {
            "each": {"anyOf": [lists, {"type": "array", "items": {"type": "object"}}]},
            "tables": tables,
        },
        "required": ["each", "tables"],
        "additionalProperties": False,
    }
    return {"anyOf": [group, {"type": "array", "items": group}]}
