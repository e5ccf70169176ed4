"""Band keys -> connected components, in memory that does not grow with the corpus.

Not a stage: the middle of `dedup.minhash`. Documents that share a band key belong together,
transitively. Four moves, each a step over storage:

1. *meet*: a task groups the band keys of its own documents. Its documents become stars (each points
   to the lowest that it reaches here), and one document per distinct key goes to the key's partition.
   However many documents share a key, a task sends one: a hot key costs what there are tasks.
2. *link*: the partition of a key links the few documents that came; again one star per component.
3. *settle*, some rounds: a document is owned by a partition (a hash of its address). The owner joins
   all edges of its documents by union-find, keeps "document -> lowest reached" for each, and asks the
   owner of each such root, once however many point to it, whether it points further. Replies come as
   edges of the next round. This is large-star and small-star (Kiveris, Lattanzi, Mirrokni, Rastogi,
   Vassilvitskii, "Connected Components in MapReduce and Beyond", 2014): joining at the owner is
   small-star (what I point to, points to the lowest), a reply is large-star (who points to me, points
   to my lowest), with the edges of one partition to one root sent as a single question. Every round
   keeps the components as they are and only lowers pointers; it ends when no owner changed a pointer,
   was refused an answer, or sent an edge away, that is when all pointers lead to roots. Two or three
   rounds past the logarithm of the longest chain of owners in practice; one partition (all edges in
   `memory_bytes`) needs one round, and is plain union-find.
4. *label*: every document of a component, with the component's lowest address, goes home.
"""

from __future__ import annotations

import functools
import operator
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ultraclean.document import AT, mix64
from ultraclean.errors import StageError
from ultraclean.stages.dedup.kept import ROLE, byte_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ultraclean.exchange import Home, Piece, Readable, Sketches

Ids = NDArray[np.int64]

# What a row of a round is: an edge from elsewhere, a pointer that its owner had, a question (node =
# the root asked about, to = who asks), or the number of changes that one owner made.
_EDGE, _POINTER, _QUESTION, _CHANGES = range(4)
_PLACES: Final = 20
"""Owners are told by the top 20 bits of a hash; partition = the top `bits` of these."""
_MOST_ROUNDS: Final = 100
MEET_BYTES: Final = 110
KEY_BYTES: Final = 110
"""Of memory per document and band: read, sorted, cut into partitions; by the peaks in docs/deduplication.md."""
EDGE_BYTES: Final = 130
"""Of memory per edge of a round; with 96, a round over 10^8 documents went over its bound."""


def components(
    sketches: Sketches,
    n_bands: int,
    without: Home | None = None,
    old: Sequence[Readable] = (),
) -> tuple[Home, dict[str, int]]:
    """(labels, work): rows (`_at`, `root`) of documents that share a band with another, at home.

    Sketches have `bands`, binary[8 * n_bands], null for a document that cannot be compared. Rows of
    `without` whose `kept` is false take no part. `old` documents are those of indexes, a shard each
    after the sketches' own: they are linked to new documents, not to one another.
    """
    n_keys = sketches.partitions_for(
        KEY_BYTES * n_bands, sketches.n_docs + sum(piece.n_rows for piece in old)
    )
    met = sketches.step(
        "meet",
        functools.partial(meet, without),
        inputs=[*sketches.packed(MEET_BYTES * n_bands), *old],
        by=functools.partial(key_partition, n_keys),
        n_partitions=n_keys,
        columns=[AT, "bands"],
    )
    n_new = len(sketches.row_counts)
    n_rows = sum(piece.n_rows for piece in met)
    most_bits = min(_bits(sketches.partitions_for(EDGE_BYTES, n_rows)), 10)
    owner = functools.partial(owner_partition, most_bits)
    link_new = functools.partial(link, n_new << 32)
    linked = sketches.step("link", link_new, inputs=met, by=owner, n_partitions=2**most_bits + 1)
    # Far fewer documents have a partner than might have had one: as few owners as memory allows.
    n_edges = sum(piece.n_rows for piece in linked)
    bits = min(_bits(sketches.partitions_for(EDGE_BYTES, n_edges)), most_bits)
    settled, rounds = _settle(sketches, _merged(linked[:-1], 2 ** (most_bits - bits)), bits)
    labels = sketches.step("label", label, inputs=settled)
    work = {"edges": n_edges, "partitions": 2**bits, "rounds": rounds}
    return sketches.home("labels-home", labels, n_new + len(old)), work


def _settle(sketches: Sketches, pieces: list[Piece], bits: int) -> tuple[list[Piece], int]:
    settle_here = functools.partial(settle, bits)
    owner = functools.partial(owner_partition, bits)
    for number in range(_MOST_ROUNDS):
        *pieces, changes = sketches.step(
            f"settle-{number}", settle_here, inputs=pieces, by=owner, n_partitions=2**bits + 1
        )
        if bits == 0 or changes.n_rows == 0:
            return pieces, number + 1
    raise StageError(f"connected components did not settle in {_MOST_ROUNDS} rounds")


def _bits(n_partitions: int) -> int:
    return int(n_partitions - 1).bit_length()


def _merged(pieces: list[Piece], n_together: int) -> list[Piece]:
    """Neighbouring partitions as one: the owners by fewer of the top bits."""
    merged = []
    for start in range(0, len(pieces), n_together):
        some = pieces[start : start + n_together]
        merged.append(functools.reduce(operator.add, some))
    return merged


# --- steps ----------------------------------------------------------------------------------------


