"""What a model sees of each block of a page: its text, its place in the tree, and its neighbours.

Link density, tags and position are those of Kohlschütter et al. 2010 (boilerpipe); the best
container is Readability's; the rest of the page with the same path of tags and classes is ours.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

KINDS: Final = (
    ("p",),
    ("li",),
    ("h1",),
    ("h2", "h3"),
    ("h4", "h5", "h6"),
    ("td", "th", "caption"),
    ("pre", "listing"),
    ("blockquote",),
    ("dt", "dd"),
    ("figcaption",),
)
"""Block elements that are a feature of their own; all others are like `div`."""


def features(nodes: Ints, blocks: Ints) -> Floats:
    """float32[n_blocks, 131] of what `ultrakernels.html_blocks.read` gives."""
    from ultrakernels import html_blocks as html
    from ultrakernels.html_tags import BITS, LEXICON, TAG

    n_blocks = len(blocks)
    block = blocks.T.astype(np.float64)
    node = blocks[:, html.B_NODE]
    tree = nodes.astype(np.float64)
    place = np.arange(n_blocks)
    n_bytes = block[html.B_BYTES]
    words = np.maximum(block[html.B_WORDS], 1)
    size = np.log1p(n_bytes)
    linked = block[html.B_LINK_BYTES] / n_bytes
    kind = _kinds(tuple(tuple(TAG[name] for name in names if name in TAG) for names in KINDS))
    kinds = kind[nodes[node, html.NAME]]
    total = max(tree[0, html.BYTES], 1.0)

    # --- the text of the block
    columns = [
        size,
        linked,
        np.log1p(block[html.B_WORDS]),
        n_bytes / words,
        block[html.B_STOPS] / words,
        block[html.B_COMMAS] / words,
        np.minimum(block[html.B_STOPS], 20),
        block[html.B_DIGITS] / n_bytes,
        block[html.B_UPPER] / words,
        np.minimum(block[html.B_LINKS], 20),
        np.minimum(block[html.B_BREAKS], 20),
        block[html.B_BOLD_BYTES] / n_bytes,
        block[html.B_ENDS],
        block[html.B_BEGINS_LOWER],
        kinds,
        nodes[node, html.LEVEL],
    ]
    for group in range(len(LEXICON)):
        columns.append((blocks[:, html.B_LEXICON] >> group) & 1)

    # --- what its tags and classes say: near (three elements) and anywhere above
    parent = np.maximum(nodes[:, html.PARENT], 0)
    one, two, three = node, parent[node], parent[parent[node]]
    four = parent[three]
    near = nodes[one, html.NEAR] | nodes[two, html.NEAR] | nodes[three, html.NEAR]
    near |= blocks[:, html.B_NEAR]
    path = nodes[node, html.PATH]
    for bit in BITS.values():
        columns.append(((path & bit) != 0).astype(np.int64) + ((near & bit) != 0))

    # --- position
    before = np.cumsum(n_bytes) - n_bytes
    headings = np.flatnonzero(kinds == 3)
    heading = headings[0] if len(headings) else 0
    columns += [
        place / n_blocks,
        before / total,
        np.log1p(place),
        np.log1p(n_blocks - place),
        _signed_log(place - heading),
        np.full(n_blocks, min(len(headings), 5)),
    ]

    # --- the elements around it
    link_share = tree[:, html.LINK_BYTES] / np.maximum(tree[:, html.BYTES], 1)
    for around in (one, two, three, four):
        columns += [
            np.log1p(tree[around, html.BYTES]),
            link_share[around],
            tree[around, html.BYTES] / total,
            np.log1p(tree[around, html.N_BLOCKS]),
            np.log1p(tree[around, html.PARAGRAPH_BYTES]),
            100 * tree[around, html.STOPS] / np.maximum(tree[around, html.BYTES], 1),
        ]

    # --- blocks with the same path of tags and classes
    _, same = np.unique(nodes[node, html.HASH], return_inverse=True)
    n_same = np.bincount(same)
    columns += [
        np.log1p(n_same[same]),
        (np.bincount(same, n_bytes) / n_same)[same] / 100,
        np.bincount(same, n_bytes)[same] / total,
        (np.bincount(same, block[html.B_LINK_BYTES]) / np.bincount(same, n_bytes))[same],
        (np.bincount(same, block[html.B_STOPS]) / n_same)[same],
    ]

    # --- the best container, by the paragraphs in it
    prose = np.where(
        (n_bytes >= 80) & (linked < 0.33),
        1 + block[html.B_COMMAS] + np.minimum(n_bytes / 100, 3),
        0,
    )
    score: Any = np.bincount(two, prose, len(nodes)) + np.bincount(three, prose / 2, len(nodes))
    score = (score + np.bincount(one, prose / 2, len(nodes))) * (1 - link_share)
    best = int(np.argmax(score))
    for container in (best, int(parent[best]), int(parent[parent[best]])):
        first, last = nodes[container, html.FIRST], nodes[container, html.LAST]
        inside = (place >= first) & (place < last)
        columns += [
            np.where(inside, 0, np.where(place < first, place - first, place - last + 1)).clip(
                -30, 30
            ),
            np.full(n_blocks, tree[container, html.BYTES] / total),
        ]
    top = max(score[best], 1e-6)
    columns += [score[two] / top, score[three] / top, score[four] / top, prose]
    columns += [np.full(n_blocks, np.log1p(top)), np.full(n_blocks, np.log1p(total))]
    columns += [np.full(n_blocks, np.log1p(n_blocks)), np.full(n_blocks, link_share[0])]

    # --- neighbours, and longer windows
    for shift in (-3, -2, -1, 1, 2, 3):
        columns += [_shifted(size, shift), _shifted(linked, shift)]
        if abs(shift) < 3:
            columns += [
                _shifted(kinds, shift),
                _shifted(block[html.B_ENDS], shift),
                _shifted(block[html.B_STOPS] / words, shift),
            ]
        if abs(shift) == 1:
            columns.append(_shifted(same, shift) == same)
    for width in (5, 15):
        columns += [_window(prose, width), _window(size, width), _window(linked, width)]
    return np.column_stack(columns).astype(np.float32)


def _kinds(groups: tuple[tuple[int, ...], ...]) -> Ints:
    from ultrakernels.html_tags import TAGS

    table = np.zeros(len(TAGS), dtype=np.int64)
    for number, tags in enumerate(groups, start=1):
        table[list(tags)] = number
    return table


def _signed_log(values: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(np.sign(values) * np.log1p(np.abs(values)), dtype=np.float64)


def _shifted(values: NDArray[Any], by: int) -> NDArray[np.float64]:
    """The value of the block `by` places away; -1 beyond the ends."""
    out = np.full(len(values), -1.0)
    if by > 0:
        out[:-by] = values[by:]
    else:
        out[-by:] = values[:by]
    return out


def _window(values: NDArray[Any], width: int) -> NDArray[np.float64]:
    """The mean over `width` blocks on either side."""
    running = np.concatenate(([0.0], np.cumsum(values)))
    place = np.arange(len(values))
    first, last = np.maximum(place - width, 0), np.minimum(place + width + 1, len(values))
    return np.asarray((running[last] - running[first]) / (last - first), dtype=np.float64)
