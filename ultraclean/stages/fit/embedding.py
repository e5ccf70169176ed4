"""Trains a classifier, or a regression of a grade, on static embeddings of the documents.

The embedding classifiers of UltraData-Math's L2 tier, and FineWeb-Edu's regression to 0-5 (Penedo et
al. 2024, arXiv 2406.17557), in a form that needs no GPU: a document is the mean of the vectors of its
tokens (as model2vec's), and a linear head reads it. The vectors are learned from the tables
themselves, without labels, by latent semantic analysis (Deerwester et al. 1990) with weights by rarity,
or taken from a folder in model2vec's layout (`base`); the head is exact (ridge or logistic regression).

Against `fit.fasttext`: 20 MB instead of 2 GB, better where labelled documents are few, because words
that it has seen without a label count as well; worse where there are many. It writes the layout of
model2vec, so that its vectors are usable elsewhere. Which documents are taken and held out are hashes
of their keys; the last bits of the vectors are those of this machine's linear algebra.
"""

from __future__ import annotations

import importlib.metadata
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Final, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ultraclean import storage
from ultraclean.document import KEY, Batch, random64, texts
from ultraclean.errors import DataError
from ultraclean.stage import Artifact, Rows, TableRef
from ultraclean.stages.fit import fasttext_card
from ultraclean.text import embedding, linear
from ultraclean.text.embedding import StaticModel, Tokens

FEWEST: Final = 20
"""Labelled documents (of a classifier: per class) below which training is refused."""
UNKNOWN: Final = "[UNK]"
_TAKE, _HOLD_OUT = 0x5A, 0xC3
_TEXTS_AT_ONCE: Final = 256

# one Chinese character or kana, a run of letters and digits, or another mark
_PIECE: Final = r"[\p{Han}\p{Hiragana}\p{Katakana}]|[\p{L}\p{N}&&[^\p{Han}\p{Hiragana}\p{Katakana}]]+|[^\p{L}\p{N}\s]"


