"""Mixes sources by weight: of each a random part, so that their sizes stand in the given proportion.

The size of a document is one, or a column such as `n_tokens` (`score.tokens`); the budget `total` is
in the same unit. A source gives documents in the order of a hash of key and seed until the next one
would exceed its part, so a mix with a smaller budget is a part of one with a larger budget.

A barrier that needs no verdict per row: the cut of each source is one random number, found exactly
by counting sizes per twelve bits of it, as in radix selection.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, field_validator

from ultraclean.document import KEY, SOURCE, Batch, random64
from ultraclean.errors import DataError, StageError
from ultraclean.stage import Barrier, Decision

if TYPE_CHECKING:
    from ultraclean.exchange import Sketches

_BITS: Final = 12
_N_PASSES: Final = 6  # 64 bits, the last four of them alone
_SLACK: Final = 1e-9  # of a part, for what its computation rounds off


class Mix(Barrier):
    stage: ClassVar[str] = "sample.mix"
    paper: ClassVar[str] = "our own"
    reasons: ClassVar[tuple[str, ...]] = ("over_budget", "no_weight")

    weights: dict[str, float] = Field(
        min_length=1, description="source -> its part of the mix, relative to the others"
    )
    size: str | None = Field(
        default=None, description="column with the size of a document; none: each counts one"
    )
    total: float | None = Field(
        default=None, gt=0, description="size of the mix; none: as much as the weights allow"
    )
    short: Literal["shrink", "keep", "stop"] = Field(
        default="shrink",
        description="a source has less than its part: `shrink` all others until the weights hold, "
        "`keep` their parts, or `stop` with an error",
    )
    source: str = Field(default=SOURCE, description="column that names a document's source")
    seed: int | None = Field(
        default=None, description="none: by the pipeline's and the stage's name"
    )

    @field_validator("weights")
    @classmethod
    def _positive(cls, weights: dict[str, float]) -> dict[str, float]:
        wrong = [name for name, weight in weights.items() if not 0 < weight < np.inf]
        if wrong:
            raise ValueError(
                f"{', '.join(wrong)}: a weight is more than 0; leave a source out instead"
            )
        return weights

    def needs(self) -> tuple[str, ...]:
        return (self.source,) if self.size is None else (self.source, self.size)

    def sketch(self) -> Callable[[Batch], pa.RecordBatch]:
        return functools.partial(_sketch_rows, self)

    def resolve(self, sketches: Sketches) -> dict[str, Any]:
        if not sketches.n_docs:
            return {"documents": 0, "dropped": 0, "sources": {}}
        sizes = sketches.collect(sketches.step("sizes", sum_sources, columns=["source", "size"]))
        assert sizes is not None
        n_docs, available = _totals(sizes, len(self.weights))
        parts = self._parts(n_docs, available)
        cuts = [Cut(source, part) for source, part in enumerate(parts)]
        for depth in range(_N_PASSES):
            open_cuts = [cut for cut in cuts if not cut.found]
            if not open_cuts:
                break
            counted = sketches.collect(
                sketches.step(
                    f"digits-{depth}",
                    functools.partial(sum_digits, open_cuts),
                    columns=["source", "size", "draw"],
                )
            )
            assert counted is not None
            narrowed = {cut.source: narrow(cut, counted) for cut in open_cuts}
            cuts = [narrowed.get(cut.source, cut) for cut in cuts]
        told = {
            name: {
                "weight": weight,
                "documents": int(n_docs[cut.source]),
                "size": int(available[cut.source]),
                "part": parts[cut.source],
                "kept_documents": cut.n_kept,
                "kept_size": cut.kept_size,
                "cut": cut.above,
            }
            for cut, (name, weight) in zip(cuts, self.weights.items(), strict=True)
        }
        n_kept = sum(cut.n_kept for cut in cuts)
        n_all = int(sketches.n_docs)
        return {"documents": n_all, "dropped": n_all - n_kept, "sources": told}

    def _parts(self, n_docs: NDArray[np.int64], available: NDArray[np.int64]) -> list[float]:
        """The size that each source gives at most."""
        names = list(self.weights)
        absent = [name for name, n in zip(names, n_docs, strict=True) if not n]
        if absent:
            raise DataError(
                f"{self.called}: no document has {self.source} = {' or '.join(map(repr, absent))}; "
                "take the source out of weights, or look at the tables that are read"
            )
        weights = np.array(list(self.weights.values()))
        shares = weights / weights.sum()
        most = float((available / shares).min())
        total = most if self.total is None else self.total
        if total > most * (1 + _SLACK):
            if self.short == "stop":
                scarce = int((available / shares).argmin())
                raise DataError(
                    f"{self.called}: {names[scarce]} has a size of {available[scarce]:,}, and its "
                    f"part of {total:,.0f} is {shares[scarce] * total:,.0f}; give it more documents, "
                    "a smaller weight, or a smaller total"
                )
            total = most if self.short == "shrink" else total
        return [float(share * total) for share in shares]

    def apply(
        self, card: Mapping[str, Any], verdicts: pa.Table | None
    ) -> Callable[[Batch], Decision]:
        sources = card["sources"]
        above = [sources[name]["cut"] for name in self.weights if name in sources]
        return functools.partial(_decide_rows, self, above)


# --- sketches and decisions ------------------------------------------------------------------------


def _sketch_rows(stage: Mix, batch: Batch) -> pa.RecordBatch:
    """`source`: its place among the weights, -1 if it has none; `size`; `draw`, 64 random bits."""
    return pa.RecordBatch.from_pydict(
        {
            "source": pa.array(_places(stage, batch)),
            "size": pa.array(_sizes(stage, batch)),
            "draw": pa.array(random64(batch[KEY], stage.seed or 0)),
        }
    )


def _places(stage: Mix, batch: Batch) -> NDArray[np.int32]:
    encoded = batch[stage.source].dictionary_encode(null_encoding="encode")
    names = list(stage.weights)
    places = [
        names.index(str(value)) if str(value) in stage.weights else -1
        for value in encoded.dictionary.to_pylist()
    ]
    index = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    found: NDArray[np.int32] = np.array(places, dtype=np.int32)[index]
    return found


def _sizes(stage: Mix, batch: Batch) -> NDArray[np.int64]:
    if stage.size is None:
        return np.ones(batch.num_rows, dtype=np.int64)
    from ultrakernels import order

    try:
        sizes = np.nan_to_num(order.as_float(batch[stage.size]), nan=0.0)
    except TypeError as error:
        raise StageError(f"{stage.called}: the column {stage.size!r}: {error}") from None
    return np.clip(sizes, 0, 2**62).astype(np.int64)


def _decide_rows(stage: Mix, above: list[int | None], batch: Batch) -> Decision:
    place = _places(stage, batch)
    draw = random64(batch[KEY], stage.seed or 0)
    code = np.full(batch.num_rows, -1, dtype=np.int16)
    threshold = np.full(batch.num_rows, np.nan)
    for source, cut in enumerate(above):
        if cut is not None:
            over = (place == source) & (draw >= np.uint64(cut))
            code[over], threshold[over] = 0, cut / 2**64
    code[place < 0] = 1
    number = draw.astype(np.float64) / 2**64
    value = np.where(code == 0, number, np.nan)
    return Decision(stage.reasons, code, value, threshold, {"draw": number})


# --- the cut of each source -------------------------------------------------------------------------


@dataclass(frozen=True)
class Cut:
    """What is known of a source's cut: its first `depth` digits, and what lies before them."""

    source: int
    left: float
    """Of its part, what is not yet given to documents before the cut."""
    depth: int = 0
    digits: int = 0
    n_kept: int = 0
    kept_size: int = 0
    found: bool = False
    above: int | None = None
    """Documents with this random number and above are dropped; None drops none."""


