"""Removes near duplicates: documents that share a MinHash band with a better one.

Signatures are `bands * rows` minima over the word n-grams of a document (Broder 1997); two documents
of Jaccard similarity s share at least one band with probability 1 - (1 - s^rows)^bands, which is
one half at s = 0.68 for the default 14 bands of 8 rows (FineWeb's). How components are made is in
`clusters.py`, how the kept copy is chosen in `kept.py`, what `verify` does in `verified.py`.

Different from datatrove: words are split by a kernel (`ultrakernels.shingles`) and hashed without
making strings, the permutations are 32-bit, the kept copy is chosen by stated columns rather than by
the order of merging, and every removed document points to it. `dialect: datatrove` gives its
signatures bit for bit. A document of fewer than `ngram` words has no signature: it is kept and
counted (`too_short`); `dedup.exact` removes such copies.
"""

from __future__ import annotations

import functools
import importlib.util
import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ultraclean import storage
from ultraclean.document import AT, KEY, Batch
from ultraclean.errors import DataError, MissingExtra, StageError
from ultraclean.stage import Barrier, Decision, Placement, Resources
from ultraclean.stages.dedup import bloom, clusters, kept, twins, verified
from ultraclean.stages.dedup import index as indexes_of
from ultraclean.text.buffers import utf8
from ultraclean.text.simplified import simplified
from ultraclean.text.spacy_tokens import Cutter

if TYPE_CHECKING:
    from ultrakernels.chunk_tokens import Spans

    from ultraclean.exchange import Home, Piece, Sketches

    SplitsText = Callable[[NDArray[np.uint8], NDArray[np.int64]], tuple[NDArray[np.uint8], Spans]]

Signed = tuple[NDArray[Any], NDArray[np.int64], pa.Array | None]
"""(signature uint32 or uint64 [n_docs, n_perm], n_shingles int64[n_docs], with `verify` the sets)."""
Signer = Callable[[pa.Array], Signed]


