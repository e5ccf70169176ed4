"""Our own inference as a teacher: what it writes, what it chooses, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from ultraclean.llm import Constraint, Request, Sampling, Teacher, TeacherError
from ultraclean.llm.cache import responses_in
from ultraclean.train.convert import export_model, import_model
from ultraclean.train.generate import generate_text, prompt_ids
from ultraclean.train.inference import Engine, Reading
from ultraclean.train.model import MiniCPM4

GREEDY = Sampling(temperature=0, max_tokens=12)


@pytest.fixture
def folder(make_model: Callable[..., MiniCPM4], tokenizer_file: str, tmp_path: Path) -> str:
    export_model(
        make_model(tie_word_embeddings=False),
        str(tmp_path / "m"),
        "minicpm",
        tokenizer=tokenizer_file,
    )
    return str(tmp_path / "m")


def teacher(folder: str, **more: Any) -> Teacher:
    return Teacher(engine="minicpm", model=folder, **more)


def test_it_writes_what_generate_text_writes(folder: str, tokenizer: Any) -> None:
    model = import_model(folder)
    prompts = ["the cat", "a dog ran in the sun", "rained", "on old roads " * 9] * 3
    with teacher(folder).open() as opened:
        responses = opened.generate([Request.of(one, sampling=GREEDY) for one in prompts])
    for prompt, response in zip(prompts, responses, strict=True):
        turns = [{"role": "user", "content": prompt}]
        expected = generate_text(model, tokenizer, turns, max_tokens=12)
        (sample,) = response.samples
        assert sample.text == expected
        assert response.usage.prompt_tokens == len(prompt_ids(tokenizer, turns))
        assert response.model == folder


def test_samples_differ_and_come_again(folder: str) -> None:
    warm = Sampling(temperature=1.0, top_p=0.9, max_tokens=12)
    asked = [Request.of(f"the {n}", sampling=warm, n=4) for n in range(5)]
    with teacher(folder).open() as opened:
        together = opened.generate(asked)
        apart = [opened.generate([one])[0] for one in reversed(asked)][::-1]
    texts = [[sample.text for sample in one.samples] for one in together]
    assert texts == [[sample.text for sample in one.samples] for one in apart]
    assert all(len(set(some)) > 1 for some in texts)


def test_a_choice_is_the_likeliest(folder: str, tokenizer: Any) -> None:
    choices = ("cat", "town roads", "while it rained")
    turns = [{"role": "user", "content": "say"}]
    prompt = prompt_ids(tokenizer, turns)
    engine = Engine(import_model(folder), places=1, room=64)
    asked = [
        Reading(prompt, tokenizer.encode(one, add_special_tokens=False).ids) for one in choices
    ]
    nats = [one.nats for one in engine.read(asked)]
    request = Request.of("say", constraint=Constraint(choice=choices))
    with teacher(folder).open() as opened:
        (response,) = opened.generate([request])
    assert response.value == choices[nats.index(max(nats))]


def test_stop_strings_and_limits(folder: str) -> None:
    with teacher(folder).open() as opened:
        (whole,) = opened.generate([Request.of("the cat", sampling=GREEDY)])
        text = whole.samples[0].text
        assert whole.problem == "cut" and len(text) > 4
        stop = text[2:4]
        short = Sampling(temperature=0, max_tokens=12, stop=(stop,))
        (cut,) = opened.generate([Request.of("the cat", sampling=short)])
        assert cut.samples[0].text == text[: text.find(stop)] and cut.samples[0].finish == "stop"
        (long,) = opened.generate([Request.of("cat " * 4000, sampling=GREEDY)])
        assert long.problem == "context_too_long" and "new ones, of" in long.detail


def test_what_it_cannot_do_is_said(folder: str, tmp_path: Path) -> None:
    schema = Constraint(json_schema={"type": "object"})
    tool = {"name": "add", "parameters": {"type": "object"}}
    wrong = [
        Request.of("q", sampling=GREEDY, tools=(tool,)),
        Request.of("q", sampling=GREEDY, logprobs=1),
        Request.of("q", sampling=Sampling(min_p=0.1)),
        Request.of("q", sampling=GREEDY, constraint=schema),
    ]
    with teacher(folder).open() as opened:
        tools, logprobs, min_p, formed = opened.generate(wrong)
    assert (tools.problem, tools.detail) == ("bad_request", "engine minicpm has no tools")
    assert logprobs.detail == "engine minicpm has no logprobs"
    assert min_p.detail == "engine minicpm has no min_p"
    assert formed.problem in ("cut", "malformed_json"), "a schema is checked, not followed"
    with pytest.raises(ValidationError, match=r"engine: minicpm has no min_p, top_k"):
        teacher(folder, sampling=Sampling(min_p=0.1, top_k=5))
    (Path(folder) / "tokenizer.json").unlink()
    for bad in (folder, str(tmp_path / "none")):
        with teacher(bad).open() as opened, pytest.raises(TeacherError, match=r"tokenizer\.json"):
            opened.generate([Request.of("q", sampling=GREEDY)])


def test_a_rerun_asks_nothing(folder: str, tmp_path: Path) -> None:
    asked = [Request.of(f"the {n}", sampling=GREEDY) for n in range(3)]
    with responses_in(str(tmp_path / "responses")):
        with teacher(folder).open() as opened:
            first = opened.generate(asked)
        (Path(folder) / "model.safetensors").unlink()
        with teacher(folder).open() as opened:
            again = opened.generate(asked)
    assert [one.samples for one in again] == [one.samples for one in first]
    assert all(one.cached for one in again)
