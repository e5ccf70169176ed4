"""lm-evaluation-harness over our models: its tasks, prompts and metrics, from local task files.

The harness (github.com/EleutherAI/lm-evaluation-harness) asks a model for likelihoods of
continuations and for text; the definitions of `evaluate` are its own, so on the same items both say
the same. Nothing is downloaded: a task file names local data, as in

    task: arc_easy_local
    dataset_path: json
    dataset_kwargs: {data_files: {test: eval/arc_easy.jsonl.gz}}
    test_split: test
    output_type: multiple_choice
    doc_to_text: "{{query}}\\nAnswer:"
    doc_to_choice: choices
    doc_to_target: gold
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from typing import Any

from ultraclean.errors import DataError, MissingExtra
from ultraclean.train.chat import BEGIN, END
from ultraclean.train.evaluate import encode_pair, rolling, score
from ultraclean.train.inference import Engine, Writing
from ultraclean.train.model import MiniCPM4

EXTRA = 'pip install "ultraclean-data[lm-eval]"'


def need_harness() -> None:
    """Raises MissingExtra, with the command to type, if lm-eval is not installed."""
    if importlib.util.find_spec("lm_eval") is None:
        raise MissingExtra("train.harness", "lm_eval", EXTRA)


def harness(
    model: MiniCPM4,
    tokenizer: Any,
    tasks: Sequence[str],
    *,
    limit: int | None = None,
    samples: bool = False,
    **how: Any,
) -> dict[str, Any]:
    """Task -> metrics, of task files (YAML); with `samples`, what was answered to each item too.

    `how` is passed to `evaluate.score`; `limit` takes the first items of each task only.
    """
    need_harness()
    if missing := [path for path in tasks if not os.path.isfile(path)]:
        raise DataError(f"there is no task file {', '.join(missing)}")
    os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from lm_eval.evaluator import simple_evaluate

    found = simple_evaluate(
        model=_wrapped(model, tokenizer, how),
        tasks=list(tasks),
        limit=limit,
        bootstrap_iters=0,
        log_samples=samples,
        verbosity="ERROR",
    )
    measured = {
        task: {
            key.partition(",")[0]: value for key, value in metrics.items() if _is_metric(key, value)
        }
        for task, metrics in found["results"].items()
    }
    return {"results": measured, "samples": found["samples"]} if samples else measured


def _is_metric(key: str, value: object) -> bool:
    return isinstance(value, int | float) and "stderr" not in key


def _wrapped(model: MiniCPM4, tokenizer: Any, how: dict[str, Any]) -> Any:
    from lm_eval.api.model import LM

    class Ours(LM):  # type: ignore[misc]
        """Answers the harness's requests."""

        def loglikelihood(self, requests: list[Any], **_: Any) -> list[tuple[float, bool]]:
            pairs = [encode_pair(tokenizer, *request.args) for request in requests]
            return [(one.nats, one.greedy) for one in score(model, pairs, **how)]

        def loglikelihood_rolling(self, requests: list[Any], **_: Any) -> list[float]:
            seen, begin = model.config.max_position_embeddings, tokenizer.token_to_id(BEGIN)
            totals = []
            for request in requests:
                ids = tokenizer.encode(request.args[0], add_special_tokens=False).ids
                totals.append(
                    sum(one.nats for one in score(model, rolling(ids, seen, begin), **how))
                )
            return totals

        def generate_until(self, requests: list[Any], **_: Any) -> list[str]:
            return [_until(model, tokenizer, *request.args) for request in requests]

    return Ours()


def _until(model: MiniCPM4, tokenizer: Any, prompt: str, wanted: dict[str, Any]) -> str:
    """Text after a prompt, up to one of the strings that end it."""
    begin = tokenizer.token_to_id(BEGIN)
    ids = [] if begin is None else [begin]
    ids += tokenizer.encode(prompt, add_special_tokens=False).ids
    n_new = int(wanted.get("max_gen_toks", 256))
    room = model.config.max_position_embeddings - n_new
    ends = [tokenizer.token_to_id(mark) for mark in ("</s>", END)]
    request = Writing(
        ids[-room:],
        max_tokens=n_new,
        temperature=float(wanted.get("temperature", 0.0)) if wanted.get("do_sample") else 0.0,
        stop=[one for one in ends if one is not None],
    )
    (written,) = Engine(model, places=1, room=request.longest).write([request])
    text = str(tokenizer.decode(written, skip_special_tokens=True))
    stops = wanted.get("until") or []
    for stop in [stops] if isinstance(stops, str) else stops:
        text = text.split(stop, 1)[0]
    return text
