"""Runs one of datatrove's own filters, formatters or extractors, with our resume and drop records.

    filter.datatrove: {block: filters.GopherQualityFilter, max_avg_word_length: 12}

The block is the installed datatrove's class, made with the fields given beside it, and its reason is the
drop reason. It sees `text`, `id`, and all other columns as metadata. Only classes whose answer for a
document depends on that document alone: what counts, draws, reads or writes has a stage of ours, which
the error names. PIIFormatter, which goes round its replacements from one document to the next,
begins with the first in each document here; an extractor runs in datatrove's sandbox.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Final

import numpy as np
import pyarrow as pa
from pydantic import ConfigDict, Field, field_validator, model_validator

from ultraclean.document import KEY, Batch, texts
from ultraclean.errors import PlanError
from ultraclean.stage import Decision, Filter, Resources

OURS: Final = {
    "filters.LambdaFilter": "filter.where, which takes an expression",
    "filters.SamplerFilter": "sample.random, whose choice does not depend on the order of documents",
    "filters.C4BadWordsFilter": "filter.badwords, with word lists as files",
    "dedup": "dedup.exact or dedup.minhash",
    "decont": "filter.decontaminate",
    "readers": "read.jsonl, read.parquet, read.warc and the like",
    "writers": "write.jsonl or write.parquet",
    "tokens": "pack.tokens, pack.datatrove or pack.megatron",
    "stats": "the numbers/ that every run leaves",
}
KINDS: Final = {
    "filters": "BaseFilter",
    "formatters": "BaseFormatter",
    "extractors": "BaseExtractor",
}
_WRITING: Final = {"self", "exclusion_writer", "batch_size"}

Judge = Callable[[Any], str | None]
"""A datatrove Document, which may be changed -> the reason to drop it, None to keep it."""


class Datatrove(Filter):
    """Drops what a filter drops and an extractor finds nothing in; rewrites `text` where they do."""

    stage: ClassVar[str] = "filter.datatrove"
    main: ClassVar[str | None] = "block"
    paper: ClassVar[str] = "the installed datatrove"
    reasons: ClassVar[tuple[str, ...]] = ("dropped", "no_text", "timeout", "broken_process", "clean_error")  # fmt: skip
    extras: ClassVar[Mapping[str, str]] = {"datatrove": '"ultraclean-data[datatrove]"'}
    packages: ClassVar[tuple[str, ...]] = ("datatrove",)

    model_config = ConfigDict(json_schema_extra={"additionalProperties": True})

    block: str = Field(
        description="class below datatrove.pipeline: filters.X, formatters.X or extractors.X"
    )
    options: dict[str, Any] = Field(
        default={}, description="its arguments, which may also be written beside `block`"
    )
    column: str = Field(
        default="text", description="what the block sees as the text; html for extractors"
    )

    @model_validator(mode="before")
    @classmethod
    def _beside(cls, fields: Any) -> Any:
        """Arguments of the block that are written as fields of the stage."""
        if not isinstance(fields, dict):
            return fields
        options = {name: fields[name] for name in fields if name not in cls.model_fields}
        if not options:
            return fields
        own = {name: fields[name] for name in fields if name in cls.model_fields}
        return own | {"options": {**own.get("options", {}), **options}}

    @field_validator("block")
    @classmethod
    def _known(cls, block: str) -> str:
        block = block.removeprefix("datatrove.pipeline.")
        kind, _, name = block.partition(".")
        ours = OURS.get(block) or OURS.get(kind)
        if ours is not None:
            raise ValueError(f"{block} is not run here: use {ours}")
        if kind not in KINDS or not name.isidentifier():
            raise ValueError(f"{block!r} is not filters.X, formatters.X or extractors.X")
        return block

    def needs(self) -> tuple[str, ...]:
        return (self.column,)

    def adds(self) -> Mapping[str, pa.DataType]:
        return {} if self.column == "text" else {"text": pa.string()}

    @property
    def resources(self) -> Resources:
        return Resources(model=True)

    def problems(self) -> list[str]:
        if self.missing_extras():
            return []
        try:
            self._class()
        except PlanError as error:
            return [str(problem.message) for problem in error.problems]
        return []

    def open(self) -> Callable[[Batch], Decision]:
        from datatrove.data import Document  # type: ignore[import-untyped]

        block = self._class()(**self.options)
        open_judge = _JUDGES[self.block.split(".", maxsplit=1)[0]]

        def judge(batch: Batch) -> Decision:
            before = texts(batch[self.column])
            made, found = [], []
            with open_judge(block) as ask:
                for text, name, metadata in zip(
                    before, _names(batch), _metadata(self, batch), strict=True
                ):
                    document = Document(text=text, id=name, metadata=metadata)
                    found.append(ask(document))
                    made.append(document.text)
            reasons = tuple(dict.fromkeys(reason for reason in found if reason is not None))
            codes: dict[str | None, int] = {
                None: -1,
                **{reason: code for code, reason in enumerate(reasons)},
            }
            nothing = np.full(batch.num_rows, np.nan)
            return Decision(
                reasons or self.reasons,
                np.array([codes[reason] for reason in found], dtype=np.int16),
                nothing,
                nothing,
                columns=self._columns(batch, before, made),
            )

        return judge

    def _columns(self, batch: Batch, before: list[str], made: list[str]) -> dict[str, pa.Array]:
        if self.column != "text":
            return {"text": pa.array(made, pa.string())}
        if before == made:
            return {}
        # A null that was not touched stays one.
        values = [
            new if new != old else given
            for old, new, given in zip(before, made, batch["text"].to_pylist(), strict=True)
        ]
        return {"text": pa.array(values, batch["text"].type)}

    def _class(self) -> Any:
        """The class; PlanError if datatrove has none, or none with such arguments."""
        kind, name = self.block.split(".")
        module = importlib.import_module(f"datatrove.pipeline.{kind}")
        base = getattr(importlib.import_module(_BASES[kind]), KINDS[kind])
        there = [
            n for n, one in vars(module).items() if inspect.isclass(one) and issubclass(one, base)
        ]
        if name not in there:
            shown = ", ".join(sorted(n for n in there if f"{kind}.{n}" not in OURS))
            raise PlanError.one(self.called, f"datatrove has no {self.block}; there are: {shown}")
        found = getattr(module, name)
        known = [n for n in inspect.signature(found.__init__).parameters if n not in _WRITING]
        wrong = [n for n in self.options if n not in known]
        if wrong:
            message = f"{self.block} takes no {', '.join(wrong)}; it takes: {', '.join(known)}"
            raise PlanError.one(self.called, message)
        return found


_BASES: Final = {
    "filters": "datatrove.pipeline.filters.base_filter",
    "formatters": "datatrove.pipeline.formatters.base",
    "extractors": "datatrove.pipeline.extractors.base",
}


def _names(batch: Batch) -> list[str]:
    if "id" in batch:
        return texts(batch["id"].cast(pa.string()))
    return [key.hex() for key in batch[KEY].to_pylist()] if KEY in batch else [""] * batch.num_rows


def _metadata(stage: Datatrove, batch: Batch) -> list[dict[str, Any]]:
    """All other columns of each document, and what is in the JSON column `metadata`."""
    taken = {"id", "metadata", "text", stage.column}
    names = [name for name in batch.names if name not in taken and not name.startswith("_")]
    rows: list[dict[str, Any]] = batch.data.select(names).to_pylist()
    if not names:
        rows = [{} for _ in range(batch.num_rows)]
    for row in rows:
        for name in [name for name, value in row.items() if value is None]:
            del row[name]
    if "metadata" in batch:
        for row, told in zip(rows, texts(batch["metadata"]), strict=True):
            more = json.loads(told) if told else {}
            row.update(more if isinstance(more, dict) else {})
    return rows


# --- what a block says of one document --------------------------------------------------------------


@contextlib.contextmanager
def _filtering(block: Any) -> Iterator[Judge]:
    def ask(document: Any) -> str | None:
        kept = block.filter(document)
        kept, reason = kept if isinstance(kept, tuple) else (kept, None)
        return None if kept else (reason or "dropped")

    yield ask


@contextlib.contextmanager
def _formatting(block: Any) -> Iterator[Judge]:
    replacers = [one for one in vars(block).values() if hasattr(one, "_replace_i")]

    def ask(document: Any) -> str | None:
        for one in replacers:
            one._replace_i = 0
        document.text = block.format(document.text)
        return None

    yield ask


@contextlib.contextmanager
def _extracting(block: Any) -> Iterator[Judge]:
    from datatrove.pipeline.extractors.base import (  # type: ignore[import-untyped]
        ExtractorSandbox,
    )

    with ExtractorSandbox(timeout=block.timeout) as sandbox:

        def ask(document: Any) -> str | None:
            html, document.text = document.text, ""
            try:
                document.text = sandbox.process_document(html, block.extract) or ""
            except TimeoutError:
                return "timeout"
            except EOFError:
                return "broken_process"
            except Exception:
                return "clean_error"
            return None if document.text else "no_text"

        yield ask


_JUDGES: Final[dict[str, Callable[[Any], contextlib.AbstractContextManager[Judge]]]] = {
    "filters": _filtering,
    "formatters": _formatting,
    "extractors": _extracting,
}
