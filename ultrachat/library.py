"""The documents of an index that `fit.index` made: found by a question, read by number."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ultraclean import storage
from ultraclean.errors import DataError
from ultraclean.text.bm25 import Index


@dataclass(frozen=True)
class Found:
    key: bytes
    text: str
    score: float


class Library:
    """Texts are held in memory, once per worker process."""

    def __init__(self, folder: str) -> None:
        import pyarrow.parquet as pq

        try:
            with storage.open_read(storage.join(folder, "documents.parquet")) as stream:
                table = pq.read_table(stream)
            names = ("documents", "counts", "starts", "lengths")
            arrays = {name: _array(storage.join(folder, f"{name}.npy")) for name in names}
            self._index = Index(arrays, storage.read_json(storage.join(folder, "terms.json")))
        except FileNotFoundError as error:
            raise DataError(f"{folder} is no index: fit.index makes one ({error})") from error
        self._keys, self._texts = table["key"], table["text"]

    def find(self, question: str, k: int) -> list[Found]:
        """The k documents that are most about a question, best first."""
        return [
            Found(self._keys[row].as_py(), self._texts[row].as_py(), score)
            for row, score in self._index.search(question, k)
        ]


def _array(path: str) -> NDArray[Any]:
    """An array, mapped and not read where the disk is local."""
    if storage.is_local(path):
        mapped: NDArray[Any] = np.load(path, mmap_mode="r")
        return mapped
    with storage.open_read(path) as stream:
        return np.load(stream)  # type: ignore[no-any-return]


@functools.lru_cache(maxsize=4)
def library(folder: str) -> Library:
    """The library of a folder, opened once."""
    return Library(storage.expand(folder))
