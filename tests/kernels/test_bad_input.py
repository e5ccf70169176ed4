"""The hot loops on what nobody wrote to be read: no crash, the same for neighbours, no quadratic time.

Sizes are compared at sixteen times the input: linear is 16 times the work, quadratic 256; the limit
between them leaves room for a busy machine, and the best of three counts.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from ultrakernels import minhash, rewrite
from ultrakernels.run_digests import run_digests

from ultraclean.document import Batch
from ultraclean.stages.filter.c4 import C4
from ultraclean.stages.filter.fineweb import Fineweb
from ultraclean.stages.filter.gopher_quality import GopherQuality
from ultraclean.stages.filter.gopher_repetition import GopherRepetition
from ultraclean.stages.fix.unicode import Unicode
from ultraclean.stages.score.language import Language
from ultraclean.text.buffers import utf8
from ultraclean.text.words import whitespace_words

Loop = Callable[[pa.Array], Any]
A, B = minhash.parameters(1, 16)

SHAPES: dict[str, Callable[[int], str]] = {
    "one run": lambda n: "x" * n,
    "spaces": lambda n: " " * n,
    "line feeds": lambda n: "\n" * n,
    "one punctuation mark": lambda n: "." * n,
    "punctuation": lambda n: "?!(-[{;,&#" * (n // 10),
    "one word": lambda n: "word " * (n // 5),
    "one line": lambda n: "a short line of it.\n" * (n // 20),
    "every plane": lambda n: "".join(chr(p << 16 | 0x100 + i % 0x400) for i in range(n // 64) for p in range(17) if p != 13),
    "marks": lambda n: "e" + "\u0301" * (n // 2),
    "one ideograph": lambda n: "你" * (n // 3),
    "quotes": lambda n: "\u201c" * (n // 3),
    "brackets": lambda n: "(" * (n // 2) + ")" * (n // 2),
}  # fmt: skip


def stage(one: Any) -> Loop:
    opened = one.open()
    return lambda column: opened(Batch.of(text=column))


def verdicts(decision: Any) -> list[Any]:
    return [decision.reasons[code] if code >= 0 else None for code in decision.code]


@pytest.fixture(scope="module")
def loops() -> dict[str, Loop]:
    filters = [GopherQuality(), GopherRepetition(), C4(), Fineweb()]
    judges = {one.stage: stage(one) for one in filters}
    language, unicode = stage(Language()), stage(Unicode())
    return {
        "minhash": lambda column: minhash.signatures(column, 5, A, B)[0].tolist(),
        "words": lambda column: whitespace_words(column).counts.tolist(),
        "fix.unicode": lambda column: unicode(column)["text"].to_pylist(),
        "score.language": lambda column: language(column).data.drop_columns("text").to_pylist(),
        **{name: lambda c, judge=judge: verdicts(judge(c)) for name, judge in judges.items()},
    }


LOOPS = ("minhash", "words", "fix.unicode", "score.language", "filter.gopher_quality",
         "filter.gopher_repetition", "filter.c4", "filter.fineweb")  # fmt: skip


@pytest.mark.parametrize("name", LOOPS)
def test_time_grows_with_the_text_and_not_with_its_square(
    name: str, loops: dict[str, Loop]
) -> None:
    assert set(LOOPS) == set(loops)
    loop, slow = loops[name], {}
    for shape, make in SHAPES.items():
        small, large = (pa.array([make(n)], pa.large_string()) for n in (2**14, 2**18))
        loop(small)
        times = least(loop, large) / max(least(loop, small), 1e-4)
        if times > 100:
            slow[shape] = times
    assert not slow


def least(loop: Loop, column: pa.Array) -> float:
    spent = []
    for _ in range(3):
        begun = time.process_time()
        loop(column)
        spent.append(time.process_time() - begun)
    return min(spent)


@pytest.mark.parametrize("name", LOOPS)
def test_a_bad_text_changes_nothing_for_its_neighbours(name: str, loops: dict[str, Loop]) -> None:
    """In one batch, in batches of one, sliced, beside nulls, and in every type of string."""
    loop = loops[name]
    good = "A plain sentence stands here. It has a second one, too.\n" * 4
    texts = [good, None, "", *(make(2000) for make in SHAPES.values()), "x", "\U0010ffff", good]
    column = pa.array(texts, pa.string())
    expected = [loop(column.slice(row, 1))[0] for row in range(len(column))]
    assert loop(column) == expected
    assert loop(column.slice(3, 5)) == expected[3:8]
    for kind in (pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())):
        assert loop(column.cast(kind)) == expected, kind
    assert loop(column)[0] == loop(column)[-1]


@pytest.mark.parametrize("name", LOOPS)
def test_bytes_that_are_no_utf8_crash_nothing(name: str, loops: dict[str, Loop]) -> None:
    """Arrow does not check its strings: whatever is in them, the texts beside are as they were.

    A loop may refuse such a column, with an error that says so.
    """
    good = "A plain sentence stands here. It has a second one, too.\n" * 4
    expected = loops[name](pa.array([good]))[0]
    chance = random.Random(7)
    starts = [b"\xf0", b"\xe4\xbd", b"\xff", b"\xed\xa0\x80", b"\xc0\x80", b"\x80" * 9]
    for bad in [*starts, *(chance.randbytes(chance.randrange(1, 400)) for _ in range(40))]:
        content = [good.encode(), bad, good.encode(), bad]
        offsets = np.cumsum([0, *map(len, content)]).astype(np.int32)
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(content))]
        column = pa.Array.from_buffers(pa.string(), 4, buffers)
        try:
            found = loops[name](column)
        except (UnicodeDecodeError, pa.ArrowInvalid):
            continue
        assert (found[0], found[2]) == (expected, expected), bad


def test_signatures_of_bad_texts_are_those_of_the_reference() -> None:
    column = pa.array([make(300) for make in SHAPES.values()])
    for mine, theirs in zip(
        minhash.signatures(column, 3, A, B), minhash.reference(column, 3, A, B), strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("n_bytes", [20_000_000, pytest.param(200_000_000, marks=pytest.mark.slow)])
def test_a_text_without_a_space(n_bytes: int, loops: dict[str, Loop]) -> None:
    column = pa.array(["x" * n_bytes, "and a neighbour"], pa.large_string())
    assert loops["words"](column) == [1, 3]
    assert len(loops["minhash"](column)) == 2
    assert loops["filter.gopher_quality"](column) == ["too_few_words"] * 2
    assert loops["filter.gopher_repetition"](column) == [None, "top_2gram"]
    assert loops["filter.c4"](column)[0] is not None
    assert loops["filter.fineweb"](column)[0] is not None
    assert len(loops["score.language"](column)) == 2
    assert loops["fix.unicode"](column)[1] == "and a neighbour"


def test_a_token_of_a_megabyte_is_hashed_and_a_number_of_one_is_one_zero() -> None:
    xxhash = pytest.importorskip("xxhash")
    word = b"x" * 2**20
    data = np.frombuffer(word + b"ab", dtype=np.uint8)
    begin, end = np.array([0, 2**20, 2**20 + 1]), np.array([2**20, 2**20 + 1, 2**20 + 2])
    found, _ = run_digests(data, (np.array([0, 3]), begin, end), 3, sha1=False)
    assert found.tolist() == [xxhash.xxh64_intdigest(word + b" a b")]
    kinds = np.zeros(0x110000, dtype=np.uint8)
    kinds[48:58] = rewrite.DIGIT
    text = utf8(pa.array(["1" * 2**20]))
    out, _, _ = rewrite.rewrite(text.data, text.offsets, rewrite.Table.of(kinds, {}))
    assert out.tobytes() == b"0"
