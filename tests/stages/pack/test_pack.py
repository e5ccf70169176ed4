"""pack.*: the trainer, Megatron and datatrove read what is written; packing loses nothing."""

from __future__ import annotations

import gzip
import itertools
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ultraclean import Pipeline, fit, pack, read
from ultraclean.errors import DataError
from ultraclean.executors import Executor
from ultraclean.stages.pack import encode
from ultraclean.stages.pack import tokens as packing
from ultraclean.stages.pack.datatrove import Datatrove
from ultraclean.stages.pack.megatron import Megatron, index
from ultraclean.stages.pack.shards import Shards, cut
from ultraclean.stages.pack.tokens import Tokens, fitting, packed
from ultraclean.train.shards import open_folder, tokenizer_id

Table = Callable[..., Any]
TEXTS = [
    "one two three",
    "",
    "中文 😀\r\n",
    None,
    "</s> is text here",
    *(f"document {number} " * (number % 40) for number in range(300)),
]


@pytest.fixture(scope="module")
def tokenizer_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A token per byte; </s> is 257."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({token: index for index, token in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<s>", "</s>"])
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    tokenizer.save(str(path))
    return str(path)


def make(stage: Shards, table: Any, folder: Path) -> dict[str, Any]:
    return stage.make({table.name: table}, str(folder), map)


def read_back(folder: Path) -> list[list[int]]:
    """The documents as the trainer sees them."""
    found = open_folder(str(folder))
    bounds = [0, *found.ends.tolist()]
    return [
        found.window(start, stop - start).tokens.tolist()
        for start, stop in itertools.pairwise(bounds)
    ]


def files(folder: Path) -> dict[str, bytes]:
    """All that must be the same whatever the executor: everything but times and folders."""
    return {
        path.name: path.read_bytes()
        for path in sorted(folder.iterdir())
        if path.name != "card.json"
    }


def test_the_trainer_reads_the_documents(
    memory_table: Table, tokenizer_file: str, tmp_path: Path
) -> None:
    card = make(Tokens(tokenizer=tokenizer_file), memory_table("web", text=TEXTS), tmp_path)
    tokenizer = encode.load(tokenizer_file)
    documents = read_back(tmp_path)
    expected = [text for text in TEXTS if text]
    assert [document[0] for document in documents] == [256] * len(expected)
    assert [document[-1] for document in documents] == [257] * len(expected)
    inner = [tokenizer.decode(one[1:-1], skip_special_tokens=False) for one in documents]
    assert inner == expected
    assert card["documents"] == len(TEXTS)
    assert card["empty"] == len(TEXTS) - len(expected)
    assert card["tokens"] == card["written_tokens"] == sum(map(len, documents))
    assert card["bytes"] == sum(len(text.encode()) for text in expected)
    assert card["bytes_per_token"] == pytest.approx(card["bytes"] / card["tokens"])
    assert card["tokenizer"] == tokenizer_id(tokenizer)
    assert open_folder(str(tmp_path)).manifest["tokenizer"] == card["tokenizer"]
    assert card["begin"], card["end"] == (256, 257)
    assert json.loads((tmp_path / "card.json").read_text()) == card
    counts = np.load(tmp_path / "frequencies.npy")
    assert counts.tolist() == np.bincount(np.concatenate(documents), minlength=258).tolist()


def test_shards_are_cut_at_documents(
    memory_table: Table, tokenizer_file: str, tmp_path: Path
) -> None:
    table = memory_table("web", text=TEXTS)
    one = make(Tokens(tokenizer=tokenizer_file), table, tmp_path / "one")
    many = make(Tokens(tokenizer=tokenizer_file, shard_tokens=1000), table, tmp_path / "many")
    assert one["shards"] == 1
    assert many["shards"] > 20
    assert read_back(tmp_path / "one") == read_back(tmp_path / "many")
    found = open_folder(str(tmp_path / "many")).manifest["shards"]
    assert all(shard["n_tokens"] >= 1000 for shard in found[:-1])


