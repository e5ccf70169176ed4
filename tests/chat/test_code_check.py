"""Solutions pass their tests, mutated ones do not, and no program talks its way out."""

from __future__ import annotations

import ast
import gzip
import json
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ultrachat import sandbox
from ultrachat.checks.code import code_in, fraction_passed, output_of, run_tests
from ultrachat.checks.translation import check_python, check_translation
from ultrachat.sandbox import Limits

SEED = random.SystemRandom().randrange(2**32)
no_sandbox = sandbox.available()
needs_sandbox = pytest.mark.skipif(no_sandbox is not None, reason=f"no sandbox: {no_sandbox}")
QUICK = Limits(time_s=8)


@needs_sandbox
@pytest.mark.parametrize(
    ("solution", "reason"),
    [
        ("def f(x): return x + 1", None),
        ("def f(x): return x", "failed"),
        ("def f(x) return x", "syntax"),
        ("x = 1", "failed"),
        ("def f(x):\n    while True: pass", "time"),
        ("import sys; sys.exit(0)", "exited"),
        ("import os; os._exit(0)", "exited"),
        ("def f(x):\n    import os; os._exit(0)", "exited"),
        ("import sys; print(sys.stdin.read()); sys.exit()", "exited"),
        ("def f(x):\n    print('x' * 10**7)\n    return x + 1", "output"),
        ("def check(c): pass\ndef f(x): return 0", "failed"),
        ("class Any:\n    def __eq__(self, o): return False\ndef f(x): return Any()", "failed"),
        ("def f(x):\n    raise SystemExit(0)", "exited"),
    ],
)
def test_programs(solution: str, reason: str | None) -> None:
    tests = "def check(candidate):\n    assert candidate(1) == 2\n    assert candidate(5) == 6\n"
    limits = Limits(time_s=1) if reason == "time" else QUICK
    assert run_tests(solution, tests, "f", limits).reason == reason


@needs_sandbox
def test_part_of_the_tests_and_outputs() -> None:
    tests = ["assert f(1) == 1", "assert f(2) == 4", "assert f(3) == 9", "1 / 0"]
    share, verdicts = fraction_passed("def f(x): return x * x", tests, QUICK)
    assert share == 0.75 and "ZeroDivisionError" in verdicts[3].detail
    assert output_of("print(sum(map(int, input().split())))", "1 2 3")[0] == "6\n"
    assert output_of("1 / 0")[1].reason == "failed"


def test_code_in_an_answer() -> None:
    answer = "First:\n```python\nx = 1\n```\nthen\n```py\ndef f():\n    return 2\n```\n"
    assert code_in(answer) == "def f():\n    return 2"
    assert code_in("x = 1") == "x = 1"


# --- HumanEval ----------------------------------------------------------------------------------


class Mutant(ast.NodeTransformer):
    """Changes the n-th thing that can be changed."""

    def __init__(self, wanted: int) -> None:
        self.wanted, self.seen = wanted, 0

    def mine(self) -> bool:
        self.seen += 1
        return self.seen - 1 == self.wanted

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        if self.mine():
            other = {
                ast.Lt: ast.GtE,
                ast.Gt: ast.LtE,
                ast.Eq: ast.NotEq,
                ast.LtE: ast.Gt,
                ast.In: ast.NotIn,
            }
            node.ops[0] = other.get(type(node.ops[0]), ast.Eq)()
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        if self.mine():
            node.op = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, int) and not isinstance(node.value, bool) and self.mine():
            return ast.Constant(node.value + 1)
        return node

    def visit_Return(self, node: ast.Return) -> ast.AST:
        self.generic_visit(node)
        return ast.Return(ast.Constant(None)) if self.mine() else node


def mutants(rng: random.Random, row: dict[str, Any], n: int) -> list[str]:
    source = row["prompt"] + row["canonical_solution"]
    counter = Mutant(-1)
    counter.visit(ast.parse(source))
    chosen = rng.sample(range(counter.seen), min(n, counter.seen))
    return [
        ast.unparse(ast.fix_missing_locations(Mutant(at).visit(ast.parse(source)))) for at in chosen
    ]


