"""Static embeddings: a text is the mean of the vectors of its tokens.

The layout is model2vec's (Tulkens and van Dongen 2024), whose models are read as they are: a folder
with `model.safetensors` (`embeddings`, float[n_vectors, dim]; optionally `weights`, one per token,
and `mapping`, token -> vector), `tokenizer.json`, and `config.json` with `normalize`. As there, special
tokens are not added, unknown tokens do not count, and a text without any token is a vector of zeros.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_TEXTS_AT_ONCE: Final = 256


@dataclass(frozen=True)
class Tokens:
    """Document i has the tokens ids[offsets[i]:offsets[i + 1]]."""

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]


class Tokeniser:
    """Texts to token ids by a tokenizer.json; ValueError if the content is not one."""

    def __init__(self, content: str, max_tokens: int | None = None) -> None:
        from tokenizers import Tokenizer

        try:
            self._tokenizer: Any = Tokenizer.from_str(content)
        except Exception as error:  # the package raises bare Exception
            raise ValueError(f"not a tokenizer.json: {error}") from None
        # limits meant for a model must not cut documents
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._tokenizer.encode_special_tokens = True
        self._max_tokens = max_tokens
        self.n_tokens: int = 1 + max(self._tokenizer.get_vocab().values(), default=-1)
        model = json.loads(content)["model"]
        unknown = model.get("unk_token")
        self._unknown = self._tokenizer.token_to_id(unknown) if unknown else model.get("unk_id")

    def __call__(self, texts: Sequence[str]) -> Tokens:
        rows: list[NDArray[np.int32]] = []
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            some = list(texts[start : start + _TEXTS_AT_ONCE])
            for encoding in self._tokenizer.encode_batch_fast(some, add_special_tokens=False):
                ids = np.array(encoding.ids, dtype=np.int32)
                if self._unknown is not None:
                    ids = ids[ids != self._unknown]
                rows.append(ids[: self._max_tokens])
        offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
        return Tokens(np.concatenate([*rows, np.empty(0, np.int32)]).astype(np.int32), offsets)


@dataclass(frozen=True)
class StaticModel:
    """A table of token vectors, float32[n_tokens, dim], and how texts become tokens."""

    table: NDArray[np.float32]
    tokenise: Tokeniser
    normalise: bool

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32[n_texts, dim]; of length one (or zero) where the model normalises."""
        from ultrakernels.pooled import pooled

        tokens = self.tokenise(texts)
        mean = pooled(tokens.ids, tokens.offsets, self.table)
        return of_unit_length(mean) if self.normalise else mean


def of_unit_length(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows divided by their length; a row of zeros stays."""
    length = np.sqrt((vectors.astype(np.float64) ** 2).sum(axis=1, keepdims=True))
    out: NDArray[np.float32] = (vectors / np.maximum(length, 1e-32)).astype(np.float32)
    return out


def of_folder(read: Callable[[str], bytes | None], max_tokens: int | None) -> StaticModel:
    """The model in a folder; ValueError says which of its files is not what it should be.

    `read` gives the content of a file of the folder by its name, None if it is not there.
    """
    tensors, tokenizer = read("model.safetensors"), read("tokenizer.json")
    if tensors is None or tokenizer is None:
        missing = "model.safetensors" if tensors is None else "tokenizer.json"
        raise ValueError(f"no static model is there: {missing} is missing")
    config = json.loads(read("config.json") or b"{}")
    tokenise = Tokeniser(tokenizer.decode(), max_tokens)
    found = _tensors(tensors)
    if "embeddings" not in found:
        names = ", ".join(found) or "none"
        raise ValueError(f"model.safetensors has no tensor `embeddings`; it has: {names}")
    table = found["embeddings"]
    if table.ndim != 2:
        raise ValueError(
            f"model.safetensors: `embeddings` has the shape {table.shape}, not [n, dim]"
        )
    table = table.astype(np.float32)
    if "mapping" in found:
        mapping = found["mapping"].astype(np.int64)
        if mapping.ndim != 1 or mapping.min() < 0 or mapping.max() >= len(table):
            raise ValueError("model.safetensors: `mapping` points outside `embeddings`")
        table = table[mapping]
    if len(table) < tokenise.n_tokens:
        raise ValueError(
            f"model.safetensors has vectors for {len(table)} tokens, tokenizer.json has "
            f"{tokenise.n_tokens}: they do not belong together"
        )
    if "weights" in found:
        weights = found["weights"].astype(np.float32)
        if weights.shape != (len(table),):
            raise ValueError(f"model.safetensors: {weights.shape} weights for {len(table)} tokens")
        table = table * weights[:, None]
    if not np.isfinite(table).all():
        raise ValueError("model.safetensors: a vector is not finite")
    return StaticModel(np.ascontiguousarray(table), tokenise, bool(config.get("normalize", False)))


def _tensors(content: bytes) -> dict[str, NDArray[Any]]:
    import safetensors
    import safetensors.numpy

    try:
        found: dict[str, NDArray[Any]] = safetensors.numpy.load(content)
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise ValueError(f"not a usable safetensors file: {error}") from None
    return found


# --- learning -----------------------------------------------------------------------------------


def latent(
    tokens: Tokens, weights: NDArray[np.float32], dim: int, seed: int, n_passes: int = 3
) -> NDArray[np.float32]:
    """Token vectors by latent semantic analysis, float32[n_tokens, dim].

    The `dim` right singular vectors of the matrix (documents by tokens) of weighted counts, each
    document scaled by the root of its length; by randomised subspace iteration (Halko, Martinsson,
    Tropp 2011), which passes over the documents and never holds the matrix.
    """
    from ultrakernels.pooled import pooled, scattered

    n_tokens, width = len(weights), min(dim + 16, len(weights))
    basis = np.random.default_rng(seed).standard_normal((n_tokens, width))
    root = np.sqrt(np.diff(tokens.offsets)).astype(np.float32)
    for _ in range(n_passes):
        basis, _ = np.linalg.qr(basis)
        table = (basis * weights[:, None]).astype(np.float32)
        product = np.zeros((n_tokens, width))
        for start in range(0, len(root), 4096):
            offsets = tokens.offsets[start : start + 4097]
            scale = root[start : start + 4096, None]
            rows = pooled(tokens.ids, offsets, table) * scale
            # the mean has divided by the length: the transpose divides, too
            lengths = np.maximum(np.diff(offsets), 1)[:, None].astype(np.float32)
            scattered(tokens.ids, offsets, (rows * scale / lengths).astype(np.float32), product)
        basis_before, basis = basis, product * weights[:, None]
    # Rayleigh-Ritz: the directions within the subspace, the strongest first
    values, turns = np.linalg.eigh(basis_before.T @ basis)
    order = np.argsort(values)[::-1][: min(dim, width)]
    vectors = basis_before @ turns[:, order]
    signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])])
    out: NDArray[np.float32] = (vectors * signs * weights[:, None]).astype(np.float32)
    return out
