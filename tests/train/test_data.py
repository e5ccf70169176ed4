from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ultraclean.errors import DataError
from ultraclean.train import Mix, Stage, TrainSpec, shards
from ultraclean.train.chat import encode_dialogue, pack, render, write_dialogues
from ultraclean.train.data import (
    Position,
    collate,
    draw,
    epochs,
    open_source,
    open_sources,
    permuted,
)
from ultraclean.train.model import IGNORED

# --- which sample when --------------------------------------------------------------------------


@given(st.integers(1, 400), st.integers(0, 2**63))
def test_a_permutation_reaches_each_index_once(n: int, key: int) -> None:
    assert sorted(permuted(index, n, key) for index in range(n)) == list(range(n))


def test_permutations_differ_by_key_and_mix_well() -> None:
    one, two = ([permuted(index, 1000, key) for index in range(1000)] for key in (1, 2))
    assert one != two
    steps = np.abs(np.diff(one))
    assert 250 < steps.mean() < 420  # a third of the range, as for a shuffled list


@given(st.lists(st.floats(0.05, 5), min_size=1, max_size=5), st.integers(1, 300))
def test_each_source_keeps_to_its_weight_at_every_point(weights: list[float], n: int) -> None:
    mix = {f"s{i}": Mix(path="x", weight=weight) for i, weight in enumerate(weights)}
    samples, _ = draw(mix, Position(), n)
    for stop in range(1, n + 1):
        counts = Counter(name for name, _ in samples[:stop])
        for name, source in mix.items():
            assert abs(counts[name] - stop * source.weight / sum(weights)) <= len(weights)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=8), st.integers(0, 99))
def test_drawing_in_parts_is_drawing_at_once(parts: list[int], seed: int) -> None:
    rng = random.Random(seed)
    mix = {name: Mix(path="x", weight=rng.random() + 0.01) for name in "abc"}
    whole, end = draw(mix, Position(), sum(parts))
    position, pieces = Position(), []
    for part in parts:
        samples, position = draw(mix, position, part)
        pieces += samples
    assert pieces == whole and position == end


def test_what_else_is_mixed_in_does_not_change_a_source() -> None:
    """`verify.anneal` rests on this: the 70 % part is the same in every arm."""
    arms = [
        {"default": Mix(path="d", weight=0.7), other: Mix(path=other, weight=0.3)}
        for other in ("one", "two")
    ]
    one, two = (draw(arm, Position(), 100)[0] for arm in arms)
    assert [s if s[0] == "default" else None for s in one] == [
        s if s[0] == "default" else None for s in two
    ]
    assert Counter(name for name, _ in one)["default"] == 70


# --- samples ------------------------------------------------------------------------------------


def test_samples_of_an_epoch_cover_the_source_once(
    make_number_shards: Callable[..., str], tmp_path: Path
) -> None:
    folder = make_number_shards(str(tmp_path / "n"), [37] * 80, per_shard=7)  # windows cross shards
    source = open_source("n", Mix(path=folder), 16, seed=1)
    assert source.n_samples == 37 * 80 // 16
    first = [source.sample(taken) for taken in range(source.n_samples)]
    starts = sorted(int(tokens[0]) for tokens, _, _ in first)
    assert starts == sorted(start % 300 for start in range(0, 37 * 80 - 15, 16))
    again = [source.sample(taken) for taken in range(source.n_samples, 2 * source.n_samples)]
    assert [int(t[0]) for t, _, _ in first] != [int(t[0]) for t, _, _ in again]
    for tokens, targets, documents in first:
        assert ((np.diff(tokens) - 1) % 300 == 0).all()
        counted = targets != IGNORED
        assert ((targets - tokens)[counted] % 300 == 1).all()
        changes = np.append(np.diff(documents) > 0, False)
        assert not counted[changes].any()  # the first token of a document is nobody's target
        assert documents[0] == 0


