"""Many requests over caches of fixed size, against the whole sequence in one go."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional

from ultraclean.errors import DataError
from ultraclean.train.config import ModelConfig
from ultraclean.train.inference import Engine, Reading, Scored, Writing
from ultraclean.train.model import MiniCPM4

Make = Callable[..., MiniCPM4]
SPARSE: dict[str, Any] = {
    "attention": "sparse",
    "sparse_config": {
        "kernel_size": 8, "kernel_stride": 4, "block_size": 16, "window_size": 16, "topk": 2, "dense_len": 40,
    },
}  # fmt: skip
KINDS = pytest.mark.parametrize("kind", [{}, SPARSE], ids=["dense", "sparse"])


def ids(length: int, seed: int) -> list[int]:
    return random.Random(seed).choices(range(300), k=length)


def whole(model: MiniCPM4, one: Reading) -> Scored:
    given = [*one.context, *one.continuation]
    logits = model.logits(torch.tensor([given]))[0, len(one.context) - 1 : -1].detach()
    targets = torch.tensor(list(one.continuation), dtype=torch.long)
    nats = -float(functional.cross_entropy(logits, targets, reduction="sum")) if len(targets) else 0
    return Scored(nats, bool((logits.argmax(-1) == targets).all()))


@KINDS
@pytest.mark.parametrize(("places", "chunk"), [(1, 4096), (3, 4096), (4, 7), (2, 1)])
def test_continuations_are_read_as_in_one_go(
    make_model: Make, kind: dict[str, Any], places: int, chunk: int
) -> None:
    model = make_model(**kind)
    sizes = [(1, 1), (70, 9), (3, 20), (30, 0), (5, 60), (39, 1), (38, 1), (12, 3)]
    asked = [Reading(ids(a, 1), ids(b, 2)) for a, b in sizes]
    found = Engine(model, places=places, room=80, chunk=chunk).read(asked)
    for one, mine in zip(asked, found, strict=True):
        # The last token is asked for and never fed, so a sequence of `dense_len` is still dense.
        theirs = whole(model, Reading(one.context, one.continuation))
        same_kind = not kind or len(one.context) + len(one.continuation) != 40
        if same_kind:
            assert mine.nats == pytest.approx(theirs.nats, abs=1e-3)
            assert mine.greedy == theirs.greedy


@KINDS
def test_texts_are_written_as_alone_and_token_by_token(
    make_model: Make, kind: dict[str, Any]
) -> None:
    model = make_model(tie_word_embeddings=False, **kind)
    requests = [Writing(ids(n, n), max_tokens=12) for n in (1, 50, 7, 90, 33)]
    together = Engine(model, places=2, room=110, chunk=16).write(requests)
    engine = Engine(model, places=1, room=110)
    assert together == [engine.write([one])[0] for one in requests]
    if kind:
        return  # the model in one go takes the new length to choose between dense and sparse
    for one, written in zip(requests, together, strict=True):
        so_far = list(one.prompt)
        for token in written:
            assert int(model.logits(torch.tensor([so_far]))[0, -1].argmax()) == token
            so_far.append(token)


def test_sampling_depends_on_the_seed_and_not_on_the_batch(make_model: Make) -> None:
    model = make_model()
    requests = [Writing(ids(5, 1), max_tokens=20, temperature=1.0, seed=s) for s in (1, 2, 1)]
    one, other, same = Engine(model, places=3, room=25).write(requests)
    assert one == same != other
    assert [one] == Engine(model, places=1, room=25).write(requests[:1])


def test_a_stop_ends_one_and_not_its_neighbours(make_model: Make) -> None:
    model = make_model(tie_word_embeddings=False)
    engine = Engine(model, places=2, room=64)
    free = engine.write([Writing(ids(9, 3), max_tokens=20), Writing(ids(4, 4), max_tokens=20)])
    stop = next(token for token in free[0][1:] if token not in (free[0][0], *free[1]))
    stopped = engine.write(
        [Writing(ids(9, 3), 20, stop=[stop]), Writing(ids(4, 4), 20, stop=[stop])]
    )
    assert stopped == [free[0][: free[0].index(stop)], free[1]]
    assert engine.write([Writing([1], max_tokens=0)]) == [[]]


def test_a_replayed_step_is_the_step(make_model: Make) -> None:
    """What a graph would record, run plainly: every place takes part, free ones too."""
    from ultraclean.train.inference import _Recorded

    model = make_model(**SPARSE)
    requests = [Writing(ids(n, n), max_tokens=m) for n, m in ((50, 12), (7, 3), (20, 25))]
    plain = Engine(model, places=3, room=80)
    assert plain._recorded is None  # no kernels here
    engine = Engine(model, places=3, room=80)
    engine._recorded = _Recorded(engine)
    assert engine.write(requests) == plain.write(requests)


def test_longrope_is_chosen_by_the_room(make_model: Make) -> None:
    half = make_model().config.head_width // 2
    scaling = {
        "short_factor": [1.0] * half,
        "long_factor": [4.0] * half,
        "original_max_position_embeddings": 64,
    }
    model = make_model(rope_scaling=scaling)
    for length in (60, 100):  # short factors, long factors
        one = Reading(ids(length - 5, 5), ids(6, 6))
        (found,) = Engine(model, places=1, room=length).read([one])
        context, continuation = list(one.context), list(one.continuation)[:-1]
        logits = model.logits(torch.tensor([context + continuation]))[0, len(context) - 1 :]
        nats = -functional.cross_entropy(
            logits, torch.tensor(list(one.continuation)), reduction="sum"
        )
        assert found.nats == pytest.approx(float(nats.detach()), abs=1e-3)


def test_half_precision_and_ternary_weights(make_model: Make) -> None:
    one = Reading(ids(20, 7), ids(10, 8))
    model = make_model()
    expected = whole(model, one).nats
    (half,) = Engine(model.to(torch.bfloat16), places=1, room=40).read([one])
    assert half.nats == pytest.approx(expected, rel=0.02)
    ternary = make_model(ternary_group=16)
    (found,) = Engine(ternary, places=1, room=40).read([one])
    assert found.nats == pytest.approx(whole(ternary, one).nats, abs=1e-3)


def test_requests_that_do_not_fit_are_named(make_model: Make) -> None:
    engine = Engine(make_model(), places=1, room=10)
    with pytest.raises(DataError, match="request 1 needs 12 tokens, beyond the room of 10"):
        engine.write([Writing([1], 2), Writing([1, 2], 10)])
    with pytest.raises(DataError, match="request 0: at least one token must come before"):
        engine.read([Reading([], [1])])
    with pytest.raises(DataError, match="room for 300 tokens is beyond the model's 256"):
        Engine(make_model(), places=1, room=300)
    assert engine.read([]) == [] == engine.write([])


def test_presets_can_be_read_from() -> None:
    """Every preset's attention fits the cache: no weights are made."""
    for name in ("tiny", "30M", "100M"):
        with torch.device("meta"):
            model = MiniCPM4(ModelConfig.preset(name))
        engine = Engine(model, places=2, room=64)
        assert engine._layers[0].cache.k.shape == (2, 64, model.config.num_key_value_heads, model.config.head_width)  # fmt: skip