class Minhash(Barrier):
    stage: ClassVar[str] = "dedup.minhash"
    paper: ClassVar[str] = (
        "Broder 1997; settings of FineWeb (arXiv 2406.17557, section 3.4); datatrove's minhash"
    )
    reasons: ClassVar[tuple[str, ...]] = ("near_duplicate", "near_duplicate_of_index")
    version: ClassVar[int] = 3

    column: str = Field(default="text", description="the text that is compared")
    ngram: int = Field(default=5, ge=1, description="words in a shingle")
    bands: int = Field(default=14, ge=1, description="bands; sharing one makes two documents alike")
    rows: int = Field(default=8, ge=1, description="minima in a band, all of which must agree")
    threshold: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="similarity for which bands and rows are chosen, by datasketch's search",
    )
    permutations: int = Field(
        default=128, ge=1, le=4096, description="with `threshold`: bands times rows at most"
    )
    signatures: str | None = Field(
        default=None,
        min_length=1,
        description="column of datasketch's signatures, which are compared instead of a text's: bytes of "
        "LeanMinHash, as score.minhash writes them, or lists of values",
    )
    seed: int = Field(default=1, ge=0, lt=2**32, description="draws the permutations")
    normalise: Literal["ascii", "simplify"] = Field(
        default="ascii",
        description="ascii: ASCII lower-cased, punctuation divides words; simplify: also all letters "
        "lower-cased, each number 0, accents and all symbols removed",
    )
    priority: tuple[str, ...] = Field(
        default=(),
        description="columns (numbers, dates) whose highest value marks the kept copy; then the lowest key",
    )
    estimate: bool = Field(
        default=True,
        description="carry a byte per permutation, to estimate the similarity of removed documents",
    )
    verify: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="drop only what has at least this exact Jaccard similarity to a kept document "
        "(sketches then carry 8 bytes per shingle); off: whatever is connected is one cluster",
    )
    index: Literal["full", "sketch", "bloom"] | None = Field(
        default=None,
        description="leave an index of the kept documents for later runs, in index/ of the run folder; "
        "full: shingle hashes, for `verify`; sketch: signatures, for estimated similarities; "
        "bloom: whether a band is known, a few dozen bytes a document, for streams",
    )
    bloom_rate: float = Field(
        default=1e-4,
        gt=0,
        lt=0.5,
        description="index: bloom: share of unrelated documents that a later run takes for copies",
    )
    against: tuple[str, ...] = Field(
        default=(),
        description="run folders or folders of indexes whose documents come first, and stay; any path",
    )
    memory_bytes: Annotated[int | None, Placement()] = Field(
        default=None, ge=2**10, description="what a task of the steps may hold; off: 512 MiB"
    )
    max_cluster: int | None = Field(
        default=1000, ge=2, description="a cluster with more documents raises an alarm"
    )
    size_into: str | None = Field(
        default="cluster_size",
        min_length=1,
        description="column for how many documents a kept one stands for, itself among them "
        "(what FineWeb-2 repeats documents by, with sample.upsample)",
    )
    dialect: Literal["ultraclean", "datatrove"] = Field(
        default="ultraclean",
        description="datatrove: its text simplification, spaCy words, hashes and 61-bit permutations",
    )
    language: str = Field(
        default="eng", description="whose word splitter the dialect datatrove uses (ISO 639-3)"
    )
    shingle_hash: Literal["xxhash", "sha1"] = Field(
        default="xxhash", description="64-bit hash of a shingle in the dialect datatrove"
    )

    device: Annotated[Literal["cpu", "auto", "cuda"], Placement()] = Field(
        default="cpu",
        description="where minima are taken: cuda is a GPU, by Triton; auto a GPU where there is one; the "
        "signatures are the same",
    )
    gpus: Annotated[float, Placement()] = Field(
        default=0.125,
        gt=0,
        description="share of a GPU that a worker asks for: words are divided on CPUs",
    )

    @model_validator(mode="before")
    @classmethod
    def _chosen(cls, fields: Any) -> Any:
        """Bands and rows of a threshold; where they are written out too, they must be those."""
        if not isinstance(fields, dict) or not isinstance(fields.get("threshold"), float):
            return fields
        threshold, n_perm = fields["threshold"], fields.get("permutations", 128)
        if not (0 < threshold < 1 and isinstance(n_perm, int) and 1 <= n_perm <= 4096):
            return fields  # the fields themselves say what is wrong
        from ultrakernels.datasketch import bands_and_rows

        bands, rows = bands_and_rows(threshold, n_perm)
        if (fields.get("bands", bands), fields.get("rows", rows)) != (bands, rows):
            raise ValueError(
                f"threshold {threshold} chooses {bands} bands of {rows} rows: give either of them"
            )
        return fields | {"bands": bands, "rows": rows}

    @model_validator(mode="after")
    def _signatures_are_given(self) -> Self:
        if self.signatures and (self.verify is not None or self.dialect != "ultraclean"):
            raise ValueError("signatures have no shingles to verify, and no dialect")
        return self

    @model_validator(mode="after")
    def _gpu_has_no_dialect(self) -> Self:
        if self.device == "cuda" and self.dialect == "datatrove":
            raise ValueError("device: cuda is for our own signatures, not for dialect: datatrove")
        return self

    @model_validator(mode="after")
    def _indexes_fit(self) -> Self:
        if self.verify is None and self.index == "full":
            raise ValueError(
                "index: full is for verify, without which index: sketch is what is needed"
            )
        if self.verify is None and self.index == "sketch" and not self.estimate:
            raise ValueError("index: sketch holds signatures, and estimate: false makes none")
        if self.signatures and (self.index or self.against):
            raise ValueError("signatures of a column leave no index, and are compared with none")
        return self

    def needs(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.signatures or self.column, *self.priority)))

    def adds(self) -> Mapping[str, pa.DataType]:
        return {} if self.size_into is None else {self.size_into: pa.int64()}

    def files(self) -> tuple[str, ...]:
        return tuple(storage.join(found.folder, indexes_of.MANIFEST) for found in self._indexes())

    def problems(self) -> list[str]:
        found = []
        for path in self.against:
            try:
                self._accept(path, indexes_of.load(path))
            except DataError as error:
                found.append(str(error))
        if not found:
            try:
                self._indexes()
            except DataError as error:
                found.append(str(error))
        return found

    def parameters(self) -> dict[str, Any]:
        """What two runs must share for their sketches to be comparable."""
        names = ["ngram", "bands", "rows", "seed", "normalise", "dialect"]
        names += ["language", "shingle_hash"] if self.dialect == "datatrove" else []
        return {name: getattr(self, name) for name in names}

    def _indexes(self) -> list[indexes_of.Index]:
        found = []
        for path in self.against:
            other = indexes_of.load(path)
            self._accept(path, other)
            found.append(other)
        kinds = {other.kind for other in found}
        if "bloom" in kinds and len(kinds) > 1:
            raise DataError("against: Bloom filters go with no other kind of index")
        return found

    def _accept(self, path: str, other: indexes_of.Index) -> None:
        """DataError where an index cannot be compared with this run."""
        differing = indexes_of.differences(self.parameters(), other)
        if differing:
            raise DataError(indexes_of.refuse(path, differing))
        if self.verify is None and other.kind == "sketch" and not self.estimate:
            raise DataError(f"the index {path} holds signatures, and estimate: false makes none")
        if self.verify is not None and other.kind == "bloom":
            raise DataError(f"the index {path} is a Bloom filter, which has nothing to verify by")
        if self.verify is None and other.kind == "full":
            raise DataError(
                f"the index {path} holds shingles and no signatures: it is for `verify`; without it "
                "make one with index: sketch"
            )

    @property
    def resources(self) -> Resources:
        """Of the workers that make sketches."""
        if self.device == "auto" and self.dialect == "ultraclean":
            return Resources(spare_gpus=self.gpus)
        return Resources(gpus=self.gpus if self.device == "cuda" else 0.0)

    @property
    def carries_signature(self) -> bool:
        """Whether similarities may have to be estimated."""
        if self.verify is None:
            return self.estimate
        return self.index == "sketch" or any(other.kind == "sketch" for other in self._indexes())

    def missing_extras(self) -> list[MissingExtra]:
        if self.device == "cuda":
            command = 'pip install "ultraclean-data[train,triton]"'
            return [
                MissingExtra(self.stage, module, command)
                for module in ("torch", "triton")
                if importlib.util.find_spec(module) is None
            ]
        if self.dialect != "datatrove":
            return []
        return missing_for_datatrove(self)

    def distributions(self) -> tuple[str, ...]:
        return ("datatrove", "spacy") if self.dialect == "datatrove" else ()

    def sketch(self) -> Callable[[Batch], pa.RecordBatch]:
        if self.signatures is not None:
            signer = signature_reader(self)
        else:
            signer = datatrove_signer(self) if self.dialect == "datatrove" else kernel_signer(self)
        return functools.partial(sketch_rows, self, signer)

    def resolve(self, sketches: Sketches) -> dict[str, Any]:
        sketches.memory_bytes = self.memory_bytes or sketches.memory_bytes
        card = self._close(sketches) if self.verify is None else self._verify(sketches)
        if self.index is not None:
            columns = kept.rank_names(self.priority)
            columns.append(verified.SHINGLES if self.index == "full" else kept.SIGNATURE)
            card["index"] = indexes_of.write(
                sketches, self.index, self.parameters(), columns, self.bloom_rate
            )
        counted = sketches.collect(sketches.step("short", count_short, columns=["bands"]))
        card["too_short"] = 0 if counted is None else pc.sum(counted["n"]).as_py()
        card["work"]["steps"] = sketches.steps
        return {**card, "alarms": kept.alarms(self.called, card, self.max_cluster)}

    def _close(self, sketches: Sketches) -> dict[str, Any]:
        """Whatever is connected is one cluster."""
        columns = [AT, KEY, *kept.rank_names(self.priority)]
        columns += [kept.SIGNATURE] if self.estimate else []
        n_bytes = 128 + (self.bands * self.rows if self.estimate else 0)
        indexes = self._indexes()
        if indexes and indexes[0].kind == "bloom":
            return self._close_after_bloom(sketches, indexes, columns, n_bytes)
        if indexes:
            return self._close_against(sketches, indexes, columns, n_bytes)
        labels, work = clusters.components(sketches, self.bands)
        group = functools.partial(by_root, labels)
        return {**kept.elect(sketches, group, columns, n_bytes), "work": work}

    def _close_after_bloom(
        self,
        sketches: Sketches,
        indexes: list[indexes_of.Index],
        columns: list[str],
        n_bytes: int,
    ) -> dict[str, Any]:
        """What a filter knows goes; the others are closed among themselves."""
        found = [(other.folder, corpus) for other in indexes for corpus in other.corpora]
        corpora = [corpus for _, corpus in found]
        gone = bloom.known(sketches, [folder for folder, _ in found], corpora)
        without = sketches.home("known-home", gone)
        labels, work = clusters.components(sketches, self.bands, without)
        group = functools.partial(by_root, labels)
        verdicts = kept.election(sketches, group, columns, n_bytes)
        own = functools.partial(with_corpus, len(sketches.row_counts), ())
        final = [*sketches.step("origins", own, inputs=sketches.apart(verdicts)), *gone]
        sketches.verdicts("verdicts", final)
        card = {**kept.count_groups(sketches, final), "work": work}
        return self._with_origins(sketches, final, corpora, card)

    def _close_against(
        self,
        sketches: Sketches,
        indexes: list[indexes_of.Index],
        columns: list[str],
        n_bytes: int,
    ) -> dict[str, Any]:
        """Of a cluster with a document of an index all others go, else all but the best."""
        corpora = [corpus for other in indexes for corpus in other.corpora]
        n_ranks = max([len(self.priority), *(corpus["n_ranks"] for corpus in corpora)]) + 1
        n_shards = len(sketches.row_counts)
        old = indexes_of.parts(indexes, n_shards, n_ranks)
        labels, work = clusters.components(sketches, self.bands, old=old)
        group = functools.partial(by_root_after, labels, len(corpora), n_ranks)
        verdicts = kept.election(sketches, group, columns, n_bytes, old)
        of_parts = tuple(part.corpus for part in old)
        final = sketches.step(
            "origins",
            functools.partial(with_corpus, n_shards, of_parts),
            inputs=sketches.apart(verdicts),
        )
        sketches.verdicts("verdicts", final)
        card = {**kept.count_groups(sketches, final), "work": work}
        return self._with_origins(sketches, final, corpora, card)

    def _with_origins(
        self,
        sketches: Sketches,
        final: list[Piece],
        corpora: list[dict[str, Any]],
        card: dict[str, Any],
    ) -> dict[str, Any]:
        """The card with what indexes have to do with it."""
        by_corpus = sketches.collect(
            sketches.step("by-corpus", count_by_corpus, inputs=sketches.apart(final))
        )
        lost = 0 if by_corpus is None else pc.sum(by_corpus["n"]).as_py()
        found = [{"name": one["name"], "documents": one["documents"]} for one in corpora]
        told = {"against": found, "dropped_by_index": lost} if corpora else {}
        return {**card, "dropped": card["dropped"] + lost, **told}

    def _verify(self, sketches: Sketches) -> dict[str, Any]:
        """Only what resembles a kept document goes."""
        assert self.verify is not None
        indexes = self._indexes()
        ranks = kept.rank_names(self.priority)
        corpora = [corpus for other in indexes for corpus in other.corpora]
        n_ranks = max([len(ranks), *(corpus["n_ranks"] for corpus in corpora)])
        n_shards = len(sketches.row_counts)
        old = indexes_of.parts(indexes, n_shards, n_ranks + 1) if indexes else []
        same, n_same = twins.collapse(sketches, [AT, KEY, *ranks], n_shards + len(old))
        labels, work = clusters.components(sketches, self.bands, same, old)
        columns = [AT, KEY, *ranks, "bands", verified.N_SHINGLES, verified.SHINGLES]
        columns += [kept.SIGNATURE] if self.carries_signature else []
        n_bytes = self.bands * self.rows if self.carries_signature else 0
        padding = verified.Padding(len(corpora), n_ranks + 1, n_bytes) if indexes else None
        verdicts, counts = verified.verify(
            sketches, labels, same, old, columns, self.verify, padding
        )
        of_parts = tuple(part.corpus for part in old)
        final = twins.spread(sketches, same, verdicts, n_shards, of_parts)
        sketches.verdicts("verdicts", final)
        card = kept.count_groups(sketches, final)
        pairs = {
            "proposed": counts["proposed"],
            "confirmed": counts["confirmed"],
            "refused": counts["proposed"] - counts["confirmed"],
            "identical": n_same,
        }
        card |= {"pairs": pairs, "closure_would_drop": counts["closure_would_drop"], "work": work}
        return self._with_origins(sketches, final, corpora, card)

    def apply(
        self, card: Mapping[str, Any], verdicts: pa.Table | None
    ) -> Callable[[Batch], Decision]:
        names = [corpus["name"] for corpus in card.get("against", ())]
        judge = kept.decisions(self.reasons, verdicts, names)
        if self.size_into is None:
            return judge
        return functools.partial(with_sizes, self.size_into, judge)


