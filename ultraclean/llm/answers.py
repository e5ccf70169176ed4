"""From a server's reply to samples, and what is wrong with a sample given what was asked."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Mapping
from typing import Any

import orjson

from ultraclean.llm.protocol import Constraint, Request, Response, Sample, Usage


class BadReply(ValueError):
    """A reply of status 200 that is no chat completion."""


def parse_reply(body: bytes, request: Request) -> Response:
    """A chat completion as a response; BadReply if it is cut short or of another form."""
    try:
        reply = orjson.loads(body)
        samples = [_sample(choice) for choice in reply["choices"]]
        usage = reply.get("usage") or {}
        counted = Usage(
            int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)
        )
        model = str(reply.get("model") or "")
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadReply(f"{type(error).__name__}: {error}: {body[:200]!r}") from error
    return checked(Response(tuple(samples), model=model, usage=counted), request)


def _sample(choice: Mapping[str, Any]) -> Sample:
    message = choice.get("message") or {}
    content = message.get("content")
    if isinstance(content, list):  # parts, as some servers send them
        content = "".join(part.get("text", "") for part in content)
    calls = [
        {"id": call.get("id") or "", **_function(call["function"])}
        for call in message.get("tool_calls") or []
    ]
    return Sample(
        text=content or "",
        finish=choice.get("finish_reason") or "stop",
        reasoning=message.get("reasoning_content") or message.get("reasoning") or "",
        tool_calls=tuple(calls),
        refusal=message.get("refusal") or "",
        logprobs=tuple(
            _token(token) for token in (choice.get("logprobs") or {}).get("content") or []
        ),
    )


def _function(function: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": function.get("name") or "", "arguments": function.get("arguments") or ""}


def _token(token: Mapping[str, Any]) -> dict[str, Any]:
    top = [[other["token"], other["logprob"]] for other in token.get("top_logprobs") or []]
    return {"token": token["token"], "logprob": token["logprob"], "top": top}


# --- is it what was asked? ----------------------------------------------------------------------


def checked(response: Response, request: Request) -> Response:
    """The response with each sample judged, and samples that did not come as `missing`."""
    if response.problem is not None:
        return response
    samples = [check(sample, request) for sample in response.samples[: request.n]]
    if len(samples) == request.n and all(
        new is old for new, old in zip(samples, response.samples, strict=False)
    ):
        return response  # the usual case, and a copy of a frozen value is not cheap
    samples += [Sample(problem="missing")] * (request.n - len(samples))
    bad = [sample for sample in samples if sample.problem]
    whole = bad[0] if len(bad) == len(samples) else Sample()
    return dataclasses.replace(
        response, samples=tuple(samples), problem=whole.problem, detail=whole.detail
    )


def check(sample: Sample, request: Request) -> Sample:
    """The sample with its `problem`, `detail` and `value` set."""
    if sample.refusal or sample.finish == "content_filter":
        return _bad(sample, "refused", sample.refusal or "the server's content filter")
    if sample.tool_calls:
        return _check_calls(sample, request)
    if not sample.text.strip():
        return _bad(sample, "whitespace" if sample.text else "empty", f"finish {sample.finish}")
    if sample.finish == "length":
        # A model under a grammar that allows white space can print nothing else until the end.
        endless = len(sample.text) - len(sample.text.rstrip()) > 100
        return _bad(sample, "whitespace" if endless else "cut", "reached max_tokens")
    if request.constraint is None:
        return sample
    return _check_form(sample, request.constraint)


def _check_form(sample: Sample, constraint: Constraint) -> Sample:
    if constraint.choice is not None:
        answer = sample.text.strip()
        if answer not in constraint.choice:
            return _bad(sample, "not_a_choice", answer[:100])
        return dataclasses.replace(sample, problem=None, value=answer)
    if constraint.regex is not None:
        found = re.fullmatch(constraint.regex, sample.text) is not None
        return sample if found else _bad(sample, "no_match", sample.text[:100])
    try:
        value = orjson.loads(sample.text)
    except orjson.JSONDecodeError as error:
        return _bad(sample, "malformed_json", str(error))
    schema = orjson.dumps(constraint.json_schema, option=orjson.OPT_SORT_KEYS)
    wrong = next(iter(_validator(schema).iter_errors(value)), None)
    if wrong is not None:
        where = "/".join(map(str, wrong.absolute_path))
        return _bad(sample, "schema", f"{where or 'root'}: {wrong.message[:200]}")
    return dataclasses.replace(sample, problem=None, value=value)


def _check_calls(sample: Sample, request: Request) -> Sample:
    known = {(tool.get("function") or tool).get("name") for tool in request.tools}
    for call in sample.tool_calls:
        if call["name"] not in known:
            return _bad(sample, "unknown_tool", str(call["name"]))
        try:
            arguments = orjson.loads(call["arguments"] or "{}")
        except orjson.JSONDecodeError as error:
            return _bad(sample, "malformed_call", f"{call['name']}: {error}")
        if not isinstance(arguments, dict):
            return _bad(sample, "malformed_call", f"{call['name']}: arguments are no object")
    return sample


def _bad(sample: Sample, problem: str, detail: str) -> Sample:
    return dataclasses.replace(sample, problem=problem, detail=detail)


@functools.lru_cache(maxsize=256)
def _validator(schema: bytes) -> Any:
    import jsonschema  # type: ignore[import-untyped]

    parsed = orjson.loads(schema)
    return jsonschema.validators.validator_for(parsed, jsonschema.Draft202012Validator)(parsed)
