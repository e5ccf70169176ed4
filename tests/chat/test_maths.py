"""Equal answers in other words are accepted, altered ones are not."""

from __future__ import annotations

import gzip
import json
import random
import time
from pathlib import Path

import pytest

from ultrachat.checks.maths import Unreadable, check, equal, final_answer, parse

SEED = random.SystemRandom().randrange(2**32)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"So \boxed{3} or rather \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        ("It is 5.\n#### 1,234", "1,234"),
        ("First 2 and 3. The answer is 42.", "42"),
        ("The final answer is: **7.5**.", "7.5"),
        ("所以答案是：15。", "15"),
        ("3 apples and 12 pears, 15 together", "15"),
        ("We get -3/4", "-3/4"),
        ("no numbers", None),
        (r"cut \boxed{3", "3"),
    ],
)
def test_final_answers(text: str, answer: str | None) -> None:
    assert final_answer(text) == answer


EQUAL = [
    ("1234", "1,234"),
    ("$1,234.00", "1234"),
    ("18 dollars", "18"),
    ("0.5", r"\frac12"),
    ("50%", "1/2"),
    (r"50\%", "0.5"),
    (r"\dfrac{3}{4}", "0.75"),
    (r"3\frac{1}{2}", "7/2"),
    (r"2\sqrt{2}", r"\sqrt{8}"),
    ("2*sqrt(2)", r"\sqrt 8"),
    (r"\frac{1}{\sqrt{2}}", r"\frac{\sqrt{2}}{2}"),
    ("x = 5", "5"),
    ("(x+1)^2", "x^2+2x+1"),
    (r"\sin^2 x + \cos^2 x", "1"),
    (r"\sin(2x)", r"2\sin x\cos x"),
    (r"\log_2 8", "3"),
    (r"\ln e^2", "2"),
    ("(1, 2)", r"\left(1, 2\right)"),
    (r"\{2, 1\}", r"\{1, 2\}"),
    ("1, 2", "2, 1"),
    (r"[0, \infty)", r"\left[0,\infty\right)"),
    (r"(-\infty, 0) \cup (1, 2]", r"(1,2] \cup (-\infty,0)"),
    (r"1 \pm \sqrt{3}", r"1-\sqrt3, 1+\sqrt3"),
    (r"90^\circ", "90"),
    (r"12\text{ cm}", "12"),
    ("12 厘米", "12"),
    ("y = 2x + 1", "2x + 1"),
    ("2x + 3y = 6", "6 = 3y + 2x"),
    ("x < 3", "3 > x"),
    ("5!", "120"),
    ("1.5e", r"\frac{3}{2} e"),
    (r"e^{i\pi}", "-1"),
    ("2^{10}", "1024"),
    ("−3", "-3"),
    ("(B)", "B"),
    (r"\frac{x^2-1}{x-1}", "x+1"),
    ("7.", "7"),
    (r"\sqrt[3]{27}", "3"),
    ("|−4|", "4"),
    ("xy", "y*x"),
    (r"a_1 + 2", r"2 + a_{1}"),
]
DIFFERENT = [
    ("1234", "1235"),
    ("0.33", "1/3"),
    ("3.14", r"\pi"),
    ("-5", "5"),
    ("5%", "5"),
    ("x+1", "x-1"),
    (r"\sqrt{x^2}", "x"),
    ("(1, 2)", "(2, 1)"),
    (r"\{1, 2\}", r"\{1, 3\}"),
    (r"\{1, 1\}", r"\{1, 2\}"),
    ("[0, 1)", "[0, 1]"),
    ("x < 3", "x > 3"),
    ("C", "B"),
    (r"\infty", "5"),
    (r"\infty", r"-\infty"),
    ("2x + 3y = 6", "2x + 3y = 7"),
    ("x", "5"),
    ("1, 2", "1, 2, 3"),
    (r"\sin x", r"\cos x"),
    ("10^{30}", "10^{30} + 1"),
    ("1", r"\frac{1000000001}{1000000000}"),
    ("12", "1,2"),
]


@pytest.mark.parametrize(("answer", "gold"), EQUAL)
def test_equal(answer: str, gold: str) -> None:
    assert equal(answer, gold) and equal(gold, answer)


@pytest.mark.parametrize(("answer", "gold"), DIFFERENT)
def test_different(answer: str, gold: str) -> None:
    assert not equal(answer, gold) and not equal(gold, answer)


