"""Tasks whose tests are run; what is made of them is checked by running it, too."""

from __future__ import annotations

import random
from typing import Any

import pytest
from played import TEACHER, TEXTS, batch_of, check_rows, make, reasons, refuse

from ultrachat.checks.mutate import mutants
from ultrachat.sandbox import available
from ultrachat.stages.code import Code, Problem, printing
from ultraclean.llm import Request

pytestmark = pytest.mark.skipif(available() is not None, reason="no sandbox here")
GOOD = "def double(n):\n    return n * 2"
TESTS = ["assert double(2) == 4", "assert double(0) == 0", "assert double(-3) == -6"]
STAGE = Code(teacher=TEACHER, n_samples=2)
ANSWERS = {
    "code_solution": f"Multiply by two.\n```python\n{GOOD}\n```",
    "code_output": "It doubles.\n```\n4\n0\n-6\n```",
    "code_diagnosis": f"The operator is wrong.\n```python\n{GOOD}\n```",
    "code_rewrite": "```python\ndef double(n):\n    return n + n\n```",
}
TRANSLATED = {
    "Java": "class A { static int double(int n) { return n * 2; } }",
    "C++": "int double(int n) { return n * 2; }",
    "Rust": "fn double(n: i64) -> i64 { n * 2 }",
}


def teacher(**changed: Any) -> Any:
    problem = {
        "task": "Write double(n), twice n.",
        "function": "double",
        "solution": GOOD,
        "tests": TESTS,
    }

    def script(prompt: str, request: Request, number: int) -> Any:
        if prompt in changed:
            return changed[prompt]
        if prompt == "code_problem":
            return problem
        if prompt == "code_translate":
            said = request.messages[-1]["content"]
            code = next(code for name, code in TRANSLATED.items() if f"to {name}." in said)
            return f"```\n{code}\n```"
        return ANSWERS[prompt] if number == 1 else "I am not sure."

    return script


def test_every_form_with_its_proof() -> None:
    batch = batch_of(TEXTS[:1])
    made, _ = make(STAGE, batch, teacher())
    good = check_rows(STAGE, batch, made)
    assert [row["proof"]["form"] for row in good] == list(STAGE.forms), reasons(made)
    for row in good[:4]:
        assert row["proof"]["checks"] == {"n_passed": 1, "n_samples": 2, "ran": True}
    assert "print(double(2))" in good[1]["prompt"]
    assert "```python\n" + GOOD not in good[2]["prompt"]  # the faulty one is shown


def test_each_check_has_its_reason() -> None:
    def problem(**fields: Any) -> dict[str, Any]:
        told = {
            "task": "Write double(n), twice n.",
            "function": "double",
            "solution": GOOD,
            "tests": TESTS,
        }
        return {**told, **fields}

    cases = {
        "syntax": problem(solution="def double(n: return"),
        "lacks_function": problem(function="triple"),
        "imports": problem(solution="import numpy\n" + GOOD),
        "tests_failed": problem(tests=[*TESTS, "assert double(1) == 3"]),
        "tests_prove_nothing": problem(tests=["double(1)", "double(2)", "double(3)"]),
    }
    for reason, value in cases.items():
        made, _ = make(STAGE, batch_of(TEXTS[:1]), teacher(code_problem=value))
        assert reasons(made) == [reason]
    wrong = {
        "code_solution": ("task", "```python\ndef double(n):\n    return n\n```", "failed"),
        "code_output": ("output", "```\n5\n```", "wrong_output"),
        "code_rewrite": ("rewrite", f"```python\n{GOOD}\n```", "not_rewritten"),
        "code_translate": ("translation", f"```\n{GOOD}\n```", "lacks_function"),
    }
    for prompt, (form, said, reason) in wrong.items():
        stage = STAGE.model_copy(update={"forms": (form,)})
        made, _ = make(stage, batch_of(TEXTS[:1]), teacher(**{prompt: said}))
        assert reasons(made)[0] in (reason, "wrong_language"), (prompt, reasons(made))
    assert reasons(make(STAGE, batch_of(TEXTS[:1]), refuse)[0]) == ["refused"]


def test_programs_that_print_what_tests_compare() -> None:
    problem = Problem(
        "t", "f", "def f(x): return x", ("assert f(1) == 1", "f(2)", "no python (", "assert f(3)")
    )
    assert printing(problem) == "def f(x): return x\n\nprint(f(1))"
    assert printing(Problem("t", "f", "", ("f(1)",))) is None


def test_mutants_differ_in_one_place() -> None:
    source = "def f(a, b):\n    if a < b and a + 1 > 0:\n        return True\n    return a % 2 == 0"
    made = mutants(source, random.Random(3), 20)
    assert len(set(made)) == len(made) >= 7 and source not in made
    for one in made:
        compile(one, "m", "exec")
    assert mutants("def (", random.Random(0)) == [] and mutants("x", random.Random(0)) == []
