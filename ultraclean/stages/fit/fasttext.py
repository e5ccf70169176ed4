"""Trains UltraClean's quality classifier: fastText on accepted seeds against raw documents.

The settings are those of MiniCPM4 (arXiv 2506.07900, section 2.2.1; Ultra-FineWeb, arXiv 2505.05427):
dim 256, lr 0.1, word 3-grams, min count 5, 3 epochs, softmax, balanced classes, threshold 0.5, labels
`__label__pos` and `__label__neg`, the text normalised by `ultraclean.text.classifier`.

The same tables give the same bytes: documents are chosen, held out and ordered by hashes of their
keys, and training has one thread by default; more threads are faster and race, which the card says
(`deterministic: false`). fastText 0.9.3 with one thread fills a tenth of its matrix and leaves the
rest as the allocator hands it out, which for small models is garbage, even NaN; so it is trained in
a process of its own whose allocator (glibc's) zeroes what it hands out.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from ultraclean import storage
from ultraclean.errors import DataError, StageError
from ultraclean.stage import Artifact, Resources, Rows, TableRef
from ultraclean.stages.fit import fasttext_card, fasttext_tests
from ultraclean.stages.fit.fasttext_sample import (
    NEGATIVE,
    POSITIVE,
    Candidates,
    Reading,
    candidates,
    n_in_both,
    write_training_set,
)
from ultraclean.text import classifier

FEWEST: Final = 20
"""Documents per class below which training is refused."""

# -c rather than a module: a folder with a file fasttext.py must not come first on its path
_TRAIN: Final = """
import json, sys
import fasttext
settings = json.loads(sys.argv[1])
model_path = settings.pop("model_path")
try:
    fasttext.train_supervised(verbose=0, **settings).save_model(model_path)
except (RuntimeError, ValueError) as error:
    sys.exit(str(error))
