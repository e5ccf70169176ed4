"""Reads the documentation that the standard library and the installed packages carry.

Real text that every machine has once the library is installed, so that a first run needs no
download: language topics (what `help("with")` prints), the docstrings of a module and of its
classes and functions (one document per file), long descriptions of packages, licences with their
natural near-duplicates, and text files. Nothing is imported: Python files are parsed. By rule there are no tests, no hidden folders,
no files of more than `max_file_bytes`, and no documents of fewer than `min_words` words.
"""

from __future__ import annotations

import ast
import email
import os
import re
import sysconfig
import warnings
from collections.abc import Iterator, Mapping
from typing import ClassVar, Final

import orjson
import pyarrow as pa
from pydantic import Field

from ultraclean import storage
from ultraclean.document import Batch
from ultraclean.errors import DataError
from ultraclean.inputs import Input, Shard
from ultraclean.stage import Source
from ultraclean.stages.read.columns import Rows, clean
from ultraclean.stages.read.compressed import DamagedError
from ultraclean.stages.read.text import decode

TESTS: Final = frozenset({"test", "tests", "testing", "idle_test", "__pycache__", "node_modules"})
PROSE: Final = (".md", ".rst", ".txt")
LISTS: Final = frozenset(
    ("entry_points.txt", "top_level.txt", "sources.txt", "requires.txt", "dependency_links.txt")
)
"""Text files of packages that hold names for programs, no prose."""
LICENCE: Final = re.compile(r"(un)?licen[sc]e|copying|notice|patents", re.IGNORECASE)
Document = tuple[int, str, str, str, dict[str, str]]
"""Position, kind, id below the file's, text, metadata."""


class Installed(Source):
    """Topics, docstrings, descriptions, licences and text files. `_position` is a byte offset."""

    stage: ClassVar[str] = "read.installed"
    main: ClassVar[str | None] = "path"

    path: str | None = Field(
        default=None,
        description="a file, folder or glob of one's own to read instead, by the same rules",
    )
    min_words: int = Field(default=20, ge=1, description="a document has at least so many words")
    max_file_bytes: int = Field(
        default=2 * 2**20, ge=1, description="larger files are data, no documentation"
    )

    def inputs(self) -> list[Input]:
        if self.path is not None:
            folder = storage.expand(self.path)
            if os.path.isdir(folder):
                # storage.find hides names that begin with _, as Python's own files do
                found = list(self._walk(".", folder))
            else:
                found = storage.find(self.path)
            chosen = [one for one in found if self._wanted(one.relative, one.size)]
            if not found and not os.path.isdir(folder):
                raise DataError(f"{self.stage}: no file matches {self.path!r}")
            if not chosen:
                raise DataError(
                    f"{self.stage}: no file of {self.path!r} is documentation "
                    f"(.py, {', '.join(PROSE)}, METADATA, licences, up to {self.max_file_bytes:,} "
                    "bytes); read.jsonl, read.parquet, read.text and read.warc read other files"
                )
            return chosen
        places = sysconfig.get_paths()
        roots = {"stdlib": places["stdlib"], "packages": places["purelib"]}
        if not os.path.samefile(places["purelib"], places["platlib"]):
            roots["platlib"] = places["platlib"]
        return [one for name, root in sorted(roots.items()) for one in self._walk(name, root)]

    def _walk(self, name: str, root: str) -> Iterator[Input]:
        # the interpreter's own folder of packages is not this environment's
        outside = TESTS | {"site-packages", "dist-packages"}
        for folder, below, files in os.walk(root):
            below[:] = sorted(one for one in below if one not in outside and one[0] != ".")
            for file in sorted(files):
                path = os.path.join(folder, file)
                relative = os.path.normpath(f"{name}/{os.path.relpath(path, root)}")
                if not self._wanted(relative, 0) or not os.path.isfile(path):
                    continue
                found = os.stat(path)
                if found.st_size <= self.max_file_bytes:
                    stamp = f"{found.st_size}-{found.st_mtime}"
                    yield Input(path, relative, found.st_size, stamp)

    def _wanted(self, relative: str, size: int) -> bool:
        *folders, file = relative.split("/")
        outside = TESTS.intersection(folders) or any(folder[:1] == "." for folder in folders)
        return size <= self.max_file_bytes and not outside and _kind(file) is not None

    def adds(self) -> Mapping[str, pa.DataType]:
        return dict.fromkeys(("id", "text", "url", "kind", "metadata"), pa.string())

    def read(self, shard: Shard) -> Iterator[Batch]:
        rows = Rows(self.adds())
        for part in shard.parts:
            rows.relative = part.relative
            with storage.open_read(part.path) as stream:
                content = stream.read()
            try:
                for position, kind, tail, text, metadata in _documents(part.path, content):
                    if len(text.split(None, self.min_words)) < self.min_words:
                        continue
                    values = {
                        "id": f"{part.relative}:{tail}" if tail else part.relative,
                        "text": clean(text),
                        "kind": kind,
                        "metadata": orjson.dumps(metadata).decode() if metadata else None,
                    }
                    rows.add(position, len(text), values)
            except DamagedError as error:
                rows.error(0, str(error), part.relative)
            if rows.full:
                yield from rows.take()
        yield from rows.take()


