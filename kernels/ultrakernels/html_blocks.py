"""Reads HTML into blocks of text, in one pass over its bytes.

A browser's parser as far as text needs it: comments, raw text, quoted attributes, void elements,
implied ends (`p`, `li`, `td`, ...), and end tags that match nothing. A block is a run of text and
inline markup between two boundaries of block elements, or two `br`. Linear in the bytes: a search
among open elements ends after `REACH` of them.

| array | one row is | columns |
|---|---|---|
| nodes | a block element | NODE_... : parent, tag, own and inherited context bits, text sums |
| blocks | a block of text | BLOCK_... : its node, its pieces, counts of what its text holds |
| pieces | a run of text, or inline markup | start and stop byte, kind (0 is text, else a tag; negative ends it) |
"""

# ruff: noqa: SIM905, SIM109, PLR1714 (lists of words; numba would build a set each time)
from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from ultrakernels.html_tags import BITS, TAG, hint_table, kind_table, lexicon_table, tag_table

NODE = (
    "parent tag near path level start stop hash first last bytes link_bytes stops blocks "
    "paragraph_bytes"
).split()
BLOCK = (
    "node first last bytes link_bytes words stops commas digits upper links breaks bold_bytes "
    "near ends begins_lower lexicon"
).split()
N_NODE, N_BLOCK = len(NODE), len(BLOCK)
(
    PARENT,
    NAME,
    NEAR,
    PATH,
    LEVEL,
    START,
    STOP,
    HASH,
    FIRST,
    LAST,
    BYTES,
    LINK_BYTES,
    STOPS,
    N_BLOCKS,
    PARAGRAPH_BYTES,
) = range(N_NODE)
(
    B_NODE,
    B_FIRST,
    B_LAST,
    B_BYTES,
    B_LINK_BYTES,
    B_WORDS,
    B_STOPS,
    B_COMMAS,
    B_DIGITS,
    B_UPPER,
    B_LINKS,
    B_BREAKS,
    B_BOLD_BYTES,
    B_NEAR,
    B_ENDS,
    B_BEGINS_LOWER,
    B_LEXICON,
) = range(N_BLOCK)

REACH = 256
DEEPEST = 2048
"""Levels that are kept apart; what is nested deeper belongs to the deepest, as in browsers (512)."""

DROPPED, HIDDEN, CODE = BITS["dropped"], BITS["hidden"], BITS["code"]
_A, _BR, _P, _LI, _BODY, _HTML, _HEAD = (TAG[name] for name in "a br p li body html head".split())
_DT, _DD, _TR, _TD, _TH, _TABLE, _OPTION, _UL, _OL, _DL = (
    TAG[name] for name in "dt dd tr td th table option ul ol dl".split()
)
_H1, _H6, _BUTTON, _TBODY, _THEAD, _TFOOT, _CAPTION, _B, _STRONG = (
    TAG[name] for name in "h1 h6 button tbody thead tfoot caption b strong".split()
)


def read(page: bytes) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """(nodes[n, 15], blocks[m, 17], pieces[k, 3]) of a page in UTF-8; see the table above."""
    data = np.frombuffer(page, dtype=np.uint8)
    return html_blocks(data, *_tables())  # type: ignore[no-any-return]


_made: list[tuple[NDArray[np.int64], ...]] = []


def _tables() -> tuple[NDArray[np.int64], ...]:
    if not _made:
        _made.append((*tag_table(), kind_table(), *hint_table(), *lexicon_table()))
    return _made[0]


@numba.njit(cache=True, nogil=True)
def _lower(byte):  # type: ignore[no-untyped-def]
    return byte + 32 if 65 <= byte <= 90 else byte


@numba.njit(cache=True, nogil=True)
def _is_space(byte):  # type: ignore[no-untyped-def]
    return byte == 32 or (9 <= byte <= 13)


@numba.njit(cache=True, nogil=True)
def _is_letter(byte):  # type: ignore[no-untyped-def]
    return 97 <= (byte | 32) <= 122


@numba.njit(cache=True, nogil=True)
def _matching(data, at, end, first, offsets, content, bits):  # type: ignore[no-untyped-def]
    """Bits and length of the longest phrase that begins at `at`, or zeros."""
    byte = _lower(np.int64(data[at]))
    for phrase in range(first[byte], first[byte + 1]):
        size = offsets[phrase + 1] - offsets[phrase]
        if at + size > end:
            continue
        equal = True
        for place in range(1, size):
            if _lower(np.int64(data[at + place])) != content[offsets[phrase] + place]:
                equal = False
                break
        if equal:
            return bits[phrase], size
    return np.int64(0), np.int64(0)


