"""The client against servers that are slow, failing, full or lying."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from ultraclean.llm import Constraint, Request, Sampling, Teacher, TeacherError
from ultraclean.llm.http import Http, HttpError
from ultraclean.llm.limit import Limit

Serve = Callable[..., Any]


def teacher(server: Any, **more: Any) -> Teacher:
    settings = {"retries": 2, "timeout_s": 5, "patience_s": 5, **more}
    return Teacher(engine="openai", model="tiny", base_url=server.base_url, **settings)


def ask(server: Any, *requests: Request, **more: Any) -> list[Any]:
    with teacher(server, **more).open() as opened:
        return opened.generate(requests or [Request.of("hello")])


def test_answers_come_in_order(serve: Serve) -> None:
    requests = [Request.of(f"question {number}") for number in range(300)]
    responses = ask(serve(), *requests)
    assert [response.text for response in responses] == [
        f"echo: question {number}" for number in range(300)
    ]
    assert responses[0].usage.prompt_tokens == 7 and responses[0].model == "tiny"
    assert responses[0].problem is None and responses[0].attempts == 1


def test_what_is_sent(serve: Serve, fake: Any) -> None:
    server = serve()
    tool = {"name": "add", "parameters": {"type": "object"}}
    sampling = Sampling(temperature=0, max_tokens=5, stop=("\n",), seed=3)
    request = Request.of("q", system="be brief", sampling=sampling, tools=(tool,), n=2, logprobs=1)
    ask(server, request, extra_body={"chat_template_kwargs": {"enable_thinking": False}})
    assert server.bodies[0] == {
        "model": "tiny",
        "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "q"}],
        "temperature": 0,
        "max_tokens": 5,
        "stop": ["\n"],
        "seed": 3,
        "n": 2,
        "logprobs": True,
        "top_logprobs": 1,
        "tools": [{"type": "function", "function": tool}],
        "chat_template_kwargs": {"enable_thinking": False},
    }


@pytest.mark.parametrize(
    ("dialect", "constraint", "sent"),
    [
        ("vllm", Constraint(choice=("a", "b")), {"structured_outputs": {"choice": ["a", "b"]}}),
        ("vllm", Constraint(regex="[ab]"), {"structured_outputs": {"regex": "[ab]"}}),
        ("sglang", Constraint(choice=("a", "b.")), {"regex": r"(a|b\.)"}),
        ("openai", Constraint(regex="[ab]"), {}),
    ],
)
def test_constraints_in_each_dialect(
    serve: Serve, fake: Any, dialect: str, constraint: Constraint, sent: dict[str, Any]
) -> None:
    server = serve(lambda body, number: (200, fake.completion("a")))
    (response,) = ask(server, Request.of("q", constraint=constraint), dialect=dialect)
    assert response.text == "a"
    assert {name: server.bodies[0][name] for name in sent} == sent


def test_a_choice_for_a_server_that_knows_only_schemas(serve: Serve, fake: Any) -> None:
    server = serve(lambda body, number: (200, fake.completion('{"answer": "b"}')))
    request = Request.of("q", constraint=Constraint(choice=("a", "b")))
    (response,) = ask(server, request, dialect="openai")
    assert response.value == "b"
    schema = server.bodies[0]["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["answer"]["enum"] == ["a", "b"]


@pytest.mark.parametrize(
    ("message", "finish", "problem"),
    [
        ({"text": ""}, "stop", "empty"),
        ({"text": None}, "stop", "empty"),
        ({"text": " \n" * 400}, "length", "whitespace"),
        ({"text": '{"a": 1' + " " * 300}, "length", "whitespace"),
        ({"text": '{"a": '}, "length", "cut"),
        ({"text": '{"a": '}, "stop", "malformed_json"),
        ({"text": '{"a": "one"}'}, "stop", "schema"),
        ({"text": '{"b": 1}'}, "stop", "schema"),
        ({"text": None, "refusal": "I cannot."}, "stop", "refused"),
        ({"text": "x"}, "content_filter", "refused"),
    ],
)
def test_bad_answers_are_counted_records(
    serve: Serve, fake: Any, message: dict[str, Any], finish: str, problem: str
) -> None:
    server = serve(lambda body, number: (200, fake.completion(**message, finish=finish)))
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    with teacher(server).open() as opened:
        (response,) = opened.generate([Request.of("q", constraint=Constraint(json_schema=schema))])
        assert response.problem == problem and response.text is None
        assert opened.meter.problems == {problem: 1}
    assert len(server.bodies) == 1, "the same question would get the same answer"


def test_one_good_sample_is_enough(serve: Serve, fake: Any) -> None:
    both = [
        {"message": {"content": "c"}, "finish_reason": "stop"},
        {"message": {"content": "b"}, "finish_reason": "stop"},
    ]
    server = serve(lambda body, number: (200, fake.choices(both)))
    (response,) = ask(server, Request.of("q", n=3, constraint=Constraint(choice=("a", "b"))))
    assert response.problem is None and response.value == "b"
    assert [sample.problem for sample in response.samples] == ["not_a_choice", None, "missing"]


def test_tool_calls_and_logprobs(serve: Serve, fake: Any) -> None:
    def call(name: str, arguments: str) -> dict[str, Any]:
        return {"id": "1", "type": "function", "function": {"name": name, "arguments": arguments}}

    def behave(body: dict[str, Any], number: int) -> tuple[int, Any]:
        said = body["messages"][0]["content"]
        calls = {
            "good": [call("add", '{"a": 1}')],
            "other": [call("subtract", "{}")],
            "torn": [call("add", '{"a": ')],
            "list": [call("add", "[1]")],
        }[said]
        reply = fake.completion(None, finish="tool_calls", tool_calls=calls)
        token = {"token": "a", "logprob": -0.5, "top_logprobs": [{"token": "a", "logprob": -0.5}]}
        reply["choices"][0]["logprobs"] = {"content": [token]}
        return 200, reply

    requests = [
        Request.of(said, tools=({"name": "add"},), logprobs=1)
        for said in ("good", "other", "torn", "list")
    ]
    responses = ask(serve(behave), *requests)
    problems = [response.problem for response in responses]
    assert problems == [None, "unknown_tool", "malformed_call", "malformed_call"]
    sample = responses[0].samples[0]
    assert sample.tool_calls[0]["name"] == "add"
    assert sample.logprobs == ({"token": "a", "logprob": -0.5, "top": [["a", -0.5]]},)


# --- failures ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "failure",
    [
        (500, b"boom"),
        (200, b'{"choices": [{"mess'),
        (200, b"<html>"),
        (200, b"[]"),
        None,
        (429, b""),
    ],
)
def test_failures_that_pass_are_retried(serve: Serve, fake: Any, failure: Any) -> None:
    server = serve(lambda body, number: failure if number < 2 else fake.echo(body, number))
    (response,) = ask(server)
    assert response.text == "echo: hello" and len(server.bodies) == 3


@pytest.mark.parametrize(
    ("failure", "problem"),
    [((500, b"boom"), "server_error"), ((200, b"{}"), "bad_reply"), (None, "server_error")],
)
def test_failures_that_stay_are_records(serve: Serve, failure: Any, problem: str) -> None:
    server = serve(lambda body, number: failure)
    (response,) = ask(server)
    assert response.problem == problem and response.samples == ()
    # A kept connection that closes is replaced at once, which is no attempt.
    assert response.attempts == 3 and len(server.bodies) - (failure is None) == 3


def test_a_slow_answer_times_out(serve: Serve) -> None:
    server = serve()
    server.delay_s = 2.0
    (response,) = ask(server, timeout_s=0.1, retries=1)
    assert response.problem == "timeout" and "0.1 s" in response.detail


def test_context_too_long_is_not_retried(serve: Serve) -> None:
    message = "This model's maximum context length is 2048 tokens. However, you requested 9000"
    server = serve(lambda body, number: (400, {"error": {"message": message}}))
    (response,) = ask(server)
    assert response.problem == "context_too_long" and "2048" in response.detail
    assert len(server.bodies) == 1


def test_a_request_that_is_wrong_is_a_record(serve: Serve) -> None:
    server = serve(lambda body, number: (400, {"error": {"message": "n must be at most 1"}}))
    (response,) = ask(server)
    assert response.problem == "bad_request" and "n must be" in response.detail


def test_a_wrong_model_name_ends_the_run(serve: Serve) -> None:
    with pytest.raises(TeacherError, match=r"has no model 'tiny'; it serves: large, small"):
        ask(serve(models=("large", "small")))


def test_a_wrong_model_name_where_models_are_not_listed(serve: Serve) -> None:
    server = serve(lambda body, number: (404, {"message": "no such model"}), models=())
    with pytest.raises(TeacherError, match=r"does not know the model 'tiny'.*no such model"):
        ask(server)


def test_a_wrong_key_ends_the_run(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(lambda body, number: (401, {"error": {"message": "bad key"}}))
    with pytest.raises(TeacherError, match=r"refuses the key \(401: bad key\).*api_key_env"):
        ask(server)
    with pytest.raises(TeacherError, match=r"api_key_env: the variable NO_SUCH_KEY is not set"):
        ask(server, api_key_env="NO_SUCH_KEY")
    monkeypatch.setenv("TEACHER_KEY", "secret")
    good = serve()
    ask(good, api_key_env="TEACHER_KEY")
    assert "Authorization: Bearer secret" in good.heads[0]


def test_a_teacher_that_is_down_ends_the_run_after_its_patience() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{nobody.getsockname()[1]}/v1"
    down = Teacher(model="tiny", base_url=address, patience_s=0.5)
    with down.open() as opened, pytest.raises(TeacherError, match=r"no answer for .* s.*start it"):
        opened.generate([Request.of("hello")])


def test_a_teacher_that_comes_late_is_awaited(serve: Serve) -> None:
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port = place.getsockname()[1]
    late = Teacher(model="tiny", base_url=f"http://127.0.0.1:{port}/v1", patience_s=10)
    import threading

    timer = threading.Timer(0.5, lambda: serve(port=port))
    timer.start()
    with late.open() as opened:
        assert opened.generate([Request.of("hello")])[0].text == "echo: hello"
    timer.join()


def test_a_server_that_refuses_for_ever_ends_the_run(serve: Serve) -> None:
    server = serve(lambda body, number: (429, {"error": {"message": "quota"}}))
    with pytest.raises(TeacherError, match="quota"):
        ask(server, patience_s=0.5)


def test_max_cost_ends_the_run(serve: Serve) -> None:
    server = serve()
    bounded = teacher(server, input_price=1e6, max_cost=20, max_concurrency=1)
    with bounded.open() as opened:
        with pytest.raises(TeacherError, match=r"max_cost is 20; raise it"):
            for number in range(9):
                opened.generate([Request.of(str(number))])
        assert opened.meter.cost == 21 and len(server.bodies) == 3
        assert opened.meter.card()["prompt_tokens"] == 21


# --- HTTP and concurrency ---------------------------------------------------------------------


def test_chunked_replies_and_closed_connections(serve: Serve) -> None:
    server = serve()
    server.chunked = True
    assert ask(server)[0].text == "echo: hello"
    server.headers = "Connection: close\r\n"
    assert [r.text for r in ask(server, *[Request.of("a"), Request.of("b")])] == [
        "echo: a",
        "echo: b",
    ]


def test_not_http_is_an_error_that_says_so() -> None:
    async def main() -> None:
        async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readline()
            writer.write(b"220 mail.example.org ESMTP\r\n\r\n")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(babble, "127.0.0.1", 0)
        client = Http(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        with pytest.raises(HttpError, match="begins with '220 mail"):
            await client.request("GET", "/")
        await client.close()
        server.close()

    asyncio.run(main())


def test_an_address_must_be_http() -> None:
    with pytest.raises(ValueError, match=r"'localhost:8000' is no http"):
        Http("localhost:8000")


def test_429_lowers_the_number_at_once(serve: Serve, fake: Any) -> None:
    server = serve()
    server.behave = lambda body, number: (
        (429, b"slow down") if server.active > 3 else fake.echo(body, number)
    )
    server.delay_s = 0.01
    responses = ask(server, *[Request.of(str(number)) for number in range(60)], patience_s=60)
    assert all(response.text for response in responses)


class Simulated:
    """A server with `slots`, whose throughput is the number of requests up to them."""

    def __init__(self, slots: int) -> None:
        self.slots, self.now = slots, 0.0

    def run(self, limit: Limit, n_windows: int) -> None:
        for _ in range(n_windows):
            for _ in range(max(limit.size, 8)):
                limit.active += 1
                self.now += 1.0 / min(limit.size, self.slots)
                limit.done(1.0)


@pytest.mark.parametrize("slots", [4, 48, 300])
def test_the_limit_finds_what_the_server_can_take(slots: int) -> None:
    async def main() -> int:
        server = Simulated(slots)
        limit = Limit(clock=lambda: server.now)
        waiting = asyncio.get_running_loop().create_future()
        limit._waiting.append(waiting)
        limit._admit = lambda: None  # type: ignore[method-assign]  # one always waits
        server.run(limit, 100)
        return limit.size

    found = asyncio.run(main())
    assert slots <= found <= max(64, 4 * slots)


def test_many_requests_reach_the_server_at_once(serve: Serve) -> None:
    server = serve()
    server.delay_s = 0.02
    started = time.monotonic()
    ask(server, *[Request.of(str(number)) for number in range(2000)])
    assert server.most_active > 64, "one server that answers in parallel is kept full"
    assert time.monotonic() - started < 10
