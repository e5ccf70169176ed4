"""Any server that speaks OpenAI's chat completions: vLLM, SGLang, a vendor.

Failures that pass (connection refused, 429, 5xx, a reply cut short) are retried with back-off and
jitter; failures of the request (too long, malformed) are responses with a problem; failures of the
set-up (wrong model, wrong key, a server that stays away) end the run with a message.
"""

from __future__ import annotations

import asyncio
import dataclasses
import random
import re
import time
from typing import Any, Final

import orjson

from ultraclean.llm.answers import BadReply, parse_reply
from ultraclean.llm.http import Http, HttpError, Reply
from ultraclean.llm.limit import Limit
from ultraclean.llm.protocol import Constraint, Request, Response, TeacherError

_TOO_LONG: Final = re.compile(
    r"context.{0,20}(length|window|exceed)|maximum.{0,20}(context|tokens)|too many tokens|"
    r"prompt is too long|max_model_len|longer than the maximum",
    re.IGNORECASE,
)


class Later(Exception):
    """The same request may succeed later."""

    def __init__(self, problem: str, detail: str, wait_s: float = 0.0) -> None:
        self.problem, self.detail, self.wait_s = problem, detail, wait_s
        super().__init__(detail)


class OpenAI:
    """Asks one server; `dialect` is how it is told of choices and regular expressions."""

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        key: str | None = None,
        dialect: str = "vllm",
        extra: dict[str, Any] | None = None,
        max_concurrency: int = 1024,
        timeout_s: float = 600.0,
        retries: int = 5,
        patience_s: float = 600.0,
    ) -> None:
        self.base_url, self.model, self.dialect = base_url, model, dialect
        self.limit = Limit(maximum=max_concurrency)
        self.extra = extra or {}
        self.timeout_s, self.retries, self.patience_s = timeout_s, retries, patience_s
        self._http = Http(base_url)
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._heard = time.monotonic()
        self._closed_until = 0.0

    async def start(self) -> None:
        """Looks whether the model is there; servers without a list of models are believed."""
        self._heard = time.monotonic()
        pause = 0.2
        while True:
            try:
                reply = await self._http.request(
                    "GET", "/models", headers=self._headers, timeout_s=30
                )
                break
            except (HttpError, TimeoutError) as error:
                self._check_patience(str(error))
                await asyncio.sleep(pause)
                pause = min(pause * 2, 10.0)
        self._heard = time.monotonic()
        if reply.status in (401, 403):
            raise self._refused(reply)
        names = _model_names(reply)
        if names and self.model not in names:
            raise TeacherError(
                f"the server at {self.base_url} has no model {self.model!r}; "
                f"it serves: {', '.join(names[:10])}"
            )

    async def ask(self, request: Request) -> Response:
        """One request, with its retries."""
        body = orjson.dumps(self._body(request), default=dict)
        began = time.monotonic()
        if self.limit.active == 0:
            self._heard = began  # the time in which nothing was asked is no silence
        failures = 0
        attempts = 0
        while True:
            attempts += 1
            try:
                response = await self._attempt(request, body)
                break
            except Later as later:
                waits = later.problem in ("unreachable", "busy")
                if waits:
                    self._check_patience(later.detail)
                else:
                    failures += 1
                if failures > self.retries:
                    response = Response(problem=later.problem, detail=later.detail)
                    break
                pause = min(0.2 * 2 ** min(attempts, 8), 20.0) * random.uniform(0.5, 1.0)
                await asyncio.sleep(max(later.wait_s, pause))
        return Response(
            response.samples,
            response.problem,
            response.detail,
            response.model,
            response.usage,
            attempts,
            time.monotonic() - began,
        )

    async def _attempt(self, request: Request, body: bytes) -> Response:
        await self.limit.acquire()
        try:
            while (wait := self._closed_until - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            reply = await self._http.request(
                "POST", "/chat/completions", body, self._headers, self.timeout_s
            )
        except TimeoutError as error:
            self.limit.pressed()
            raise Later("timeout", f"no answer in {self.timeout_s:g} s") from error
        except HttpError as error:
            self.limit.failed()
            # A server that dies at a request is retried a few times, one that is away for longer.
            problem = "server_error" if error.sent else "unreachable"
            raise Later(problem, str(error)) from error
        except BaseException:
            self.limit.failed()
            raise
        if reply.status not in (429, 503):
            self._heard = time.monotonic()
        return self._received(request, reply)

    def _received(self, request: Request, reply: Reply) -> Response:
        if reply.status == 200:
            try:
                response = parse_reply(reply.body, request)
            except BadReply as error:
                self.limit.failed()
                raise Later("bad_reply", str(error)) from error
            usage = response.usage
            self.limit.done(usage.completion_tokens + 0.1 * usage.prompt_tokens or 1.0)
            return self._unwrapped(request, response)
        detail = f"{reply.status}: {_message(reply)}"
        if reply.status in (429, 503):
            self.limit.pressed()
            wait = _retry_after(reply)
            self._closed_until = max(self._closed_until, time.monotonic() + wait)
            raise Later("busy", detail, wait)
        if reply.status == 408 or reply.status >= 500:
            self.limit.failed()
            raise Later("server_error", detail)
        self.limit.failed()
        if reply.status in (401, 403):
            raise self._refused(reply)
        if reply.status == 404:
            raise TeacherError(
                f"the server at {self.base_url} does not know the model {self.model!r}, "
                f"or is no OpenAI-compatible server: {detail}"
            )
        too_long = _TOO_LONG.search(detail) is not None or reply.status == 413
        return Response(problem="context_too_long" if too_long else "bad_request", detail=detail)

    def _check_patience(self, detail: str) -> None:
        away = time.monotonic() - self._heard
        if away > self.patience_s:
            raise TeacherError(
                f"the server at {self.base_url} has given no answer for {away:.0f} s ({detail}); "
                "start it and run again: answers that came are kept"
            )

    def _refused(self, reply: Reply) -> TeacherError:
        return TeacherError(
            f"the server at {self.base_url} refuses the key ({reply.status}: {_message(reply)}); "
            "name the variable that holds it with api_key_env"
        )

    # --- what is sent ---------------------------------------------------------------------------

    def _body(self, request: Request) -> dict[str, Any]:
        sampling = request.sampling.model_dump(exclude_none=True)
        body: dict[str, Any] = {"model": self.model, "messages": request.messages, **sampling}
        if not sampling["stop"]:
            del body["stop"]
        if request.n != 1:
            body["n"] = request.n
        if request.logprobs is not None:
            body["logprobs"] = True
            if request.logprobs:
                body["top_logprobs"] = request.logprobs
        if request.tools:
            body["tools"] = [_tool(tool) for tool in request.tools]
            if request.tool_choice:
                body["tool_choice"] = request.tool_choice
        if request.constraint is not None:
            body |= _constrained(request.constraint, self.dialect)
        return body | self.extra

    def _unwrapped(self, request: Request, response: Response) -> Response:
        """Undoes the envelope in which a choice is sent to servers that only know schemas."""
        choice = request.constraint is not None and request.constraint.choice
        if not choice or self.dialect != "openai":
            return response
        from ultraclean.llm.answers import checked

        samples = []
        for sample in response.samples:
            try:
                text = str(orjson.loads(sample.text)["answer"])
            except (orjson.JSONDecodeError, KeyError, TypeError):
                text = sample.text
            samples.append(dataclasses.replace(sample, text=text, problem=None, detail=""))
        bare = dataclasses.replace(response, samples=tuple(samples), problem=None, detail="")
        return checked(bare, request)

    async def close(self) -> None:
        await self._http.close()


def _tool(tool: Any) -> dict[str, Any]:
    return dict(tool) if "function" in tool else {"type": "function", "function": dict(tool)}


def _constrained(constraint: Constraint, dialect: str) -> dict[str, Any]:
    if constraint.json_schema is not None:
        schema = constraint.json_schema
    elif dialect == "vllm":
        name = "choice" if constraint.choice is not None else "regex"
        value: Any = constraint.regex if constraint.choice is None else list(constraint.choice)
        return {"structured_outputs": {name: value}}
    elif dialect == "sglang":
        choices = "|".join(map(re.escape, constraint.choice or ()))
        return {"regex": constraint.regex or f"({choices})"}
    elif constraint.choice is None:
        return {}  # the prompt must ask for it; the answer is checked all the same
    else:
        answer = {"type": "string", "enum": list(constraint.choice)}
        schema = {
            "type": "object",
            "properties": {"answer": answer},
            "required": ["answer"],
            "additionalProperties": False,
        }
    named = {"name": "answer", "schema": schema, "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": named}}


# --- what came ----------------------------------------------------------------------------------


def _message(reply: Reply) -> str:
    """The message of an error reply, in any of the usual forms."""
    try:
        content = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        return reply.body[:300].decode("utf-8", "replace")
    for name in ("error", "message", "detail"):
        if isinstance(content, dict) and name in content:
            content = content[name]
    return str(content)[:300]


def _model_names(reply: Reply) -> list[str]:
    if reply.status != 200:
        return []
    try:
        listed = orjson.loads(reply.body)
        return [str(model["id"]) for model in listed["data"]]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return []


def _retry_after(reply: Reply) -> float:
    try:
        return min(float(reply.headers.get("retry-after", "0")), 120.0)
    except ValueError:
        return 5.0  # a date: those servers mean seconds, too
