"""Makes training shards for Megatron-LM, NeMo and others that read its indexed data sets.

Per shard `00000.bin`, the tokens, and `00000.idx`: the header `MMIDIDX`, a version, the type of a
token, the counts, and for each document its length, its place in bytes and where it ends. One document
is one sequence. The bytes are those of datatrove's MegatronTokenizedFile for the same tokens.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from ultraclean import storage
from ultraclean.stages.pack import encode
from ultraclean.stages.pack.encode import Tally
from ultraclean.stages.pack.shards import Shards, cut

_MAGIC: Final = b"MMIDIDX\x00\x00"
_CODES: Final = {"<u2": 8, "<i4": 4}


class Megatron(Shards):
    """Makes a folder of `.bin` and `.idx` files, the prefix of which is a `--data-path`."""

    stage: ClassVar[str] = "pack.megatron"
    paper: ClassVar[str] = "format of Megatron-LM's IndexedDataset (arXiv 1909.08053)"

    def _write(
        self,
        stream: Iterator[encode.Tokens],
        folder: str,
        encoding: encode.Encoding,
        tally: Tally,
    ) -> dict[str, Any]:
        # Megatron knows no unsigned type of four bytes.
        dtype = "<u2" if encoding.dtype == "<u2" else "<i4"
        prefixes = []
        for number, part in enumerate(cut(stream, self.shard_tokens)):
            prefixes.append(f"{number:05d}")
            path = storage.join(folder, prefixes[-1])
            lengths = []
            with storage.atomic_write(f"{path}.bin") as out:
                for tokens in part:
                    out.write(tokens.astype(dtype).tobytes())
                    lengths.append(len(tokens))
            storage.write_bytes(f"{path}.idx", index(np.array(lengths, dtype="<i4"), dtype))
        return {"prefixes": prefixes, "dtype": dtype}


def index(lengths: NDArray[np.int32], dtype: str) -> bytes:
    """The content of an .idx file: `lengths` int32[n_docs], in tokens."""
    ends = np.cumsum(lengths, dtype="<i8")
    places = (ends - lengths) * np.dtype(dtype).itemsize
    n_docs = len(lengths)
    head = _MAGIC + struct.pack("<QBQQ", 1, _CODES[dtype], n_docs, n_docs + 1)
    documents = np.arange(n_docs + 1, dtype="<i8")
    return head + lengths.astype("<i4").tobytes() + places.tobytes() + documents.tobytes()
