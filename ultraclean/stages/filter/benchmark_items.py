"""Reads files of evaluation items: JSON lines with named fields, plain, gzip or zstd.

Evaluations name their fields differently, so a question is looked for under several names and so is
an answer; all that an item has of them are joined. An answer that is a number or a letter names
one of the item's `choices`.
"""

from __future__ import annotations

import gzip
import io
import json
import posixpath
from collections.abc import Iterator, Sequence
from typing import IO, Any, Final, cast

from ultraclean import storage
from ultraclean.errors import DataError
from ultraclean.text.contamination import Item

QUERY: Final = (
    *("question", "query", "prompt", "problem", "context", "instruction", "input", "passage"),
    *("goal", "ctx", "sentence", "sentence_good", "text"),
)
ANSWER: Final = (
    *("chain_of_thought", "answer", "gold", "label", "answerKey", "continuation", "completion"),
    *("canonical_solution", "solution", "target", "output", "response"),
)
CHOICES: Final = ("choices", "options", "endings")
LETTERS: Final = "ABCDEFGHIJ"


def name_of(path: str) -> str:
    """`evals/gsm8k.jsonl.gz` -> `gsm8k`."""
    return posixpath.basename(path).split(".")[0]


def items_of(path: str, benchmark: int, query: Sequence[str], answer: Sequence[str]) -> list[Item]:
    """All items of one file; DataError names the line that is none."""
    items = []
    for line, fields in _objects(path):
        sides = [_joined(fields, names) for names in (query, answer)]
        if not any(sides):
            raise DataError(f"{path}, line {line}: {_other_schema(fields, query, answer)}")
        items.append(Item(benchmark, line, *sides))
    if not items:
        raise DataError(f"{path}: there is no item in this file")
    return items


def problem_of(path: str, query: Sequence[str], answer: Sequence[str]) -> str | None:
    """What is wrong with the first item of a file, if anything is."""
    try:
        first = next(_objects(path), None)
    except (DataError, OSError) as error:
        return str(error)
    if first is None:
        return f"{path}: there is no item in this file"
    line, fields = first
    if any(_joined(fields, names) for names in (query, answer)):
        return None
    return f"{path}, line {line}: {_other_schema(fields, query, answer)}"


def _other_schema(fields: dict[str, Any], query: Sequence[str], answer: Sequence[str]) -> str:
    return (
        f"the item has the fields {', '.join(fields) or '(none)'}; a question was expected in one "
        f"of {', '.join(query)}, or an answer in one of {', '.join(answer)}: name them with "
        "`query` and `answer`"
    )


def _objects(path: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, item) of each line that is not blank."""
    with storage.open_read(path) as raw:
        lines = enumerate(_plain(raw), 1)
        while True:
            try:
                line, content = next(lines)
            except StopIteration:
                return
            except (OSError, EOFError, ValueError) as error:
                raise DataError(f"{path}: the compressed file is damaged ({error})") from None
            if not content.strip():
                continue
            try:
                fields = json.loads(content.removeprefix(b"\xef\xbb\xbf"))
            except ValueError as error:
                raise DataError(f"{path}, line {line}: not a line of JSON: {error}") from None
            if not isinstance(fields, dict):
                raise DataError(f"{path}, line {line}: an object was expected, one item a line")
            yield line, fields


def _plain(raw: IO[bytes]) -> IO[bytes]:
    head = raw.read(4)
    raw.seek(0)
    if head.startswith(b"\x1f\x8b"):
        return cast("IO[bytes]", gzip.GzipFile(fileobj=raw))
    if head == b"\x28\xb5\x2f\xfd":
        import zstandard

        return io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(raw))
    return raw


def _joined(fields: dict[str, Any], names: Sequence[str]) -> str:
    found = [_text(fields, fields[name]) for name in names if name in fields]
    return "\n".join(text for text in found if text)


def _text(fields: dict[str, Any], value: Any) -> str:
    """The text of a field: of a list all its texts, of a choice the one that it names."""
    if isinstance(value, str):
        return _choice(fields, value) or value
    if isinstance(value, int) and not isinstance(value, bool):
        return _choice(fields, value) or ""
    if isinstance(value, list):
        return "\n".join(_text({}, one) for one in value)
    return ""


def _choice(fields: dict[str, Any], chosen: str | int) -> str | None:
    for name in CHOICES:
        choices: Any = fields.get(name)
        labels: list[Any] = list(LETTERS)
        if isinstance(choices, dict):  # as on the Hugging Face hub: {"text": [...], "label": [...]}
            choices, labels = choices.get("text"), choices.get("label", labels)
        if not isinstance(choices, list):
            continue
        if isinstance(chosen, str):
            if chosen not in labels[: len(choices)]:
                continue
            chosen = labels.index(chosen)
        if 0 <= chosen < len(choices) and isinstance(choices[chosen], str):
            return str(choices[chosen])
    return None