def _kind(file: str) -> str | None:
    """What a file of this name holds, None if no documentation."""
    stem, extension = os.path.splitext(file.lower())
    if extension == ".py":
        return "docstring"
    if file in {"METADATA", "PKG-INFO"}:
        return "description"
    if LICENCE.match(stem) and extension in {"", *PROSE, ".apache", ".bsd", ".mit", ".apache2"}:
        return "licence"
    return "file" if extension in PROSE and file.lower() not in LISTS else None


def _documents(path: str, content: bytes) -> Iterator[Document]:
    if b"\0" in content[:4096] and not content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DamagedError("BinaryFile: the file has bytes of zero")
    file = path.rsplit("/", 1)[-1]
    kind = _kind(file) or "file"
    if kind == "description":
        yield from _description(content)
    elif kind == "docstring":
        yield from _docstrings(content, topics=path.endswith("pydoc_data/topics.py"))
    else:
        yield 0, kind, "", decode(content), {}


def _description(content: bytes) -> Iterator[Document]:
    """The long description of a package: the body of the message that METADATA is."""
    message = email.message_from_string(decode(content))
    body = str(message.get_payload()) or str(message.get("Description", ""))
    about = {name.lower(): str(message[name]) for name in ("Name", "Version") if message[name]}
    yield max(0, len(content) - len(body.encode())), "description", "", body, about


def _docstrings(content: bytes, topics: bool) -> Iterator[Document]:
    """The documentation of one module: its docstring, then those of what it defines, in order."""
    if b'"""' not in content and b"'''" not in content and not topics:
        return
    try:
        with warnings.catch_warnings():
            # a file with an old escape such as "\d" is no concern of ours
            warnings.simplefilter("ignore")
            tree = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise DamagedError(f"NotPython: {error}") from None
    lines = [0, *(found.end() for found in re.finditer(rb"\r\n|\r|\n", content))]
    if topics:
        yield from _topics(tree, lines)
        return
    parts: list[str] = []
    # a stack, since files nest deeper than Python likes to recurse; reversed keeps the order
    stack: list[tuple[ast.AST, str]] = [(tree, "")]
    while stack:
        node, name = stack.pop()
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            name = f"{name}.{node.name}" if name else node.name
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                parts.append(f"{name}\n{text}" if name else text)
        below = [one for one in ast.iter_child_nodes(node) if isinstance(one, ast.stmt)]
        stack += [(one, name) for one in reversed(below)]
    if parts:
        yield 0, "docstring", "", "\n\n".join(parts), {}


def _topics(tree: ast.Module, lines: list[int]) -> Iterator[Document]:
    """The entries of the dictionary from which `help("topic")` is printed."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(value, ast.Constant):
                    yield _offset(key, lines), "topic", str(key.value), str(value.value), {}


def _offset(node: ast.stmt | ast.expr, lines: list[int]) -> int:
    return lines[min(node.lineno, len(lines)) - 1] + node.col_offset