def with_sizes(into: str, judge: Callable[[Batch], Decision], batch: Batch) -> Decision:
    """The decision, with the size of its cluster as a column of each kept document."""
    decision = judge(batch)
    sizes = pa.array(decision.numbers["cluster_size"], pa.int64())
    return replace(decision, columns={**decision.columns, into: sizes})


# --- sketches --------------------------------------------------------------------------------------


def sketch_rows(stage: Minhash, signer: Signer, batch: Batch) -> pa.RecordBatch:
    """`bands` binary[8 * bands], null if too short; `signature` binary[bands * rows]; ranks."""
    from ultrakernels import minhash

    signature, n_shingles, shingles = signer(batch[stage.signatures or stage.column])
    keys = minhash.band_keys(signature, stage.bands, stage.rows, stage.seed)
    columns = {"bands": binary_rows(keys.view(np.uint8), null=n_shingles == 0)}
    if shingles is not None:
        columns[verified.SHINGLES] = shingles
        columns[verified.N_SHINGLES] = pc.list_value_length(shingles).cast(pa.int64())
        columns[twins.SET] = set_hashes(shingles)
    elif stage.index is not None:
        columns[verified.N_SHINGLES] = pa.array(n_shingles, pa.int64())
    if stage.carries_signature:
        columns[kept.SIGNATURE] = binary_rows(minhash.signature_bytes(signature))
    return pa.RecordBatch.from_pydict(columns | kept.ranks(stage.called, batch, stage.priority))