class Embedding(Artifact):
    """Makes a folder with model.safetensors, tokenizer.json, config.json, head.json and card.json."""

    stage: ClassVar[str] = "fit.embedding"
    paper: ClassVar[str] = (
        "UltraData-Math L2 (MiniCPM5), FineWeb-Edu (arXiv 2406.17557); layout of model2vec"
    )
    packages: ClassVar[tuple[str, ...]] = ("tokenizers", "safetensors")

    task: Literal["classification", "regression"] = Field(
        default="classification", description="two classes, or a number such as a grade of 0 to 5"
    )
    positive: Annotated[str | tuple[str, ...], TableRef()] = Field(
        default=(), description="classification: table or tables of documents to look for"
    )
    negative: Annotated[str | tuple[str, ...], TableRef()] = Field(
        default=(), description="classification: table or tables of ordinary documents"
    )
    examples: Annotated[str | tuple[str, ...], TableRef()] = Field(
        default=(), description="regression: table or tables of documents with a grade"
    )
    label: str = Field(default="score", description="regression: column of the grade")
    unlabelled: Annotated[str | tuple[str, ...], TableRef()] = Field(
        default=(), description="more tables whose words the vectors are learned from"
    )
    base: str | None = Field(
        default=None, description="folder of a static model whose vectors are used as they are"
    )
    dim: int = Field(
        default=256, ge=1, le=4096, description="length of the vectors, without `base`"
    )
    vocab_size: int = Field(
        default=50_000, ge=100, description="words that have a vector, without `base`"
    )
    min_count: int = Field(default=3, ge=1, description="least documents that a word occurs in")
    max_tokens: int | None = Field(
        default=1024, ge=1, description="tokens of a document that are read; null: all"
    )
    l2: float = Field(default=0.01, gt=0, description="weight of the penalty on the head")
    max_documents: int = Field(
        default=100_000, ge=FEWEST, description="at most so many of each class, or in all"
    )
    held_out: float = Field(
        default=0.1,
        ge=0,
        le=0.5,
        description="fraction of the labelled that the card is measured on",
    )
    threshold: float = Field(
        default=0.5, gt=0, lt=1, description="classification: where precision and recall are taken"
    )
    seed: int = Field(default=17, ge=0, lt=2**31, description="of the sample and of the vectors")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.task == "classification":
            if not self.positive or not self.negative or self.examples:
                raise ValueError("classification needs `positive` and `negative`, not `examples`")
            both = set(_names(self.positive)) & set(_names(self.negative))
            if both:
                raise ValueError(f"{', '.join(sorted(both))}: both positive and negative")
        elif not self.examples or self.positive or self.negative:
            raise ValueError("regression needs `examples`, not `positive` or `negative`")
        return self

    def needs(self) -> tuple[str, ...]:
        return ("text",)

    def files(self) -> tuple[str, ...]:
        return () if self.base is None else (self.base,)

    def problems(self) -> list[str]:
        if self.base is None or not storage.is_local(self.base):
            return []
        try:
            read_model(storage.expand(self.base), self.max_tokens)
        except (OSError, DataError) as error:
            return [str(error)]
        return []

    def make(
        self,
        inputs: Mapping[str, Rows],
        folder: str,
        run: Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]],
    ) -> dict[str, Any]:
        del run  # one process reads and solves
        began = time.monotonic()
        groups = self._groups(inputs)
        labelled = [documents for name, documents in groups.items() if name != "unlabelled"]
        self._refuse(groups)
        base = None if self.base is None else read_model(storage.expand(self.base), self.max_tokens)
        content = _vocabulary(groups, self.vocab_size, self.min_count) if base is None else None
        model = base if base is not None else self._learned(str(content), groups)
        learned_s = time.monotonic() - began

        vectors = np.concatenate([model.vectors(documents.texts) for documents in labelled])
        target = np.concatenate([documents.target for documents in labelled])
        held = np.concatenate([documents.held_out for documents in labelled])
        logistic = self.task == "classification"
        head = linear.fit(vectors[~held], target[~held], self.l2, logistic=logistic)
        measured = _measured(head(vectors[held]), target[held], self.threshold, logistic)

        self._write(folder, model, content, head, target)
        card = {
            "kind": self.stage,
            "task": self.task,
            "settings": self.model_dump(
                mode="json", exclude={"name", "positive", "negative", "examples", "unlabelled"}
            ),
            "tables": {name: list(documents.tables) for name, documents in groups.items()},
            "counts": {
                **{name: len(documents.texts) for name, documents in groups.items()},
                "train": int((~held).sum()),
                "held_out": int(held.sum()),
                "tokens": len(model.table),
            },
            "max_tokens": self.max_tokens,
            "held_out": measured,
            "versions": {
                package: importlib.metadata.version(package)
                for package in ("tokenizers", "safetensors", "numpy")
            },
            "seconds": {
                "vectors": round(learned_s, 3),
                "all": round(time.monotonic() - began, 3),
            },
        }
        storage.write_json(storage.join(folder, "card.json"), card)
        return card

    def _groups(self, inputs: Mapping[str, Rows]) -> dict[str, Documents]:
        """The documents of each side, at most `max_documents` of each at random."""
        groups = {}
        for name in ("positive", "negative", "examples", "unlabelled"):
            tables = _names(getattr(self, name))
            if tables:
                label = self.label if name == "examples" else float(name == "positive")
                groups[name] = self._read([_table(inputs, one) for one in tables], label)
        return groups

    def _read(self, tables: Sequence[Rows], label: float | str) -> Documents:
        """Two passes: which documents have the lowest random numbers, and what they are."""
        lowest = np.empty(0, dtype=np.uint64)
        for batch in _batches(tables, label):
            lowest = np.sort(np.concatenate([lowest, _random(batch, self.seed, _TAKE)]))
            lowest = lowest[: self.max_documents]
        highest = lowest[-1] if len(lowest) else np.uint64(0)
        rows: list[tuple[bytes, str, float, bool]] = []
        below = np.uint64(self.held_out * 2**64)
        for batch in _batches(tables, label):
            taken = batch.filter(_random(batch, self.seed, _TAKE) <= highest)
            target = (
                [label] * taken.num_rows if isinstance(label, float) else taken[label].to_pylist()
            )
            held = (_random(taken, self.seed, _HOLD_OUT) < below).tolist()
            rows += zip(taken[KEY].to_pylist(), texts(taken["text"]), target, held, strict=True)
        rows.sort(key=lambda row: row[0])  # the order of tables and shards does not matter
        return Documents(
            tuple(table.name for table in tables),
            [row[1] for row in rows],
            np.array([row[2] for row in rows], dtype=np.float64),
            np.array([row[3] for row in rows], dtype=bool),
        )

    def _refuse(self, groups: Mapping[str, Documents]) -> None:
        for name, documents in groups.items():
            usable = int((~documents.held_out).sum())
            if name != "unlabelled" and usable < FEWEST:
                what = f" and a number in {self.label!r}" if name == "examples" else ""
                raise DataError(
                    f"{self.called} needs at least {FEWEST} documents with text{what}, beside those "
                    f"held out; {name} ({', '.join(documents.tables)}) has {usable}"
                )
        if self.task == "regression" and np.ptp(groups["examples"].target) == 0:
            raise DataError(f"{self.called}: all grades in {self.label!r} are the same")

    def _learned(self, content: str, groups: Mapping[str, Documents]) -> StaticModel:
        """Vectors from the text of all groups, held out or not: it has no labels."""
        tokenise = embedding.Tokeniser(content, self.max_tokens)
        every = [tokenise(documents.texts) for documents in groups.values()]
        starts = np.cumsum([0, *(len(tokens.ids) for tokens in every)])
        offsets = [tokens.offsets[1:] + start for tokens, start in zip(every, starts, strict=False)]
        ids = np.concatenate([tokens.ids for tokens in every])
        tokens = Tokens(ids, np.concatenate([[0], *offsets]))
        weights = _rarity(tokens, tokenise.n_tokens)
        table = embedding.latent(tokens, weights, self.dim, self.seed)
        return StaticModel(table, tokenise, normalise=True)

    def _write(
        self,
        folder: str,
        model: StaticModel,
        content: str | None,
        head: linear.Head,
        target: NDArray[np.float64],
    ) -> None:
        import safetensors.numpy

        if content is None:
            base = storage.expand(str(self.base))
            content = storage.read_bytes(storage.join(base, "tokenizer.json")).decode()
        tensors = safetensors.numpy.save({"embeddings": model.table})
        storage.write_bytes(storage.join(folder, "model.safetensors"), tensors)
        storage.write_bytes(storage.join(folder, "tokenizer.json"), content.encode())
        storage.write_json(storage.join(folder, "config.json"), {"normalize": model.normalise})
        storage.write_json(
            storage.join(folder, "head.json"),
            {
                "task": self.task,
                "weight": head.weight.tolist(),
                "bias": head.bias,
                "lowest": float(target.min()),
                "highest": float(target.max()),
                "max_tokens": self.max_tokens,
            },
        )


