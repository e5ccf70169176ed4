"""Everything that is checked and written before the first step is trained.

    <folder>/tokens/base, default, control, null, <candidate>, <candidate>.placebo
    <folder>/texts.json       what every arm is evaluated on
    <folder>/prepared.json    written last

The default mix is cut by places into parts that share no text: one to train the base on, the part
that all arms share, the part that only the control sees, and the part of the null arm (the last two
of the table in `against`, where there is one). A tenth of each candidate is held out. Workers read
and pack; only places and sizes of documents come back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ultraclean import storage
from ultraclean.errors import DataError
from ultraclean.stage import Rows
from ultraclean.stages.verify import texts
from ultraclean.stages.verify.pack import Part, pack
from ultraclean.stages.verify.texts import Look, Survey, look

HELD_OUT: Final = 0.1
"""Of each candidate, by document."""
DEFAULT_HELD_OUT: Final = 0.02
MOST_BASE_EPOCHS: Final = 4.0
"""Data repeated up to four times is nearly as good as new (2305.16264)."""
SPARE: Final = 16
"""Times what a seed takes, that is packed at most: seeds then differ in their windows."""
GUARD_BYTES: Final = 20_000

Run = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]


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
    against: str | None = None
    """The table of control and null arm, if it is not the default mix."""

    @property
    def guard_bytes(self) -> int:
        return min(GUARD_BYTES, self.evaluation_bytes)

    @property
    def need(self) -> float:
        """Tokens that an anneal takes of a candidate."""
        return self.share * self.tokens


def prepare(
    wanted: Wanted,
    inputs: Mapping[str, Rows],
    tokenizer: Any,
    tokenizer_path: str,
    folder: str,
    run: Run,
) -> dict[str, Any]:
    """Checks, packs and chooses; what it returns is also in prepared.json, and read from there."""
    path = storage.join(folder, "prepared.json")
    if storage.exists(path):
        found: dict[str, Any] = storage.read_json(path)
        return found
    evaluation = texts.evaluation_texts(wanted.evaluation, wanted.evaluation_bytes)
    names = [wanted.default, *wanted.candidates]
    names += [wanted.against] if wanted.against else []
    looks = [Look(inputs[name], tokenizer_path, evaluation) for name in names]
    known = dict(zip(names, run(look, looks), strict=True))
    cuts = _cuts(wanted, known[wanted.default])

    # Candidates first: they are the ones that may be too small, or overlap.
    home = storage.join(folder, "tokens")
    parts: list[Part] = []
    guards: dict[str, Any] = {}
    tables: dict[str, Any] = {}
    for name in wanted.candidates:
        part, tables[name] = _candidate(wanted, known[name], known[wanted.default], cuts)
        rows = inputs[name]
        parts.append(Part(rows, name, home, tokenizer_path, part.low, part.high, part.without))
        guards[name] = {
            "seen": texts.some(rows, part.holds, wanted.guard_bytes),
            "held_out": texts.some(rows, part.held_out, wanted.guard_bytes),
        }
    met = known[wanted.default].met
    arms = dict.fromkeys(("control", "null"), wanted.against or wanted.default)
    for name, (low, high) in cuts.items():
        rows = inputs[arms.get(name, wanted.default)]
        without = met if name not in arms or not wanted.against else known[wanted.against].met
        parts.append(Part(rows, name, home, tokenizer_path, low, high, without))
    placebos = [one.shuffled() for one in parts[: len(wanted.candidates)]]
    packed = {one.name: sizes for one, sizes in _packed(run, [*parts, *placebos])}
    for name in wanted.candidates:
        _refuse_small(wanted, name, tables[name], *packed[name])
    tables[wanted.default] = _default_facts(wanted, known, cuts, packed)

    stop = 1 - DEFAULT_HELD_OUT
    chosen = {
        "evaluation": evaluation,
        "shuffled": {k: [texts.shuffled(text) for text in v] for k, v in evaluation.items()},
        "default": texts.some(
            inputs[wanted.default], lambda w: w >= stop and w not in met, wanted.guard_bytes
        ),
        "guards": guards,
    }
    storage.write_json(storage.join(folder, "texts.json"), chosen)
    prepared = {
        "tables": tables,
        "base_below": cuts["default"][0],
        "evaluation": {
            name: {"texts": len(those), "bytes": sum(len(text.encode()) for text in those)}
            for name, those in evaluation.items()
        },
    }
    storage.write_json(path, prepared)
    return prepared


def _packed(run: Run, parts: Sequence[Part]) -> Iterable[tuple[Part, tuple[int, int]]]:
    return zip(parts, run(pack, parts), strict=True)


# --- the default mix --------------------------------------------------------------------------------


def _cuts(wanted: Wanted, known: Survey) -> dict[str, tuple[float, float]]:
    """Part -> places: base (if one is trained here), default, control, null."""
    below = wanted.base_below
    cuts = {}
    if wanted.base_tokens:
        below = min(0.5, 1.05 * wanted.base_tokens / known.n_tokens)
        cuts["base"] = (0.0, below)
    stop = 1 - DEFAULT_HELD_OUT
    shares = {"default": 1 - wanted.share, "control": wanted.share, "null": wanted.share}
    widths = {"default": 0.5, "control": 0.25, "null": 0.25}
    low = below
    for name, width in widths.items():
        most = SPARE * shares[name] * wanted.tokens / known.n_tokens
        if wanted.against and name != "default":
            most = 1.0  # of another table, whose tokens are counted below
        high = low + min((stop - below) * width, most)
        cuts[name] = (low, high)
        low = high
    return cuts


def _default_facts(
    wanted: Wanted,
    known: Mapping[str, Survey],
    cuts: Mapping[str, tuple[float, float]],
    packed: Mapping[str, tuple[int, int]],
) -> dict[str, Any]:
    """What the parts hold; an error if one is too small."""
    default = known[wanted.default]
    if "base" in cuts:
        _, n_base = packed["base"]
        epochs = wanted.base_tokens / max(n_base, 1)
        if epochs > MOST_BASE_EPOCHS:
            raise DataError(
                f"the default mix {default.name} is too small to train a base on "
                f"{wanted.base_tokens:,.0f} tokens: {n_base:,} are set aside for it, which is "
                f"{epochs:.1f} times; lower `base_tokens`, give more text, or a `base`"
            )
    facts: dict[str, Any] = {"documents": len(default.places), "overlapping": default.n_met}
    shares = {"default": 1 - wanted.share, "control": wanted.share, "null": wanted.share}
    for name, share in shares.items():
        _, n_unique = packed[name]
        need = share * wanted.tokens
        if need > wanted.max_epochs * n_unique:
            of = default.name if name == "default" else wanted.against or default.name
            mix = "default mix" if of == default.name else "table"
            raise DataError(
                f"the {mix} {of} is too small: the part {name} has {n_unique:,} tokens, "
                f"and an anneal takes {need:,.0f}, which is {need / max(n_unique, 1):.1f} times; give "
                "more text, fewer `tokens`, or fewer `base_tokens`"
            )
        facts[name] = {"tokens": n_unique, "epochs": need / n_unique}
    return {**facts, "base_below": cuts["default"][0]}


# --- candidates -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Chosen:
    """Which documents of a candidate are trained on, by place."""

    cut: float
    low: float
    high: float
    without: frozenset[float]

    def holds(self, where: float) -> bool:
        return self.low <= where < self.high and where not in self.without

    def held_out(self, where: float) -> bool:
        return where < self.cut and where not in self.without


def _candidate(
    wanted: Wanted, known: Survey, default: Survey, cuts: Mapping[str, tuple[float, float]]
) -> tuple[_Chosen, dict[str, Any]]:
    n_all = len(known.places)
    if known.n_met > wanted.max_overlap * n_all:
        raise DataError(
            f"the candidate {known.name} overlaps the evaluation ({', '.join(known.sets_met)}): "
            f"{known.n_met} of {n_all} documents share {texts.NGRAM} words in a row with it, so a "
            "gain would say nothing; decontaminate first (filter.decontaminate), or evaluate on "
            "text of other sources"
        )
    cut = max(HELD_OUT, float(known.places.min()) + 1e-12)  # at least one document
    # What every arm is trained on anyway would only be repeated.
    shared = _shared(known.places, default.places, cuts["default"][1])
    without = known.met | frozenset(known.places[shared & (known.places >= cut)].tolist())
    places, first = np.unique(known.places, return_index=True)
    left = (places >= cut) & ~np.isin(places, list(without))
    places, sizes = places[left], known.n_bytes[first][left]
    if not len(places):
        if shared.any():
            raise DataError(
                f"the candidate {known.name} has no text that the default mix {default.name} does "
                "not train every arm on; give more of it, or fewer `base_tokens`"
            )
        raise DataError(
            f"the candidate {known.name} has {n_all} documents; a tenth is held out for "
            "the duplication guard, and nothing is left to train on"
        )
    enough = np.searchsorted(np.cumsum(sizes / known.bytes_per_token), SPARE * wanted.need)
    high = float(places[enough + 1]) if enough + 1 < len(places) else 1.0
    facts = {
        "documents": n_all,
        "overlapping": known.n_met,
        "in_the_mix": int(shared.sum()),
    }
    return _Chosen(cut, cut, high, without), facts


def _shared(
    places: NDArray[np.float64], of_mix: NDArray[np.float64], below: float
) -> NDArray[np.bool_]:
    """Documents that are also in the base's and in the shared part of the default mix."""
    found: NDArray[np.bool_] = np.isin(places, of_mix[of_mix < below])
    return found


def _refuse_small(
    wanted: Wanted, name: str, facts: dict[str, Any], n_tokens: int, n_unique: int
) -> None:
    """Adds the counts of tokens to the facts; an error if an anneal would repeat them too often."""
    epochs = wanted.need / max(n_unique, 1)
    facts |= {"tokens": n_tokens, "unique_tokens": n_unique, "epochs": epochs}
    if epochs > wanted.max_epochs:
        copies = f" ({n_tokens - n_unique:,} more are exact copies)" if n_tokens > n_unique else ""
        in_mix = facts["in_the_mix"]
        already = f" and {in_mix} documents that the mix trains on are left out" if in_mix else ""
        raise DataError(
            f"the candidate {name} is too small: a share of {wanted.share:g} of "
            f"{wanted.tokens:,.0f} tokens takes {wanted.need:,.0f}, and it has {n_unique:,}{copies} "
            f"after a tenth is held out{already}, so it would be seen {epochs:.1f} times; beyond "
            f"{wanted.max_epochs:g} a gain is learned by heart. Give it more text, fewer `tokens`, "
            "or a smaller `share`"
        )
