"""A teacher as a frozen value: the field `teacher:` of the stages that ask a model."""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import os
import threading
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ultraclean import storage
from ultraclean.llm.minicpm import MiniCPM, unknown
from ultraclean.llm.protocol import Sampling, TeacherError
from ultraclean.llm.scripted import Rule, Scripted
from ultraclean.stage import Placement, Resources

if TYPE_CHECKING:
    from ultraclean.llm.teacher import Engine, OpenTeacher


_OPEN: dict[str, OpenTeacher] = {}
_OPENING = threading.Lock()


def _close_all() -> None:
    """At the end of the process: connections are said good-bye to, and a remote cache is put whole."""
    for teacher in _OPEN.values():
        with contextlib.suppress(Exception):
            teacher.close()


class Teacher(BaseModel):
    """Which model answers, through which engine. Where it runs is no part of a fingerprint."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    engine: Annotated[Literal["openai", "vllm", "minicpm", "scripted"], Placement()] = Field(
        default="openai",
        description="openai asks a server, vllm starts one, minicpm is our own inference in this process, "
        "scripted answers by rule",
    )
    model: str = Field(
        description="name of the model, as the server knows it; minicpm: the folder of a checkpoint"
    )
    sampling: Sampling = Field(default=Sampling(), description="how it decodes")
    extra_body: dict[str, Any] = Field(
        default_factory=dict, description="further fields of each request, as the server has them"
    )
    rules: tuple[Rule, ...] = Field(default=(), description="scripted: what it answers")
    recording: str | None = Field(
        default=None, description="scripted: a folder of kept responses to answer from"
    )

    base_url: Annotated[str, Placement()] = Field(
        default="http://localhost:8000/v1", description="openai: address of the server, with /v1"
    )
    api_key_env: Annotated[str | None, Placement()] = Field(
        default=None, description="openai: the variable that holds the key"
    )
    dialect: Annotated[Literal["vllm", "sglang", "openai"], Placement()] = Field(
        default="vllm", description="openai: how the server is told of choices and patterns"
    )
    replicas: Annotated[int, Placement()] = Field(
        default=1,
        ge=1,
        description="vllm: servers per worker; with gpus: 0, of all workers of a node",
    )
    tensor_parallel: Annotated[int, Placement()] = Field(
        default=1, ge=1, description="vllm: GPUs per server"
    )
    gpus: Annotated[float | None, Placement()] = Field(
        default=None,
        ge=0,
        description="vllm: GPUs per worker; None is servers x GPUs, 0 is a CPU; minicpm: None is a CPU",
    )
    options: Annotated[dict[str, Any], Placement()] = Field(
        default_factory=dict,
        description="vllm: further options of the server, `max_model_len: 8192`",
    )
    env: Annotated[dict[str, str], Placement()] = Field(
        default_factory=dict, description="vllm: environment variables of the server"
    )
    linger_s: Annotated[float | None, Placement()] = Field(
        default=None,
        ge=0,
        description="vllm: so long servers wait for the next table when the last worker has gone; "
        "none: two minutes, and with GPUs, which others may need, not at all",
    )
    python: Annotated[str | None, Placement()] = Field(
        default=None, description="vllm: the Python that has vLLM, if it is not this one"
    )
    max_concurrency: Annotated[int, Placement()] = Field(
        default=1024, ge=1, description="requests at once at most; the number adapts below it"
    )
    timeout_s: Annotated[float, Placement()] = Field(
        default=600.0, gt=0, description="wait so long for one answer"
    )
    retries: Annotated[int, Placement()] = Field(
        default=5, ge=0, description="further tries of a request that failed"
    )
    patience_s: Annotated[float, Placement()] = Field(
        default=600.0, gt=0, description="end the run when the server is silent for so long"
    )
    input_price: Annotated[float, Placement()] = Field(
        default=0.0, ge=0, description="price of a million prompt tokens"
    )
    output_price: Annotated[float, Placement()] = Field(
        default=0.0, ge=0, description="price of a million answer tokens"
    )
    max_cost: Annotated[float | None, Placement()] = Field(
        default=None,
        gt=0,
        description="end the run when its kept answers have cost so much; what is under way still comes",
    )

    @model_validator(mode="after")
    def _fits(self) -> Teacher:
        if self.engine != "scripted" and (self.rules or self.recording):
            raise ValueError("rules and recording belong to engine: scripted")
        if self.engine == "openai" and not self.base_url.startswith(("http://", "https://")):
            raise ValueError(f"base_url is {self.base_url!r}: it begins with http:// or https://")
        if self.engine == "minicpm" and (lacking := unknown(self.sampling)):
            raise ValueError(f"engine: minicpm has no {', '.join(lacking)}")
        if self.max_cost is not None and not (self.input_price or self.output_price):
            raise ValueError("max_cost needs input_price and output_price")
        return self

    @property
    def resources(self) -> Resources:
        """What a worker with this teacher needs."""
        if self.engine == "minicpm":
            return Resources(cpus=1.0, gpus=self.gpus or 0.0, model=True)
        gpus = float(self.replicas * self.tensor_parallel) if self.gpus is None else self.gpus
        return Resources(cpus=1.0, gpus=gpus if self.engine == "vllm" else 0.0, model=True)

    def open(self) -> OpenTeacher:
        """The teacher, ready to be asked. vLLM servers start at the first request that is not kept."""
        from ultraclean.llm.teacher import OpenTeacher

        return OpenTeacher(
            self._engine(),
            self._kept_as(),
            prices=(self.input_price, self.output_price),
            max_cost=self.max_cost,
        )

    def shared(self) -> OpenTeacher:
        """The open teacher of this process for these settings: stages share one server, one budget."""
        key = self.model_dump_json(exclude={"sampling"})
        with _OPENING:
            if key not in _OPEN:
                if not _OPEN:
                    atexit.register(_close_all)
                _OPEN[key] = self.open()
            return _OPEN[key]

    def _kept_as(self) -> str:
        """The name under which responses are kept: other rules are another model."""
        if not self.rules:
            return self.model
        rules = "\0".join(rule.model_dump_json() for rule in self.rules)
        return f"{self.model}#{hashlib.blake2b(rules.encode(), digest_size=6).hexdigest()}"

    def _engine(self) -> Engine:
        if self.engine == "scripted":
            return Scripted(rules=self.rules, recording=self._recorded(), model=self.model)
        if self.engine == "minicpm":
            return MiniCPM(storage.expand(self.model), places=min(32, self.max_concurrency))
        client: dict[str, Any] = {
            "extra": self.extra_body,
            "max_concurrency": self.max_concurrency,
            "timeout_s": self.timeout_s,
            "retries": self.retries,
            "patience_s": self.patience_s,
        }
        if self.engine == "openai":
            from ultraclean.llm.openai import OpenAI

            return OpenAI(
                self.base_url, self.model, key=self._key(), dialect=self.dialect, **client
            )
        from ultraclean.llm.vllm import Vllm

        if self.python is not None:
            client["command"] = (
                storage.expand(self.python),
                "-m",
                "vllm.entrypoints.openai.api_server",
            )
        return Vllm(
            storage.expand(self.model),
            replicas=self.replicas,
            tensor_parallel=self.tensor_parallel,
            options=self.options,
            env=self.env,
            linger_s=self._linger_s(),
            **client,
        )

    def _linger_s(self) -> float:
        if self.linger_s is not None:
            return self.linger_s
        return 0.0 if self.resources.gpus else 120.0

    def _key(self) -> str | None:
        if self.api_key_env is None:
            return None
        key = os.environ.get(self.api_key_env)
        if not key:
            raise TeacherError(f"api_key_env: the variable {self.api_key_env} is not set")
        return key

    def _recorded(self) -> Any:
        if self.recording is None:
            return None
        from ultraclean.llm.cache import recorded

        return recorded(self.recording)
