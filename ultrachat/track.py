"""What the tracks of UltraChat share: a teacher, prompts, and one play or more per document.

A play is a generator that asks the teacher and returns attempts: dialogues with their proof, or the
reason why there is none. Plays of all documents of a batch run at once, each at its own pace.
Randomness is decided by the seed and the document's key, so that a batch may be split anywhere.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from ultrachat.checks.language import language_of
from ultrachat.prompts import FOLDER
from ultrachat.rows import ADDED, Made, rows
from ultraclean.document import KEY, Batch, random64, texts
from ultraclean.errors import DataError
from ultraclean.llm import Constraint, OpenTeacher, Play, Request, Response, Teacher
from ultraclean.llm.prompt import Prompt, load
from ultraclean.stage import Map, Resources

LANGUAGES = ("en", "zh")


@dataclass(frozen=True)
class Page:
    """One document as a play sees it."""

    row: int
    text: str
    """Cut to `max_chars`."""
    language: str
    seed: int
    whole: str = ""
    """Not cut."""

    def rng(self, number: int = 0) -> random.Random:
        """Random numbers that depend on the document and `number` alone."""
        return random.Random(self.seed + number)


class Track(Map):
    """Subclasses name their `track` and `asks`, and give `plays`."""

    expands: ClassVar[bool] = True
    track: ClassVar[str] = ""
    asks: ClassVar[tuple[str, ...]] = ()
    """The prompts that it uses: their hashes are part of the fingerprint."""
    numbers: ClassVar[Mapping[str, pa.DataType]] = {}

    teacher: Teacher = Field(description="the model that asks and answers")
    language: Literal["auto", "en", "zh"] = Field(
        default="auto", description="language of dialogues; auto is that of the document"
    )
    prompts: str | None = Field(
        default=None, description="a folder of prompts NAME.LANGUAGE.md that replace shipped ones"
    )
    max_chars: int = Field(default=6000, ge=100, description="so much of a document is shown")
    seed: int = Field(default=0, description="decides what is drawn, and the teacher's seeds")

    def needs(self) -> tuple[str, ...]:
        return ("text",)

    def adds(self) -> Mapping[str, pa.DataType]:
        return {**ADDED, **type(self).numbers}

    @property
    def resources(self) -> Resources:
        return self.teacher.resources

    def problems(self) -> list[str]:
        found = []
        for name in self.asks:
            for language in self._languages():
                try:
                    self.prompt(name, language)
                except DataError as error:
                    found.append(str(error))
        return found

    def contents(self) -> tuple[str, ...]:
        return tuple(
            f"{name}.{language} {self.prompt(name, language).hash}"
            for name in self.asks
            for language in self._languages()
        )

    def _languages(self) -> tuple[str, ...]:
        return LANGUAGES if self.language == "auto" else (self.language,)

    def open(self) -> Callable[[Batch], Batch]:
        teacher = self.teacher.shared()
        return lambda batch: self.made(teacher, batch)

    def made(self, teacher: OpenTeacher, batch: Batch) -> Batch:
        """All attempts on the documents of a batch, in their order."""
        plays = [play for page in self.pages(batch) for play in self.plays(page)]
        attempts = [made for each in teacher.play(plays) for made in each]
        return rows(batch, type(self).track, attempts, type(self).numbers)

    def pages(self, batch: Batch) -> list[Page]:
        if not batch.num_rows:
            return []
        seeds: Any = random64(batch[KEY], self.seed)
        return [
            Page(row, text[: self.max_chars], self._language_of(text), seed, text)
            for row, (text, seed) in enumerate(
                zip(batch.view("text", texts), np.asarray(seeds).tolist(), strict=True)
            )
        ]

    def _language_of(self, text: str) -> str:
        if self.language != "auto":
            return self.language
        return "zh" if language_of(text[:2000]) == "zh" else "en"

    def plays(self, page: Page) -> Iterable[Play[list[Made]]]:
        """What is tried with one document."""
        raise NotImplementedError

    # --- for plays ------------------------------------------------------------------------------

    def prompt(self, name: str, language: str) -> Prompt:
        """A prompt of the user's folder, or the shipped one."""
        if self.prompts is not None and (Path(self.prompts) / f"{name}.{language}.md").exists():
            return load(self.prompts, name, language)
        return load(FOLDER, name, language)

    def ask(
        self,
        page: Page,
        name: str,
        fields: Mapping[str, Any],
        number: int = 0,
        *,
        schema: Mapping[str, Any] | None = None,
        n: int = 1,
    ) -> Request:
        """A request by a prompt; `number` tells equal questions on one document apart."""
        messages = self.prompt(name, page.language).messages(**fields)
        return self.say(page, messages, number, schema=schema, n=n)

    def say(
        self,
        page: Page,
        messages: Sequence[Mapping[str, Any]],
        number: int = 0,
        *,
        schema: Mapping[str, Any] | None = None,
        n: int = 1,
    ) -> Request:
        """A request by its messages."""
        seed = page.rng(number).getrandbits(31)
        sampling = self.teacher.sampling.model_copy(update={"seed": seed})
        constraint = None if schema is None else Constraint(json_schema=schema)
        return Request.of(messages, sampling=sampling, constraint=constraint, n=n)

    def proof(
        self,
        page: Page,
        response: Response,
        used: Sequence[str],
        checks: Mapping[str, Any],
        **more: Any,
    ) -> dict[str, Any]:
        """Who wrote it, with which prompts, and what checked it; the row adds the document."""
        return {
            "teacher": self.teacher.model,
            "server_model": response.model,
            "prompts": {name: self.prompt(name, page.language).hash for name in used},
            "checks": dict(checks),
            **more,
        }


def listed(name: str, items: Mapping[str, Any], at_most: int) -> dict[str, Any]:
    """The schema of `{name: [...]}`; items are strings, or objects with these fields."""
    return {
        "type": "object",
        "properties": {
            name: {"type": "array", "items": dict(items), "minItems": 1, "maxItems": at_most}
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