def meet(without: Home | None, table: pa.Table) -> pa.Table:
    """Sketches -> (key, node, to): `to` -1 offers a document under a band key, else it is a link."""
    from ultrakernels import bands

    rows = table.filter(pc.is_valid(table["bands"]))
    if without is not None:
        found, place = without.match(rows)
        gone = place >= 0
        if found is not None:
            gone &= ~np.append(found["kept"].to_numpy(zero_copy_only=False), True)[place]
        rows = rows.filter(pa.array(~gone))
    at = rows[AT].to_numpy()
    keys = byte_rows(rows["bands"]).view(np.uint64)
    if ROLE in table.column_names:  # of an index: each may be what a new document resembles
        flat, nodes = keys.ravel(), np.repeat(at, keys.shape[1] if len(at) else 0)
        return pa.table({"key": flat, "node": nodes, "to": np.full(len(flat), -1, dtype=np.int64)})
    distinct, first, root = bands.meet(keys, at)
    member = np.flatnonzero(root != np.arange(len(root)))
    with np.errstate(over="ignore"):
        spread = mix64(at[member].view(np.uint64))
    return pa.table(
        {
            "key": np.concatenate([distinct, spread]),
            "node": np.concatenate([at[first], at[member]]),
            "to": np.concatenate([np.full(len(first), -1, dtype=np.int64), at[root[member]]]),
        }
    )


def key_partition(n_partitions: int, table: pa.Table) -> Ids:
    key = table["key"].to_numpy()
    partition: Ids = (key % np.uint64(n_partitions)).astype(np.int64)
    return partition


def link(first_old: int, table: pa.Table) -> pa.Table:
    """Documents that came under one key, and links that came along -> edges, at most one a document.

    `_at` of old documents begin at `first_old`: a key of theirs alone links nothing.
    """
    from ultrakernels import bands

    key, node, to = (table[name].to_numpy() for name in ("key", "node", "to"))
    offered = to < 0
    _, _, root = bands.meet(key[offered].reshape(-1, 1), node[offered])
    left, right = node[offered][root], node[offered]
    links = (left != right) & (left < first_old)
    left, right = left[links], right[links]
    members, roots = _joined(
        np.concatenate([left, node[~offered]]), np.concatenate([right, to[~offered]])
    )
    return _rows([(_EDGE, place(members), members, roots)])


def settle(bits: int, table: pa.Table) -> pa.Table:
    """One round of one owner: the rows that came to it -> pointers, edges, questions, replies."""
    from ultrakernels import components as kernel
    from ultrakernels import order

    kind, owner, node, to = (table[name].to_numpy() for name in ("kind", "owner", "node", "to"))
    here = owner[0] >> (_PLACES - bits)
    asked = kind == _QUESTION
    nodes, roots = kernel.components(node[~asked], to[~asked])
    mine = place(nodes) >> (_PLACES - bits) == here
    moves = nodes != roots

    found = order.locate(nodes, node[asked])
    lower = np.where(found < 0, node[asked], roots[found] if len(roots) else node[asked])
    replies = lower != node[asked]

    pointer, away = moves & mine, moves & ~mine
    had = kind == _POINTER
    before = order.locate(node[had], nodes[pointer])
    same = (before >= 0) & (to[had][before] == roots[pointer]) if had.any() else before >= 0
    n_changes = int((~same).sum() + away.sum() + replies.sum())

    wanted = np.unique(roots[pointer])
    asker = np.full(len(wanted), here << (_PLACES - bits), dtype=np.int64)
    told = [
        (_POINTER, place(nodes[pointer]), nodes[pointer], roots[pointer]),
        (_EDGE, place(nodes[away]), nodes[away], roots[away]),
        (_EDGE, to[asked][replies], node[asked][replies], lower[replies]),
        (_QUESTION, place(wanted), wanted, asker),
    ]
    if n_changes:
        one = np.array([n_changes], dtype=np.int64)
        told.append((_CHANGES, np.zeros(1, dtype=np.int64), one, one))
    return _rows(told)


def label(table: pa.Table) -> pa.Table:
    """A settled owner's rows -> (`_at`, `root`) of its documents; a root is asked about, and is one."""
    kind, node, to = (table[name].to_numpy() for name in ("kind", "node", "to"))
    points, roots = kind == _POINTER, np.unique(node[kind == _QUESTION])
    return pa.table(
        {AT: np.concatenate([node[points], roots]), "root": np.concatenate([to[points], roots])}
    )


def place(nodes: Ids) -> Ids:
    with np.errstate(over="ignore"):
        return (mix64(nodes.view(np.uint64)) >> np.uint64(64 - _PLACES)).astype(np.int64)


def owner_partition(bits: int, table: pa.Table) -> Ids:
    """The owner of each row; counts of changes are the last partition."""
    owner: Ids = table["owner"].to_numpy() >> (_PLACES - bits)
    return np.where(table["kind"].to_numpy() == _CHANGES, 2**bits, owner)


def _joined(left: Ids, right: Ids) -> tuple[Ids, Ids]:
    """Edges -> a star per component: (node, lowest of its component) for all but the lowest."""
    from ultrakernels import components as kernel

    nodes, roots = kernel.components(left, right)
    moves = nodes != roots
    return nodes[moves], roots[moves]


def _rows(told: list[tuple[int, Ids, Ids, Ids]]) -> pa.Table:
    kinds = [np.full(len(node), kind, dtype=np.int8) for kind, _, node, _ in told]
    columns: dict[str, Any] = {"kind": np.concatenate(kinds)}
    for i, name in enumerate(("owner", "node", "to"), start=1):
        columns[name] = np.concatenate([part[i] for part in told])
    return pa.table(columns)
