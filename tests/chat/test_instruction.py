"""From documents to requests whose constraints are kept; a scripted teacher takes the model's place."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from ultrachat.checks.constraints import KINDS, check_all
from ultrachat.checks.constraints import Instruction as Constraint
from ultrachat.dialogue import of_row, problem
from ultrachat.stages.instruction import Instruction
from ultraclean.document import KEY, PARENT, Batch, child_keys, keys_of
from ultraclean.llm import OpenTeacher, Request, Sample, Sampling, Teacher, responses_in
from ultraclean.llm.scripted import Scripted

TEXTS = [
    "The river rises in spring.",
    "春天河水上涨，岸边的柳树发芽了。",
    "",
    None,
    "A 😀 story.\r\nTwo lines.",
]
TEACHER = Teacher(engine="scripted", model="s", sampling=Sampling(max_tokens=100))


def batch_of(texts: list[str | None]) -> Batch:
    keys = keys_of("t", "p", np.arange(len(texts)))
    return Batch.of(
        **{KEY: keys, "text": pa.array(texts, pa.large_string()), "url": ["u"] * len(texts)}
    )


class Obedient:
    """Knows the constraints by asking the stage for them, and obeys all but every third sample."""

    def __init__(self, stage: Instruction, batch: Batch, good: bool = True) -> None:
        self.by_text = {
            task.listed: (page, task) for page in stage.pages(batch) for task in stage.tasks(page)
        }
        self.good = good

    def __call__(self, request: Request, number: int) -> str | Sample:
        said = request.messages[-1]["content"]
        found = next((both for text, both in self.by_text.items() if said.endswith(text)), None)
        if found is None:
            return "Write a letter to a friend."
        page, task = found
        (constraint,) = task.constraints
        params = {**constraint.params, "language": page.language}
        kind = KINDS[constraint.kind]
        make = kind.make if self.good and number == 2 else kind.spoil
        return make(random.Random(f"{page.seed} {task.number} {number}"), params)


def make(stage: Instruction, batch: Batch, script: Obedient) -> Batch:
    with OpenTeacher(Scripted(script), "s") as teacher:
        return stage.made(teacher, batch)


ONE = Instruction(teacher=TEACHER, n_requests=2, max_constraints=1, n_samples=4)


def test_only_strict_passes_are_kept() -> None:
    batch = batch_of(TEXTS)
    made = make(ONE, batch, Obedient(ONE, batch))
    assert made.num_rows == 10 and made["problem"].null_count == 10
    rows = made.data.to_pylist()
    for at, row in enumerate(rows):
        assert row[PARENT] == batch[KEY][at // 2].as_py() and row["url"] == "u"
        assert row["language"] == ("zh" if at // 2 == 1 else "en") and row["track"] == "instruction"
        dialogue = of_row(row["messages"], row["tools"])
        assert problem(dialogue) is None and dialogue.turns[0].content == row["prompt"]
        proof = json.loads(row["proof"])
        constraints = [
            Constraint(c.pop("kind"), c, row["language"]) for c in map(dict, proof["constraints"])
        ]
        assert all(v.ok for v in check_all(dialogue.turns[1].content, constraints))
        assert all(c.text in row["prompt"] for c in constraints)
        assert proof["checks"] == {"n_passed": 1, "n_samples": 4, "strict_pass": True}
        assert proof["document"] == row[PARENT].hex() and len(proof["prompts"]) == 2
        assert row["strict_pass_rate"] == 0.25
    assert made[KEY] == child_keys(made[PARENT], np.array([0, 1] * 5))
    assert len(set(made[KEY].to_pylist())) == 10


def test_what_fails_is_counted_with_its_reason() -> None:
    batch = batch_of(TEXTS)
    made = make(ONE, batch, Obedient(ONE, batch, good=False))
    errors = made["problem"].to_pylist()
    assert all(error.startswith("no_strict_pass: ") for error in errors)
    assert made["messages"].null_count == 10

    refusing = OpenTeacher(Scripted(lambda request, number: Sample(refusal="I cannot.")), "s")
    with refusing as teacher:
        made = ONE.made(teacher, batch)
    assert set(made["problem"].to_pylist()) == {"refused: I cannot."}


def test_splitting_a_batch_gives_the_same_rows() -> None:
    batch = batch_of(TEXTS * 3)
    whole = make(ONE, batch, Obedient(ONE, batch)).data
    for cut in (0, 1, 4, 7, 15):
        parts = [batch.slice(0, cut), batch.slice(cut, 15 - cut)]
        made = [make(ONE, part, Obedient(ONE, batch)).data for part in parts]
        joined = pa.Table.from_batches(made).combine_chunks().to_batches()
        assert pa.Table.from_batches(joined, whole.schema) == pa.Table.from_batches([whole])


def test_a_resumed_run_asks_nothing_again(tmp_path: Path) -> None:
    batch = batch_of(TEXTS)
    with responses_in(str(tmp_path)):
        first = make(ONE, batch, Obedient(ONE, batch))

        def never(request: Request, number: int) -> str:
            raise AssertionError("it is asked again")

        with OpenTeacher(Scripted(never), "s") as teacher:
            assert ONE.made(teacher, batch).data == first.data


def test_what_it_declares_is_what_it_makes() -> None:
    made = ONE.open()(batch_of(["x"]))
    for name, kind in ONE.adds().items():
        assert made[name].type == kind, name
    assert ONE.needs() == ("text",) and ONE.resources.model
    assert made["problem"].to_pylist() == ["empty: finish stop"] * 2


def test_a_field_that_is_wrong() -> None:
    with pytest.raises(ValueError, match="n_samples"):
        Instruction(teacher=TEACHER, n_samples=0)
