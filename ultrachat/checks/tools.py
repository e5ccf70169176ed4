"""Whether tool calls fit the tools that were offered (MiniCPM4, tool track: names, arguments, types).

A call passes when its tool was offered and its arguments fit the JSON schema, with no argument that
the schema does not name. Schemas in the dialect of tool-call data sets ("dict", "str", "float") are
read as what they mean.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ultrachat.checks.verdict import PASS, Verdict

_TYPES: Final = {
    "dict": "object",
    "str": "string",
    "text": "string",
    "float": "number",
    "double": "number",
    "int": "integer",
    "long": "integer",
    "bool": "boolean",
    "list": "array",
    "tuple": "array",
    "set": "array",
    "none": "null",
}
_KNOWN: Final = {"object", "string", "number", "integer", "boolean", "array", "null"}


def check_call(call: str | Mapping[str, Any], tools: Sequence[Mapping[str, Any]]) -> Verdict:
    """One call, `{"name", "arguments"}` or its JSON.

    Reasons: malformed_call, unknown_tool, malformed_arguments, unknown_argument, missing_argument,
    wrong_argument, bad_schema (the tool's, not the call's).
    """
    if isinstance(call, str):
        try:
            call = json.loads(call)
        except ValueError as error:
            return Verdict("malformed_call", str(error))
    if not isinstance(call, Mapping) or not isinstance(call.get("name"), str):
        return Verdict("malformed_call", "it has no name")
    found = {tool.get("name"): tool for tool in map(_function, tools)}.get(call["name"])
    if found is None:
        return Verdict("unknown_tool", call["name"])
    arguments = call.get("arguments", {})
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments or "{}")
        except ValueError as error:
            return Verdict("malformed_arguments", str(error))
    if not isinstance(arguments, dict):
        return Verdict("malformed_arguments", "the arguments are no object")
    return _fits(arguments, found)


def check_calls(
    calls: Sequence[str | Mapping[str, Any]], tools: Sequence[Mapping[str, Any]]
) -> Verdict:
    """The first call that is wrong."""
    verdicts = (check_call(call, tools) for call in calls)
    return next((verdict for verdict in verdicts if not verdict.ok), PASS)


def _function(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    inner = tool.get("function")
    return inner if isinstance(inner, Mapping) else tool


def _fits(arguments: dict[str, Any], tool: Mapping[str, Any]) -> Verdict:
    import jsonschema  # type: ignore[import-untyped]

    schema = parameters_of(tool)
    try:
        errors = sorted(
            _validator(json.dumps(schema, sort_keys=True)).iter_errors(arguments),
            key=lambda error: (len(error.absolute_path), str(error.message)),
        )
    except jsonschema.exceptions.SchemaError as error:
        return Verdict("bad_schema", f"{tool.get('name')}: {error.message[:200]}")
    if not errors:
        return PASS
    reasons = {"required": "missing_argument", "additionalProperties": "unknown_argument"}
    first = errors[0]
    where = "/".join(map(str, first.absolute_path)) or "arguments"
    reason = reasons.get(first.validator, "wrong_argument")
    return Verdict(reason, f"{where}: {first.message[:200]}")


def parameters_of(tool: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON schema of a tool's arguments, closed: what it does not name is not allowed."""
    parameters = _function(tool).get("parameters") or {}
    if "properties" not in parameters and "type" not in parameters and parameters:
        parameters = {"type": "object", "properties": parameters}  # only the properties were given
    schema: dict[str, Any] = _meant(parameters)
    schema["type"] = "object"
    schema.setdefault("additionalProperties", False)
    return schema


def _meant(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_meant(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    meant: dict[str, Any] = {}
    for name, value in schema.items():
        if name == "type" and isinstance(value, str):
            kind = value.lower().split("[")[0].split(",")[0].strip()
            kind = _TYPES.get(kind, kind)
            if kind in _KNOWN:  # "any" and the like say nothing
                meant["type"] = kind
        elif name == "properties" and isinstance(value, dict):
            meant["properties"] = {key: _meant(one) for key, one in value.items()}
        elif name == "required" and not isinstance(value, list):
            continue  # `required: true` of one property, as OpenAPI 2 has it
        elif name in ("items", "anyOf", "oneOf", "allOf", "additionalProperties"):
            meant[name] = _meant(value)
        else:
            meant[name] = value
    return meant


@functools.lru_cache(maxsize=512)
def _validator(schema: str) -> Any:
    import jsonschema

    validator = jsonschema.Draft202012Validator
    parsed = json.loads(schema)
    validator.check_schema(parsed)
    return validator(parsed)
