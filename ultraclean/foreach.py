"""`foreach:` in a pipeline file: the same tables for each of some languages, crawls or paths.

    foreach:
      each: {lang: [en, de, zh]}            # or a list: [{lang: en, min_words: 50}, ...]
      tables:
        web-${lang}:
          - read.jsonl: in/${lang}/*.jsonl
          - filter.length: {min_words: "${min_words}"}
    tables:
      all: [{read.table: "web-${lang}"}]    # outside, a name stands for those of every turn

The tables are written out before anything else looks at the file, so that a run, its plan, its report
and `--set` know the names `web-en`, `web-de`, `web-zh`; each keeps the lines of the text that it came
from. Several names in `each` give every combination. A value that is nothing but `${name}` keeps the
kind of what it stands for (a number, a list); `${NAME}` of any other name is an environment variable.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ultraclean.catalog import unknown
from ultraclean.errors import Problem
from ultraclean.markup import Markup, Path

Turn = Mapping[str, Any]
"""What the names stand for in one turn."""

_NAME = re.compile(r"\$\{(\w+)\}")
_FIELDS = ["each", "tables"]
_SHAPE = (
    "expected {name: [value, ...]}, or a list of {name: value, ...} that all have the same names"
)


def expand(tree: Markup) -> None:
    """Puts the tables of `foreach` among `tables`, and their lines in place; notes what is wrong."""
    top = tree.value
    if not isinstance(top, dict) or "foreach" not in top:
        return
    written = top.pop("foreach")
    groups: list[tuple[Path, Any]] = [(("foreach",), written)]
    if isinstance(written, list):
        groups = [(("foreach", index), group) for index, group in enumerate(written)]
    plain = top.get("tables") or {}
    if not isinstance(plain, dict):
        return  # which is said where tables are read
    made: dict[str, Any] = {}
    turns: list[Turn] = []
    for path, group in groups:
        mine = list(_turns(tree, path, group))
        turns += mine
        for turn in mine:
            for name, stages in group["tables"].items():
                new = str(_filled(name, turn))
                if new in plain:
                    message = f"foreach makes a table {new}, which stands under tables, too"
                    tree.problems.append(Problem(tree.where(("tables", new)), message))
                else:
                    _add(tree, (*path, "tables", name), new, _filled(stages, turn), made)
    top["tables"] = {**made, **{name: _spread(stages, turns) for name, stages in plain.items()}}
    if isinstance(top.get("rounds"), dict) and "tables" in top["rounds"]:
        top["rounds"]["tables"] = _spread(top["rounds"]["tables"], turns)


def _turns(tree: Markup, path: Path, group: Any) -> Iterator[Turn]:
    """The turns of one group; none where the group is not well-formed."""
    if not isinstance(group, dict) or not set(_FIELDS) <= set(group):
        tree.problems.append(Problem(tree.where(path), "foreach: expected `each` and `tables`"))
        return
    for field in group:
        if field not in _FIELDS:
            message = unknown("field of foreach", field, _FIELDS)
            tree.problems.append(Problem(tree.where((*path, field)), message))
    each, tables = group["each"], group["tables"]
    where = tree.where((*path, "each"))
    if not isinstance(tables, dict) or not tables:
        message = "foreach.tables: expected name -> list of stages"
        tree.problems.append(Problem(tree.where((*path, "tables")), message))
    elif isinstance(each, dict) and each and all(isinstance(v, list) and v for v in each.values()):
        for values in itertools.product(*each.values()):
            yield dict(zip(each, values, strict=True))
    elif isinstance(each, list) and each and all(isinstance(one, dict) and one for one in each):
        for one in each:
            if set(one) != set(each[0]):
                names = f"{', '.join(one)} and {', '.join(each[0])}"
                tree.problems.append(Problem(where, f"foreach.each: {_SHAPE}; got {names}"))
                return
        yield from each
    else:
        tree.problems.append(Problem(where, f"foreach.each: {_SHAPE}"))


def _add(tree: Markup, path: Path, name: str, stages: Any, made: dict[str, Any]) -> None:
    """One table of one turn, with the lines of the text from which it is made."""
    if name in made:
        message = f"foreach makes the table {name} twice: have every name of `each` in its name"
        problem = Problem(tree.where(path), message)
        if problem not in tree.problems:
            tree.problems.append(problem)
        return
    made[name] = stages
    for at, line in list(tree.lines.items()):
        if at[: len(path)] == path:
            tree.lines["tables", name, *at[len(path) :]] = line


def _filled(value: Any, turn: Turn) -> Any:
    """A value with the names of a turn replaced, at any depth."""
    if isinstance(value, str):
        whole = _NAME.fullmatch(value)
        if whole and whole[1] in turn:
            return turn[whole[1]]
        return _NAME.sub(lambda name: str(turn.get(name[1], name[0])), value)
    if isinstance(value, list):
        return [_filled(one, turn) for one in value]
    if isinstance(value, dict):
        return {_filled(key, turn): _filled(one, turn) for key, one in value.items()}
    return value


def _spread(value: Any, turns: Sequence[Turn]) -> Any:
    """A value outside, in which a text with names stands for those of all turns."""
    if isinstance(value, str):
        found = _every(value, turns)
        return value if found == [value] else found
    if isinstance(value, list):
        out = []
        for one in value:
            found = _spread(one, turns)
            out += found if isinstance(one, str) and isinstance(found, list) else [found]
        return out
    if isinstance(value, dict):
        return {key: _spread(one, turns) for key, one in value.items()}
    return value


def _every(text: str, turns: Sequence[Turn]) -> list[Any]:
    names = set(_NAME.findall(text))
    mine = [turn for turn in turns if names & set(turn)]
    return list(dict.fromkeys(_filled(text, turn) for turn in mine)) if mine else [text]
