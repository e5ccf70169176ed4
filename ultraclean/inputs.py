"""Input files as found, and as cut into the pieces that workers read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Input:
    """One input file as found: before it is cut into shards."""

    path: str
    relative: str
    size: int
    stamp: str


@dataclass(frozen=True)
class Part:
    """A piece of one input: bytes (or row groups) `start` to `stop` of the file at `path`.

    `relative` is the path below the root of the glob, which is what keys are made of. `stop` None
    is the end of the file. `stamp` changes when the file does (etag, or size and time).
    """

    path: str
    relative: str
    size: int
    stamp: str
    start: int = 0
    stop: int | None = None


@dataclass(frozen=True)
class Shard:
    """The unit of reading: parts that one worker reads in order."""

    index: int
    parts: tuple[Part, ...]
