"""A teacher that answers by rule or from a recording: for tests, demonstrations and replays.

It goes through the same checks, cache and meter as a real one.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import re
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field

from ultraclean.llm.answers import checked
from ultraclean.llm.protocol import Request, Response, Sample, Usage

Script = Callable[[Request, int], "str | Sample | None"]
"""`script(request, sample_number)`: the answer, or None if it has none."""


class Rule(BaseModel):
    """Answers requests in which `pattern` is found; the first rule that fits is used."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pattern: str = Field(description="regular expression, searched in all messages (`.` = any)")
    answers: tuple[str, ...] = Field(
        min_length=1, description=r"the n-th sample gets the n-th answer; \1 is the first group"
    )
    finish: str = Field(default="stop", description="finish reason: stop, length, content_filter")


class Scripted:
    """The engine. Without a rule that fits, a request with a constraint gets an answer of its form."""

    def __init__(
        self,
        script: Script | None = None,
        *,
        rules: tuple[Rule, ...] = (),
        recording: Mapping[str, Response] | None = None,
        model: str = "scripted",
        delay_s: float = 0.0,
    ) -> None:
        self.model, self.delay_s = model, delay_s
        self._script, self._rules = script, rules
        self._recording = recording
        self.asked: list[Request] = []
        """Every request that reached the engine: what a test counts."""

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def ask(self, request: Request) -> Response:
        self.asked.append(request)
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if self._recording is not None:
            found = self._recording.get(request.key(self.model))
            if found is None:
                return Response(problem="not_recorded", detail="the recording lacks this request")
            return checked(found, request)
        samples = tuple(self._sample(request, number) for number in range(request.n))
        asked = sum(len(str(message.get("content"))) for message in request.messages) // 4
        said = sum(len(sample.text) // 4 + 1 for sample in samples)
        return checked(Response(samples, model=self.model, usage=Usage(asked, said)), request)

    def _sample(self, request: Request, number: int) -> Sample:
        if self._script is not None:
            answer = self._script(request, number)
            if answer is not None:
                return answer if isinstance(answer, Sample) else Sample(text=answer)
        whole = "\n".join(str(message.get("content") or "") for message in request.messages)
        for rule in self._rules:
            match = re.search(rule.pattern, whole, re.DOTALL)
            if match:
                template = rule.answers[number % len(rule.answers)]
                return Sample(text=_filled(template, match), finish=rule.finish)
        return Sample(text=_of_form(request, number))


def _filled(template: str, match: re.Match[str]) -> str:
    r"""`\1` replaced by the group; other backslashes stay, so that JSON can be written plainly."""
    groups = match.re.groups
    return re.sub(
        r"\\(\d)",
        lambda digit: match[int(digit[1])] or "" if int(digit[1]) <= groups else digit[0],
        template,
    )


def _of_form(request: Request, number: int) -> str:
    """Nonsense of the form that the constraint asks for; nothing for a regular expression."""
    constraint = request.constraint
    if constraint is None or constraint.regex is not None:
        return ""
    seed = hashlib.blake2b(f"{request.key('')}{number}".encode()).digest()
    rng = random.Random(seed)
    if constraint.choice is not None:
        return rng.choice(constraint.choice)
    return orjson.dumps(instance(constraint.json_schema or {}, rng)).decode()


def instance(schema: Mapping[str, Any], rng: random.Random) -> Any:
    """A value that fits a JSON schema without references; the plain keywords are understood."""
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return rng.choice(schema["enum"])
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return instance(rng.choice(schema[several]), rng)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        fields = schema.get("properties", {})
        wanted = schema.get("required", list(fields))
        return {name: instance(fields.get(name, {}), rng) for name in wanted}
    if kind == "array":
        least = schema.get("minItems", 1)
        count = rng.randint(least, max(least, schema.get("maxItems", least + 2)))
        return [instance(schema.get("items", {}), rng) for _ in range(count)]
    if kind == "integer":
        least = schema.get("minimum", 0)
        return rng.randint(least, schema.get("maximum", least + 10))
    if kind == "number":
        least = schema.get("minimum", 0)
        return round(rng.uniform(least, schema.get("maximum", least + 10)), 3)
    if kind in ("boolean", "null"):
        return rng.random() < 0.5 if kind == "boolean" else None
    words = rng.choices(("alpha", "beta", "gamma", "delta", "epsilon"), k=3)
    text = " ".join(words).ljust(schema.get("minLength", 0), ".")
    return text[: schema.get("maxLength", len(text))]
