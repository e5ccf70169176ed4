"""The whole pipeline, Parquet of text to curated Parquet, beside datatrove doing the same.

Language, four filter sets, MinHash, the classifier (words) for ours; datatrove runs the same filters,
the same language and quality models by fastText's predict (the text normalised in plain Python), its
MinHash in four steps, and writes Parquet: as it ships and with words between spaces, its steps
chained in this process. Ours runs inline: the same units that Ray runs, in this process.
"""

from __future__ import annotations

import collections
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from bench import heuristics, models
from bench.corpora import BUILD, Corpus
from bench.measure import Row, Way, interleaved
from bench.measure import rows as table
from ultraclean.text import classifier

if TYPE_CHECKING:
    from bench.__main__ import Run

PEER_BYTES = 250_000
OURS = """
name: bench
tables:
  out:
    - read.parquet: {{path: "{path}"}}
    - score.language
    - filter.language: {{languages: [en], min_score: 0.65}}
    - filter.gopher_repetition
    - filter.gopher_quality
    - filter.c4
    - filter.fineweb
    - dedup.minhash: {{bands: 14, rows: 8}}
    - score.fasttext: {{model: "{model}", tokenizer: words}}
    - filter.where: quality >= 0.1
    - write.parquet
"""


def rows(run: Run) -> Iterator[Row]:
    corpus = run.corpus("english")
    if corpus is None:
        return
    folder = BUILD / "pipeline"
    model = models.fasttext_model(
        "words", run.corpora, lambda texts: classifier.normalise_batch(texts, classifier.words)
    )
    part = corpus.first(PEER_BYTES)
    ours = Way(
        "ultraclean, inline", _ours(corpus, folder, model), corpus.n_bytes, len(corpus.texts)
    )
    peers = [
        Way("datatrove as it ships", _datatrove(part, folder, False), part.n_bytes, len(part.texts), 100),
        Way("datatrove, words between spaces", _datatrove(part, folder, True), part.n_bytes,
            len(part.texts), 25),
    ]  # fmt: skip
    small = _ours(part, folder, model)
    _, *others = interleaved([ours, *peers], run.rounds)
    for peer, other in zip(peers, others, strict=True):
        peer.agrees = f"of the same {len(part.texts)} documents we keep {small()}, it {other}"
    yield from table("pipeline", corpus.name, ours, peers, 25)


def _input(corpus: Corpus, folder: Path) -> Path:
    path = folder / f"in-{len(corpus.texts)}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    ids = [str(row) for row in range(len(corpus.texts))]
    pq.write_table(pa.table({"id": ids, "text": corpus.column}), path, compression="zstd")
    return path


def _ours(corpus: Corpus, folder: Path, model: Path) -> Callable[[], int]:
    from ultraclean import Pipeline

    path = _input(corpus, folder)
    file = folder / "pipeline.yaml"

    def run() -> int:
        out = folder / "ours"
        shutil.rmtree(out, ignore_errors=True)
        file.write_text(OURS.format(path=path, model=model))
        Pipeline.load(str(file)).run(str(out), address="inline")
        found = sorted((out / "tables" / "out").glob("*.parquet"))
        return sum(pq.read_metadata(one).num_rows for one in found)

    return run


def _datatrove(corpus: Corpus, folder: Path, whitespace: bool) -> Callable[[], int]:
    """Its steps chained as its executor chains them, without the executor's logs and processes."""
    import fasttext
    from datatrove.pipeline import filters
    from datatrove.pipeline.dedup import minhash
    from datatrove.pipeline.readers import ParquetReader
    from datatrove.pipeline.writers import ParquetWriter
    from loguru import logger

    from ultraclean.stages.score.language import packaged_model

    logger.disable("datatrove")
    source = _input(corpus, folder)
    languages = fasttext.load_model(packaged_model())
    quality = fasttext.load_model(str(BUILD / "fasttext-words.bin"))

    def is_english(document: Any) -> bool:
        line = document.text.replace("\n", " ") + "\n"
        return any(
            label == "__label__en" and score >= 0.65
            for score, label in languages.f.predict(line, 1, 0.0, "strict")
        )

    def is_good(document: Any) -> bool:
        text = classifier.normalise(document.text, classifier.words)
        return models.predict(quality, text)["__label__pos"] >= 0.1

    def run() -> int:
        work = folder / "theirs"
        shutil.rmtree(work, ignore_errors=True)
        clean, signatures, buckets, remove, out = (
            str(work / name) for name in ("clean", "signatures", "buckets", "remove", "out")
        )
        config = minhash.MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8)
        signing = minhash.MinhashDedupSignature(signatures, config, language="eng")
        # datatrove 0.10.1 hands str to xxhash, which version 4 no longer takes
        signing._hash_func = lambda text: xxhash.xxh64_intdigest(text.encode())
        with heuristics.splitting(whitespace):
            _chained(
                ParquetReader(str(folder), glob_pattern=source.name),
                filters.LambdaFilter(is_english),
                filters.GopherRepetitionFilter(),
                filters.GopherQualityFilter(),
                filters.C4QualityFilter(),
                filters.FineWebQualityFilter(),
                ParquetWriter(clean),
            )
            _chained(ParquetReader(clean), signing)
            for bucket in range(14):
                step = minhash.MinhashDedupBuckets(signatures, buckets, config=config)
                _chained(step, rank=bucket, world_size=14)
            _chained(minhash.MinhashDedupCluster(buckets, remove, config=config))
            _chained(
                ParquetReader(clean),
                minhash.MinhashDedupFilter(remove),
                filters.LambdaFilter(is_good),
                ParquetWriter(out),
            )
        return sum(pq.read_metadata(one).num_rows for one in Path(out).glob("*.parquet"))

    return run


def _chained(*steps: Any, rank: int = 0, world_size: int = 1) -> None:
    data: Any = None
    for step in steps:
        data = step(data, rank, world_size)
    if data is not None:
        collections.deque(data, maxlen=0)
