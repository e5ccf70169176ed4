"""What stages that ask a teacher about documents share: prompts, requests, randomness by document.

Plays of all documents of a batch run at once, each at its own pace. What is drawn is decided by the
seed and the document's key, so that a batch may be split anywhere.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from ultraclean.document import KEY, Batch, random64, texts
from ultraclean.errors import DataError
from ultraclean.llm.prompt import Prompt, load
from ultraclean.llm.protocol import Constraint, Request, Response
from ultraclean.llm.settings import Teacher
from ultraclean.stage import Map, Resources
from ultraclean.text.languages import language_of

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


class Asking(Map):
    """Subclasses name a `folder` of prompts and those of them that they use."""

    expands: ClassVar[bool] = True
    folder: ClassVar[str] = ""
    """Where the shipped prompts NAME.LANGUAGE.md are."""
    asks: ClassVar[tuple[str, ...]] = ()
    """The prompts that it uses: their hashes are part of the fingerprint."""

    teacher: Teacher = Field(description="the model that asks and answers")
    language: Literal["auto", "en", "zh"] = Field(
        default="auto", description="language of what is written; auto is that of the document"
    )
    prompts: str | None = Field(
        default=None, description="a folder of prompts NAME.LANGUAGE.md that replace shipped ones"
    )
    max_chars: int = Field(default=6000, ge=100, description="so much of a document is shown")
    seed: int = Field(default=0, description="decides what is drawn, and the teacher's seeds")

    def needs(self) -> tuple[str, ...]:
        return ("text",)

    @property
    def resources(self) -> Resources:
        return self.teacher.resources

    def used_prompts(self) -> tuple[str, ...]:
        """The prompts that a stage with these fields uses."""
        return self.asks

    def problems(self) -> list[str]:
        found = []
        for name in self.used_prompts():
            for language in self._languages():
                try:
                    self.prompt(name, language)
                except DataError as error:
                    found.append(str(error))
        return found

    def contents(self) -> tuple[str, ...]:
        return tuple(
            f"{name}.{language} {self.prompt(name, language).hash}"
            for name in self.used_prompts()
            for language in self._languages()
        )

    def _languages(self) -> tuple[str, ...]:
        return LANGUAGES if self.language == "auto" else (self.language,)

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

    # --- for plays ------------------------------------------------------------------------------

    def prompt(self, name: str, language: str) -> Prompt:
        """A prompt of the user's folder, or the shipped one."""
        if self.prompts is not None and (Path(self.prompts) / f"{name}.{language}.md").exists():
            return load(self.prompts, name, language)
        return load(type(self).folder, name, language)

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
