"""Lists of tools as files: what MCP servers list, OpenAI's functions, or records that have `tools`."""

from __future__ import annotations

import functools
import gzip
import json
from collections.abc import Iterator, Mapping
from typing import Any

from ultraclean import storage
from ultraclean.errors import DataError


def read_tools(path: str) -> tuple[Mapping[str, Any], ...]:
    """All tools of a file, each once by name, as `{"name", "description", "parameters"}`."""
    path = storage.expand(path)
    if not storage.exists(path):
        raise DataError(f"{path}: there is no such list of tools")
    return _read(path, str(storage.stamp(path)))


@functools.lru_cache(maxsize=16)
def _read(path: str, stamp: str) -> tuple[Mapping[str, Any], ...]:
    stored = storage.read_bytes(path)
    if stored.startswith(b"\x1f\x8b"):
        try:
            stored = gzip.decompress(stored)
        except (OSError, EOFError) as error:
            raise DataError(f"{path} is damaged: {error}") from error
    raw = stored.decode("utf-8", "replace").strip()
    try:
        records = [json.loads(raw)]
    except ValueError:
        try:
            records = [json.loads(line) for line in raw.splitlines() if line.strip()]
        except ValueError as error:
            raise DataError(f"{path} is neither JSON nor JSON lines: {error}") from error
    tools = {tool["name"]: tool for record in records for tool in _tools_of(record)}
    if not tools:
        raise DataError(f"{path} holds no tool: an object with a name and parameters")
    return tuple(tools.values())


def _tools_of(record: Any) -> Iterator[dict[str, Any]]:
    if isinstance(record, str):  # data sets hold the list as a JSON string
        try:
            record = json.loads(record)
        except ValueError:
            return
    if isinstance(record, list):
        for one in record:
            yield from _tools_of(one)
    elif isinstance(record, Mapping):
        inner = record.get("function")
        if isinstance(inner, Mapping):
            yield from _tools_of(inner)
        elif "tools" in record:
            yield from _tools_of(record["tools"])
        elif isinstance(record.get("name"), str):
            schema = record.get("parameters", record.get("inputSchema", record.get("input_schema")))
            yield {
                "name": record["name"],
                "description": str(record.get("description") or ""),
                "parameters": schema if isinstance(schema, Mapping) else {},
            }
