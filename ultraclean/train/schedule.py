"""Warm-up, stable, decay: the learning rate of each step, stage by stage.

WSD of MiniCPM (2404.06395, section 4): a rise, a long plateau, a short fall at the end. A run is a
list of stages, each with its own mix of data; so the fall is simply a stage with `decay`, and a
second warm-up (which BitCPM needs, report section on BitCPM4) is a stage with `warmup_steps`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from ultraclean.train.spec import Stage

_SHAPES: dict[str, Callable[[float, float], float]] = {
    # progress in (0, 1], final fraction -> fraction of the peak
    "linear": lambda progress, final: 1 + (final - 1) * progress,
    "cosine": lambda progress, final: final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2,
    "exponential": lambda progress, final: final**progress,
}


def steps_of(stage: Stage, tokens_per_step: int) -> int:
    """Steps in a stage: its tokens, rounded up to whole steps."""
    return math.ceil(stage.tokens / tokens_per_step)


def stage_at(stages: Sequence[Stage], tokens_per_step: int, step: int) -> tuple[int, int]:
    """The index of the stage to which a step (from 0) belongs, and the step within it."""
    for index, stage in enumerate(stages):
        n_steps = steps_of(stage, tokens_per_step)
        if step < n_steps:
            return index, step
        step -= n_steps
    raise ValueError("the step lies beyond the last stage")


def multiplier(stage: Stage, n_steps: int, step: int) -> float:
    """The fraction of the run's learning rate at one step (from 0) of a stage."""
    if step < stage.warmup_steps:
        return stage.peak * (step + 1) / stage.warmup_steps
    if stage.decay is None:
        return stage.peak
    progress = (step + 1 - stage.warmup_steps) / (n_steps - stage.warmup_steps)
    return stage.peak * _SHAPES[stage.decay](progress, stage.final)
