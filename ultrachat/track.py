"""What the tracks of UltraChat share: a teacher, prompts, and one play or more per document.

A play is a generator that asks the teacher and returns attempts: dialogues with their proof, or the
reason why there is none. Plays of all documents of a batch run at once, each at its own pace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar

import pyarrow as pa

from ultrachat.prompts import FOLDER
from ultrachat.rows import ADDED, Made, rows
from ultraclean.document import Batch
from ultraclean.llm import OpenTeacher, Play
from ultraclean.llm.asking import Asking, Page
from ultraclean.llm.schema import listed, record, text

__all__ = ["Page", "Track", "listed", "record", "text"]


class Track(Asking):
    """Subclasses name their `track` and `asks`, and give `plays`."""

    folder: ClassVar[str] = FOLDER
    track: ClassVar[str] = ""
    numbers: ClassVar[Mapping[str, pa.DataType]] = {}

    def adds(self) -> Mapping[str, pa.DataType]:
        return {**ADDED, **type(self).numbers}

    def open(self) -> Callable[[Batch], Batch]:
        teacher = self.teacher.shared()
        return lambda batch: self.made(teacher, batch)

    def made(self, teacher: OpenTeacher, batch: Batch) -> Batch:
        """All attempts on the documents of a batch, in their order."""
        plays = [play for page in self.pages(batch) for play in self.plays(page)]
        attempts = [made for each in teacher.play(plays) for made in each]
        return rows(batch, type(self).track, attempts, type(self).numbers)

    def plays(self, page: Page) -> Iterable[Play[list[Made]]]:
        """What is tried with one document."""
        raise NotImplementedError
