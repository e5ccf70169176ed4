"""Refusals are known by their phrases; apologies in letters and warnings at the end are none."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from ultrachat.checks.refusal import check_refusal


@pytest.mark.parametrize(
    "answer",
    [
        "I'm sorry, but I can't assist with that.",
        "I’m sorry, but I can’t help with this request.",
        "I'm sorry, but I'm currently unable to book flights.",
        "I am very sorry, but as an AI I don't have the capability to order.",
        "Sorry, I cannot provide that.",
        "I cannot help with building weapons.",
        "I won't write this.",
        "Unfortunately, I am not able to access the internet.",
        "As an AI language model, I do not have feelings.",
        "很抱歉，我无法帮助您预订机票。",
        "对不起，作为一个AI，我目前没有预订机票的能力。",
        "作为一个人工智能语言模型，我不能提供医疗建议。",
        "我无法提供这些信息。",
    ],
)
def test_refusals(answer: str) -> None:
    verdict = check_refusal(answer)
    assert verdict.reason == "refusal" and verdict.detail in answer


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "Dear Ann,\n\nI am sorry that I missed your party.",
        "Sorry to hear that! Here is what you can do.",
        "The answer is 42. " * 20 + "I'm sorry, but I can't say more.",
        "Penguins cannot fly.",
        "I can assist with that.",
        "AI is a field of computer science.",
        "抱歉让你久等了，下面是答案。",
        "人工智能无法取代教师，原因如下。",
        "企鹅不能飞。",
    ],
)
def test_answers(answer: str) -> None:
    assert check_refusal(answer).ok


@pytest.mark.parametrize(("language", "mark"), [("en", "external task"), ("zh", "外部任务")])
def test_real_ones(shared_data: Path, language: str, mark: str) -> None:
    with gzip.open(shared_data / "sft" / f"glaive_toolcall_{language}_demo.jsonl.gz") as stream:
        rows = [json.loads(line) for line in stream]
    said = [t["value"] for row in rows for t in row["conversations"] if t["from"] == "gpt"]
    refusals = [text for text in said if mark in text]
    assert len(refusals) >= 5 and all(not check_refusal(text).ok for text in refusals)
    assert sum(not check_refusal(text).ok for text in said) < 0.12 * len(said)
