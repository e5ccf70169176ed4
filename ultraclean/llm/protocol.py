"""What is asked of a teacher and what comes back, the same for every engine."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field

from ultraclean.errors import StageError

Message = Mapping[str, Any]
"""`{"role": "user", "content": "..."}`, and what else the chat-completions format has."""


class TeacherError(StageError):
    """No request can succeed: a wrong model name or key, a server that stays away. Ends the run."""


class Sampling(BaseModel):
    """How the teacher decodes. What is None is left to the server."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    temperature: float = Field(default=0.7, ge=0, description="0 is greedy")
    top_p: float | None = Field(default=None, gt=0, le=1, description="nucleus sampling")
    top_k: int | None = Field(default=None, ge=1, description="sample among so many tokens")
    min_p: float | None = Field(default=None, ge=0, le=1, description="relative cut of the tail")
    max_tokens: int = Field(default=1024, ge=1, description="length of an answer at most")
    stop: tuple[str, ...] = Field(default=(), description="strings that end an answer")
    presence_penalty: float | None = Field(default=None, description="penalty for any repetition")
    frequency_penalty: float | None = Field(default=None, description="penalty per repetition")
    repetition_penalty: float | None = Field(default=None, gt=0, description="vLLM's factor")
    seed: int | None = Field(default=None, description="seed of the server's sampling")


@dataclass(frozen=True, slots=True)
class Constraint:
    """What form the answer must have: at most one of the three."""

    json_schema: Mapping[str, Any] | None = None
    choice: tuple[str, ...] | None = None
    regex: str | None = None

    def __post_init__(self) -> None:
        given = [self.json_schema, self.choice, self.regex]
        if sum(one is not None for one in given) != 1:
            raise ValueError("a constraint is one of json_schema, choice and regex")


@dataclass(frozen=True, slots=True)
class Request:
    """One question to the teacher."""

    messages: tuple[Message, ...]
    sampling: Sampling = field(default_factory=Sampling)
    constraint: Constraint | None = None
    tools: tuple[Mapping[str, Any], ...] = ()
    tool_choice: str | None = None
    n: int = 1
    logprobs: int | None = None
    """So many alternatives per token; 0 gives the chosen tokens alone, None gives none."""

    @classmethod
    def of(cls, prompt: str | Sequence[Message], *, system: str | None = None, **more: Any) -> Self:
        """A request from the text of one user turn, or from messages."""
        turns = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
        head = [{"role": "system", "content": system}] if system is not None else []
        return cls(messages=(*head, *turns), **more)

    def key(self, model: str) -> str:
        """32 hex digits that name this question to this model: equal if and only if all is equal."""
        constraint = self.constraint
        content = {
            "model": model,
            "messages": self.messages,
            "sampling": self.sampling.model_dump(exclude_none=True),
            "constraint": constraint
            and [constraint.json_schema, constraint.choice, constraint.regex],
            "tools": self.tools,
            "tool_choice": self.tool_choice,
            "n": self.n,
            "logprobs": self.logprobs,
        }
        raw = orjson.dumps(content, option=orjson.OPT_SORT_KEYS, default=dict)
        return hashlib.blake2b(raw, digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class Sample:
    """One answer. `problem` says what is wrong with it; `value` is its parsed JSON, or its choice.

    Problems: empty, whitespace, cut, refused, malformed_json, schema, not_a_choice, no_match,
    malformed_call, unknown_tool, missing.
    """

    text: str = ""
    finish: str = "stop"
    reasoning: str = ""
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    refusal: str = ""
    logprobs: tuple[Mapping[str, Any], ...] = ()
    """Per token `{"token": str, "logprob": float, "top": [[token, logprob], ...]}`."""
    problem: str | None = None
    detail: str = ""
    value: Any = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the server counted them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Response:
    """What came back for one request.

    `problem` is of the request as a whole: timeout, server_error, bad_reply, bad_request,
    context_too_long, or, when the request went well but no sample is good, the first sample's.
    """

    samples: tuple[Sample, ...] = ()
    problem: str | None = None
    detail: str = ""
    model: str = ""
    usage: Usage = Usage()
    attempts: int = 1
    seconds: float = 0.0
    cached: bool = False

    @property
    def good(self) -> list[Sample]:
        """The samples without a problem."""
        return [sample for sample in self.samples if sample.problem is None]

    @property
    def text(self) -> str | None:
        """The text of the first good sample."""
        good = self.good
        return good[0].text if good else None

    @property
    def value(self) -> Any:
        """The parsed value of the first good sample."""
        good = self.good
        return good[0].value if good else None