def set_hashes(sets: pa.Array) -> pa.Array:
    """A hash of each document's sorted shingles, binary[16]; null where there is none."""
    import hashlib

    offsets, content = sets.offsets.to_numpy(), memoryview(sets.values.to_numpy()).cast("B")
    hashes = [
        hashlib.blake2b(content[8 * start : 8 * stop], digest_size=16).digest()
        if stop > start
        else None
        for start, stop in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)
    ]
    return pa.array(hashes, pa.binary(16))


def kernel_signer(stage: Minhash) -> Signer:
    from ultrakernels import minhash
    from ultrakernels.shingles import shingle_sets

    a, b = minhash.parameters(stage.seed, stage.bands * stage.rows)
    signatures = signatures_by(stage.device)

    def sign(column: pa.Array) -> Signed:
        if stage.normalise == "simplify":
            column = simplify(column)
        sets = None if stage.verify is None else shingle_sets(column, stage.ngram)
        return *signatures(column, stage.ngram, a, b), sets

    return sign


def signature_reader(stage: Minhash) -> Signer:
    """Signatures that are there already; a null, or one of nothing, is too short to compare."""
    from ultrakernels import datasketch

    width = stage.bands * stage.rows
    told = f"{stage.called}: the column {stage.signatures!r}"

    def values_of(value: Any) -> tuple[str, NDArray[Any], bool]:
        """(what must be the same in all rows, values, whether it is a signature of nothing)."""
        if not isinstance(value, bytes):
            found = np.array(value, dtype=np.uint64)
            return "a list", found, bool((found == found.max()).all())
        lean = datasketch.unpack(value)
        return f"{lean.scheme} of seed {lean.seed}", lean.values.astype(np.uint64), lean.empty

    def sign(column: pa.Array) -> Signed:
        signature = np.full((len(column), width), 2**64 - 1, dtype=np.uint64)
        n_shingles = np.zeros(len(column), dtype=np.int64)
        kinds: dict[str, int] = {}
        for row, value in enumerate(column.to_pylist()):
            if value is None or (isinstance(value, list) and not value):
                continue
            try:
                kind, values, empty = values_of(value)
            except (ValueError, TypeError, OverflowError) as error:
                raise StageError(f"{told}: {error}") from None
            kinds.setdefault(kind, len(values))
            if len(values) < width:
                message = f"{len(values)} values, {stage.bands} bands of {stage.rows} need {width}"
                raise StageError(f"{told}: {message}")
            signature[row] = values[:width]
            n_shingles[row] = not empty
        if len(kinds) > 1:
            raise StageError(f"{told} mixes what cannot be compared: {', '.join(sorted(kinds))}")
        return signature, n_shingles, None

    return sign