"""


class Fasttext(Artifact):
    """Makes a folder with model.bin, card.json and, where one was used, tokenizer.json."""

    stage: ClassVar[str] = "fit.fasttext"
    paper: ClassVar[str] = "MiniCPM4 (arXiv 2506.07900) 2.2.1, Ultra-FineWeb (arXiv 2505.05427)"
    packages: ClassVar[tuple[str, ...]] = ("fasttext", "tokenizers")

    positive: Annotated[str | tuple[str, ...], TableRef()] = Field(
        description="table or tables of documents to look for"
    )
    negative: Annotated[str | tuple[str, ...], TableRef()] = Field(
        description="table or tables of ordinary documents"
    )
    tokenizer: str | None = Field(
        default="words",
        description="path of a tokenizer.json; `words`; `raw`: the text as it is; "
        "none: normalised without tokens",
    )
    dim: int = Field(default=256, ge=1, description="length of the vectors")
    lr: float = Field(default=0.1, gt=0, description="learning rate at the start")
    word_ngrams: int = Field(default=3, ge=1, le=10, description="longest n-gram of words")
    min_count: int = Field(default=5, ge=1, description="least occurrences of a word")
    epochs: int = Field(default=3, ge=1, description="passes over the training set")
    bucket: int = Field(
        default=2_000_000,
        ge=1,
        description="hash buckets of n-grams; the model has 4 * dim bytes for each",
    )
    loss: Literal["softmax", "ova", "hs", "ns"] = Field(
        default="softmax", description="loss function of fastText"
    )
    max_per_class: int = Field(
        default=400_000, ge=FEWEST, description="at most so many documents of each class"
    )
    held_out: float = Field(
        default=0.1, ge=0, le=0.5, description="fraction of the sample kept for the card's numbers"
    )
    threshold: float = Field(
        default=0.5, gt=0, lt=1, description="where the card measures precision, recall and F1"
    )
    labels: str | None = Field(
        default=None,
        description="JSON lines with text and label (1 keep, 0 drop) by people, to measure on",
    )
    leave_one_out: bool = Field(
        default=False, description="train again without each positive table, and say what changes"
    )
    seed: int = Field(default=17, ge=0, lt=2**31, description="of the sample and of fastText")
    threads: int = Field(
        default=1, ge=1, description="more than one is faster and changes the bytes every time"
    )

    @model_validator(mode="after")
    def _different(self) -> Self:
        both = set(_names(self.positive)) & set(_names(self.negative))
        if both:
            raise ValueError(f"{', '.join(sorted(both))}: both positive and negative")
        if not _names(self.positive) or not _names(self.negative):
            raise ValueError("name at least one positive and one negative table")
        return self

    def needs(self) -> tuple[str, ...]:
        return ("text",)

    @property
    def resources(self) -> Resources:
        return Resources(cpus=float(self.threads))

    def problems(self) -> list[str]:
        return [*self._tokenizer_problems(), *self._labels_problems()]

    def _tokenizer_problems(self) -> list[str]:
        if self.tokenizer in (None, "words", "raw") or not storage.is_local(str(self.tokenizer)):
            return []
        try:
            classifier.of_json(storage.read_bytes(storage.expand(str(self.tokenizer))).decode())
        except FileNotFoundError:
            return [f"{self.tokenizer}: there is no such tokenizer"]
        except (OSError, ValueError, DataError) as error:
            return [f"{self.tokenizer}: {error}"]
        return []

    def _labels_problems(self) -> list[str]:
        if self.labels is None or not storage.is_local(self.labels):
            return []
        try:
            fasttext_tests.labelled(self.labels)
        except (OSError, DataError) as error:
            return [str(error)]
        return []

    def files(self) -> tuple[str, ...]:
        named = () if self.tokenizer in (None, "words", "raw") else (str(self.tokenizer),)
        return (*named, *([self.labels] if self.labels else []))

    def make(
        self,
        inputs: Mapping[str, Rows],
        folder: str,
        run: Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]],
    ) -> dict[str, Any]:
        del run  # one process reads, one trains
        began = time.monotonic()
        labelled = fasttext_tests.labelled(self.labels) if self.labels else []
        normalise, tokenizer = self._normalise(folder)
        tables = {
            POSITIVE: [_table(inputs, name) for name in _names(self.positive)],
            NEGATIVE: [_table(inputs, name) for name in _names(self.negative)],
        }
        found = {
            label: candidates(some, self.max_per_class, self.seed) for label, some in tables.items()
        }
        n_per_class = min(len(found[POSITIVE].lowest), len(found[NEGATIVE].lowest))
        self._refuse(tables, found, n_per_class)

        with tempfile.TemporaryDirectory(prefix="ultraclean-fit-") as temporary:
            work = Path(temporary)
            classes = {label: (tables[label], found[label]) for label in tables}
            reading = Reading(self.seed, self.held_out, normalise)
            sample = write_training_set(classes, n_per_class, reading, work)
            sampled_s = time.monotonic() - began
            model_path = work / "model.bin"
            self._train(sample.train, model_path)
            trained_s = time.monotonic() - began - sampled_s
            held_out = None
            if self.held_out > 0:
                scores = fasttext_card.scores_of(model_path, sample.held_out, POSITIVE)
                held_out = fasttext_card.measured(*scores, self.threshold)
            tests = self._tests(tables, found, work, reading, labelled)
            model_digest, model_bytes = _put(model_path, storage.join(folder, "model.bin"))

        card = {
            "kind": self.stage,
            "labels": [POSITIVE, NEGATIVE],
            "threshold": self.threshold,
            "tokenizer": tokenizer,
            "settings": self.model_dump(
                mode="json", exclude={"name", "positive", "negative", "labels", "leave_one_out"}
            ),
            "positive": list(_names(self.positive)),
            "negative": list(_names(self.negative)),
            "counts": {
                "positive": found[POSITIVE].n_docs,
                "positive_empty": found[POSITIVE].n_empty,
                "negative": found[NEGATIVE].n_docs,
                "negative_empty": found[NEGATIVE].n_empty,
                "in_both": n_in_both(found[POSITIVE], found[NEGATIVE]),
                "per_class": n_per_class,
                **sample.counts,
            },
            "held_out": held_out,
            **tests,
            "training_set": sample.fingerprint,
            "model": {"bytes": model_bytes, "blake2b": model_digest},
            "deterministic": self.threads == 1,
            "versions": {
                package: importlib.metadata.version(package)
                for package in ("fasttext", "tokenizers", "numpy")
            },
            "seconds": {
                "sample": round(sampled_s, 3),
                "train": round(trained_s, 3),
                "all": round(time.monotonic() - began, 3),
            },
        }
        storage.write_json(storage.join(folder, "card.json"), card)
        return card

    def _normalise(self, folder: str) -> tuple[Callable[[Sequence[str]], list[str]], str | None]:
        """What the classifier reads, and its card's `tokenizer`; a file is copied to the model."""
        if self.tokenizer == "raw":
            return list, "raw"
        if self.tokenizer is None:
            return functools.partial(classifier.normalise_batch, split=None), None
        if self.tokenizer == "words":
            return functools.partial(classifier.normalise_batch, split=classifier.words), "words"
        path = storage.expand(str(self.tokenizer))
        try:
            content = storage.read_bytes(path)
            split = classifier.of_json(content.decode())
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: {error}") from error
        storage.write_bytes(storage.join(folder, "tokenizer.json"), content)
        return functools.partial(classifier.normalise_batch, split=split), "tokenizer.json"

    def _tests(
        self,
        tables: Mapping[str, Sequence[Rows]],
        found: Mapping[str, Candidates],
        work: Path,
        reading: Reading,
        labelled: fasttext_tests.Labelled,
    ) -> dict[str, Any]:
        """Measures on people's labels, and on held-out documents with each positive table left out."""
        tests: dict[str, Any] = {}
        model = work / "model.bin"
        if labelled:
            human = fasttext_tests.scores(model, labelled, reading.normalise)
            tests["human"] = fasttext_card.measured(*human, self.threshold)
        if not self.leave_one_out or len(tables[POSITIVE]) < 2 or not self.held_out:
            return tests
        whole, is_positive = fasttext_card.scores_of(model, work / "held_out.txt", POSITIVE)
        tests["without"] = []
        for left_out in tables[POSITIVE]:
            rest = [table for table in tables[POSITIVE] if table is not left_out]
            less = dict(found) | {POSITIVE: candidates(rest, self.max_per_class, self.seed)}
            n_per_class = min(len(less[POSITIVE].lowest), len(less[NEGATIVE].lowest))
            row: dict[str, Any] = {"table": left_out.name, "per_class": n_per_class}
            tests["without"].append(row)
            if n_per_class < FEWEST:
                row["reason"] = "too few documents are left to train on"
                continue
            place = work / "less"
            place.mkdir(exist_ok=True)
            some = {POSITIVE: rest, NEGATIVE: tables[NEGATIVE]}
            classes = {label: (some[label], less[label]) for label in some}
            sample = write_training_set(classes, n_per_class, reading, place)
            self._train(sample.train, place / "model.bin")
            now, _ = fasttext_card.scores_of(place / "model.bin", work / "held_out.txt", POSITIVE)
            row |= fasttext_tests.compared(whole, now, is_positive, self.threshold)
            if labelled:
                known, keep = fasttext_tests.scores(
                    place / "model.bin", labelled, reading.normalise
                )
                row["human_auc"] = fasttext_card.auc(known, keep)
        return tests

    def _refuse(
        self,
        tables: Mapping[str, Sequence[Rows]],
        found: Mapping[str, Candidates],
        n_per_class: int,
    ) -> None:
        """A DataError where nothing useful can be learned, with the counts."""
        if n_per_class < FEWEST:
            counts = "; ".join(
                f"{side} ({', '.join(table.name for table in tables[label])}): "
                f"{found[label].n_docs} documents, {found[label].n_empty} of them without text"
                for side, label in (("positive", POSITIVE), ("negative", NEGATIVE))
            )
            raise DataError(
                f"{self.called} needs at least {FEWEST} documents with text in each class. {counts}. "
                "Add documents to the smaller one, or loosen the filters before it"
            )
        positive, negative = (
            sorted(table.digest for table in tables[label]) for label in (POSITIVE, NEGATIVE)
        )
        if positive == negative or np.array_equal(found[POSITIVE].lowest, found[NEGATIVE].lowest):
            raise DataError(
                f"{self.called}: the positive and the negative tables hold the same documents "
                f"({found[POSITIVE].n_docs} and {found[NEGATIVE].n_docs}), so there is nothing to "
                "tell apart; name different tables"
            )

    def _train(self, train: Path, model_path: Path) -> None:
        settings = {
            "input": str(train),
            "model_path": str(model_path),
            "dim": self.dim,
            "lr": self.lr,
            "wordNgrams": self.word_ngrams,
            "minCount": self.min_count,
            "epoch": self.epochs,
            "bucket": self.bucket,
            "loss": self.loss,
            "seed": self.seed,
            "thread": self.threads,
        }
        environment = dict(os.environ)
        # the same packages as here, and the complement of 255, zero, in all new memory (see the top)
        environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        environment["MALLOC_PERTURB_"] = "255"
        done = subprocess.run(
            [sys.executable, "-c", _TRAIN, json.dumps(settings)],
            env=environment,
            cwd=train.parent,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            return self._refuse_wordless(model_path)
        said = done.stderr.strip().splitlines()[-1:] or ["nothing"]
        if done.returncode < 0:
            gigabytes = 4 * self.dim * self.bucket / 1e9
            raise StageError(
                f"{self.called}: training was killed by signal {-done.returncode}; it needs about "
                f"{gigabytes:.1f} GB and more for the vocabulary (4 * dim * bucket bytes)"
            )
        raise StageError(f"{self.called}: fastText could not train: {said[0]}")

    def _refuse_wordless(self, model_path: Path) -> None:
        """fastText trains without a complaint when it knows no word but the end of a line."""
        from ultrakernels import fasttext_file

        with open(model_path, "rb") as stream:
            words = fasttext_file.read(stream, str(model_path)).words
        if set(words) <= {b"</s>"}:
            raise DataError(
                f"{self.called}: no word occurs {self.min_count} times in the training set; "
                "give more documents or lower min_count"
            )


def _names(tables: str | Sequence[str]) -> tuple[str, ...]:
    return (tables,) if isinstance(tables, str) else tuple(tables)


def _table(inputs: Mapping[str, Rows], name: str) -> Rows:
    if name not in inputs:
        raise DataError(f"there is no table {name!r} among the inputs: {', '.join(inputs)}")
    return inputs[name]


def _put(source: Path, path: str) -> tuple[str, int]:
    """Copies a file to its place, whole or not at all; its hash and its size."""
    digest = hashlib.blake2b(digest_size=16)
    with open(source, "rb") as stream, storage.atomic_write(path) as out:
        while block := stream.read(1 << 22):
            digest.update(block)
            out.write(block)
    return digest.hexdigest(), source.stat().st_size
