"""Keeps the register of seeds: where each is from, what it may be used for, and what was found of it.

Step 1 of UltraClean (arXiv 2506.07900, section 2.2.1) is a pool of candidate seeds; which ones are
used, under which licence and on what evidence is written nowhere in the report. Here it is a table:
one line per seed with what a person says (source, language, polarity, licence) and what is measured
(documents, bytes, a hash of the content, the verdict). `known` is the registry of an earlier run: a
seed with the same content keeps its verdict where there is no new one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from ultraclean import storage
from ultraclean.document import texts
from ultraclean.errors import DataError
from ultraclean.stage import Artifact, ModelRef, Rows, TableRef

FILE: Final = "registry.jsonl"
_BITS: Final = 128


class Seed(BaseModel):
    """What a person knows of a seed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(min_length=1, description="where it is from")
    language: str = Field(min_length=2, description="ISO 639 code of most of its text")
    polarity: Literal["positive", "negative"] = Field(
        description="what a classifier is to look for, or what it is to tell it from"
    )
    licence: str = Field(min_length=1, description="under which it may be used")


class Registry(Artifact):
    """Makes registry.jsonl; its card lists `accepted` (positive seeds) and `negative` tables."""

    stage: ClassVar[str] = "verify.registry"
    paper: ClassVar[str] = "seed pool: MiniCPM4 (arXiv 2506.07900) 2.2.1; the table is ours"

    seeds: Annotated[dict[str, Seed], TableRef()] = Field(
        min_length=1,
        description="table -> {source, language, polarity: positive or negative, licence}",
    )
    verdict: Annotated[str | None, ModelRef()] = Field(
        default=None, description="a verify.anneal table; none: verdicts are those of `known`"
    )
    known: str | None = Field(
        default=None, description="registry.jsonl of an earlier run, with its verdicts"
    )

    def needs(self) -> tuple[str, ...]:
        return ("text",)

    def files(self) -> tuple[str, ...]:
        return (self.known,) if self.known else ()

    def problems(self) -> list[str]:
        if self.known is None or not storage.is_local(self.known):
            return []
        try:
            read(self.known)
        except DataError as error:
            return [f"known: {error}"]
        return []

    def make(
        self,
        inputs: Mapping[str, Rows],
        folder: str,
        run: Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]],
    ) -> dict[str, Any]:
        before = {row["seed"]: row for row in read(self.known)} if self.known else {}
        names = list(self.seeds)
        measured = dict(zip(names, run(measure, [inputs[name] for name in names]), strict=True))
        found = _verdicts(self.verdict)
        rows = [
            self._row(name, measured[name], found.get(name), before.get(name)) for name in names
        ]
        rows += [row for name, row in before.items() if name not in self.seeds]
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        storage.write_bytes(storage.join(folder, FILE), lines.encode())
        here = [row for row in rows if row["seed"] in self.seeds]
        positive = [row for row in here if row["polarity"] == "positive"]
        accepted = [row["seed"] for row in positive if row["verdict"] == "accepted"]
        return {
            "kind": self.stage,
            "accepted": accepted,
            "negative": [row["seed"] for row in here if row["polarity"] == "negative"],
            "reason": ("" if accepted else "no positive seed is accepted: ")
            + "; ".join(f"{row['seed']} {row['verdict'] or 'not verified'}" for row in positive),
            "changed": [row["seed"] for row in here if row["changed"]],
            "rows": rows,
            "table": shown(rows),
        }

    def _row(
        self,
        name: str,
        measured: Mapping[str, Any],
        found: Mapping[str, Any] | None,
        before: Mapping[str, Any] | None,
    ) -> dict[str, Any]:
        """A line of the registry; a verdict is of the content that it was found of."""
        same = before is not None and before["hash"] == measured["hash"]
        if found is None and same:
            found = before
        verdict = {key: found[key] if found else None for key in ("verdict", "gain", "n_seeds")}
        said = self.seeds[name].model_dump()
        changed = before is not None and not same
        return {"seed": name, **said, **measured, **verdict, "changed": changed}


def measure(rows: Rows) -> dict[str, Any]:
    """Documents, bytes, and a hash of the content that no order of documents changes."""
    n_docs = n_bytes = total = 0
    for batch in rows.batches(["text"]):
        for text in texts(batch["text"]):
            content = text.encode("utf-8", "surrogatepass")
            digest = hashlib.blake2b(content, digest_size=_BITS // 8).digest()
            total = (total + int.from_bytes(digest, "big")) % 2**_BITS
            n_docs, n_bytes = n_docs + 1, n_bytes + len(content)
    return {"documents": n_docs, "bytes": n_bytes, "hash": f"{total:032x}"}


def _verdicts(folder: str | None) -> dict[str, dict[str, Any]]:
    """Table -> verdict, gain and number of seeds, of a verification's card."""
    if folder is None:
        return {}
    path = storage.join(folder, "card.json")
    card = storage.read_json(path)
    if "verdicts" not in card:
        raise DataError(f"{path} is no card of verify.anneal: it has no verdicts")
    return {
        row["arm"]: {"verdict": row["outcome"], "gain": row["mean"], "n_seeds": row["n_seeds"]}
        for row in card["verdicts"]
    }


def read(path: str) -> list[dict[str, Any]]:
    """The lines of a registry; an error names the one that is none."""
    path = storage.expand(path)
    if not storage.exists(path):
        raise DataError(f"{path}: there is no such registry")
    rows = []
    for number, line in enumerate(storage.read_bytes(path).decode("utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(f"{path}:{number} is not JSON: {error}") from None
        missing = {"seed", "hash", "verdict", *Seed.model_fields} - set(row)
        if missing:
            raise DataError(f"{path}:{number} lacks {', '.join(sorted(missing))}")
        rows.append(row)
    return rows


def shown(rows: Sequence[Mapping[str, Any]]) -> str:
    """The registry as a Markdown table."""
    lines = [
        "| seed | source | language | polarity | licence | documents | bytes | hash | verdict | gain |",
        "|" + "---|" * 10,
    ]
    for row in rows:
        gain = "" if row.get("gain") is None else f"{row['gain']:+.4f}"
        cells = [row[key] for key in ("seed", "source", "language", "polarity", "licence")]
        cells += [f"{row['documents']:,}", f"{row['bytes']:,}", row["hash"][:8]]
        lines.append(f"| {' | '.join([*cells, row['verdict'] or '', gain])} |")
    return "\n".join(lines)
