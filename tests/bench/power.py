"""How often is a verdict of verify.anneal right? Candidates of known value, many jobs, several bases.

    python tests/bench/power.py FOLDER --minutes 60     (goes on where it stopped)
    python tests/bench/power.py FOLDER --report         (the tables of docs/verification.md)

A job is what a user runs: a control, a null arm and candidates, paired seed by seed, by the code of
the stage. No two jobs share an arm: each draws its own parts of the default mix for the shared
text, the control and the null arm, and its own seeds; so jobs of one base are independent given
that base, the candidates and the evaluation texts. Each trial leaves a record.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ultraclean.document import KEY, Batch, keys_of
from ultraclean.stage import Rows
from ultraclean.stages.fit.tokenizer import Tokenizer
from ultraclean.stages.verify import card, texts
from ultraclean.stages.verify.anneal import Anneal
from ultraclean.stages.verify.base import base_spec
from ultraclean.stages.verify.prepare import SPARE, Wanted, prepare
from ultraclean.stages.verify.trial import Trial, load_tokenizer, run_trial, train_base
from ultraclean.train import shards
from ultraclean.train.verdict import Measured, Rule, Verdict, clopper_pearson, verdict

DATA = Path(__file__).parents[3] / "shared" / "data"
VOCABULARY = 2048
SHARE = 0.3
SEEDS = 3
EVALUATION_BYTES = 6_000
CANDIDATES = ("clean", "mild", "boilerplate", "repeated", "domain")
SHUFFLED = "clean.placebo"
ARMS = ("clean", "mild", SHUFFLED, "boilerplate", "repeated", "domain")
BASES = {"a": (600_000, 1), "b": (600_000, 2), "c": (600_000, 3), "young": (60_000, 1)}
"""Name -> tokens and seed. `young` has not yet learned the order of words."""


@dataclass(frozen=True)
class Job:
    """One job."""

    base: str
    tokens: int
    job: int
    arms: tuple[str, ...]


def jobs(first: int) -> Iterator[Job]:
    """The plan, in turns so that a bench that ends early has some of everything.

    A second process may begin at another turn: no two jobs share a trial.
    """
    for turn in range(first, 200):
        for base in ("a", "b", "c"):
            yield Job(base, 20_000, turn, ("null", *ARMS) if turn < 2 else ("null",))
        if turn < 3:
            yield Job("young", 20_000, turn, ("null", "clean", SHUFFLED))
        if turn in (3, 10):
            yield Job("ab"[turn == 10], 60_000, turn, ("null", *ARMS))


# --- real text -----------------------------------------------------------------------------------


class Texts(Rows):
    """A list of texts as a table."""

    def __init__(self, name: str, found: Sequence[str]) -> None:
        self.name, self.n_docs, self.digest = name, len(found), name
        self.rows = pa.record_batch(
            {"text": list(found), KEY: keys_of(name, "list", np.arange(len(found)))}
        )

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[Batch]:
        names = list(columns) if columns else self.rows.schema.names
        for start in range(0, self.n_docs, 256):
            yield Batch(self.rows.select(names).slice(start, 256))


def lines(name: str) -> list[str]:
    with gzip.open(DATA / f"{name}.jsonl.gz", "rt", encoding="utf-8") as stream:
        rows = [json.loads(line) for line in stream]
    return [row.get("text") or f"{row['context']} {row['continuation']}" for row in rows]


def noised(text: str, chance: random.Random) -> str:
    """A third as it is; else menus, typos, capitals, or cut short: an uncleaned mix."""
    if chance.random() < 0.35:
        return text
    kind = chance.randrange(4)
    if kind == 0:
        return f"Home | News | Log in | Contact\n{text}\nShare Tweet Print"
    if kind == 1:
        letters = "abcdefghijklmnopqrstuvwxyz"
        return "".join(c if chance.random() > 0.02 else chance.choice(letters) for c in text)
    return text.upper().replace(" ", "  ") if kind == 2 else text[: len(text) * 2 // 3]


def boilerplate(chance: random.Random) -> str:
    items = ["Home", "Cart", "Log in", "Terms", "Privacy", "Help", "Share", "Next page", "Sign up"]
    rows = [" | ".join(chance.sample(items, 5)) for _ in range(chance.randrange(10, 30))]
    return "\n".join([*rows, f"Copyright {chance.randrange(1999, 2026)} All rights reserved."])


def tables_and_evaluation(folder: Path) -> tuple[dict[str, Texts], dict[str, str]]:
    chance = random.Random(0)
    mix: list[str] = []
    mild: list[str] = []
    for name, n_clean in (("imdb", 500), ("reuters", 300), ("bbc", 70)):
        found = lines(f"text/{name}")
        chance.shuffle(found)
        mild += found[:n_clean]
        mix += [noised(text, chance) for text in found[n_clean:]]
    chance.shuffle(mix)
    books = lines("text/openstax")
    chance.shuffle(books)
    short = sorted(books, key=len)
    repeated = [text for text in short if len(text) > 3000][:6]
    clean = [text for text in books if text not in repeated][:250]
    evaluation, domain = {}, []
    held = {
        "onestop": lines("labels/onestop"),
        "web": lines("sft/c4_demo"),
        "lambada": lines("eval/lambada"),
    }
    for name, found in held.items():
        # Articles of onestop come in three levels: a cut through the sorted list keeps them together.
        cut = len(found) // 3
        path = folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in found[:cut]))
        evaluation[name] = str(path)
        domain += found[cut:]
    made = {
        "mix": mix,
        "clean": clean,
        "mild": mild,
        "boilerplate": [boilerplate(chance) for _ in range(600)],
        "repeated": repeated,
        "domain": domain,
    }
    return {name: Texts(name, found) for name, found in made.items()}, evaluation


# --- bases and jobs --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bench:
    folder: Path
    tokenizer: str
    stage: Anneal
    shares: dict[str, float]
    """Candidate -> which part of its documents 16 anneals take; `mix`: tokens that are left."""

    def base(self, name: str) -> tuple[dict[str, Any], str]:
        tokens, seed = BASES[name]
        home = self.folder / "bases" / name
        record = home / "base.json"
        stage = self.stage.model_copy(update={"base_tokens": float(tokens), "seed": seed})
        spec = base_spec(stage, load_tokenizer(self.tokenizer), str(self.folder))
        spec["out"] = str(home / "base")
        if not record.exists():
            train_base((spec, str(record), 1))
        done = json.loads(record.read_text())
        return spec, str(home / "base" / done["checkpoint"])

    def run(self, job: Job, arm: str, seed: int) -> None:
        name = f"{job.base}.{job.tokens}.{arm}.{job.job:03d}.{seed}"
        record = self.folder / "trials" / f"{name}.json"
        if record.exists():
            return
        spec, checkpoint = self.base(job.base)
        parts = self._parts(job)
        rest = str(self.folder / "rest")
        if arm in ("control", "null"):
            probe = {"path": rest, "part": parts[arm]}
        else:
            probe = {"path": str(self.folder / "tokens" / arm)}
        mix = {
            "default": {"path": rest, "part": parts["default"], "weight": 1 - SHARE},
            "probe": {**probe, "weight": SHARE},
        }
        anneal = {"name": "anneal", "tokens": job.tokens, "mix": mix, "decay": "linear"}
        out = self.folder / "runs" / name
        spec = {
            **spec,
            "out": str(out),
            "stages": [anneal],
            "seed": 1000 * (job.job + 1) + seed,
            "start": checkpoint,
            "start_optimizer": True,
        }
        measured_on = job.arms if arm == "control" else (arm,)
        guards = tuple(one for one in measured_on if one in CANDIDATES)
        texts_path = str(self.folder / "texts.json")
        run_trial(Trial(arm, seed, spec, texts_path, guards, self.tokenizer, str(record), 1))

    def _parts(self, job: Job) -> dict[str, list[float]]:
        """Three stretches of the rest of the mix, drawn for this job, that share no document."""
        chance = random.Random(f"{job.base} {job.tokens} {job.job}")
        need = {"default": 1 - SHARE, "control": SHARE, "null": SHARE}
        width = {k: SPARE * v * job.tokens / self.shares["mix"] for k, v in need.items()}
        shrink = min(1.0, 0.95 / sum(width.values()))
        order = chance.sample(list(width), 3)
        gaps = sorted(chance.random() for _ in order)
        free = 1 - shrink * sum(width.values())
        parts, at = {}, 0.0
        for name, gap in zip(order, gaps, strict=True):
            start = gap * free + at
            at += shrink * width[name]
            parts[name] = [start, min(1.0, start + shrink * width[name])]
        return parts


def bench(folder: Path) -> Bench:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "trials").mkdir(exist_ok=True)
    tables, evaluation = tables_and_evaluation(folder)
    home = folder / "tokenizer"
    if not (home / "tokenizer.json").exists():
        Tokenizer(tables="mix", vocab_size=VOCABULARY, held_out=0).make(
            {"mix": tables["mix"]}, str(home), map
        )
    tokenizer = load_tokenizer(str(home / "tokenizer.json"))
    stage = Anneal(
        candidates=CANDIDATES,
        default="mix",
        tokenizer=str(home),
        evaluation=evaluation,
        base_tokens=600_000,
        tokens=20_000,
        seeds=(3,),
        evaluation_bytes=EVALUATION_BYTES,
    )
    wanted = Wanted(
        default="mix",
        candidates=CANDIDATES,
        share=SHARE,
        tokens=60_000,
        base_tokens=600_000,
        base_below=0.0,
        max_epochs=1e9,  # what is refused is run here, to see the guard that comes after
        max_overlap=1.0,  # documents that overlap are left out
        evaluation=evaluation,
        evaluation_bytes=EVALUATION_BYTES,
    )
    prepared = prepare(
        wanted, dict(tables), tokenizer, str(home / "tokenizer.json"), str(folder), map
    )
    below = prepared["base_below"]
    rest = folder / "rest"
    if not (rest / shards.MANIFEST).exists():
        overlap = texts.Overlap(texts.evaluation_texts(evaluation, EVALUATION_BYTES))
        met = {where for batch in tables["mix"].batches() for where in overlap.places(batch)}
        left_over = (
            text
            for text in texts.documents(tables["mix"])
            if below <= texts.place(text) < 0.98 and texts.place(text) not in met
        )
        shards.write_texts(str(rest), left_over, tokenizer)
    left = shards.open_folder(str(rest)).manifest["n_tokens"]
    return Bench(folder, str(home / "tokenizer.json"), stage, {"mix": float(left)})


def run(folder: Path, minutes: float, first: int) -> None:
    import torch

    torch.set_num_threads(1)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    end = time.monotonic() + 60 * minutes
    made = bench(folder)
    for job in jobs(first):
        for seed in range(SEEDS):
            for arm in ("control", *job.arms):
                made.run(job, arm, seed)
                if time.monotonic() > end:
                    return


# --- what came out -----------------------------------------------------------------------------------


Records = dict[tuple[str, int, int], dict[tuple[str, int], dict[str, Any]]]


def read(folder: Path) -> Records:
    """(base, tokens, job) -> (arm, seed) -> record."""
    found: Records = {}
    for path in sorted((folder / "trials").glob("*.json")):
        base, tokens, rest = path.stem.split(".", 2)
        arm, job, seed = rest.rsplit(".", 2)
        found.setdefault((base, int(tokens), int(job)), {})[arm, int(seed)] = json.loads(
            path.read_text()
        )
    return found


def measured(
    records: dict[tuple[str, int], dict[str, Any]], arm: str, n_seeds: int
) -> Measured | None:
    """As the stage measures; None where a trial is missing."""
    if any((name, seed) not in records for name in ("control", arm) for seed in range(n_seeds)):
        return None
    return card.measured(records, arm, n_seeds)


def verdicts(
    found: Records, base: str, tokens: int, arm: str, n_seeds: int, rule: Rule
) -> list[Verdict]:
    given = [measured(r, arm, n_seeds) for key, r in found.items() if key[:2] == (base, tokens)]
    return [verdict(rule, one, rule.alpha_of_look) for one in given if one is not None]


def report(folder: Path) -> str:
    found = read(folder)
    out = [
        "| base | tokens | seeds | arm | jobs | accepted | rejected | undecided | gain | s per job |",
        "|" + "---|" * 10,
    ]
    for base, tokens in sorted({key[:2] for key in found}):
        for n_seeds in (SEEDS,):
            rule = Rule(looks=(n_seeds,))
            for arm in ("null", *ARMS):
                said = verdicts(found, base, tokens, arm, n_seeds, rule)
                if not said:
                    continue
                counts = [
                    sum(one.outcome == o for one in said)
                    for o in ("accepted", "rejected", "undecided")
                ]
                gain = np.mean([one.mean for one in said])
                seconds = [
                    record["seconds"]
                    for key, records in found.items()
                    if key[:2] == (base, tokens)
                    for (name, _), record in records.items()
                    if name in ("control", arm)
                ]
                cost = 2 * n_seeds * float(np.mean(seconds))
                cells = [
                    base,
                    f"{tokens:,}",
                    n_seeds,
                    arm,
                    len(said),
                    *counts,
                    f"{gain:+.4f}",
                    f"{cost:.0f}",
                ]
                out.append(f"| {' | '.join(map(str, cells))} |")
    out += ["", *nulls(found)]
    return "\n".join(out)


def nulls(found: Records) -> Iterator[str]:
    """The null arm accepted: under the rule, and without the minimum effect.

    Control and null arm are drawn alike, so each job is a trial in either direction, and at most one
    of the two can be accepted. The jobs are what is independent: the exact interval is that of jobs
    with an acceptance in either direction, halved.
    """
    for effect in (Rule.minimum_effect, 0.0):
        rule = Rule(looks=(SEEDS,), minimum_effect=effect)
        given = [measured(records, "null", SEEDS) for records in found.values()]
        jobs = [one for one in given if one is not None]
        n = sum(
            verdict(rule, side, rule.alpha_of_look).outcome == "accepted"
            for one in jobs
            for side in (one, mirrored(one))
        )
        low, high = clopper_pearson(n, len(jobs))
        yield (
            f"null accepted in {n} of {2 * len(jobs)} trials ({len(jobs)} jobs of {SEEDS} seeds, either "
            f"direction) at a minimum effect of {effect:g} (alpha 0.05): {n / 2 / len(jobs):.4f}, exact "
            f"95 % interval {low / 2:.4f} to {high / 2:.4f}"
        )


def mirrored(one: Measured) -> Measured:
    """The control judged against the null arm."""
    return Measured(tuple(-x for x in one.primary), tuple(-x for x in one.order))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--first", type=int, default=0, help="turn to begin with")
    parser.add_argument("--report", action="store_true")
    given = parser.parse_args()
    if not given.report:
        run(given.folder, given.minutes, given.first)
    print(report(given.folder))


if __name__ == "__main__":
    main()
