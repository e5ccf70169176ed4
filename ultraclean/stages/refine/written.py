"""What the stages `refine.*` share: a passage, a play with the teacher, a new document with its proof.

Every attempt is a row, good or bad. A bad one has a `problem` (`reason: detail`) under which
`refine.passed` drops it; what can be told in numbers (invented numbers and names, length) is measured
here and judged there, so that another threshold asks nobody again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import pyarrow as pa
from pydantic import Field

from ultraclean.document import KEY, PARENT, Batch, child_keys
from ultraclean.llm import OpenTeacher, Play, Response
from ultraclean.llm.asking import Asking, Page
from ultraclean.text.answers import fault
from ultraclean.text.cuts import passages
from ultraclean.text.invention import invented

PROMPTS: Final = str(Path(__file__).parent / "prompts")
NUMBERS: Final = (
    "n_new_numbers",
    "new_number_fraction",
    "n_new_names",
    "new_name_fraction",
    "length_ratio",
)
ADDED: Final[Mapping[str, pa.DataType]] = {
    "text": pa.string(),
    "task": pa.string(),
    "variant": pa.string(),
    "language": pa.string(),
    "problem": pa.string(),
    "proof": pa.string(),
    PARENT: pa.binary(16),
    **dict.fromkeys(NUMBERS, pa.float64()),
}
_ANNOUNCES: Final = re.compile(
    r"\A\W{0,3}(?:sure|certainly|of course|okay|here(?:'|’)?s|here (?:is|are)|below is|the following|"
    r"好的|当然|以下|下面)[^\n]{0,200}[:：]\W{0,3}\n+",
    re.IGNORECASE,
)
_MARK: Final = re.compile(r"</?\w+-[0-9a-f]{12}>")


class Unwritten(Exception):
    """An attempt that came to nothing: `reason: detail`. It ends as a row, never as an error."""


@dataclass(frozen=True)
class Draft:
    """What a play made of a passage."""

    written: str
    """All that the teacher wrote, and nothing of the source: what is checked."""
    response: Response
    grounded: str | None = None
    """The part that must keep to the source, where it is not all of `written`."""
    text: str | None = None
    """The new document, where it is more than `written`."""
    more: Mapping[str, Any] = field(default_factory=dict)
    """Further facts for the proof."""


@dataclass
class _Attempt:
    row: int
    language: str
    variant: str | None
    text: str | None = None
    problem: str | None = None
    proof: dict[str, Any] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)


class Written(Asking):
    """Subclasses give `write`, and `variants` where a passage can be written in several ways."""

    folder: ClassVar[str] = PROMPTS
    task: ClassVar[str] = ""

    max_chars: int = Field(
        default=6000, ge=100, description="size of a passage; longer documents are cut into several"
    )
    passages: int | None = Field(
        default=1, ge=1, description="so many passages of a document are used; null: all"
    )
    min_source_chars: int = Field(
        default=100, ge=1, description="of a shorter document nothing is made"
    )
    min_chars: int = Field(default=100, ge=1, description="what is written has so many at least")
    max_written_chars: int | None = Field(default=None, ge=1, description="and at most")

    def adds(self) -> Mapping[str, pa.DataType]:
        return ADDED

    def variants(self, page: Page) -> Sequence[str | None]:
        """In which ways this passage is written: a row for each."""
        del page
        return (None,)

    def write(self, page: Page, variant: str | None) -> Play[Draft]:
        """Asks the teacher; raises Unwritten where nothing came of it."""
        raise NotImplementedError

    def open(self) -> Callable[[Batch], Batch]:
        teacher = self.teacher.shared()
        return lambda batch: self.made(teacher, batch)

    def made(self, teacher: OpenTeacher, batch: Batch) -> Batch:
        """All attempts on the documents of a batch, in their order."""
        plays = [play for page in self.pages(batch) for play in self._plays(page)]
        return self._rows(batch, teacher.play(plays))

    def _plays(self, page: Page) -> Iterable[Play[_Attempt]]:
        whole = page.whole.strip()
        if len(whole) < self.min_source_chars:
            return [_nothing(page, f"source_too_short: {len(whole)} characters")]
        parts = passages(whole, self.max_chars)[: self.passages]
        # Passages of one document draw and ask apart.
        pieces = [
            replace(page, text=part, seed=page.seed + 100_003 * n) for n, part in enumerate(parts)
        ]
        return [self._play(piece, way) for piece in pieces for way in self.variants(piece)]

    def _play(self, page: Page, variant: str | None) -> Play[_Attempt]:
        attempt = _Attempt(page.row, page.language, variant)
        try:
            draft = yield from self.write(page, variant)
            self._check(draft.written, page)
        except Unwritten as problem:
            attempt.problem = str(problem)[:400]
            return attempt
        grounded = draft.written if draft.grounded is None else draft.grounded
        found = invented(grounded, page.text)
        attempt.text = draft.written if draft.text is None else draft.text
        attempt.numbers = {
            "n_new_numbers": len(found.new_numbers),
            "new_number_fraction": found.new_number_fraction,
            "n_new_names": len(found.new_names),
            "new_name_fraction": found.new_name_fraction,
            "length_ratio": len(draft.written) / len(page.text),
        }
        told = {
            "prose": True,
            "new_numbers": sorted(found.new_numbers)[:20],
            "new_names": sorted(found.new_names)[:20],
        }
        used = self.prompts_of(variant)
        attempt.proof = self.proof(page, draft.response, used, told, **draft.more)
        return attempt

    def prompts_of(self, variant: str | None) -> Sequence[str]:
        """The prompts that were used for one variant: their hashes are in its proof."""
        del variant
        return self.used_prompts()

    def _check(self, written: str, page: Page) -> None:
        mark = _MARK.search(written)
        if mark is not None:
            raise Unwritten(f"echoes_marks: {mark[0]}")
        found = fault(
            written, page.language, min_chars=self.min_chars, max_chars=self.max_written_chars
        )
        if found is not None:
            raise Unwritten(": ".join(found))

    def _rows(self, batch: Batch, attempts: Sequence[_Attempt]) -> Batch:
        parents = np.array([attempt.row for attempt in attempts], dtype=np.int64)
        kept = batch.data.take(pa.array(parents))
        documents = kept.column(KEY)
        columns: dict[str, pa.Array] = {
            KEY: child_keys(documents, self._ordinals(parents)),
            PARENT: documents.cast(pa.binary(16)),
            "task": pa.array([type(self).task] * len(attempts), pa.string()),
            "proof": pa.array(
                [
                    json.dumps({**one.proof, "document": key.hex()}, ensure_ascii=False, sort_keys=True)
                    for one, key in zip(attempts, documents.to_pylist(), strict=True)
                ],
                pa.string(),
            ),
        }  # fmt: skip
        for name in ("text", "variant", "language", "problem"):
            columns[name] = pa.array([getattr(one, name) for one in attempts], ADDED[name])
        for name in NUMBERS:
            columns[name] = pa.array([one.numbers.get(name) for one in attempts], pa.float64())
        return Batch(kept).with_columns(columns)

    def _ordinals(self, parents: np.ndarray[Any, np.dtype[np.int64]]) -> Any:
        """0, 1, 2, ... within each document, from a start of the stage's own.

        So that what two stages make of one document has different keys in a union.
        """
        mine = hashlib.blake2b(self.called.encode(), digest_size=5).digest()
        seen: dict[int, int] = {}
        ordinals = np.empty(len(parents), dtype=np.int64)
        for at, parent in enumerate(parents.tolist()):
            seen[parent] = seen.get(parent, -1) + 1
            ordinals[at] = (int.from_bytes(mine, "big") << 20) + seen[parent]
        return ordinals


class Varied(Written):
    """Writes a passage in ways that have a prompt each: `{kind}_{name}.LANGUAGE.md`."""

    kind: ClassVar[str] = ""

    per_passage: int | None = Field(
        default=1, ge=1, description="so many of the ways are drawn for a passage; null: all"
    )

    def ways(self) -> tuple[str, ...]:
        raise NotImplementedError

    def variants(self, page: Page) -> Sequence[str | None]:
        ways = self.ways()
        if self.per_passage is None or self.per_passage >= len(ways):
            return ways
        return page.rng(11).sample(ways, self.per_passage)

    def used_prompts(self) -> tuple[str, ...]:
        return (*self.asks, *(f"{self.kind}_{way}" for way in self.ways()))

    def prompts_of(self, variant: str | None) -> Sequence[str]:
        return (*self.asks, f"{self.kind}_{variant}")

    def described(self, page: Page, variant: str | None) -> str:
        """What the teacher is told of a way."""
        return self.prompt(f"{self.kind}_{variant}", page.language).user


def _nothing(page: Page, problem: str) -> Play[_Attempt]:
    return _Attempt(page.row, page.language, None, problem=problem)
    yield  # makes it a play


# --- for plays ------------------------------------------------------------------------------------


def said(response: Response) -> str:
    """The answer without a line that announces it; Unwritten if there is none."""
    if response.text is None:
        raise Unwritten(f"{response.problem}: {response.detail[:300]}")
    return _ANNOUNCES.sub("", response.text.strip()).strip()


def value(response: Response) -> Any:
    """The parsed answer; Unwritten if there is none."""
    if response.value is None:
        raise Unwritten(f"{response.problem}: {response.detail[:300]}")
    return response.value


def points_of(response: Response) -> list[str]:
    """The points without repetitions; Unwritten if there are none."""
    points = list(dict.fromkeys(" ".join(one.split()) for one in value(response)["points"]))
    points = [point for point in points if point]
    if not points:
        raise Unwritten("no_knowledge")
    return points
