"""Documents with the same set of shingles: the first in the order stands for all of them.

Not a stage: the beginning and the end of `dedup.minhash` with `verify`. Such documents share all bands
and all similarities, so the others have the first one's verdict, or are its copies. A million copies
of one page cost the steps between a single document: a hot key is gone before keys are shuffled.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ultraclean.document import AT
from ultraclean.stages.dedup import kept

if TYPE_CHECKING:
    from ultraclean.exchange import Home, Piece, Sketches

SET: Final = "set_hash"
"""Sketch column, binary[16]: a hash of the sorted shingles; null where there is none."""
PACKED: Final = 500
"""Bytes per document for the two steps that must be cut alike: one asks for the other's documents."""
_NAMES: Final = ("kept", "same_as", "similarity", "cluster_size", "kept_at", "estimated")


def collapse(sketches: Sketches, columns: list[str], n_shards: int) -> tuple[Home, int]:
    """(rows of documents that are not alone with their set, how many documents are not the first)."""
    pieces = kept.election(sketches, by_set, [*columns, SET], bytes_per_row=250)
    apart = sketches.apart(pieces)
    counted = sketches.collect(sketches.step("twins-counted", count_twins, inputs=apart))
    n_twins = 0 if counted is None else pc.sum(counted["n"]).as_py()
    return sketches.home("twins-home", pieces, n_shards), n_twins


def by_set(table: pa.Table) -> pa.Table:
    """The rows that have shingles, grouped by the hash of their set."""
    rows = table.filter(pc.is_valid(table[SET]))
    halves = kept.byte_rows(rows[SET]).view(np.uint64).reshape(-1, 2)
    for i, name in enumerate(kept.GROUP):
        rows = rows.append_column(name, pa.array(np.ascontiguousarray(halves[:, i])))
    return rows.drop_columns([SET])


def count_twins(table: pa.Table) -> pa.Table:
    return pa.table({"n": [table.num_rows - pc.sum(table["kept"]).as_py()]})


def spread(
    sketches: Sketches,
    twins: Home,
    verdicts: list[Piece],
    n_new: int,
    corpus_of: tuple[int, ...],
) -> list[Piece]:
    """Verdicts of the first ones -> of all documents: each asks what became of its first.

    Shard `n_new + i` is of the corpus `corpus_of[i]`.
    """
    n_shards = twins.n_shards
    decided = sketches.home("decided-home", verdicts, n_shards)
    asked = sketches.step("ask", functools.partial(ask, twins), columns=[AT], bytes_per_row=PACKED)
    answered = sketches.step(
        "answer",
        functools.partial(answer, decided),
        inputs=sketches.home("asked-home", asked, n_shards).groups,
    )
    answers = sketches.home("answers-home", answered, n_shards)
    final = functools.partial(verdict_rows, twins, decided, answers, n_new, corpus_of)
    return sketches.step("verdict-rows", final, columns=[AT], bytes_per_row=PACKED)


def ask(twins: Home, table: pa.Table) -> pa.Table:
    """For each first document of which a task has copies: (`_at` of it, `asker`: one of the copies)."""
    rows = _copies(twins, table)
    of, first = np.unique(rows["kept_at"].to_numpy(), return_index=True)
    return pa.table({AT: of, "asker": rows[AT].to_numpy()[first]})


def answer(decided: Home, table: pa.Table) -> pa.Table:
    """Questions at the home of the first documents -> those that were decided, to the askers."""
    found, place = decided.match(table)
    there = place >= 0
    asked, asker = (table[name].to_numpy()[there] for name in (AT, "asker"))
    columns: dict[str, Any] = {AT: asker, "first": asked}
    if found is None:
        return pa.table(columns)
    rows = found.take(pa.array(place[there]))
    return pa.table(columns | {name: rows[name] for name in _NAMES})


def verdict_rows(
    twins: Home,
    decided: Home,
    answers: Home,
    n_new: int,
    corpus_of: tuple[int, ...],
    table: pa.Table,
) -> pa.Table:
    """The verdicts of one task's documents: decided ones, first ones, and copies."""
    same, place = twins.match(table)
    found, where = decided.match(table)
    at = table[AT].to_numpy()
    parts: list[pa.Table] = []
    if found is not None:
        rows = found.take(pa.array(where[where >= 0]))
        parts.append(rows.select([AT, *_NAMES]))
    if same is not None:
        alone = (place >= 0) & (where < 0)
        rows = same.take(pa.array(place[alone]))
        parts.append(_typed(_of_copies(rows, answers, at[alone])))
    if not parts:
        return pa.table({AT: pa.array([], pa.int64())})
    rows = pa.concat_tables([_typed(part) for part in parts])
    shard = (rows["kept_at"].to_numpy() >> 32) - n_new
    corpus = np.array([*corpus_of, -1], dtype=np.int32)[np.maximum(shard, -1)]
    return rows.append_column("corpus", pa.array(corpus))


def _of_copies(rows: pa.Table, answers: Home, at: NDArray[np.int64]) -> pa.Table:
    """Rows of `twins` without a verdict of their own; a copy follows its first one's answer."""
    copies = ~rows["kept"].to_numpy()
    similarity = np.where(copies, 1.0, np.nan)
    columns: dict[str, Any] = {
        AT: rows[AT],
        "kept": rows["kept"],
        "same_as": rows["same_as"],
        "similarity": pa.array(similarity),
        "cluster_size": rows["cluster_size"],
        "kept_at": rows["kept_at"],
        "estimated": pa.array(np.zeros(rows.num_rows, dtype=bool)),
    }
    told = answers.beside(rows)
    if told is not None and told.num_rows:
        first, where = np.unique(told["first"].to_numpy(), return_index=True)
        from ultrakernels import order

        place = order.locate(first, rows["kept_at"].to_numpy())
        answered = pa.array((place >= 0) & copies)
        won = told.take(pa.array(where[np.maximum(place, 0)]))
        through = pc.and_(answered, pc.invert(won["kept"].combine_chunks()))
        for name in ("same_as", "similarity", "kept_at", "estimated"):
            columns[name] = pc.if_else(through, won[name], columns[name])
        columns["cluster_size"] = pc.if_else(answered, won["cluster_size"], columns["cluster_size"])
    return pa.table(columns)


def _copies(twins: Home, table: pa.Table) -> pa.Table:
    same, place = twins.match(table)
    if same is None:
        return pa.table({AT: pa.array([], pa.int64()), "kept_at": pa.array([], pa.int64())})
    rows = same.take(pa.array(place[place >= 0]))
    return rows.filter(pc.invert(rows["kept"]))


def _typed(table: pa.Table) -> pa.Table:
    from ultraclean.document import KEY_TYPE

    kinds = [pa.int64(), pa.bool_(), KEY_TYPE, pa.float64(), pa.int64(), pa.int64(), pa.bool_()]
    schema = pa.schema(list(zip((AT, *_NAMES), kinds, strict=True)))
    return table.select(schema.names).cast(schema)
