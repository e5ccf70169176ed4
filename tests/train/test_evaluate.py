from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ultraclean.errors import DataError
from ultraclean.train.evaluate import (
    Choice,
    choice_accuracy,
    cloze_accuracy,
    encode_pair,
    rolling,
    score,
    text_bits_per_byte,
)
from ultraclean.train.generate import generate_text
from ultraclean.train.inference import Engine, Writing, choose
from ultraclean.train.model import MiniCPM4

Make = Callable[..., MiniCPM4]


def by_hand(model: MiniCPM4, context: list[int], continuation: list[int]) -> float:
    """Log-likelihood, one token at a time."""
    ids, nats = list(context), 0.0
    for token in continuation:
        logits = model.logits(torch.tensor([ids]))[0, -1].detach()
        nats += float(logits.log_softmax(-1)[token])
        ids.append(token)
    return nats


def test_scores_are_those_of_one_token_at_a_time(make_model: Make) -> None:
    model = make_model()
    requests = [([1, 2, 3], [4, 5]), ([9], [8]), ([7] * 30, [1, 2, 3, 4]), ([3, 1], [])]
    found = score(model, requests, batch_tokens=40)
    for one, (context, continuation) in zip(found, requests, strict=True):
        assert one.nats == pytest.approx(by_hand(model, context, continuation), abs=1e-4)
    best = int(model.logits(torch.tensor([[1, 2, 3]]))[0, -1].argmax())
    assert [one.greedy for one in score(model, [([1, 2, 3], [best]), ([1, 2, 3], [best ^ 1])])] == [
        True,
        False,
    ]


def test_a_context_too_long_loses_its_beginning(make_model: Make) -> None:
    model = make_model(max_position_embeddings=16)
    context = [number % 300 for number in range(40)]
    (found,) = score(model, [(context, [5, 6])])
    assert found.nats == pytest.approx(by_hand(model, context[-15:], [5, 6]), abs=1e-4)
    with pytest.raises(DataError, match="a continuation of 20 tokens, the model sees 16"):
        score(model, [([1], [2] * 20)])
    with pytest.raises(DataError, match="at least one token of context"):
        score(model, [([], [2])])


@given(st.integers(0, 80), st.integers(1, 20), st.booleans())
def test_rolling_scores_each_token_once(n: int, length: int, has_begin: bool) -> None:
    ids = list(range(100, 100 + n))
    requests = rolling(ids, length, 7 if has_begin else None)
    scored = [token for _, continuation in requests for token in continuation]
    assert scored == (ids if has_begin else ids[1:])
    before = ([7] if has_begin else ids[:1]) + scored
    at = 1
    for context, continuation in requests:
        assert len(context) >= 1 and len(context) + len(continuation) <= length + 1
        assert before[at - len(context) : at] == list(context)
        at += len(continuation)
    assert all(len(c) + len(t) == length + 1 for c, t in requests[1:])  # later windows are full


def test_bits_per_byte_of_texts(make_model: Make, tokenizer: Any) -> None:
    model, texts = make_model(), ["the cat sat on the mat.", "", "猫在垫子上"]
    found = text_bits_per_byte(model, tokenizer, texts)
    assert (found["n_texts"], found["n_bytes"]) == (3, sum(len(text.encode()) for text in texts))
    nats = [by_hand(model, [0], tokenizer.encode(text).ids) for text in texts]
    assert found["nats"] == pytest.approx(nats, abs=1e-3)
    assert found["bits_per_byte"] == pytest.approx(-sum(nats) / math.log(2) / found["n_bytes"])
    short = text_bits_per_byte(model, tokenizer, texts, length=4)
    assert short["bits_per_byte"] != found["bits_per_byte"]