def test_tolerance_is_for_numbers() -> None:
    assert equal("0.333", "1/3", tolerance=1e-2) and equal("3.1416", r"\pi", tolerance=1e-4)
    assert not equal("0.34", "1/3", tolerance=1e-2) and not equal("x+0.001", "x", tolerance=0.1)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('touch /tmp/x')",
        "9^9^9^9",
        "(10^6)!",
        "x^{1000000}",
        "((" * 100 + "1" + "))" * 100,
        "1/0",
        "x" * 500,
        "I do not know",
        "",
        "$$",
        "1 2 3",
        "2^{100000}",
        r"\foo{1}",
        "lambda: 1",
        "0^{-1}",
        r"\log 0",
    ],
)
def test_what_cannot_be_read_is_refused_quickly(text: str) -> None:
    started = time.monotonic()
    with pytest.raises(Unreadable):
        parse(text)
    assert time.monotonic() - started < 2
    assert not check(f"#### {text}", "5").ok


def test_verdicts_say_why() -> None:
    assert check("no idea", "5").reason == "no_answer"
    assert check("#### 6", "5").detail == "6 is not 5"
    assert check("#### a great many", "5").reason == "unreadable"
    assert check(r"Thus \boxed{5}.", "5").ok


# --- benches ------------------------------------------------------------------------------------


def dressed(rng: random.Random, number: str) -> str:
    """The same number, as people and models write it."""
    value = int(number)
    return rng.choice(
        [
            f"#### {value:,}",
            f"The answer is ${value}.",
            rf"Therefore \boxed{{{value}.0}}",
            rf"So we get $\boxed{{\frac{{{2 * value}}}{{2}}}}$",
            f"答案是：{value}。",
            f"The final answer is: {value} dollars.",
            rf"\boxed{{x = {value}}}",
        ]
    )


def altered(rng: random.Random, number: str) -> str:
    """Another number, near in value or in looks."""
    value = int(number)
    changes = [value + 1, value - 1, value * 10, -value, value + 100, value // 2, 2 * value]
    swapped = str(abs(value))[::-1].lstrip("0") or "0"
    return str(rng.choice([other for other in (*changes, int(swapped)) if other != value]))


def test_gsm8k_gold_against_altered_gold(shared_data: Path) -> None:
    rng = random.Random(SEED)
    with gzip.open(shared_data / "eval" / "gsm8k.jsonl.gz") as stream:
        rows = [json.loads(line) for line in stream]
    wrong = [
        (row["answer"], kind)
        for row in rows
        for kind in ("good", "bad", "bad in words")
        if (number := row["answer"].replace(",", "")) is not None
        and check(
            {
                "good": lambda n=number: dressed(rng, n),
                "bad": lambda n=number: dressed(rng, altered(rng, n)),
                "bad in words": lambda n=number, r=row: (
                    f"{r['chain_of_thought']}\nThe answer is {altered(rng, n)}"
                ),
            }[kind](),
            row["answer"],
        ).ok
        is not (kind == "good")
    ]
    assert not wrong, f"seed {SEED}: {wrong[:5]}"
    assert len(rows) > 600


def test_expressions_rewritten_and_perturbed() -> None:
    import sympy

    rng = random.Random(SEED)
    x, y = sympy.symbols("x y")
    for _ in range(60):
        leaves = [x, y, sympy.Integer(rng.randint(1, 9)), sympy.sqrt(rng.randint(2, 9)), sympy.pi]
        expression = rng.choice(leaves)
        for _ in range(rng.randint(2, 5)):
            leaf = rng.choice(leaves)
            grown = [
                expression + leaf,
                expression * leaf,
                expression - 2 * leaf,
                (expression + 1) ** 2,
            ]
            expression = rng.choice(grown)
        rewritten = rng.choice([sympy.expand, sympy.factor, sympy.together])(expression)
        perturbed = expression + rng.choice([1, x, sympy.Rational(1, 1000), -sympy.pi])
        for show in (sympy.latex, str):
            shown = show(expression)
            if len(shown) < 300 and len(show(rewritten)) < 300:
                assert equal(shown, show(rewritten)), f"seed {SEED}: {shown} | {show(rewritten)}"
                assert not equal(shown, show(perturbed)), f"seed {SEED}: {shown}"