class Documents:
    """The documents of one side: texts, what is to be learned, and which of them are held out."""

    def __init__(
        self,
        tables: tuple[str, ...],
        texts: list[str],
        target: NDArray[np.float64],
        held_out: NDArray[np.bool_],
    ) -> None:
        self.tables, self.texts, self.target, self.held_out = tables, texts, target, held_out


def read_model(path: str, max_tokens: int | None) -> StaticModel:
    """The static model in a folder; DataError if there is none, or a file of it is not usable."""
    try:
        return embedding.of_folder(
            lambda name: storage.read_optional(storage.join(path, name)), max_tokens
        )
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: {error}") from error


def _batches(tables: Sequence[Rows], label: float | str) -> Iterator[Batch]:
    """Documents that have text and, where there is a column of it, a finite label."""
    columns = [KEY, "text"] if isinstance(label, float) else [KEY, "text", label]
    for table in tables:
        for batch in table.batches(columns):
            size = pc.binary_length(batch["text"])
            keep = np.asarray(pc.fill_null(pc.greater(size, 0), False).to_numpy(False))
            if isinstance(label, str):
                if label not in batch:
                    raise DataError(f"the table {table.name} has no column {label!r}")
                try:
                    number = batch[label].cast(pa.float64())
                except pa.ArrowInvalid as error:
                    raise DataError(f"{table.name}: {label!r} is no number: {error}") from None
                keep &= np.isfinite(number.fill_null(np.nan).to_numpy(False))
                batch = batch.with_columns({label: number})  # noqa: PLW2901
            yield batch.filter(keep)


