"""refine.program: what each call does, what is passed over, and which programs are refused."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ultraclean.document import Batch
from ultraclean.stage import Decision
from ultraclean.stages.refine.program import Program
from ultraclean.text import edits

TEXT = "Menu | Home\nThe cat sat on teh mat.\nThe cat slept.\nShare this page"


def run(text: str | None, program: str | None, **fields: Any) -> Decision:
    batch = Batch.of(text=pa.array([text], pa.string()), program=pa.array([program], pa.string()))
    return Program(**fields).open()(batch)


def after(text: str | None, program: str | None, **fields: Any) -> Any:
    return run(text, program, **fields).columns["text"][0].as_py()


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("keep_all()", TEXT),
        ("", TEXT),
        (None, TEXT),
        ("not a call\nremove_lines(x, 2)", TEXT),
        ("remove_lines(1, 1)\nremove_lines(4,4)", "The cat sat on teh mat.\nThe cat slept."),
        ("remove_lines(9, 12)", TEXT),
        ("remove_lines(3, 2)", TEXT),
        ("replace_str(2, 'teh', 'the')", TEXT.replace("teh", "the")),
        ('replace_str(2, "on teh", "on the")', TEXT.replace("teh", "the")),
        # not unique in the line: "at" stands in cat, sat and mat
        ("replace_str(2, 'at', 'og')", TEXT),
        ("replace_str(9, 'a', 'b')", TEXT),
        ("replace_str(2, '', 'b')", TEXT),
        # two in one line, and two that change the same word: the longer one wins
        ("replace_str(2, 'cat', 'dog')\nreplace_str(2, 'teh', 'the')", TEXT.replace("teh", "the").replace("cat sat", "dog sat")),
        ("replace_str(2, 'cat', 'dog')\nreplace_str(2, 'cat sat', 'cow sat')", TEXT.replace("cat sat", "cow sat")),
        ("add_line(1, 1, 'Title')", TEXT.replace("Home\n", "Home\nTitle\n")),
        ("add_line(0, 2, 'b')\nadd_line(0, 1, 'a')", "a\nb\n" + TEXT),
        ("add_line(4, 1, 'End\\n')", TEXT + "\nEnd"),
        ("add_line(2, 0, 'never')\nadd_line(77, 1, 'never')", TEXT),
        ("remove_lines(2, 3)\nadd_line(2, 1, 'x')", "Menu | Home\nx\nShare this page"),
        ("add_line(2, 1, 'x')\nremove_lines(2, 3)", "Menu | Home\nShare this page"),
        ("<think>remove_lines(1, 4)\n</think>\nremove_lines(1,1)\n# why\n---", TEXT[12:]),
        # only alone do these two mean anything
        ("keep_all()\nremove_lines(1, 1)", TEXT[12:]),
        ("remove_all()\nremove_lines(1, 1)", TEXT[12:]),
    ],
)  # fmt: skip
def test_what_calls_do(program: str | None, expected: str) -> None:
    assert after(TEXT, program) == expected


def test_strings_and_their_escapes() -> None:
    assert after("it's \\d 中文 😀", r"""replace_str(1, 'it\'s', "it\"s")""") == 'it"s \\d 中文 😀'
    assert after("it's \\d 中文 😀", r"replace_str(1, '\\d 中文', '\d\t😀,')") == "it's \\d\t😀, 😀"
    assert after("a", r"replace_str(1, 'a', 'unclosed)") == "a"
    assert after("a, b", "replace_str(1, ', ', ' (and), ')") == "a (and), b"


def test_lines_are_those_that_the_model_saw() -> None:
    text = "one\u2028still one\r\ntwo\rthree\x0cstill three\n\n\nsix"
    assert edits.numbered(text).count("<lid:") == 6
    assert after(text, "remove_lines(2, 2)") == "one\u2028still one\nthree\x0cstill three\nsix"
    kept = after(text, "remove_lines(2, 2)", drop_blank_lines=False)
    assert kept == "one\u2028still one\nthree\x0cstill three\n\n\nsix"
    assert after(text, "keep_all()") == text


def test_documents_that_go() -> None:
    decision = run(TEXT, "remove_all()")
    assert [decision.reasons[code] for code in decision.code] == ["remove_all"]
    decision = run(TEXT, "remove_lines(1, 4)")
    assert [decision.reasons[code] for code in decision.code] == ["nothing_left"]
    assert run(None, "remove_all()").keep.all()
    assert run(" \n", "remove_lines(1, 9)").keep.all()
    assert after(None, "remove_lines(1, 9)") is None


LOOPS = [
    "add_line(1, 1, 'x')\n" * 3,
    "".join(f"add_line({n}, 1, 'the same')\n" for n in range(4)),
    "remove_lines(1, 1)\n" * 4,
    "replace_str(1, 'zz', 'y')\n" * 31,
    "".join(f"add_line({n}, 1, 'nearly the same line {n}')\n" for n in range(4)),
]


@pytest.mark.parametrize("program", LOOPS)
def test_a_program_that_repeats_itself_is_refused(program: str) -> None:
    decision = run(TEXT, program)
    assert decision.numbers["refused"].tolist() == [1]
    assert decision.columns["text"][0].as_py() == TEXT
    shorter = "\n".join(program.strip().split("\n")[:-1])
    assert run(TEXT, shorter).numbers["refused"].tolist() == [0]


def test_many_equal_replacements_of_what_is_really_there_pass() -> None:
    text = "\n".join("buy now: item" for _ in range(40))
    program = "\n".join(f"replace_str({n}, 'buy now: ', '')" for n in range(1, 41))
    assert after(text, program) == "\n".join(["item"] * 40)


@pytest.mark.parametrize(
    ("limit", "passes", "refused"),
    [
        ({"max_edits": 2}, "remove_lines(1, 1)\n" * 2, "remove_lines(1, 1)\n" * 3),
        ({"max_adds": 1}, "add_line(1, 1, 'x')", "add_line(1, 1, 'x')\nadd_line(1, 2, 'yyyy')"),
        ({"max_replace_chars": 3}, "replace_str(2, 'teh', 'the')", "replace_str(2, 'teh', 'they')"),
        ({"max_add_chars": 2}, "add_line(1, 1, 'xx')", "add_line(1, 1, 'xxx')"),
        ({"max_removed_fraction": 0.3}, "remove_lines(1, 1)", "remove_lines(1, 3)"),
    ],
)
def test_limits(limit: dict[str, Any], passes: str, refused: str) -> None:
    assert after(TEXT, passes, **limit) != TEXT
    decision = run(TEXT, refused, **limit)
    assert decision.numbers["refused"].tolist() == [1]
    assert decision.columns["text"][0].as_py() == TEXT


def test_numbers() -> None:
    numbers = run(TEXT, "remove_lines(1, 1)\nwhat?\nreplace_str(2, 'at', 'x')").numbers
    told = {name: values[0] for name, values in numbers.items()}
    assert (told["n_edits"], told["n_applied"], told["n_wrong"]) == (2, 1, 1)
    assert told["removed_fraction"] == pytest.approx(12 / len(TEXT))


CALLS = st.one_of(
    st.sampled_from(["keep_all()", "remove_all()", "# no", "junk("]),
    st.builds("remove_lines({}, {})".format, st.integers(0, 9), st.integers(0, 9)),
    st.builds("replace_str({}, {!r}, {!r})".format, st.integers(0, 6), st.text("ab中\n'\"\\", max_size=3), st.text("ab中", max_size=3)),
    st.builds("add_line({}, {}, {!r})".format, st.integers(0, 9), st.integers(0, 3), st.text("ab", max_size=4)),
)  # fmt: skip


@given(
    rows=st.lists(
        st.tuples(st.text("ab中 \n\r\u2028", max_size=30), st.lists(CALLS, max_size=8)), max_size=8
    ),
    cut=st.integers(0, 8),
)
def test_nothing_raises_and_splitting_changes_nothing(
    rows: list[tuple[str, list[str]]], cut: int
) -> None:
    batch = Batch.of(
        text=pa.array([text for text, _ in rows], pa.large_string()),
        program=pa.array(["\n".join(calls) for _, calls in rows], pa.string()),
    )
    judge = Program().open()
    whole = judge(batch)
    parts = [judge(batch.slice(0, cut)), judge(batch.slice(min(cut, len(rows)), len(rows)))]
    assert np.concatenate([part.code for part in parts]).tolist() == whole.code.tolist()
    found = [text for part in parts for text in part.columns["text"].to_pylist()]
    assert found == whole.columns["text"].to_pylist()


def test_on_real_text(shared_data: Path) -> None:
    """Removing each line but the first, and removing none, of real documents."""
    (file,) = (shared_data / "text").glob("zh_d2l*.gz")
    with gzip.open(file, "rt") as stream:
        texts = [json.loads(line)["text"] for line, _ in zip(stream, range(40), strict=False)]
    for text in texts:
        first = edits.lines_of(text)[0]
        n_lines = len(edits.lines_of(text))
        if n_lines > 1 and first.strip():
            assert after(text, f"remove_lines(2, {n_lines})") == first
