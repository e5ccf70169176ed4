"""Makes training shards for nanotron and datatrove's data loaders: `.ds` files.

Per shard `00000.ds`, the tokens; `00000.ds.index`, where each document ends, uint64; and
`00000.ds.metadata`, which names the tokenizer and the width of a token, and counts the tokens. The
bytes of the first two are those of datatrove 0.10.1's TokenizedFile for the same tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from ultraclean import storage
from ultraclean.stages.pack import encode
from ultraclean.stages.pack.encode import Tally
from ultraclean.stages.pack.shards import Shards, cut


class Datatrove(Shards):
    """Makes a folder of `.ds` files, as nanotron's `dataset_folder` takes it."""

    stage: ClassVar[str] = "pack.datatrove"
    paper: ClassVar[str] = "format of datatrove 0.10.1's TokenizedFile"

    def _write(
        self,
        stream: Iterator[encode.Tokens],
        folder: str,
        encoding: encode.Encoding,
        tally: Tally,
    ) -> dict[str, Any]:
        width = np.dtype(encoding.dtype).itemsize
        files = []
        for number, part in enumerate(cut(stream, self.shard_tokens)):
            files.append(f"{number:05d}.ds")
            path = storage.join(folder, files[-1])
            ends = [0]
            with storage.atomic_write(path) as out:
                for tokens in part:
                    out.write(tokens.astype(encoding.dtype).tobytes())
                    ends.append(ends[-1] + len(tokens))
            storage.write_bytes(f"{path}.index", np.array(ends[1:], dtype="<u8").tobytes())
            told = f"tokenizer.json|{width}\n{ends[-1]}\n{ends[-1]} tokens"
            storage.write_bytes(f"{path}.metadata", told.encode())
        return {"files": files, "dtype": encoding.dtype}
