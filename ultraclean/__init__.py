"""Curates data for language models: the public names.

    from ultraclean import Pipeline, read, filter, write

    Pipeline(
        name="clean",
        stages=[read.Jsonl(path="in/*.jsonl.gz"), filter.GopherQuality(), write.Parquet()],
    ).run("runs/clean")

The stages of a kind are attributes of its module: `read.Jsonl` is the stage `read.jsonl`.
"""

from ultraclean.chain import apply
from ultraclean.document import Batch
from ultraclean.errors import (
    DataError,
    LedgerError,
    MissingExtra,
    PipelineError,
    PlanError,
    StageError,
    UltracleanError,
)
from ultraclean.pipeline import Pipeline, Rounds
from ultraclean.stages import (
    dedup,
    extract,
    filter,
    fit,
    fix,
    pack,
    read,
    refine,
    sample,
    score,
    write,
)

__all__ = [
    "Batch",
    "DataError",
    "LedgerError",
    "MissingExtra",
    "Pipeline",
    "PipelineError",
    "PlanError",
    "Rounds",
    "StageError",
    "UltracleanError",
    "apply",
    "dedup",
    "extract",
    "filter",
    "fit",
    "fix",
    "pack",
    "read",
    "refine",
    "sample",
    "score",
    "write",
]