def signatures_by(device: str) -> Callable[..., tuple[NDArray[Any], NDArray[np.int64]]]:
    """`minhash.signatures`, or the same on a GPU; DataError where that was asked for and cannot be."""
    from ultrakernels import minhash, minhash_triton

    reason = "" if device == "cpu" else minhash_triton.why_not()
    if device == "cuda" and reason is not None:
        raise DataError(f"dedup.minhash: device: cuda was asked for, and {reason}")
    return minhash.signatures if reason is not None else minhash_triton.signatures


def simplify(column: pa.Array) -> pa.Array:
    """Lower case, each number 0, decomposed and without accents, symbols and controls as spaces."""
    column = pc.utf8_lower(column)
    column = pc.replace_substring_regex(column, r"\p{Nd}+(?:[.,،٫]\p{Nd}+)?", "0")
    column = pc.utf8_normalize(column, form="NFD")
    column = pc.replace_substring_regex(column, r"\p{Mn}+", "")
    return pc.replace_substring_regex(column, r"[\p{P}\p{S}\p{C}]+", " ")


def datatrove_signer(stage: Minhash, words_of: SplitsText | None = None) -> Signer:
    """Signs as datatrove does; `words_of` is `datatrove_words` of the stage's language."""
    missing = missing_for_datatrove(stage)
    if missing:
        raise missing[0]
    from ultrakernels import minhash
    from ultrakernels.run_digests import run_digests
    from ultrakernels.shingles import sorted_sets

    split = words_of or datatrove_words(stage.language)
    sha1 = stage.shingle_hash == "sha1"
    a, b = minhash.mersenne_parameters(stage.seed, stage.bands * stage.rows)

    def sign(column: pa.Array) -> Signed:
        text = utf8(column)
        data, offsets = simplified(text.data, text.offsets)
        shingles, ends = run_digests(*split(data, offsets), stage.ngram, sha1=sha1)
        sets = None if stage.verify is None else sorted_sets(shingles, ends)
        return minhash.mersenne_signatures(shingles, ends, a, b), np.diff(ends), sets

    return sign