def _vocabulary(groups: Mapping[str, Documents], size: int, min_count: int) -> str:
    """A tokenizer.json of the words in most documents; what they do not hold is unknown."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    normalizer = normalizers.Sequence(
        [normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase()]
    )
    splitter = pre_tokenizers.Split(Regex(_PIECE), behavior="removed", invert=True)
    found: Counter[str] = Counter()
    for documents in groups.values():
        for text in documents.texts:
            pieces = splitter.pre_tokenize_str(normalizer.normalize_str(text))
            found.update({piece for piece, _ in pieces})
    common = sorted((-n, word) for word, n in found.items() if n >= min_count)[:size]
    if not common:
        raise DataError(f"no word occurs in {min_count} documents: give more, or lower min_count")
    words = {word: number for number, word in enumerate([UNKNOWN, *(word for _, word in common)])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token=UNKNOWN))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, splitter
    return str(tokenizer.to_str())


def _rarity(tokens: Tokens, n_tokens: int) -> NDArray[np.float32]:
    """log(documents / documents with the token), smoothed: float32[n_tokens]."""
    n_docs = len(tokens.offsets) - 1
    doc = np.repeat(np.arange(n_docs), np.diff(tokens.offsets))
    pairs = np.unique(doc * np.int64(n_tokens) + tokens.ids)
    with_token = np.bincount(pairs % n_tokens, minlength=n_tokens)
    rarity: NDArray[np.float32] = np.log((n_docs + 1) / (with_token + 0.5)).astype(np.float32)
    return np.maximum(rarity, 0)


def _measured(
    score: NDArray[np.float64], target: NDArray[np.float64], threshold: float, logistic: bool
) -> dict[str, Any] | None:
    """The card's numbers on documents that were held out; None where there are none."""
    if not len(score):
        return None
    if logistic:
        return fasttext_card.measured(score, target > 0.5, threshold)
    error = score - target
    rounded = np.rint(np.clip(score, target.min(), target.max()))
    varies = bool(np.ptp(target) > 0 and np.ptp(score) > 0)
    return {
        "n": len(score),
        "mean_absolute_error": float(np.abs(error).mean()),
        "root_mean_square_error": float(np.sqrt((error**2).mean())),
        "correlation": float(np.corrcoef(score, target)[0, 1]) if varies else None,
        "exact_when_rounded": float((rounded == np.rint(target)).mean()),
    }


def _random(batch: Batch, seed: int, purpose: int) -> NDArray[np.uint64]:
    return random64(batch[KEY], (seed << 8) ^ purpose)


def _names(tables: str | Sequence[str]) -> tuple[str, ...]:
    return (tables,) if isinstance(tables, str) else tuple(tables)


def _table(inputs: Mapping[str, Rows], name: str) -> Rows:
    if name not in inputs:
        raise DataError(f"there is no table {name!r} among the inputs: {', '.join(inputs)}")
    return inputs[name]
