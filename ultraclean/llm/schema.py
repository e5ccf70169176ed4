"""JSON schemas of the answers that stages ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def listed(name: str, items: Mapping[str, Any], at_most: int, at_least: int = 1) -> dict[str, Any]:
    """The schema of `{name: [...]}`; items are strings, or objects with these fields."""
    return {
        "type": "object",
        "properties": {
            name: {
                "type": "array",
                "items": dict(items),
                "minItems": at_least,
                "maxItems": at_most,
            }
        },
        "required": [name],
        "additionalProperties": False,
    }


def record(**fields: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of an object with these fields and no other."""
    return {
        "type": "object",
        "properties": fields,
        "required": list(fields),
        "additionalProperties": False,
    }


def text(most: int = 2000, least: int = 1) -> dict[str, Any]:
    """The schema of a string of so many characters."""
    return {"type": "string", "minLength": least, "maxLength": most}