@numba.njit(cache=True, nogil=True)
def _hints(data, start, stop, first, offsets, content, bits):  # type: ignore[no-untyped-def]
    """What the words of an attribute's value hint at. Short words count only as whole beginnings."""
    found = np.int64(0)
    at = start
    while at < stop:
        if _is_letter(data[at]):
            before = np.int64(data[at - 1])
            begins = not _is_letter(before) or (before >= 97 and data[at] <= 90)
            hit, size = _matching(data, at, stop, first, offsets, content, bits)
            if hit and (begins or size >= 5):
                # "ad" is a word and not the beginning of "address"
                whole = at + size == stop or not 97 <= data[at + size] <= 122
                if size > 4 or whole or (size > 3 and begins):
                    found |= hit
                    at += size
                    continue
        at += 1
    return found


@numba.njit(cache=True, nogil=True)
def _find(data, at, end, text):  # type: ignore[no-untyped-def]
    """Where the lower-case `text` begins at or after `at`, or `end`."""
    size = len(text)
    while at + size <= end:
        if data[at] == text[0]:
            equal = True
            for place in range(1, size):
                if _lower(data[at + place]) != text[place]:
                    equal = False
                    break
            if equal:
                return at
        at += 1
    return end


@numba.njit(cache=True, nogil=True)
def _find_mark(data, at, end):  # type: ignore[no-untyped-def]
    """Where `</` is at or after `at`, or `end`."""
    while at + 1 < end:
        if data[at] == 60 and data[at + 1] == 47:
            return at
        at += 1
    return end


@numba.njit(cache=True, nogil=True)
def _same_name(data, one, other, end):  # type: ignore[no-untyped-def]
    """Whether the tag's name at `other` is the one at `one`."""
    while other < end and _is_letter(data[one]):
        if _lower(data[one]) != _lower(data[other]):
            return False
        one += 1
        other += 1
    return other < end and not _is_letter(data[other])


@numba.njit(cache=True, nogil=True)
def _number(codes, numbers, code):  # type: ignore[no-untyped-def]
    low, high = 0, len(codes)
    while low < high:
        middle = (low + high) >> 1
        if codes[middle] < code:
            low = middle + 1
        else:
            high = middle
    if low < len(codes) and codes[low] == code:
        return numbers[low]
    return np.int64(0)


@numba.njit(cache=True, nogil=True)
def _tag_end(data, at, end):  # type: ignore[no-untyped-def]
    """Behind the `>` of an end tag."""
    while at < end and data[at] != 62:
        at += 1
    return min(at + 1, end)


@numba.njit(cache=True, nogil=True)
def _attributes(data, at, end, first, offsets, content, bits):  # type: ignore[no-untyped-def]  # noqa: PLR0915 one grammar
    """(behind the `>`, hint bits, has href, self-closing) of a start tag from behind its name."""
    found = np.int64(0)
    linked = False
    closed = False
    while at < end:
        byte = data[at]
        if byte == 62:
            return at + 1, found, linked, closed
        if byte == 47 or _is_space(byte):
            closed = byte == 47 and at + 1 < end and data[at + 1] == 62
            at += 1
            continue
        name = at
        code = np.int64(0)
        while at < end and data[at] != 62 and data[at] != 47 and not _is_space(data[at]):
            if data[at] == 61 and at > name:
                break
            code = code * 31 + _lower(np.int64(data[at]))
            at += 1
        name_size = at - name
        value = at
        while value < end and _is_space(data[value]):
            value += 1
        stop = value
        if value < end and data[value] == 61:
            value += 1
            while value < end and _is_space(data[value]):
                value += 1
            if value < end and (data[value] == 34 or data[value] == 39):
                quote = data[value]
                value += 1
                stop = value
                while stop < end and data[stop] != quote:
                    stop += 1
                at = stop + 1
            else:
                stop = value
                while stop < end and data[stop] != 62 and not _is_space(data[stop]):
                    stop += 1
                at = stop
        letter = _lower(data[name])
        if (letter == 99 and name_size == 5) or (
            letter == 105 and (name_size == 2 or name_size == 8)
        ):
            found |= _hints(data, value, stop, first, offsets, content, bits)  # class, id, itemprop
        elif letter == 114 and name_size == 4:
            found |= _hints(data, value, stop, first, offsets, content, bits)  # role
        elif letter == 104:
            if name_size == 4:
                linked = True
            elif name_size == 6:
                found |= HIDDEN
        elif letter == 115 and name_size == 5:
            shown = _find(data, value, stop, b"display:none") == stop
            if not shown or _find(data, value, stop, b"display: none") < stop:
                found |= HIDDEN
        elif letter == 97 and name_size == 11 and stop - value == 4 and data[name + 10] == 110:
            found |= HIDDEN  # aria-hidden=true
    return end, found, linked, closed