def test_parts_share_no_document(make_number_shards: Callable[..., str], tmp_path: Path) -> None:
    folder = make_number_shards(str(tmp_path / "n"), [20] * 100, vocab=5000)
    seen = []
    for part in ((0.0, 0.7), (0.7, 1.0)):
        source = open_source("n", Mix(path=folder, part=part), 10, seed=1)
        seen.append(
            {int(one) // 20 for k in range(source.n_samples) for one in source.sample(k)[0]}
        )
    assert seen[0] == set(range(70)) and seen[1] == set(range(70, 100))


def test_bytes_of_targets_are_those_of_the_text(text_shards: str, tokenizer: Any) -> None:
    source = open_source("t", Mix(path=text_shards), 64, seed=1)
    samples = [("t", k) for k in range(6)]
    batch = collate({"t": source}, samples, torch.device("cpu"), document_mask=True)
    counted = batch.targets[batch.targets != IGNORED].tolist()
    assert batch.n_targets == len(counted)
    text = tokenizer.decode(counted, skip_special_tokens=True)
    assert batch.n_bytes == len(text.encode())
    fewer = collate({"t": source}, samples, torch.device("cpu"), True, n_counted=2)
    assert (fewer.targets[2:] == IGNORED).all() and fewer.n_targets < batch.n_targets


def test_token_bytes_of_a_sentencepiece_vocabulary() -> None:
    from tokenizers import AddedToken, Tokenizer, decoders, models

    vocabulary = {"<unk>": 0, "<0xE4>": 1, "▁the": 2, "猫": 3}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], byte_fallback=True, unk_token="<unk>"))
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens([AddedToken("<s>", special=True)])
    tokenizer.add_tokens([AddedToken("<think>", special=False)])
    assert shards.token_bytes(tokenizer).tolist() == [5, 1, 4, 3, 0, 7]


# --- what is refused ----------------------------------------------------------------------------


def test_a_shard_cut_short_is_named(make_number_shards: Callable[..., str], tmp_path: Path) -> None:
    folder = make_number_shards(str(tmp_path / "n"), [50] * 10)
    (tmp_path / "n" / "00000.tokens").write_bytes(b"\0" * 100)
    with pytest.raises(DataError, match=r"00000.tokens has 100 bytes, tokens.json says 1000"):
        shards.open_folder(folder)
    (tmp_path / "n" / "00000.tokens").unlink()
    with pytest.raises(DataError, match=r"00000.tokens is missing"):
        shards.open_folder(folder)


def test_a_folder_without_manifest_is_unfinished(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"it has no tokens.json"):
        shards.open_folder(str(tmp_path))
    (tmp_path / "tokens.json").write_text('{"format": "other"}')
    with pytest.raises(DataError, match="not of the format ultraclean-tokens"):
        shards.open_folder(str(tmp_path))
    with pytest.raises(DataError, match="copy them to a local disk"):
        shards.open_folder("s3://bucket/tokens")


def test_a_token_outside_the_vocabulary_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="document 1 of shard 0 has the token 9, outside a vocabul"):
        shards.write_shard(str(tmp_path), "0", [([1, 2], None), ([9], None)], 5)


def test_a_source_smaller_than_a_sample_is_refused(
    make_number_shards: Callable[..., str], tmp_path: Path
) -> None:
    folder = make_number_shards(str(tmp_path / "n"), [10])
    with pytest.raises(DataError, match=r"has 10 tokens in the part .* one sample takes 64"):
        open_source("n", Mix(path=folder), 64, 1)


def test_shards_of_another_vocabulary_are_refused(
    make_spec: Callable[..., TrainSpec],
    other_tokenizer_file: str,
    make_number_shards: Callable[..., str],
    tmp_path: Path,
) -> None:
    other = str(tmp_path / "other")
    shards.write_texts(other, ["the cat sat " * 40], shards.load_tokenizer(other_tokenizer_file))
    both = {"text": make_spec().stages[0].mix["text"], "other": Mix(path=other)}
    with pytest.raises(DataError, match="the same ids mean other text; tokenise the source again"):
        open_sources(make_spec(stages=(Stage(name="s", tokens=10, mix=both),)))
    with pytest.raises(DataError, match=r"made by the tokenizer .*, but .*tokenizer.json is of"):
        open_sources(make_spec(tokenizer=other_tokenizer_file))
    large = make_number_shards(str(tmp_path / "large"), [500], vocab=400)
    with pytest.raises(DataError, match="a vocabulary of 400, the model one of 300"):
        open_sources(make_spec(stages=(Stage(name="s", tokens=10, mix={"n": Mix(path=large)}),)))