def narrow(cut: Cut, counted: pa.Table) -> Cut:
    """The cut with one digit more: that of the first document which exceeds the source's part."""
    mine = counted["source"].to_numpy() == cut.source
    digit, size, n = (counted[name].to_numpy()[mine] for name in ("digit", "size", "n"))
    base = 1 << _bits(cut.depth)
    sizes, n_docs = np.zeros(base, dtype=np.int64), np.zeros(base, dtype=np.int64)
    np.add.at(sizes, digit, size)
    np.add.at(n_docs, digit, n)
    through = np.cumsum(sizes)
    over = np.flatnonzero(through > cut.left * (1 + _SLACK))
    if not len(over):
        return replace(
            cut,
            n_kept=cut.n_kept + int(n_docs.sum()),
            kept_size=cut.kept_size + int(through[-1]),
            found=True,
        )
    at = int(over[0])
    before = int(through[at] - sizes[at])
    depth = cut.depth + 1
    digits = (cut.digits << _bits(cut.depth)) | at
    found = n_docs[at] == 1 or depth == _N_PASSES
    return Cut(
        cut.source,
        cut.left - before,
        depth,
        digits,
        cut.n_kept + int(n_docs[:at].sum()),
        cut.kept_size + before,
        bool(found),
        digits << _bits_left(depth),
    )


def _bits(depth: int) -> int:
    return min(_BITS, 64 - depth * _BITS)


def _bits_left(depth: int) -> int:
    return max(0, 64 - depth * _BITS)


def sum_sources(table: pa.Table) -> pa.Table:
    """Documents and sizes of each source."""
    grouped = table.group_by("source").aggregate([("size", "sum"), ("size", "count")])
    return pa.table(
        {"source": grouped["source"], "size": grouped["size_sum"], "n": grouped["size_count"]}
    )


def _totals(sizes: pa.Table, n_sources: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    n_docs, available = (np.zeros(n_sources, dtype=np.int64) for _ in range(2))
    for row in sizes.to_pylist():
        if row["source"] >= 0:
            n_docs[row["source"]] += row["n"]
            available[row["source"]] += row["size"]
    return n_docs, available


def sum_digits(cuts: list[Cut], table: pa.Table) -> pa.Table:
    """Documents and sizes per next digit, of those that begin like the cut of their source."""
    source, draw, size = (table[name].to_numpy() for name in ("source", "draw", "size"))
    told: dict[str, list[NDArray[np.int64]]] = {"source": [], "digit": [], "size": [], "n": []}
    for cut in cuts:
        mine = source == cut.source
        if cut.depth:
            mine &= (draw >> np.uint64(_bits_left(cut.depth))) == np.uint64(cut.digits)
        left = np.uint64(_bits_left(cut.depth + 1))
        mask = np.uint64((1 << _bits(cut.depth)) - 1)
        digit, place = np.unique((draw[mine] >> left) & mask, return_inverse=True)
        sizes = np.zeros(len(digit), dtype=np.int64)
        np.add.at(sizes, place, size[mine])
        told["source"].append(np.full(len(digit), cut.source))
        told["digit"].append(digit.astype(np.int64))
        told["size"].append(sizes)
        told["n"].append(np.bincount(place, minlength=len(digit)))
    columns = {name: np.concatenate(parts).astype(np.int64) for name, parts in told.items()}
    return pa.table(columns)
