"""Stage names and their classes: built-in, from installed plug-ins, and near misses.

A built-in stage `filter.gopher_quality` is the class `GopherQuality` in
`ultraclean/stages/filter/gopher_quality.py`; nothing is imported until it is asked for. Other
packages add stages by an entry point in the group `ultraclean.stages`, named like the stage.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import importlib.metadata

from ultraclean.stage import Stage
from ultraclean.stages import STAGES


def names() -> list[str]:
    """All stage names, built-in ones in the order in which a document meets them."""
    return [*STAGES, *sorted(set(_plugins()) - set(STAGES))]


def nearest(name: str, among: list[str]) -> str | None:
    """The most similar name, or None if nothing is close."""
    longer = [candidate for candidate in among if name and candidate.startswith(name)]
    if longer:
        return min(longer, key=len)
    matches = difflib.get_close_matches(name, among, n=1, cutoff=0.5)
    if matches:
        return matches[0]
    tails = {candidate.split(".")[-1]: candidate for candidate in among}
    matches = difflib.get_close_matches(
        name.rsplit(".", maxsplit=1)[-1], list(tails), n=1, cutoff=0.6
    )
    return tails[matches[0]] if matches else None


def stage_class(name: str) -> type[Stage]:
    """The class of a stage; KeyError if there is none of that name."""
    if name in STAGES:
        package, short = name.split(".")
        root = "ultrachat.stages" if package == "chat" else f"ultraclean.stages.{package}"
        module = importlib.import_module(f"{root}.{short}")
        found: type[Stage] = getattr(module, class_name(short))
        return found
    loaded: type[Stage] = _plugins()[name].load()
    return loaded


def class_name(short: str) -> str:
    """`gopher_quality` -> `GopherQuality`."""
    return "".join(word.capitalize() for word in short.split("_"))


@functools.cache
def _plugins() -> dict[str, importlib.metadata.EntryPoint]:
    points = importlib.metadata.entry_points(group="ultraclean.stages")
    return {point.name: point for point in points}


def unknown(what: str, name: str, among: list[str]) -> str:
    """`unknown what 'name'; did you mean ...?`"""
    near = nearest(name, among)
    hint = f"; did you mean {near!r}?" if near else f"; there are: {', '.join(among)}"
    return f"unknown {what} {name!r}{hint}"
