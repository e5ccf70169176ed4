"""Measures how much documents surprise an n-gram model: their perplexity by a KenLM model file.

CCNet's quality signal (Wenzek et al. 2019, arXiv 1911.00359), computed as there: each line is a
sentence, and a document's perplexity is 10 ** (-log10 of all lines / (words + one end per line)). With
`normalise: ccnet` and the `.sp.model` beside each of its `.arpa.bin` files the numbers are CCNet's,
which rounds them to one decimal. Low is like the text of the model (Wikipedia, there), high is unlike it;
`sample.quantile` by it makes CCNet's head, middle and tail.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from ultraclean import storage
from ultraclean.document import Batch, texts
from ultraclean.errors import DataError, MissingExtra
from ultraclean.stage import Map, Resources
from ultraclean.text import ccnet

BINARY: Final = b"mmap lm http://kheafield.com/code"
COMPRESSED: Final = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ")

Pieces = Callable[[str], str]
"""A line as its tokens with single spaces between."""


class Perplexity(Map):
    """Adds one column, the perplexity (float32); null where a document has no words."""

    stage: ClassVar[str] = "score.perplexity"
    main: ClassVar[str | None] = "model"
    paper: ClassVar[str] = "CCNet (Wenzek et al. 2019, arXiv 1911.00359); KenLM (Heafield 2011)"
    extras: ClassVar[Mapping[str, str]] = {"kenlm": '"ultraclean-data[kenlm]"'}
    packages: ClassVar[tuple[str, ...]] = ("kenlm",)

    model: str = Field(
        description="path of a KenLM model: its binary, or ARPA, which may be packed"
    )
    tokenizer: str | None = Field(
        default=None,
        description="path of a SentencePiece .model or a tokenizer.json; none: words between blanks",
    )
    normalise: Literal["ccnet", "none"] = Field(
        default="ccnet",
        description="ccnet: lower case, no accents, 0 for digits, ASCII punctuation; none: as it is",
    )
    into: str = Field(default="perplexity", min_length=1, description="column of the perplexity")

    def needs(self) -> tuple[str, ...]:
        return ("text",)

    def adds(self) -> Mapping[str, pa.DataType]:
        return {self.into: pa.float32()}

    def distributions(self) -> tuple[str, ...]:
        if self.tokenizer is None:
            return ("kenlm",)
        return ("kenlm", "sentencepiece" if self._is_sentencepiece else "tokenizers")

    def missing_extras(self) -> list[MissingExtra]:
        import importlib.util

        found = super().missing_extras()
        if self._is_sentencepiece and importlib.util.find_spec("sentencepiece") is None:
            found.append(
                MissingExtra(self.stage, "sentencepiece", 'pip install "ultraclean-data[kenlm]"')
            )
        return found

    @property
    def resources(self) -> Resources:
        return Resources(model=True)

    @property
    def _is_sentencepiece(self) -> bool:
        return self.tokenizer is not None and not self.tokenizer.endswith(".json")

    def files(self) -> tuple[str, ...]:
        return (self.model,) if self.tokenizer is None else (self.model, self.tokenizer)

    def problems(self) -> list[str]:
        found = []
        for path, look in ((self.model, _model_problem), (self.tokenizer, self._tokenizer_problem)):
            try:
                if path is not None and storage.is_local(path):
                    found.append(look(storage.expand(path)))
            except (OSError, DataError) as error:
                found.append(str(error))
        return [problem for problem in found if problem is not None]

    def _tokenizer_problem(self, path: str) -> str | None:
        if self._is_sentencepiece and self.missing_extras():
            return None if storage.exists(path) else f"{path}: there is no such tokenizer"
        self._pieces()
        return None

    def open(self) -> Callable[[Batch], Batch]:
        model, pieces = _loaded(storage.expand(self.model)), self._pieces()
        normalise = ccnet.normalise if self.normalise == "ccnet" else str

        def score(batch: Batch) -> Batch:
            found = np.full(batch.num_rows, np.nan)
            for row, text in enumerate(texts(batch["text"])):
                lines = [pieces(normalise(line)) for line in text.split("\n")]
                lines = [line for line in lines if line and not line.isspace()]
                if lines:
                    log10 = sum(model.score(line) for line in lines)
                    found[row] = 10.0 ** (-log10 / sum(len(line.split()) + 1 for line in lines))
            return batch.with_columns({self.into: pa.array(found, pa.float32(), from_pandas=True)})

        return score

    def _pieces(self) -> Pieces:
        if self.tokenizer is None:
            return str
        path = storage.expand(self.tokenizer)
        try:
            content = storage.read_bytes(path)
        except FileNotFoundError:
            raise DataError(f"{path}: there is no such tokenizer") from None
        if self._is_sentencepiece:
            return _sentencepiece(content, path)
        return _tokenizer_json(content, path)


def _model_problem(path: str) -> str | None:
    """What is wrong with a model file as far as its first and last bytes say."""
    if not storage.exists(path):
        return f"{path}: there is no such model"
    with storage.open_read(path) as stream:
        head = stream.read(4096)
        if head.startswith((BINARY, *COMPRESSED)):
            return None
        if not head.lstrip().startswith(b"\\data\\"):
            return f"{path}: neither a KenLM binary nor ARPA; it begins with {head[:20]!r}"
        stream.seek(max(0, stream.seek(0, 2) - 64))
        if not stream.read().rstrip().endswith(b"\\end\\"):
            return f"{path}: the ARPA file is truncated: it does not end with \\end\\"
    return None


def _loaded(path: str) -> Any:
    """The model; kenlm maps local files only, so another is copied."""
    import kenlm

    problem = _model_problem(path)
    if problem is not None:
        raise DataError(problem)
    try:
        if storage.is_local(path):
            return kenlm.Model(path)
        with tempfile.TemporaryDirectory(prefix="ultraclean-kenlm-") as folder:
            copy = Path(folder) / Path(path).name
            with storage.open_read(path) as stream, open(copy, "wb") as out:
                shutil.copyfileobj(stream, out)
            return kenlm.Model(str(copy))  # what is mapped stays when its name is gone
    except (OSError, RuntimeError) as error:
        said = " ".join(str(error).split())
        raise DataError(f"{path}: KenLM cannot read this model: {said}") from error


def _sentencepiece(content: bytes, path: str) -> Pieces:
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor()
    try:
        processor.LoadFromSerializedProto(content)
    except RuntimeError as error:
        raise DataError(f"{path}: not a SentencePiece model: {error}") from error
    return lambda line: " ".join(processor.EncodeAsPieces(line))


def _tokenizer_json(content: bytes, path: str) -> Pieces:
    from tokenizers import Tokenizer

    try:
        tokenizer: Any = Tokenizer.from_str(content.decode())
    except Exception as error:  # the package raises bare Exception
        raise DataError(f"{path}: not a tokenizer.json: {error}") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return lambda line: " ".join(tokenizer.encode(line, add_special_tokens=False).tokens)