def datatrove_words(language: str) -> SplitsText:
    """Texts -> bytes, and the spans in them of what datatrove's splitter of the language makes words.

    By `spacy_tokens.Cutter` where that is spaCy's rule tokenizer, else by the splitter itself.
    """
    from datatrove.utils.word_tokenizers import (  # type: ignore[import-untyped]
        SpaCyTokenizer,
        load_word_tokenizer,
    )
    from spacy.tokenizer import Tokenizer

    splitter = load_word_tokenizer(language)
    if type(splitter) is SpaCyTokenizer and type(splitter.tokenizer.tokenizer) is Tokenizer:
        spans = Cutter(splitter.tokenizer.tokenizer).spans
        return lambda data, offsets: (data, spans(data, offsets))

    def split(data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> tuple[NDArray[Any], Spans]:
        found = [
            [word.encode() for word in splitter.word_tokenize(data[begin:end].tobytes().decode())]
            for begin, end in itertools.pairwise(offsets)
        ]
        words = [word for of_one in found for word in of_one]
        ends = np.cumsum([0, *map(len, words)]).astype(np.int64)
        doc = np.cumsum([0, *map(len, found)]).astype(np.int64)
        return np.frombuffer(b"".join(words) + b"\0", dtype=np.uint8), (doc, ends[:-1], ends[1:])

    return split


def missing_for_datatrove(stage: Minhash) -> list[MissingExtra]:
    import importlib.util

    return [
        MissingExtra(stage.stage, module, 'pip install "ultraclean-data[datatrove]"')
        for module in ("datatrove", "spacy", "xxhash")
        if importlib.util.find_spec(module) is None
    ]


def binary_rows(rows: NDArray[np.uint8], null: NDArray[np.bool_] | None = None) -> pa.Array:
    """uint8[n_rows, width] as fixed-size binary."""
    content = np.ascontiguousarray(rows)
    buffers = [None, pa.py_buffer(content.tobytes())]
    array = pa.Array.from_buffers(pa.binary(rows.shape[1]), len(rows), buffers)
    return array if null is None else pc.if_else(pa.array(null), pa.scalar(None, array.type), array)


# --- groups ------------------------------------------------------------------------------------------


def by_root(labels: Home, table: pa.Table) -> pa.Table:
    """The rows that share a component with another document, grouped by its root."""
    from ultrakernels import order

    found = labels.beside(table)
    if found is None:
        found = pa.table({AT: pa.array([], pa.int64()), "root": pa.array([], pa.int64())})
    found = found.sort_by(AT)
    place = order.locate(found[AT].to_numpy(), table[AT].to_numpy())
    rows = table.filter(pa.array(place >= 0))
    root = found["root"].to_numpy()[place[place >= 0]]
    high, low = kept.GROUP
    return rows.append_column(high, pa.array(root.view(np.uint64))).append_column(
        low, pa.array(np.zeros(len(root), dtype=np.uint64))
    )


def count_short(table: pa.Table) -> pa.Table:
    return pa.table({"n": pa.array([table["bands"].null_count], pa.int64())})


def by_root_after(labels: Home, first: int, n_ranks: int, table: pa.Table) -> pa.Table:
    """`by_root` of new documents, or of an index's, which come first: the same columns of both."""
    rows = by_root(labels, table)
    ranks = [rows[name].to_numpy() for name in table.column_names if name.startswith("rank_")]
    if kept.ROLE not in table.column_names:
        ranks = [np.full(rows.num_rows, first, dtype=np.uint64), *ranks]
    ranks += [np.zeros(rows.num_rows, dtype=np.uint64)] * (n_ranks - len(ranks))
    columns = {name: rows[name] for name in (AT, KEY, *kept.GROUP, kept.SIGNATURE)}
    return pa.table(columns | {f"rank_{i}": pa.array(rank) for i, rank in enumerate(ranks)})


def with_corpus(n_new: int, corpus_of: tuple[int, ...], table: pa.Table) -> pa.Table:
    """Verdicts with the corpus of the kept copy, -1 for this run; shard `n_new + i` is of corpus_of[i]."""
    shard = (table["kept_at"].to_numpy() >> 32) - n_new
    corpus = np.array([*corpus_of, -1], dtype=np.int32)[np.maximum(shard, -1)]
    return table.append_column("corpus", pa.array(corpus)).append_column(
        "estimated", pa.array(np.zeros(len(corpus), dtype=np.bool_))
    )


def count_by_corpus(table: pa.Table) -> pa.Table:
    """How many documents were dropped because of one of an index."""
    gone = pc.and_(pc.invert(table["kept"]), pc.greater_equal(table["corpus"], 0))
    return pa.table({"n": [pc.sum(gone.cast(pa.int64())).as_py() or 0]})