def truly_wrong(row: dict[str, Any], program: str) -> bool:
    """Whether the program differs from the known outputs: judged without the checker's tests."""
    probe = f"""{program}
def differs(found, known):
    try:
        return abs(float(str(found)) - float(known)) > 1e-6
    except ValueError:
        return str(found) != known
wrong = 0
for given, known in zip({row["test_inputs"]!r}, {row["test_outputs"]!r}):
    try:
        wrong += differs({row["entry_point"]}(*eval(given)), known)
    except BaseException:
        wrong += 1
print("WRONG", wrong)
"""
    return not output_of(probe, limits=QUICK)[0].endswith("WRONG 0\n")


@needs_sandbox
def test_human_eval_solutions_against_mutated_ones(shared_data: Path) -> None:
    rng = random.Random(SEED)
    with gzip.open(shared_data / "eval" / "human_eval.jsonl.gz") as stream:
        rows = [json.loads(line) for line in stream]

    def judge(job: tuple[dict[str, Any], str, bool]) -> tuple[bool, bool, bool, str]:
        row, program, good = job
        passed = run_tests(program, row["test"], row["entry_point"], QUICK).ok
        return good, passed, passed and not good and truly_wrong(row, program), program

    jobs = [(row, row["prompt"] + row["canonical_solution"], True) for row in rows]
    # HumanEval/32 looks for a root, and any root is right.
    some = rng.sample([row for row in rows if row["task_id"] != "HumanEval/32"], 40)
    jobs += [(row, program, False) for row in some for program in mutants(rng, row, 2)]
    with ThreadPoolExecutor(4) as pool:
        judged = list(pool.map(judge, jobs))
    assert all(passed for good, passed, _, _ in judged if good)
    missed = [program for _, _, miss, program in judged if miss]
    assert not missed, f"seed {SEED}: {missed[0]}"
    n_caught = sum(not good and not passed for good, passed, _, _ in judged)
    assert n_caught > 40, "most mutants differ"


# --- syntax trees -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def f(a, b): return a", None),
        ("def f(a, b=1, *c): return a", None),
        ("def f(*a): return a", None),
        ("def g(a, b): return a", "lacks_function"),
        ("def f(a): return a", "parameters"),
        ("def f(a, b, c): return a", "parameters"),
        ("def f(a, b, *, c): return a", "parameters"),
        ("def f(a, b) return a", "syntax"),
        ("import numpy as np\ndef f(a, b): return a", "imports"),
        ("import os.path, json\nfrom collections import abc\ndef f(a, b): return a", None),
        ("def f(a, b): return input()", "interactive"),
        ("x\x00", "syntax"),
    ],
)
def test_python(source: str, reason: str | None) -> None:
    assert check_python(source, {"f": 2}).reason == reason


PROGRAMS = {
    "java": "class A {\n  // it's {\n  static int add(int a, int b) throws Exception {\n    String s = \"}\";\n    char c = '{';\n    return a + b;\n  }\n}",
    "cpp": '#include <vector>\n/* ( */\nstd::vector<int> add(const int& a, int b) {\n  auto s = "(";\n  return {a, b};\n}',
    "rust": "pub fn add<'a, T>(a: &'a T, b: T) -> T {\n    let c = '}';\n    println!(\"{}\", \"{\");\n    a\n}",
    "go": 'package main\nfunc add(a int, b int) int {\n\ts := `{"`\n\t_ = s\n\treturn a + b\n}',
    "javascript": "const add = (a, b) => { const s = `${a} }`; return a + b; };",
}


@pytest.mark.parametrize("language", PROGRAMS)
def test_translations(language: str) -> None:
    rng = random.Random(SEED)
    source = PROGRAMS[language]
    assert check_translation(source, language, ("add",)).ok
    assert check_translation(source, language, ("subtract",)).reason == "lacks_function"
    assert (
        check_translation("def add(a, b):\n    return a + b", language).reason == "wrong_language"
    )
    assert check_translation("", language).reason == "empty"
    ends = [rng.randrange(source.index("{") + 1, source.rindex("}") + 1) for _ in range(40)]
    missed = [cut for cut in ends if check_translation(source[:cut], language, ("add",)).ok]
    # It is no compiler: a cut after the quote of '}' or before trailing braces may look whole.
    assert len(missed) <= 6, f"seed {SEED}: {[source[:cut] for cut in missed]}"


def test_a_language_without_a_shape() -> None:
    with pytest.raises(ValueError, match="no shape of 'cobol'"):
        check_translation("x", "cobol")
    assert check_translation("def f(): pass", "python", ("f",)).ok