def test_choices_by_likelihood(make_model: Make, tokenizer: Any) -> None:
    model = make_model()
    items = [
        Choice("The cat sat on", (" the mat", " a", " the old town roads"), 1),
        Choice("The dog ran in the ", ("sun", "rain"), 0),
    ]
    found = choice_accuracy(model, tokenizer, items)
    for item, nats in zip(items, found["nats"], strict=True):
        for choice, one in zip(item.choices, nats, strict=True):
            assert one == pytest.approx(
                by_hand(model, *encode_pair(tokenizer, item.context, choice)), abs=1e-3
            )
    right = [
        max(range(len(n)), key=n.__getitem__) == i.answer
        for n, i in zip(found["nats"], items, strict=True)
    ]
    assert found["accuracy"] == sum(right) / 2
    normed = [
        max(range(len(n)), key=lambda k, n=n, i=i: n[k] / len(i.choices[k])) == i.answer
        for n, i in zip(found["nats"], items, strict=True)
    ]
    assert found["accuracy_norm"] == sum(normed) / 2
    gold = found["nats"][0][1] + found["nats"][1][0]
    assert found["bits_per_byte"] == pytest.approx(-gold / math.log(2) / len(" a" + "sun"))


def test_spaces_before_a_continuation_belong_to_it(tokenizer: Any) -> None:
    assert encode_pair(tokenizer, "the cat ", "sat") == encode_pair(tokenizer, "the cat", " sat")
    context, continuation = encode_pair(tokenizer, "the cat", " sat")
    assert tokenizer.decode(continuation) == " sat" and context[0] == 0


def test_cloze_is_what_greedy_decoding_writes(make_model: Make, tokenizer: Any) -> None:
    model = make_model()
    context = [0, *tokenizer.encode("the cat").ids]
    written = generate_ids(model, context, max_tokens=2)
    right = tokenizer.decode(written)
    found = cloze_accuracy(model, tokenizer, [("the cat", right), ("the cat", " zebra")])
    same = (
        encode_pair(tokenizer, "the cat", right)[1] == written
    )  # a decoded id may encode otherwise
    assert found["accuracy"] == (0.5 if same else 0.0)
    assert found["perplexity"] == pytest.approx(math.exp(-sum(found["nats"]) / 2))


# --- text -----------------------------------------------------------------------------------------


def generate_ids(model: MiniCPM4, prompt: list[int], **how: Any) -> list[int]:
    return Engine(model, places=1, room=64).write([Writing(prompt, **how)])[0]


def test_greedy_text_is_the_likeliest_token_each_time(make_model: Make) -> None:
    model, ids = make_model(tie_word_embeddings=False), [5, 6, 7]
    written = generate_ids(model, ids, max_tokens=12)
    for token in written:
        assert int(model.logits(torch.tensor([ids]))[0, -1].argmax()) == token
        ids = [*ids, token]
    assert len(set(written)) > 3
    stop = next(token for token in written if token != written[0])
    before = generate_ids(model, [5, 6, 7], max_tokens=12, stop=[stop])
    assert before == written[: written.index(stop)]
    assert len(generate_ids(model, [5, 6, 7], max_tokens=12, stop=written[:1])) == 0


def test_sampled_text_follows_the_seed(make_model: Make) -> None:
    model = make_model()
    how: dict[str, Any] = {"max_tokens": 20, "temperature": 1.0}
    one, same, other = (generate_ids(model, [5], seed=seed, **how) for seed in (1, 1, 2))
    assert one == same != other


def test_top_p_keeps_the_likeliest_that_reach_it() -> None:
    logits = torch.tensor([0.1, 0.5, 0.15, 0.25]).log()
    generator = torch.Generator().manual_seed(0)

    def drawn(temperature: float, top_p: float) -> set[int]:
        return {choose(logits, temperature, top_p, generator) for _ in range(300)}

    assert drawn(1.0, 1.0) == {0, 1, 2, 3}
    assert drawn(1.0, 0.7) == {1, 3}
    assert drawn(1.0, 0.5) == {1} == drawn(1.0, 0.0) == drawn(0.0, 1.0) == drawn(0.02, 1.0)


def test_text_after_a_text_and_after_a_dialogue(make_model: Make, tokenizer: Any) -> None:
    model = make_model()
    assert isinstance(generate_text(model, tokenizer, "the cat", max_tokens=5), str)
    answer = generate_text(model, tokenizer, [{"role": "user", "content": "hi"}], max_tokens=5)
    assert "<|im_" not in answer
    with pytest.raises(DataError, match="are beyond the model's 256"):
        generate_text(model, tokenizer, "the cat", max_tokens=300)
