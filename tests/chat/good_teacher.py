"""A teacher that answers every prompt of every track well, as far as code can: a `behave` of the fake server.

What it says depends on the request and on what it said before of the same document, as a model's
answers do; a second process that asks the same gets the same.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from typing import Any

from fake_server import choices

from ultrachat.prompts import names, prompt
from ultraclean.llm.scripted import instance

WORDS = (
    *("river", "mountain", "garden", "winter", "harvest", "bridge", "music", "letter", "market"),
    *("engine", "forest", "island", "window", "teacher", "ocean", "village", "copper", "silver"),
    *("morning", "evening", "thunder", "pepper", "castle", "orchard"),
)
TRANSLATED = {
    "Java": "class A {{ static int {0}(int n) {{ return n * {1}; }} }}",
    "C++": "int {0}(int n) {{ return n * {1}; }}",
    "Rust": "fn {0}(n: i64) -> i64 {{ n * {1} }}",
}
# One of these keeps most of the constraints that code can draw.
ANSWERS = (
    "the seasons turn slowly and people watch the sky for rain while children play near the water",
    "THE SEASONS TURN SLOWLY AND PEOPLE WATCH THE SKY FOR RAIN WHILE CHILDREN PLAY NEAR THE WATER",
    "<<Seasons>>\n\n* the first *point* of [name]\n\n* the *second* of [place]\n\n* the *third* of [day]\n\n"
    "P.S. Is there anything else I can help with?",
    '"The seasons turn slowly, and people watch the sky for rain."',
)


# Prompts of which the shipped pipeline uses another in their place.
NOT_ASKED = {"math_from_document", "tools_more", "instruction_reverse"}


class GoodTeacher:
    """`teacher(body, number)` gives status and completion; `asked` holds all bodies."""

    def __init__(self) -> None:
        self.systems: dict[str, list[str]] = {}
        for name in sorted({*names()} - NOT_ASKED):
            shipped = prompt(name, "en")
            self.systems.setdefault(shipped.system, []).append(name)
        self.golds: dict[str, str] = {}
        self.calls: dict[str, list[dict[str, Any]]] = {}

    def __call__(self, body: dict[str, Any], number: int) -> tuple[int, Any]:
        system, said = (message["content"] for message in body["messages"])
        name = self.name_of(system, said)
        seed = hashlib.blake2b(said.encode()).digest()
        told = [self.say(name, said, random.Random(seed), at) for at in range(body.get("n", 1))]
        texts = [one if isinstance(one, str) else json.dumps(one) for one in told]
        return 200, choices(
            [
                {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
                for text in texts
            ]
        )

    def name_of(self, system: str, said: str) -> str:
        fitting = [
            name
            for name in self.systems[system]
            if said.startswith(prompt(name, "en").user.split("{{", maxsplit=1)[0][:40])
        ]
        (name,) = fitting
        return name

    def say(self, name: str, said: str, rng: random.Random, sample: int) -> str | dict[str, Any]:
        some = rng.sample(WORDS, 6)
        document = said.split(">\n", 1)[-1]
        match name:
            case "instruction_task":
                return f"Write a short text about the {some[0]} and the {some[1]}."
            case "instruction_answer":
                return ANSWERS[sample % len(ANSWERS)]
            case "knowledge_points":
                return {"points": [f"The {some[0]} needs the {some[1]} because of the {some[2]}."]}
            case "knowledge_question":
                found = re.search(r"The (\w+) needs the (\w+) because of the (\w+)\.", said)
                assert found is not None
                return {"questions": [f"Why does the {found[1]} need the {found[2]}, {found[3]}?"]}
            case "answer":
                found = re.search(r"Why does the (\w+) need the (\w+), (\w+)\?", said)
                assert found is not None
                return f"The {found[1]} needs the {found[2]} because of the {found[3]}, said {' and '.join(some)}."
            case "math_problem":
                a, b = rng.randint(2, 99), rng.randint(2, 99)
                return {
                    "problems": [
                        {"problem": f"Anna has {a} {some[0]}s and finds {b} more. How many are there?", "answer": str(a + b)}
                    ]
                }  # fmt: skip
            case "math_solution" | "math_reflect":
                a, b = map(int, re.findall(r"has (\d+) .* finds (\d+)", said)[0])
                right = name == "math_reflect" or sample < 3
                return f"First there are {a}, then {b} come, which makes \\boxed{{{a + b + (not right)}}}."
            case "code_problem":
                k, function = rng.randint(2, 999), f"times_{some[0]}"
                tests = [f"assert {function}({n}) == {n * k}" for n in (2, 0, -3)]
                return {
                    "task": f"Write {function}(n), which gives {k} times n.",
                    "function": function,
                    "solution": f"def {function}(n):\n    return n * {k}",
                    "tests": tests,
                }
            case _ if name.startswith("code_"):
                return self.code(name, said)
            case "long_question":
                begins = document.find(" ") + 1
                gold = " ".join(document[begins:].split()[20:23])
                question = f"What stands in the section on {some[0]} and {some[1]} of {some[2]}?"
                self.golds[question] = gold
                return {"questions": [{"question": question, "answer": gold}]}
            case "long_without":
                return "I have never read of that anywhere."
            case "long_answer":
                return next(gold for question, gold in self.golds.items() if question in said)
            case "tools_query":
                tool = json.loads(next(x for x in said.split("\n") if x.startswith('{"name"')))
                arguments = instance(tool["parameters"] or {"type": "object"}, rng)
                calls = [{"name": tool["name"], "arguments": arguments}]
                request = f"Please look for the {some[0]} near the {some[1]} and the {some[2]}."
                self.calls[request] = calls
                return {"request": request, "calls": calls}
            case "tools_call":
                calls = next(calls for request, calls in self.calls.items() if request in said)
                return {"thought": f"The tool {calls[0]['name']} can tell.", "calls": calls}
            case "tools_result":
                return {"status": "ok", "result": "It is there."}
            case "tools_answer":
                return "It is there, as far as can be told from here."
            case "interpreter_task":
                return (
                    f"How many characters are in the file, and how many times is {some[0]} in it?"
                )
            case "interpreter_step":
                if "\ntool: " in said:
                    return {"thought": "The output says it.", "answer": "The numbers are printed."}
                return {"thought": "I count.", "code": "print(len(open('document.txt').read()))"}
            case "survey_question":
                return f"How do the {some[0]} and the {some[1]} depend on one another?"
            case "survey_plan":
                sections = [{"title": "What is known", "content": "An overview.", "keys": ["1"]}]
                return {"title": f"On {some[0]}", "sections": sections}
            case "survey_section":
                return f"Much is known of the {some[0]} and the {some[1]}, and most of it stands in one place [1]."
        raise AssertionError(f"no answer to {name}")

    def code(self, name: str, said: str) -> str:
        function, factor = re.findall(r"def (\w+)\(n\):\n    return n [*] (\d+)", said)[:1][0] if (
            "def " in said and name != "code_diagnosis"
        ) else re.findall(r"Write (\w+)\(n\), which gives (\d+) times", said)[0]  # fmt: skip
        if name == "code_output":
            printed = [int(n) * int(factor) for n in re.findall(r"print\(\w+\((-?\d+)\)\)", said)]
            return "It multiplies.\n```\n" + "\n".join(map(str, printed)) + "\n```"
        if name == "code_translate":
            shape = next(shape for target, shape in TRANSLATED.items() if f"to {target}." in said)
            return f"```\n{shape.format(function, factor)}\n```"
        body = f"{factor} * n" if name == "code_rewrite" else f"n * {factor}"
        return f"It multiplies.\n```python\ndef {function}(n):\n    return {body}\n```"
