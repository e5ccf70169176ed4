"""Tokens on disk: what `pack.tokens` writes and the trainer maps into memory.

A folder holds `tokens.json` and, per shard, three plain files that numpy and others can map:

    00000.tokens   uint16 or uint32, little-endian: the documents one after the other
    00000.ends     int64: where each document ends
    00000.mask     uint8, only in masked folders: 1 where the token is to be predicted
    token_bytes.npy  int32 per id: bytes of text that the token stands for, 0 for control tokens

`tokens.json` is written last: a folder without it is unfinished. This module needs no torch.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ultraclean import storage
from ultraclean.errors import DataError

MANIFEST = "tokens.json"

Document = tuple[Sequence[int] | NDArray[Any], Sequence[int] | NDArray[Any] | None]
"""The ids of a document and, in a masked folder, 1 for each token to be predicted."""


# --- tokenizers -------------------------------------------------------------------------------


def tokenizer_id(tokenizer: Any) -> str:
    """What makes two tokenizers the same: a hash of all that is in `tokenizer.json`."""
    content = json.loads(tokenizer.to_str())
    for how in ("truncation", "padding"):  # these say how to batch, not what the ids mean
        content.pop(how, None)
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


def load_tokenizer(path: str) -> Any:
    """A `tokenizers.Tokenizer` from a tokenizer.json."""
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_str(storage.read_bytes(storage.expand(path)).decode())
    except Exception as error:  # the package raises bare Exception
        raise DataError(f"{path} is not a tokenizer.json: {error}") from None


def token_bytes(tokenizer: Any) -> NDArray[np.int32]:
    """Bytes of text per id: int32[vocabulary]; 0 for special tokens."""
    vocabulary: dict[str, int] = tokenizer.get_vocab(with_added_tokens=True)
    added = {
        token.content: token.special for token in tokenizer.get_added_tokens_decoder().values()
    }
    decoder = str(json.loads(tokenizer.to_str()).get("decoder"))
    byte_level = "ByteLevel" in decoder
    sizes = np.zeros(max(vocabulary.values(), default=-1) + 1, dtype=np.int32)
    for token, index in vocabulary.items():
        if token in added:
            sizes[index] = 0 if added[token] else len(token.encode())
        elif byte_level:  # one character stands for one byte
            sizes[index] = len(token)
        elif re.fullmatch(r"<0x[0-9A-Fa-f]{2}>", token):
            sizes[index] = 1
        else:  # sentencepiece writes a space as a lower one eighth block
            sizes[index] = len(token.replace("\u2581", " ").encode())
    return sizes


# --- writing ----------------------------------------------------------------------------------


def dtype_of(vocab_size: int) -> np.dtype[Any]:
    return np.dtype("<u2" if vocab_size <= 2**16 else "<u4")


def write_shard(
    folder: str, name: str, documents: Iterable[Document], vocab_size: int, masked: bool = False
) -> dict[str, Any]:
    """Writes one shard and returns its entry for the manifest. Documents are streamed."""
    dtype = dtype_of(vocab_size)
    ends: list[int] = [0]
    digest = hashlib.blake2b(digest_size=16)
    masks: list[NDArray[np.uint8]] = []
    with storage.atomic_write(storage.join(folder, f"{name}.tokens")) as stream:
        for ids, mask in documents:
            tokens = np.asarray(ids, dtype=np.int64)
            if len(tokens) == 0:
                continue
            if tokens.min() < 0 or tokens.max() >= vocab_size:
                raise DataError(
                    f"{folder}: document {len(ends) - 1} of shard {name} has the token "
                    f"{tokens.max()}, outside a vocabulary of {vocab_size}"
                )
            content = tokens.astype(dtype).tobytes()
            digest.update(content)
            stream.write(content)
            ends.append(ends[-1] + len(tokens))
            if masked:
                masks.append(np.asarray(1 if mask is None else mask, dtype=np.uint8))
                if masks[-1].shape != tokens.shape:
                    masks[-1] = np.broadcast_to(masks[-1], tokens.shape)
    storage.write_bytes(
        storage.join(folder, f"{name}.ends"), np.asarray(ends[1:], dtype="<i8").tobytes()
    )
    if masked:
        joined = np.concatenate(masks) if masks else np.zeros(0, np.uint8)
        storage.write_bytes(storage.join(folder, f"{name}.mask"), joined.tobytes())
    return {
        "name": name,
        "n_tokens": ends[-1],
        "n_docs": len(ends) - 1,
        "hash": digest.hexdigest(),
    }


def write_manifest(
    folder: str,
    shards: Sequence[dict[str, Any]],
    vocab_size: int,
    tokenizer: Any = None,
    masked: bool = False,
    length: int | None = None,
) -> dict[str, Any]:
    """Finishes a folder. `tokenizer`, if given, marks the shards with what made them.

    `length` says that documents are packed into samples of so many tokens, which the trainer then
    does not cut in another place.
    """
    if tokenizer is not None:
        sizes = np.zeros(vocab_size, dtype=np.int32)
        known = token_bytes(tokenizer)
        sizes[: len(known)] = known[:vocab_size]
        with storage.atomic_write(storage.join(folder, "token_bytes.npy")) as stream:
            np.save(stream, sizes)
    manifest = {
        "format": "ultraclean-tokens",
        "version": 1,
        "tokenizer": tokenizer_id(tokenizer) if tokenizer is not None else None,
        "vocab_size": vocab_size,
        "dtype": dtype_of(vocab_size).str,
        "masked": masked,
        "length": length,
        "n_tokens": sum(shard["n_tokens"] for shard in shards),
        "n_docs": sum(shard["n_docs"] for shard in shards),
        "shards": list(shards),
    }
    storage.write_json(storage.join(folder, MANIFEST), manifest)
    return manifest


def write_texts(
    folder: str,
    texts: Iterable[str],
    tokenizer: Any,
    *,
    begin: str | None = "<s>",
    end: str | None = "</s>",
    vocab_size: int | None = None,
) -> dict[str, Any]:
    """Tokenises texts into one shard, each between `begin` and `end` where the tokenizer has them."""
    before = [i for i in [tokenizer.token_to_id(begin) if begin else None] if i is not None]
    after = [i for i in [tokenizer.token_to_id(end) if end else None] if i is not None]
    size = vocab_size or tokenizer.get_vocab_size()

    def documents() -> Iterable[Document]:
        for text in texts:
            yield [*before, *tokenizer.encode(text, add_special_tokens=False).ids, *after], None

    shard = write_shard(folder, "00000", documents(), size)
    return write_manifest(folder, [shard], size, tokenizer)


# --- reading ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Window:
    """A run of tokens with, for each, the document that it belongs to and whether it counts."""

    tokens: NDArray[Any]
    documents: NDArray[np.int64]
    counts: NDArray[np.bool_]


@dataclass(frozen=True)
class TokenFolder:
    """A finished folder, mapped into memory. Documents and tokens are numbered through all shards."""

    path: str
    manifest: dict[str, Any]

    @property
    def vocab_size(self) -> int:
        return int(self.manifest["vocab_size"])

    @property
    def digest(self) -> str:
        """Changes when any token does."""
        parts = [shard["hash"] for shard in self.manifest["shards"]]
        return hashlib.blake2b(" ".join(parts).encode(), digest_size=16).hexdigest()

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """int64[n_shards + 1]: the first token of each shard, and the number of all tokens."""
        return np.cumsum([0, *(shard["n_tokens"] for shard in self.manifest["shards"])])

    @cached_property
    def ends(self) -> NDArray[np.int64]:
        """int64[n_docs]: where each document ends."""
        ends = [
            start + np.fromfile(os.path.join(self.path, f"{shard['name']}.ends"), dtype="<i8")
            for start, shard in zip(self.starts, self.manifest["shards"], strict=False)
        ]
        return np.concatenate([np.zeros(0, np.int64), *ends])

    @cached_property
    def token_bytes(self) -> NDArray[np.int32] | None:
        path = os.path.join(self.path, "token_bytes.npy")
        return np.load(path) if os.path.exists(path) else None

    @cached_property
    def _maps(self) -> list[NDArray[Any]]:
        return [
            _mapped(os.path.join(self.path, f"{shard['name']}.tokens"), self.manifest["dtype"])
            for shard in self.manifest["shards"]
        ]

    @cached_property
    def _masks(self) -> list[NDArray[Any]]:
        return [
            _mapped(os.path.join(self.path, f"{shard['name']}.mask"), "u1")
            for shard in self.manifest["shards"]
        ]

    def window(self, start: int, length: int) -> Window:
        """The tokens `start` to `start + length`, which may lie in several shards."""
        tokens = self._slice(self._maps, start, length)
        documents = np.searchsorted(self.ends, np.arange(start, start + length), side="right")
        if self.manifest["masked"]:
            counts = self._slice(self._masks, start, length).astype(bool)
        else:
            counts = np.ones(length, dtype=bool)
        return Window(tokens, documents, counts)

    def _slice(self, maps: list[NDArray[Any]], start: int, length: int) -> NDArray[Any]:
        parts = []
        shard = int(np.searchsorted(self.starts, start, side="right")) - 1
        while length > 0:
            inside = start - int(self.starts[shard])
            part = maps[shard][inside : inside + length]
            parts.append(part)
            start, length, shard = start + len(part), length - len(part), shard + 1
        return np.concatenate(parts)


def _mapped(path: str, dtype: str) -> NDArray[Any]:
    if os.path.getsize(path) == 0:  # an empty file cannot be mapped
        return np.zeros(0, dtype=dtype)
    return np.memmap(path, dtype=dtype, mode="r")


def open_folder(path: str) -> TokenFolder:
    """A folder of shards, with every file's size checked against the manifest."""
    path = storage.expand(path)
    if not storage.is_local(path):
        raise DataError(f"{path}: token shards are mapped into memory; copy them to a local disk")
    name = os.path.join(path, MANIFEST)
    if not os.path.exists(name):
        raise DataError(f"{path} is no folder of token shards: it has no {MANIFEST}")
    manifest = storage.read_json(name)
    if manifest.get("format") != "ultraclean-tokens" or manifest.get("version") != 1:
        raise DataError(f"{name} is not of the format ultraclean-tokens, version 1")
    width = np.dtype(manifest["dtype"]).itemsize
    for shard in manifest["shards"]:
        sizes = {"tokens": shard["n_tokens"] * width, "ends": shard["n_docs"] * 8}
        if manifest["masked"]:
            sizes["mask"] = shard["n_tokens"]
        for kind, expected in sizes.items():
            file = os.path.join(path, f"{shard['name']}.{kind}")
            found = os.path.getsize(file) if os.path.exists(file) else None
            if found != expected:
                has = "is missing" if found is None else f"has {found} bytes"
                raise DataError(f"{file} {has}, {MANIFEST} says {expected}: write the shards again")
    return TokenFolder(path, manifest)