@pytest.mark.parametrize("fields", [{}, {"length": 512}, {"shuffle": True, "seed": 3}])
def test_the_same_bytes_whatever_the_batches_and_chunks(
    memory_table: Table,
    tokenizer_file: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fields: dict[str, Any],
) -> None:
    stage = Tokens(tokenizer=tokenizer_file, shard_tokens=5000, **fields)
    make(stage, memory_table("web", text=TEXTS), tmp_path / "a")
    monkeypatch.setattr(encode, "CHUNK_BYTES", 900)
    monkeypatch.setattr(encode, "CHUNKS_AT_ONCE", 3)
    make(stage, memory_table("web", batch_rows=11, text=TEXTS), tmp_path / "b")
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_samples_of_the_trainer_are_the_packed_ones(
    memory_table: Table, tokenizer_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every sample begins with a document, and padding counts for nothing."""
    monkeypatch.setattr(packing, "WINDOW_TOKENS", 10_000)
    length = 300
    stage = Tokens(tokenizer=tokenizer_file, length=length, shard_tokens=3000)
    card = make(stage, memory_table("web", text=TEXTS), tmp_path)
    folder = open_folder(str(tmp_path))
    n_tokens = folder.manifest["n_tokens"]
    assert n_tokens == card["samples"] * length == card["tokens"] + card["padding"]
    assert card["padding"] < 0.15 * n_tokens
    assert card["shards"] > 5
    starts = {0, *folder.ends.tolist()}
    assert set(range(0, n_tokens, length)) <= starts
    window = folder.window(0, n_tokens)
    assert int((~window.counts).sum()) == card["padding"]
    assert (window.tokens[~window.counts] == 257).all()
    assert card["split"] == sum(len((text or "").encode()) + 2 > length for text in TEXTS)
    counted = np.bincount(window.tokens[window.counts], minlength=258)
    assert counted.tolist() == np.load(tmp_path / "frequencies.npy").tolist()


@given(
    sizes=st.lists(st.integers(1, 70), max_size=60),
    length=st.integers(2, 40),
    too_long=st.sampled_from(["split", "truncate", "drop"]),
)
def test_packing_loses_only_what_it_says(sizes: list[int], length: int, too_long: str) -> None:
    tally = encode.Tally(np.zeros(1, np.int64), counts={"split": 0, "truncated": 0, "dropped": 0})
    ends = np.cumsum(sizes)
    stream = [np.arange(end - size, end) for size, end in zip(sizes, ends, strict=True)]
    samples = list(packed(fitting(iter(stream), length, too_long, tally), length))
    assert all(sum(map(len, sample)) <= length for sample in samples)
    found = sorted(int(token) for sample in samples for piece in sample for token in piece)
    kept = {
        "split": stream,
        "truncate": [one[:length] for one in stream],
        "drop": [one for one in stream if len(one) <= length],
    }[too_long]
    assert found == sorted(int(token) for one in kept for token in one)
    assert sum(tally.counts.values()) == sum(size > length for size in sizes)


@given(sizes=st.lists(st.integers(1, 9), max_size=40), most=st.integers(1, 30))
def test_cutting_keeps_all_in_order(sizes: list[int], most: int) -> None:
    parts = [list(part) for part in cut(iter(sizes), most, lambda size: size)]
    assert [size for part in parts for size in part] == sizes
    assert all(sum(part) >= most > sum(part[:-1]) for part in parts[:-1])


def test_a_shuffle_depends_on_keys_and_seed_alone(
    memory_table: Table, tokenizer_file: str, tmp_path: Path
) -> None:
    found = {}
    keys = memory_table("web", text=TEXTS).table["_key"].combine_chunks()
    for name, seed, order in (("a", 1, 1), ("b", 1, -1), ("c", 2, 1)):
        table = memory_table("web", text=TEXTS[::order], _key=keys[::order])
        make(Tokens(tokenizer=tokenizer_file, shuffle=True, seed=seed), table, tmp_path / name)
        found[name] = read_back(tmp_path / name)
    make(Tokens(tokenizer=tokenizer_file), memory_table("web", text=TEXTS), tmp_path / "plain")
    plain = read_back(tmp_path / "plain")
    assert found["a"] == found["b"] != found["c"]
    assert sorted(found["a"]) == sorted(found["c"]) == sorted(plain)
    assert found["a"] != plain


def test_frequent_ids(memory_table: Table, tokenizer_file: str, tmp_path: Path) -> None:
    stage = Tokens(tokenizer=tokenizer_file, frequent=(4, 10, 100_000))
    card = make(stage, memory_table("web", text=["aaaa bbb c"] * 5), tmp_path)
    letters = [encode.load(tokenizer_file).token_to_id(char) for char in "abĠ"]
    first = json.loads((tmp_path / "freq_4.json").read_text())
    assert first == [256, 257, letters[0], letters[1]]
    assert json.loads((tmp_path / "freq_10.json").read_text())[:5] == [*first, letters[2]]
    assert card["frequent"] == {"4": pytest.approx(9 / 12), "10": 1.0}
    assert not (tmp_path / "freq_100000.json").exists()


def test_megatron_is_what_datatrove_writes(
    memory_table: Table, tokenizer_file: str, tmp_path: Path
) -> None:
    pytest.importorskip("datatrove")
    from datatrove.pipeline.tokens.megatron_tokenizer import MegatronTokenizedFile

    table = memory_table("web", text=TEXTS)
    make(Tokens(tokenizer=tokenizer_file), table, tmp_path / "ours")
    documents = read_back(tmp_path / "ours")
    card = make(Megatron(tokenizer=tokenizer_file), table, tmp_path / "megatron")
    theirs = MegatronTokenizedFile(str(tmp_path / "theirs"), "00000", token_size=2)
    for document in documents:
        theirs.write(document)
    theirs.close()
    assert card["prefixes"] == ["00000"]
    for name in ("00000.bin", "00000.idx"):
        ours = (tmp_path / "megatron" / name).read_bytes()
        assert ours == (tmp_path / "theirs" / name).read_bytes()


def test_megatron_with_four_bytes_a_token(tmp_path: Path) -> None:
    pytest.importorskip("datatrove")
    from datatrove.pipeline.tokens.megatron_tokenizer import MegatronTokenizedFile

    theirs = MegatronTokenizedFile(str(tmp_path), "x", token_size=4)
    for size in (3, 1, 70_000):
        theirs.write(list(range(size)))
    theirs.close()
    lengths = np.array([3, 1, 70_000], dtype="<i4")
    assert (tmp_path / "x.idx").read_bytes() == index(lengths, "<i4")


def test_a_tokenizer_that_is_replaced_is_read_again(tokenizer_file: str, tmp_path: Path) -> None:
    content = Path(tokenizer_file).read_text()
    (tmp_path / "t.json").write_text(content)
    assert encode.load(str(tmp_path / "t.json")).token_to_id("</s>") == 257
    (tmp_path / "t.json").write_text(content.replace("</s>", "<|endoftext|>"))
    assert encode.load(str(tmp_path / "t.json")).token_to_id("<|endoftext|>") == 257


def test_ds_is_what_datatrove_writes(
    memory_table: Table, tokenizer_file: str, tmp_path: Path
) -> None:
    pytest.importorskip("datatrove")
    from datatrove.pipeline.tokens.tokenizer import TokenizedFile

    table = memory_table("web", text=TEXTS)
    make(Tokens(tokenizer=tokenizer_file), table, tmp_path / "ours")
    card = make(Datatrove(tokenizer=tokenizer_file), table, tmp_path / "ds")
    theirs = TokenizedFile(str(tmp_path / "theirs"), "00000.ds", token_size=2)
    for document in read_back(tmp_path / "ours"):
        theirs.write(document, None)
    theirs.close()
    assert card["files"] == ["00000.ds"]
    for name in ("00000.ds", "00000.ds.index"):
        assert (tmp_path / "ds" / name).read_bytes() == (tmp_path / "theirs" / name).read_bytes()
    told = (tmp_path / "ds" / "00000.ds.metadata").read_text().splitlines()
    assert told[0].endswith("|2")
    assert int(told[1]) == card["tokens"]


def test_what_is_wrong_is_said(memory_table: Table, tokenizer_file: str, tmp_path: Path) -> None:
    table = memory_table("web", text=["", None])
    with pytest.raises(DataError, match=r"web hold no text \(2 documents, 2 of them empty\)"):
        make(Tokens(tokenizer=tokenizer_file), table, tmp_path)
    with pytest.raises(DataError, match="the table web has no column 'content'"):
        make(Tokens(tokenizer=tokenizer_file, column="content"), table, tmp_path)
    with pytest.raises(DataError, match="has no rows: put"):
        Tokens(tokenizer=tokenizer_file).make({}, str(tmp_path), map)
    with pytest.raises(DataError, match="there is no such tokenizer"):
        make(Tokens(tokenizer=str(tmp_path / "no.json")), table, tmp_path)
    (problem,) = Tokens(tokenizer=tokenizer_file, end="<eot>").problems()
    assert "has no token <eot>; its control tokens are: <s>, </s>" in problem
    (tmp_path / "cut.json").write_bytes(Path(tokenizer_file).read_bytes()[:100])
    (problem,) = Tokens(tokenizer=str(tmp_path / "cut.json")).problems()
    assert "is not a tokenizer.json" in problem
    assert Tokens(tokenizer=tokenizer_file).problems() == []


def test_a_pipeline_from_text_to_shards(tmp_path: Path, executor: Executor) -> None:
    """Fits a tokenizer, packs by it; inline and on Ray the same bytes."""
    corpus = tmp_path / "corpus.jsonl"
    chance = random.Random(5)
    with open(corpus, "w") as stream:
        for number in range(400):
            words = " ".join(
                chance.choices(["token", "model", "清洗", "数据", "the"], k=number % 60)
            )
            stream.write(json.dumps({"text": words}) + "\n")
    pipeline = Pipeline(
        name="shards",
        seed=3,
        tables={
            "web": [read.Jsonl(path=str(corpus))],
            "bpe": [fit.Tokenizer(tables="web", vocab_size=300)],
            "tokens": [
                read.Table(tables="web"),
                pack.Tokens(tokenizer="bpe", length=128, shuffle=True),
            ],
            "megatron": [pack.Megatron(tokenizer="bpe", tables="web")],
        },
    )
    done = pipeline.run(str(tmp_path / "run"), executor=executor)
    again = pipeline.run(str(tmp_path / "inline"))
    for table in ("tokens", "megatron"):
        folder, other = (
            Path(one.done[one.plan.artifact_of[table]].folder) for one in (done, again)
        )
        assert files(folder) == files(other)
        assert done.card(table)["documents"] == 400
    manifest = json.loads(
        (Path(done.done[done.plan.artifact_of["tokens"]].folder) / "tokens.json").read_text()
    )
    assert manifest["tokenizer"] == done.card("bpe")["fingerprint"]


def test_on_real_text(
    memory_table: Table, tokenizer_file: str, tmp_path: Path, shared_data: Path
) -> None:
    """Reviews into samples of 4,096 bytes: less than one percent is padding."""
    (file,) = (shared_data / "text").glob("imdb*.gz")
    with gzip.open(file, "rt") as stream:
        texts = [json.loads(line)["text"] for line in itertools.islice(stream, 1500)]
    stage = Tokens(tokenizer=tokenizer_file, length=4096)
    card = make(stage, memory_table("web", batch_rows=500, text=texts), tmp_path)
    assert card["padding"] < 0.01 * card["written_tokens"]
    assert card["split"] < 0.03 * card["documents"]
