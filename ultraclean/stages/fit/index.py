"""Makes an index of tables, in which stages find the documents that are about a question.

BM25 (see `ultraclean.text.bm25`) and the documents themselves. `chat.long_context` takes its distractors
from it, `chat.survey` the papers that may be cited. The postings are built in the memory of one machine:
about 2 GB for a million pages.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from ultraclean import storage
from ultraclean.document import KEY, texts
from ultraclean.errors import DataError
from ultraclean.stage import Artifact, Rows, TableRef


class Index(Artifact):
    """Makes a folder with the arrays of the index and `documents.parquet`: `key`, `text`."""

    stage: ClassVar[str] = "fit.index"
    main: ClassVar[str | None] = "tables"
    paper: ClassVar[str] = "BM25: Robertson et al. 1994, with Lucene's idf"

    tables: Annotated[str | tuple[str, ...], TableRef()] = Field(
        description="table or tables whose `text` is found"
    )
    max_chars: int = Field(default=200_000, ge=1, description="so much of a document is kept")

    def needs(self) -> tuple[str, ...]:
        return ("text",)

    def make(
        self,
        inputs: Mapping[str, Rows],
        folder: str,
        run: Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]],
    ) -> dict[str, Any]:
        del run
        import pyarrow.parquet as pq

        from ultraclean.text import bm25

        began = time.monotonic()
        named = (self.tables,) if isinstance(self.tables, str) else self.tables
        schema = pa.schema([pa.field("key", pa.binary(16)), pa.field("text", pa.large_string())])
        with (
            storage.atomic_write(storage.join(folder, "documents.parquet")) as stream,
            pq.ParquetWriter(stream, schema, compression="zstd") as writer,
        ):

            def stored() -> Iterator[str]:
                for name in named:
                    for batch in inputs[name].batches(["text", KEY]):
                        shown = [text[: self.max_chars] for text in batch.view("text", texts)]
                        keys = batch[KEY].cast(pa.binary(16))
                        columns = [keys, pa.array(shown, pa.large_string())]
                        writer.write_batch(pa.record_batch(columns, schema=schema))
                        yield from shown

            arrays, terms = bm25.build(stored())
        if not len(arrays["lengths"]):
            raise DataError(f"{self.called}: {', '.join(named)} hold no document to index")
        for name, array in arrays.items():
            with storage.atomic_write(storage.join(folder, f"{name}.npy")) as stream:
                np.save(stream, array)
        storage.write_json(storage.join(folder, "terms.json"), terms)
        counts = {"documents": len(arrays["lengths"]), "terms": len(terms)}
        counts["postings"] = len(arrays["documents"])
        card = {"kind": self.stage, **counts, "seconds": round(time.monotonic() - began, 3)}
        storage.write_json(storage.join(folder, "card.json"), card)
        return card
