"""Everything that is checked and written before the first step is trained.

    <folder>/tokens/base, default, control, null, <candidate>, <candidate>.placebo
    <folder>/texts.json       what every arm is evaluated on
    <folder>/prepared.json    written last

The default mix is cut into four parts that share no text: one to train the base on, the part that
all arms share, the part that only the control sees, and the part of the null arm. A tenth of each
candidate is held out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ultraclean import storage
from ultraclean.errors import DataError
from ultraclean.stage import Rows
from ultraclean.stages.verify import texts
from ultraclean.stages.verify.texts import Overlap, Survey

HELD_OUT: Final = 0.1
"""Of each candidate, by document."""
DEFAULT_HELD_OUT: Final = 0.02
MOST_BASE_EPOCHS: Final = 4.0
"""Data repeated up to four times is nearly as good as new (2305.16264)."""
SPARE: Final = 16
"""Times what a seed takes, that is packed at most: seeds then differ in their windows."""
GUARD_BYTES: Final = 20_000


@dataclass(frozen=True)
class Wanted:
    """What the fields of the stage ask for."""

    default: str
    candidates: tuple[str, ...]
    share: float
    tokens: float
    base_tokens: float
    """0 where a base is given."""
    base_below: float
    """Where a given base was trained on the default mix: below this place."""
    max_epochs: float
    max_overlap: float
    evaluation: Mapping[str, str]
    evaluation_bytes: int

    @property
    def guard_bytes(self) -> int:
        return min(GUARD_BYTES, self.evaluation_bytes)


def prepare(
    wanted: Wanted, inputs: Mapping[str, Rows], tokenizer: Any, folder: str
) -> dict[str, Any]:
    """Checks, packs and chooses; what it returns is also in prepared.json, and read from there."""
    path = storage.join(folder, "prepared.json")
    if storage.exists(path):
        found: dict[str, Any] = storage.read_json(path)
        return found
    evaluation = texts.evaluation_texts(wanted.evaluation, wanted.evaluation_bytes)
    overlap = Overlap(evaluation)
    tables: dict[str, Any] = {}
    chosen: dict[str, Any] = {
        "evaluation": evaluation,
        "shuffled": {k: [texts.shuffled(text) for text in v] for k, v in evaluation.items()},
    }
    packed = _Packed(storage.join(folder, "tokens"), tokenizer)
    # Candidates first: they are the ones that may be too small, or overlap.
    guards = {}
    for name in wanted.candidates:
        tables[name], guards[name] = _candidate(wanted, inputs[name], overlap, packed)
    tables[wanted.default], chosen["default"] = _default(
        wanted, inputs[wanted.default], overlap, packed
    )
    chosen["guards"] = guards
    storage.write_json(storage.join(folder, "texts.json"), chosen)
    prepared = {
        "tables": tables,
        "base_below": tables[wanted.default]["base_below"],
        "evaluation": {
            name: {"texts": len(those), "bytes": sum(len(text.encode()) for text in those)}
            for name, those in evaluation.items()
        },
    }
    storage.write_json(path, prepared)
    return prepared


def _candidate(
    wanted: Wanted, rows: Rows, overlap: Overlap, packed: _Packed
) -> tuple[dict[str, Any], dict[str, list[str]]]:
    known = texts.survey(rows, packed.tokenizer)
    met = overlap.places(rows)
    n_met = sum(where in met for where in known.places.tolist())
    if n_met > wanted.max_overlap * len(known.places):
        sets = ", ".join(sorted(overlap.found[rows.name]))
        raise DataError(
            f"the candidate {rows.name} overlaps the evaluation ({sets}): {n_met} of "
            f"{len(known.places)} documents share {texts.NGRAM} words in a row with it, so a gain "
            "would say nothing; decontaminate first (filter.decontaminate), or evaluate on text of "
            "other sources"
        )
    lowest = float(known.places.min())
    cut = max(HELD_OUT, lowest + 1e-12)  # at least one document
    need = wanted.share * wanted.tokens
    top = min(1.0, cut + (1 - cut) * min(1.0, SPARE * need / max(known.n_tokens, 1)))

    def trained(where: float) -> bool:
        return cut <= where < top and where not in met

    n_tokens, n_unique = packed.write(rows, rows.name, trained)
    facts = _facts(known, n_tokens, n_unique, need, n_met)
    if not n_unique:
        raise DataError(
            f"the candidate {rows.name} has {len(known.places)} documents; a tenth is held out for "
            "the duplication guard, and nothing is left to train on"
        )
    if facts["epochs"] > wanted.max_epochs:
        copies = f" ({n_tokens - n_unique:,} more are exact copies)" if n_tokens > n_unique else ""
        raise DataError(
            f"the candidate {rows.name} is too small: a share of {wanted.share:g} of "
            f"{wanted.tokens:,.0f} tokens takes {need:,.0f}, and it has {n_unique:,}{copies} after a "
            f"tenth is held out, so it would be seen {facts['epochs']:.1f} times; beyond "
            f"{wanted.max_epochs:g} a gain is learned by heart. Give it more text, fewer `tokens`, "
            "or a smaller `share`"
        )
    packed.write(rows, f"{rows.name}.placebo", trained, texts.shuffled)
    guards = {
        "seen": texts.some(rows, trained, wanted.guard_bytes),
        "held_out": texts.some(rows, lambda w: w < cut and w not in met, wanted.guard_bytes),
    }
    return facts, guards


def _default(
    wanted: Wanted, rows: Rows, overlap: Overlap, packed: _Packed
) -> tuple[dict[str, Any], list[str]]:
    known = texts.survey(rows, packed.tokenizer)
    met = overlap.places(rows)
    below = wanted.base_below
    if wanted.base_tokens:
        below = min(0.5, 1.05 * wanted.base_tokens / known.n_tokens)
        _, n_base = packed.write(rows, "base", lambda w: w < below and w not in met)
        epochs = wanted.base_tokens / max(n_base, 1)
        if epochs > MOST_BASE_EPOCHS:
            raise DataError(
                f"the default mix {rows.name} is too small to train a base on {wanted.base_tokens:,.0f} "
                f"tokens: {n_base:,} are set aside for it, which is {epochs:.1f} times; lower "
                "`base_tokens`, give more text, or a `base`"
            )
    stop = 1 - DEFAULT_HELD_OUT
    shares = {"default": 1 - wanted.share, "control": wanted.share, "null": wanted.share}
    widths = {"default": 0.5, "control": 0.25, "null": 0.25}
    facts: dict[str, Any] = {"documents": len(known.places), "overlapping": len(met)}
    low = below
    for name, width in widths.items():
        need = shares[name] * wanted.tokens
        most = SPARE * need / known.n_tokens
        high = low + min((stop - below) * width, most)

        def within(where: float, low: float = low, high: float = high) -> bool:
            return low <= where < high and where not in met

        _, n_unique = packed.write(rows, name, within)
        if need > wanted.max_epochs * n_unique:
            raise DataError(
                f"the default mix {rows.name} is too small: the part {name} has {n_unique:,} tokens, "
                f"and an anneal takes {need:,.0f}, which is {need / max(n_unique, 1):.1f} times; give "
                "more text, fewer `tokens`, or fewer `base_tokens`"
            )
        facts[name] = {"tokens": n_unique, "epochs": need / n_unique}
        low = high
    facts["base_below"] = below
    return facts, texts.some(rows, lambda w: w >= stop and w not in met, wanted.guard_bytes)


def _facts(known: Survey, n_tokens: int, n_unique: int, need: float, n_met: int) -> dict[str, Any]:
    return {
        "documents": len(known.places),
        "tokens": n_tokens,
        "unique_tokens": n_unique,
        "epochs": need / max(n_unique, 1),
        "overlapping": n_met,
    }


@dataclass(frozen=True)
class _Packed:
    """Writes parts of tables as shards of the trainer."""

    folder: str
    tokenizer: Any

    def write(
        self,
        rows: Rows,
        name: str,
        keep: Callable[[float], bool],
        change: Callable[[str], str] | None = None,
    ) -> tuple[int, int]:
        """Tokens written, and tokens if exact copies are counted once."""
        from ultraclean.train import shards

        begin, end = (self.tokenizer.token_to_id(mark) for mark in ("<s>", "</s>"))
        before, after = ([one] if one is not None else [] for one in (begin, end))
        seen: set[float] = set()
        n_unique = 0

        def found() -> Iterator[shards.Document]:
            nonlocal n_unique
            for text in texts.documents(rows):
                where = texts.place(text)
                if not keep(where):
                    continue
                written = change(text) if change else text
                ids = self.tokenizer.encode(written, add_special_tokens=False).ids
                ids = [*before, *ids, *after]
                if where not in seen:
                    n_unique += len(ids)
                    seen.add(where)
                yield ids, None

        target = storage.join(self.folder, name)
        size = self.tokenizer.get_vocab_size()
        shard = shards.write_shard(target, "00000", found(), size)
        shards.write_manifest(target, [shard], size, self.tokenizer)
        return int(shard["n_tokens"]), n_unique
