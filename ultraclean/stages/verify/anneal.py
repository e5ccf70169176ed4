"""Which tables make a model better? One short anneal per table and seed, against a control.

Efficient verification of MiniCPM4 (arXiv 2506.07900, section 2.2.1; Ultra-FineWeb, arXiv
2505.05427): from one nearly trained checkpoint, 30 % of a table under test and 70 % of the default
mix, against the default mix alone. The report gives no statistics; these are ours
(`ultraclean.train.verdict`, docs/verification.md): a measure fixed before the run, seeds paired
with the control's, bounds, a minimum effect, guards, and two arms that must not be accepted.

Each trial leaves a record in the folder, so a run that was killed goes on with the next trial.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from ultraclean import storage
from ultraclean.errors import DataError
from ultraclean.stage import Artifact, ModelRef, Placement, Resources, Rows, TableRef
from ultraclean.stages.verify import card as cards
from ultraclean.stages.verify.base import Base, describe, file_of, given_base
from ultraclean.stages.verify.curves import curves
from ultraclean.stages.verify.prepare import Wanted, prepare
from ultraclean.stages.verify.trial import Trial, load_tokenizer, run_trial, train_base
from ultraclean.train.verdict import Rule, Verdict, in_doubt, judge, verdict

Run = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]


RESERVED = frozenset({"base", "default", "control", "null"})
"""Names of arms and of folders beside those of the candidates."""


class Anneal(Artifact):
    """Makes a card with `accepted`, `rejected` and `undecided` tables, and all that led there."""

    stage: ClassVar[str] = "verify.anneal"
    version: ClassVar[int] = 2
    main: ClassVar[str | None] = "candidates"
    paper: ClassVar[str] = "efficient verification: MiniCPM4 (arXiv 2506.07900) 2.2.1, table 1"
    extras: ClassVar[Mapping[str, str]] = {
        "torch": '"ultraclean-data[train]"',
        "safetensors": '"ultraclean-data[train]"',
    }
    packages: ClassVar[tuple[str, ...]] = ("torch", "tokenizers")

    candidates: Annotated[str | tuple[str, ...], TableRef()] = Field(
        description="tables under test, each by itself"
    )
    default: Annotated[str, TableRef()] = Field(description="the table of the default mix")
    against: Annotated[str | None, TableRef()] = Field(
        default=None,
        description="the table to be better than, such as what an earlier filter kept: control and "
        "null arm are of it; by default the default mix",
    )
    tokenizer: Annotated[str, ModelRef()] = Field(
        description="a fit.tokenizer table, its folder, or a tokenizer.json"
    )
    evaluation: dict[str, str] = Field(
        min_length=1,
        description="JSON lines of natural text by name, best three sets or more, of sources that "
        "are not the candidates'",
    )
    base: Annotated[str | None, ModelRef()] = Field(
        default=None,
        description="a checkpoint with its optimiser, a run folder, or another verify.anneal whose "
        "base is taken; none: one is trained on a part of the default mix",
    )
    base_tokens: float | None = Field(
        default=None, gt=0, description="tokens to train a base on; by default 15 times `tokens`"
    )
    model: str | dict[str, Any] = Field(
        default="tiny", description="of a base trained here: a preset, or {preset: 30M, ...}"
    )
    share: float = Field(default=0.3, gt=0, lt=1, description="of an anneal, from the candidate")
    tokens: float = Field(default=40_000, gt=0, description="tokens of one anneal")
    seeds: tuple[int, ...] = Field(
        default=(3, 5, 8), description="the looks: seeds in all after which the verdict is read"
    )
    minimum_effect: float = Field(
        default=0.005, ge=0, description="gain that matters, in bits per byte"
    )
    alpha: float = Field(
        default=0.05, gt=0, lt=0.5, description="of accepting in vain, over all looks and tables"
    )
    least_order: float = Field(
        default=-0.03,
        lt=0,
        description="rejected if the advantage of natural over word-shuffled text falls by more",
    )
    most_gain_ratio: float = Field(
        default=5.0, gt=1, description="rejected if the gain on seen over held-out text is higher"
    )
    max_epochs: float = Field(
        default=2.0, gt=0, description="refuse a candidate that an anneal would repeat more often"
    )
    max_overlap: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="refuse a candidate if more of its documents share 13 words in a row with the "
        "evaluation; fewer are left out",
    )
    evaluation_bytes: int = Field(
        default=60_000, ge=1, description="of each evaluation set, about so many bytes are used"
    )
    length: int | None = Field(default=None, ge=2, description="of a sample; by default the base's")
    batch: int | None = Field(
        default=None, ge=1, description="samples in a step; by default the base's"
    )
    lr: float | None = Field(
        default=None, gt=0, description="where the rate falls from; by default the base's"
    )
    precision: Literal["bf16", "fp32"] = Field(
        default="fp32", description="of products of matrices; bf16 on a GPU"
    )
    seed: int | None = Field(default=None, ge=0, description="from which the seeds are counted")
    threads: Annotated[int, Placement()] = Field(default=1, ge=1, description="of torch in a trial")
    gpus: Annotated[float, Placement()] = Field(
        default=0, ge=0, description="of a trial, on Ray; a fraction shares a device"
    )

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if not self.seeds or self.seeds[0] < 2 or sorted(set(self.seeds)) != list(self.seeds):
            raise ValueError(
                f"seeds are the looks, rising from 2 or more, such as [3, 5, 8], not "
                f"{list(self.seeds)}: one seed has no deviation"
            )
        if len(set(self.tables)) < len(self.tables) or not self.tables:
            raise ValueError("candidates: name at least one table, and each once")
        if self.default in self.tables:
            raise ValueError(f"{self.default} is both the default mix and a candidate")
        if self.against is not None and self.against in self.tables:
            raise ValueError(f"{self.against} is both a candidate and what it is compared with")
        if self.base is not None and self.base_tokens is not None:
            raise ValueError(
                "base_tokens belongs to a base that is trained here; drop it or `base`"
            )
        return self

    @property
    def tables(self) -> tuple[str, ...]:
        return (self.candidates,) if isinstance(self.candidates, str) else tuple(self.candidates)

    @property
    def rule(self) -> Rule:
        return Rule(
            minimum_effect=self.minimum_effect,
            alpha=self.alpha,
            looks=self.seeds,
            least_order=self.least_order,
            most_gain_ratio=self.most_gain_ratio,
        )

    @property
    def resources(self) -> Resources:
        return Resources(cpus=float(self.threads), gpus=self.gpus)

    def needs(self) -> tuple[str, ...]:
        return ("text",)

    def files(self) -> tuple[str, ...]:
        return tuple(self.evaluation.values())

    def problems(self) -> list[str]:
        found = []
        for name, path in self.evaluation.items():
            try:
                if storage.is_local(path) and not storage.find(path):
                    found.append(f"evaluation.{name}: no file at {path}")
            except DataError as error:
                found.append(f"evaluation.{name}: {error}")
        return found

    def make(self, inputs: Mapping[str, Rows], folder: str, run: Run) -> dict[str, Any]:
        from ultraclean.train import need_torch

        need_torch()
        if taken := RESERVED & set(self.tables):
            raise DataError(f"{self.called}: a candidate may not be called {', '.join(taken)} here")
        began = time.monotonic()
        tokenizer_path = file_of(storage.expand(self.tokenizer))
        tokenizer = load_tokenizer(tokenizer_path)
        base = given_base(self, tokenizer)
        wanted = self._wanted(base)
        prepared = prepare(wanted, inputs, tokenizer, tokenizer_path, folder, run)
        if base is None:
            base = self._trained_base(tokenizer, folder, run)

        job = Job(self, folder, base, tokenizer_path, run)
        looks = job.looks()
        shown = describe(base, folder)
        records = job.records(looks.n_seeds)
        card = cards.card(self, prepared, shown, looks, records)
        card["curves"] = curves(folder, base.checkpoint, base.tokens, records)
        card["seconds"] = round(time.monotonic() - began, 3)
        return card

    def _wanted(self, base: Base | None) -> Wanted:
        default_tokens = 15 * self.tokens
        return Wanted(
            default=self.default,
            candidates=self.tables,
            share=self.share,
            tokens=self.tokens,
            base_tokens=0 if base else self.base_tokens or default_tokens,
            base_below=base.below if base else 0.0,
            max_epochs=self.max_epochs,
            max_overlap=self.max_overlap,
            evaluation=self.evaluation,
            evaluation_bytes=self.evaluation_bytes,
            against=None if self.against == self.default else self.against,
        )

    def _trained_base(self, tokenizer: Any, folder: str, run: Run) -> Base:
        """A base from the default mix, trained once: the record says so."""
        from ultraclean.stages.verify.base import base_spec, trained_base

        record = storage.join(folder, "base.json")
        if not storage.exists(record):
            spec = base_spec(self, tokenizer, folder)
            list(run(train_base, [(spec, record, self.threads)]))
        return trained_base(folder)


@dataclasses.dataclass(frozen=True)
class Job:
    """Arms and seeds of one verification."""

    stage: Anneal
    folder: str
    base: Base
    tokenizer: str
    run: Run

    def looks(self) -> cards.Looks:
        """Adds seeds look by look until every candidate is decided, or a guard arm is accepted."""
        stage, rule = self.stage, self.stage.rule
        found: dict[str, Verdict] = {}
        guards: dict[str, Verdict] = {}
        open_tables = list(stage.tables)
        for n_seeds in stage.seeds:
            arms = ["control", "null", *open_tables, *(f"{t}.placebo" for t in open_tables)]
            self._try(arms, n_seeds)
            records = self.records(n_seeds)
            for arm in arms[1:]:
                if arm not in open_tables:  # alone, and so at the most generous alpha
                    measured = cards.measured(records, arm, n_seeds)
                    guards[arm] = verdict(rule, measured, rule.alpha_of_look)
            n_before = sum(one.outcome == "accepted" for one in found.values())
            differences = {t: cards.measured(records, t, n_seeds) for t in open_tables}
            judged = judge(rule, differences, len(stage.tables), n_before)
            found |= {t: in_doubt(one, guards[f"{t}.placebo"]) for t, one in judged.items()}
            open_tables = [t for t in open_tables if found[t].outcome == "undecided"]
            if not open_tables or any(one.outcome == "accepted" for one in guards.values()):
                break
        return cards.Looks(found, guards, n_seeds)

    def records(self, n_seeds: int) -> dict[tuple[str, int], dict[str, Any]]:
        """(arm, seed) -> the record of each finished trial of the first `n_seeds` seeds."""
        found = {}
        names = storage.names_in(storage.join(self.folder, "trials"))
        for name in names:
            if name.endswith(".json"):
                record = storage.read_json(storage.join(self.folder, "trials", name))
                if record["seed"] < n_seeds:
                    found[record["arm"], record["seed"]] = record
        return found

    def _try(self, arms: Sequence[str], n_seeds: int) -> None:
        finished = self.records(n_seeds)
        missing = [
            self._trial(arm, seed)
            for seed in range(n_seeds)
            for arm in arms
            if (arm, seed) not in finished
        ]
        if missing:
            list(self.run(run_trial, missing))

    def _trial(self, arm: str, seed: int) -> Trial:
        stage = self.stage
        guards = stage.tables if arm == "control" else (arm,) if arm in stage.tables else ()
        return Trial(
            arm=arm,
            seed=seed,
            spec=self._spec(arm, seed),
            texts=storage.join(self.folder, "texts.json"),
            guards=guards,
            tokenizer=self.tokenizer,
            record=storage.join(self.folder, "trials", f"{arm}.{seed:02d}.json"),
            threads=stage.threads,
        )

    def _spec(self, arm: str, seed: int) -> dict[str, Any]:
        """Source names and order are the same in all arms, so the shared part is sample for sample."""
        stage, base = self.stage, self.base
        tokens = storage.join(self.folder, "tokens")
        mix = {
            "default": {"path": storage.join(tokens, "default"), "weight": 1 - stage.share},
            "probe": {"path": storage.join(tokens, arm), "weight": stage.share},
        }
        anneal = {"name": "anneal", "tokens": stage.tokens, "mix": mix, "decay": "linear"}
        return {
            "model": base.model,
            "out": storage.join(self.folder, "trials", f"{arm}.{seed:02d}"),
            "stages": [anneal],
            "seed": (stage.seed or 0) + seed,
            "length": stage.length or base.length,
            "batch": stage.batch or base.batch,
            "lr": stage.lr or base.lr,
            "start": base.checkpoint,
            "start_optimizer": True,
            "precision": stage.precision,
        }