def test_a_source_that_repeats_too_often_is_refused(
    make_spec: Callable[..., TrainSpec], make_number_shards: Callable[..., str], tmp_path: Path
) -> None:
    folder = make_number_shards(str(tmp_path / "n"), [640])
    mix = {"n": Mix(path=folder, max_epochs=2)}
    spec = make_spec(stages=(Stage(name="s", tokens=64 * 40, mix=mix),))
    with pytest.raises(DataError, match=r"seen 4.0 times, and max_epochs is 2: it has 640 tokens"):
        epochs(spec, open_sources(spec))


def test_a_name_must_keep_its_source(
    make_spec: Callable[..., TrainSpec], other_shards: str
) -> None:
    stages = (
        *make_spec().stages,
        Stage(name="third", tokens=10, mix={"text": Mix(path=other_shards)}),
    )
    with pytest.raises(DataError, match=r"stage third: the source text is .* give it another name"):
        open_sources(make_spec(stages=stages))


# --- dialogues ----------------------------------------------------------------------------------

DIALOGUE = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Where is the cat?"},
    {"role": "assistant", "content": "On the mat."},
    {"role": "user", "content": "And the 狗?"},
    {"role": "assistant", "content": "It ran."},
]


def test_the_loss_is_on_what_the_assistant_says(tokenizer: Any) -> None:
    ids, counts = encode_dialogue(DIALOGUE, tokenizer)
    assert tokenizer.decode(ids, skip_special_tokens=False) == "<s>" + render(DIALOGUE)
    learnt = tokenizer.decode(
        [i for i, c in zip(ids, counts, strict=True) if c], skip_special_tokens=False
    )
    assert learnt == "On the mat.<|im_end|>It ran.<|im_end|>"
    assert render(DIALOGUE[:1], answer=True).endswith("<|im_end|>\n<|im_start|>assistant\n")


def test_a_tokenizer_without_chat_tokens_is_refused() -> None:
    from tokenizers import Tokenizer, models

    with pytest.raises(DataError, match="lacks the chat tokens"):
        encode_dialogue(DIALOGUE, Tokenizer(models.BPE()))


@given(st.lists(st.integers(1, 120), max_size=60))
def test_packing_loses_none_and_overfills_none(lengths: list[int]) -> None:
    bins = pack(lengths, 100)
    packed = sorted(index for members in bins for index in members)
    assert packed == [index for index, one in enumerate(lengths) if one <= 100]
    fills = [sum(lengths[index] for index in members) for members in bins]
    assert all(fill <= 100 for fill in fills)
    # Best fit never needs two bins that would fit into one.
    assert sum(fill <= 50 for fill in fills) <= 1


def test_packed_dialogues_become_samples(tokenizer: Any, tmp_path: Path) -> None:
    folder = str(tmp_path / "chat")
    size = len(encode_dialogue(DIALOGUE, tokenizer)[0])
    dialogues = [DIALOGUE] * 5 + [DIALOGUE * 40]
    card = write_dialogues(folder, dialogues, tokenizer, length=2 * size + 7)
    assert (card["n_dialogues"], card["n_too_long"]) == (5, 1)
    assert json.loads((tmp_path / "chat" / "tokens.json").read_text())["masked"] is True
    source = open_source("chat", Mix(path=folder), 2 * size + 7, seed=1)
    assert source.n_samples == 3
    parts = [
        open_source("chat", Mix(path=folder, part=part), 2 * size + 7, seed=1)
        for part in ((0, 0.5), (0.5, 1))
    ]  # cut between samples, not inside
    assert [(one.start % one.length, one.n_samples) for one in parts] == [(0, 1), (0, 2)]
    with pytest.raises(DataError, match=r"is packed into samples of .* the run's length is 64"):
        open_source("chat", Mix(path=folder), 64, seed=1)
    learnt = sum(encode_dialogue(DIALOGUE, tokenizer)[1])
    counts = sorted(int((source.sample(k)[1] != IGNORED).sum()) for k in range(3))
    assert counts == [learnt, 2 * learnt, 2 * learnt]
