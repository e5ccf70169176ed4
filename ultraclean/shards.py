"""Cuts inputs into shards, and keeps the cut: shards are frozen when a table is first run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ultraclean import storage
from ultraclean.errors import LedgerError
from ultraclean.inputs import Input, Part, Shard
from ultraclean.stage import Source

LEAST_BYTES = 2**20
MOST_FILES = 1000


def frozen_shards(
    path: str, source: Source, shard_bytes: int, *, accept: bool, write: bool = True
) -> list[Shard]:
    """The shards of a reader: as frozen at `path`, with new files appended, or cut now.

    A file that changed or vanished is a LedgerError that lists what did; with `accept`, changed
    files are read anew in their old shard and vanished ones are left out. Without `write` the cut
    is only looked at.
    """
    found = {one.relative: one for one in source.inputs()}
    if not storage.exists(path):
        shards = cut(source, list(found.values()), shard_bytes, first=0)
        if write:
            storage.write_json(path, [_as_json(shard) for shard in shards])
        return shards
    shards = [_from_json(value) for value in storage.read_json(path)]
    old = {part.relative: part.stamp for shard in shards for part in shard.parts}
    changed = [name for name in old if name in found and found[name].stamp != old[name]]
    vanished = [name for name in old if name not in found]
    if (changed or vanished) and not accept:
        raise LedgerError(_explain(source, changed, vanished))
    fresh = [one for name, one in found.items() if name not in old]
    if not (changed or vanished or fresh):
        return shards
    if changed or vanished:
        shards = [_accepted(shard, found, set(changed), source, shard_bytes) for shard in shards]
    shards += cut(source, fresh, shard_bytes, first=len(shards))
    if write:
        storage.write_json(path, [_as_json(shard) for shard in shards])
    return shards


def cut(source: Source, found: list[Input], shard_bytes: int, first: int) -> list[Shard]:
    """Shards of about `shard_bytes`, at most a sixteenth of the input; small files packed.

    With a limit on documents there is one shard, read until the limit.
    """
    total = sum(one.size for one in found)
    target = min(shard_bytes, max(LEAST_BYTES, total // 16))
    if source.limit is not None:
        parts = [part for one in found for part in source.split(one, one.size + 1)]
        return [Shard(first, tuple(parts))] if parts else []
    groups = _packed(source, found, target)
    return [Shard(first + index, group) for index, group in enumerate(groups)]


def _packed(source: Source, found: list[Input], target: int) -> Iterator[tuple[Part, ...]]:
    group: list[Part] = []
    size = 0.0
    for one in found:
        parts = source.split(one, target)
        for part in parts:
            n_bytes = one.size / len(parts)
            if group and (size + n_bytes > 1.01 * target or len(group) >= MOST_FILES):
                yield tuple(group)
                group, size = [], 0.0
            group.append(part)
            size += n_bytes
    if group:
        yield tuple(group)


def _accepted(
    shard: Shard, found: dict[str, Input], changed: set[str], source: Source, shard_bytes: int
) -> Shard:
    parts: list[Part] = []
    seen: set[str] = set()
    for part in shard.parts:
        if part.relative in changed:
            if part.relative not in seen:
                # The whole file, in the shard that had its first part.
                parts.extend(source.split(found[part.relative], shard_bytes))
            seen.add(part.relative)
        elif part.relative in found:
            parts.append(part)
    return Shard(shard.index, tuple(parts))


def _explain(source: Source, changed: list[str], vanished: list[str]) -> str:
    lines = [f"the input of {source.called} is not what this run folder was made from:"]
    lines += [f"  changed: {name}" for name in changed[:20]]
    lines += [f"  vanished: {name}" for name in vanished[:20]]
    if len(changed) + len(vanished) > 40:
        lines.append(f"  ... in all {len(changed)} changed and {len(vanished)} vanished")
    lines.append("put them back, choose another --out, or --accept-inputs to redo what they touch")
    return "\n".join(lines)


def _as_json(shard: Shard) -> dict[str, Any]:
    return {"index": shard.index, "parts": [vars(part) for part in shard.parts]}


def _from_json(value: dict[str, Any]) -> Shard:
    return Shard(value["index"], tuple(Part(**part) for part in value["parts"]))