@numba.njit(cache=True, nogil=True)
def html_blocks(  # type: ignore[no-untyped-def]  # noqa: PLR0915 calls are slower
    data,
    codes,
    numbers,
    kinds,
    first,
    offsets,
    content,
    bits,
    l_first,
    l_offsets,
    l_content,
    l_bits,
):
    end = len(data)
    n_marks = 2
    for at in range(end):
        n_marks += data[at] == 60
    nodes = np.zeros((n_marks, N_NODE), dtype=np.int64)
    blocks = np.zeros((n_marks, N_BLOCK), dtype=np.int64)
    pieces = np.zeros((2 * n_marks, 3), dtype=np.int64)
    stack = np.zeros((DEEPEST, 2), dtype=np.int64)  # tag, node (or -1 for inline)
    n_open = np.zeros(len(kinds), dtype=np.int64)
    unended = np.zeros(len(kinds), dtype=np.bool_)
    nodes[0, PARENT] = -1
    nodes[0, HASH] = 1469598103934665603
    nodes[0, FIRST] = 0
    n_nodes, n_blocks, n_pieces, depth = 1, 0, 0, 0
    node = 0
    in_link, bold, space = False, 0, True
    at = 0
    while at < end:
        if data[at] != 60 or at + 1 >= end:
            start = at
            at += 1
            while at < end and data[at] != 60:
                at += 1
            _text_at = start
        else:
            byte = data[at + 1]
            _text_at = -1
            if not (_is_letter(byte) or (byte == 47 or byte == 33 or byte == 63)):
                start = at
                at += 1
                while at < end and data[at] != 60:
                    at += 1
                _text_at = start
        if _text_at >= 0:
            if nodes[node, PATH] & DROPPED:
                continue
            # --- text
            row = blocks[n_blocks]
            before = n_pieces
            n_pieces += 1
            pieces[before, 0], pieces[before, 1], pieces[before, 2] = _text_at, at, 0
            for place in range(_text_at, at):
                byte = np.int64(data[place])
                if _is_space(byte):
                    space = True
                    continue
                if space:
                    if row[B_BYTES]:
                        row[B_BYTES] += 1
                        row[B_LINK_BYTES] += in_link
                    else:
                        row[B_BEGINS_LOWER] = 97 <= byte <= 122
                        row[B_LEXICON] = _matching(
                            data, place, at, l_first, l_offsets, l_content, l_bits
                        )[0]
                    row[B_WORDS] += 1
                    space = False
                row[B_BYTES] += 1
                row[B_LINK_BYTES] += in_link
                row[B_BOLD_BYTES] += bold > 0
                last = byte
                if byte < 0x80:
                    if byte == 46 or byte == 33 or byte == 63:
                        row[B_STOPS] += 1
                    elif byte == 44 or byte == 59:
                        row[B_COMMAS] += 1
                    elif 48 <= byte <= 57:
                        row[B_DIGITS] += 1
                    elif 65 <= byte <= 90:
                        row[B_UPPER] += 1
                elif byte == 0x82 and data[place - 1] == 0x80 and data[place - 2] == 0xE3:
                    row[B_STOPS] += 1  # 。
                    last = 46  # type: ignore[assignment]
                elif byte == 0x81 and data[place - 1] == 0x80 and data[place - 2] == 0xE3:
                    row[B_COMMAS] += 1  # 、
                elif data[place - 1] == 0xBC and data[place - 2] == 0xEF:
                    if byte == 129 or byte == 159:
                        row[B_STOPS] += 1  # ！？
                        last = 46  # type: ignore[assignment]
                    elif byte == 140 or byte == 155:
                        row[B_COMMAS] += 1  # ，；
                # quotes and brackets may follow the end of a sentence
                if last == 46 or last == 33 or last == 63:
                    row[B_ENDS] = 2
                elif last == 58:
                    row[B_ENDS] = 1
                elif ((last != 34 and last != 39 and last != 41) and last < 128) or (
                    last >= 128
                    and row[B_ENDS] == 2
                    and (last != 157 and last != 128 and last != 226 and last != 153)
                ):
                    row[B_ENDS] = 0
            continue
        # --- markup
        byte = data[at + 1]
        if byte == 33 or byte == 63:
            if at + 3 < end and data[at + 2] == 45 and data[at + 3] == 45:
                if at + 4 < end and data[at + 4] == 62:
                    at += 5
                else:
                    at = min(_find(data, at + 4, end, b"-->") + 3, end)
            else:
                at = _tag_end(data, at + 2, end)
            continue
        begin = at
        closing = byte == 47
        at += 1 + closing
        if closing and (at >= end or not _is_letter(data[at])):
            at = _tag_end(data, at, end)
            continue
        code = np.int64(7)
        hyphen = False
        while at < end and data[at] != 62 and data[at] != 47 and not _is_space(data[at]):
            hyphen |= data[at] == 45
            code = (code * 131 + _lower(np.int64(data[at]))) & 0x3FFFFFFFFFFFFFFF
            at += 1
        tag = _number(codes, numbers, code)
        inline = kinds[tag, 3] != 0 and not (tag == 0 and hyphen)
        hint, linked, self_closed = np.int64(0), False, False
        if closing:
            at = _tag_end(data, at, end)
        else:
            at, hint, linked, self_closed = _attributes(
                data, at, end, first, offsets, content, bits
            )
            if kinds[tag, 2] and not self_closed and not unended[tag]:
                # a name of at most 8 letters; what has no end is raw text to the end of the page
                stop = at
                while stop < end:
                    stop = _find_mark(data, stop, end)
                    if stop < end and _same_name(data, begin + 1, stop + 2, end):
                        break
                    stop = min(stop + 2, end)
                if stop < end or kinds[tag, 2] == 1:
                    at = _tag_end(data, stop, end)
                else:
                    unended[tag] = True
            if kinds[tag, 2]:
                continue
        if inline:
            if nodes[node, PATH] & DROPPED:
                continue
            if tag == _BR:
                previous = n_pieces - 1
                while previous >= blocks[n_blocks, B_FIRST] and pieces[previous, 2] == 0:
                    blank = True
                    for place in range(pieces[previous, 0], pieces[previous, 1]):
                        if not _is_space(data[place]):
                            blank = False
                            break
                    if not blank:
                        break
                    previous -= 1
                double = previous >= blocks[n_blocks, B_FIRST] and pieces[previous, 2] == _BR
                pieces[n_pieces, 0], pieces[n_pieces, 1], pieces[n_pieces, 2] = begin, at, _BR
                n_pieces += 1
                space = True
                blocks[n_blocks, B_BREAKS] += 1
                if not double:
                    continue
            else:
                blocks[n_blocks, B_NEAR] |= hint
                if tag == _A:
                    in_link = not closing and linked
                    blocks[n_blocks, B_LINKS] += in_link
                elif tag == _B or tag == _STRONG:
                    bold = 0 if closing else 1
                pieces[n_pieces, 0], pieces[n_pieces, 1] = begin, at
                pieces[n_pieces, 2] = -tag if closing else tag
                if tag:
                    n_pieces += 1
                continue
        # --- a boundary: what was read is a block if it has text
        row = blocks[n_blocks]
        if row[B_BYTES]:
            row[B_NODE] = node
            row[B_LAST] = n_pieces
            n_blocks += 1
        else:
            n_pieces = row[B_FIRST]
            row[:] = 0
        blocks[n_blocks, B_FIRST] = n_pieces
        space = True
        if tag == _BR:
            continue
        if closing:
            if (tag == _BODY or tag == _HTML) or not n_open[tag]:
                continue
            # find it among the open elements; cells and tables are walls to what is not a table's
            level = depth - 1
            lowest = max(0, depth - REACH)
            walled = not (_TABLE <= tag <= _TH)
            while level >= lowest and stack[level, 0] != tag:
                name = stack[level, 0]
                if walled and (name == _TD or name == _TH or name == _TABLE):
                    level = -1
                    break
                level -= 1
            if level >= lowest and level >= 0:
                while depth > level:
                    depth -= 1
                    n_open[stack[depth, 0]] -= 1
                    nodes[stack[depth, 1], STOP] = begin
                in_link, bold = False, 0
                node = stack[depth - 1, 1] if depth else 0
            continue
        # --- a start tag: what does it end?
        pops = depth
        if depth:
            top = stack[depth - 1, 0]
            if top == _HEAD:
                pops = depth - 1
            elif n_open[_P] and (tag != _BUTTON and tag != _OPTION) and not kinds[tag, 3]:
                level = depth - 1
                while level >= max(0, depth - REACH):
                    name = stack[level, 0]
                    if name == _P:
                        pops = level
                        break
                    if name == _TD or name == _TH or name == _TABLE or name == _BUTTON:
                        break
                    level -= 1
            if _H1 <= tag <= _H6 and pops and _H1 <= stack[pops - 1, 0] <= _H6:
                pops -= 1
            level = pops - 1
            lowest = max(0, pops - REACH)
            if tag == _LI and n_open[_LI]:
                while level >= lowest:
                    name = stack[level, 0]
                    if name == _LI:
                        pops = level
                    if name == _LI or name == _UL or name == _OL or name == _TD or name == _TABLE:
                        break
                    level -= 1
            elif (tag == _DT or tag == _DD) and n_open[_DT] + n_open[_DD]:
                while level >= lowest:
                    name = stack[level, 0]
                    if name == _DT or name == _DD:
                        pops = level
                    if name == _DT or name == _DD or name == _DL or name == _TD or name == _TABLE:
                        break
                    level -= 1
            elif tag == _TD or tag == _TH:
                while level >= lowest:
                    name = stack[level, 0]
                    if name == _TD or name == _TH:
                        pops = level
                    if name == _TD or name == _TH or name == _TR or name == _TABLE:
                        break
                    level -= 1
            elif tag == _TR:
                while level >= lowest:
                    name = stack[level, 0]
                    if name == _TR:
                        pops = level
                    if name == _TR or name == _TABLE:
                        break
                    level -= 1
            elif tag == _TBODY or tag == _THEAD or tag == _TFOOT:
                while level >= lowest:
                    name = stack[level, 0]
                    if name == _TBODY or name == _THEAD or name == _TFOOT or name == _CAPTION:
                        pops = level
                    if name == _TABLE:
                        break
                    level -= 1
            elif tag == _OPTION and top == _OPTION:
                pops = depth - 1
        if pops < depth:
            in_link, bold = False, 0
        while depth > pops:
            depth -= 1
            n_open[stack[depth, 0]] -= 1
            nodes[stack[depth, 1], STOP] = begin
        node = stack[depth - 1, 1] if depth else 0
        if kinds[tag, 1] or depth >= DEEPEST:
            continue
        if tag == _BODY or tag == _HTML:
            hint = 0  # type: ignore[assignment]  # "single post menu-open" says nothing of a part
            if n_open[tag]:
                continue
        near = kinds[tag, 0] | hint
        made = nodes[n_nodes]
        made[PARENT], made[NAME], made[NEAR] = node, tag, near
        made[PATH] = nodes[node, PATH] | near
        made[LEVEL] = nodes[node, LEVEL] + 1
        made[START] = begin
        made[STOP] = end
        made[HASH] = (nodes[node, HASH] ^ (tag * 64 + hint)) * 1099511628211
        made[FIRST] = n_blocks
        stack[depth, 0], stack[depth, 1] = tag, n_nodes
        n_open[tag] += 1
        depth += 1
        node = n_nodes
        n_nodes += 1
    row = blocks[n_blocks]
    if row[B_BYTES]:
        row[B_NODE] = node
        row[B_LAST] = n_pieces
        n_blocks += 1
    # --- sums of text, from the leaves up
    for block in range(n_blocks):
        row = blocks[block]
        made = nodes[row[B_NODE]]
        made[BYTES] += row[B_BYTES]
        made[LINK_BYTES] += row[B_LINK_BYTES]
        made[STOPS] += row[B_STOPS]
        made[N_BLOCKS] += 1
        made[LAST] = max(made[LAST], block + 1)
        if made[NAME] == _P:
            made[PARAGRAPH_BYTES] += row[B_BYTES] - row[B_LINK_BYTES]
    for place in range(n_nodes - 1, 0, -1):
        made = nodes[place]
        above = nodes[made[PARENT]]
        above[BYTES] += made[BYTES]
        above[LINK_BYTES] += made[LINK_BYTES]
        above[STOPS] += made[STOPS]
        above[N_BLOCKS] += made[N_BLOCKS]
        above[PARAGRAPH_BYTES] += made[PARAGRAPH_BYTES]
        above[LAST] = max(above[LAST], made[LAST])
    return nodes[:n_nodes].copy(), blocks[:n_blocks].copy(), pieces[:n_pieces].copy()
