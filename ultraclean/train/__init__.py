"""The minimal MiniCPM4: a model, its training, its evaluation and its exports, to be read top to bottom.

    config    what a model is: widths, muP scales, presets        spec      what a training run is
    model     the network          attention  dense and sparse    ternary   BitCPM weights
    shards    tokens on disk       data       which sample when   chat      dialogues to tokens
    optim     AdamW under muP      schedule   warm-up, stable, decay
    loop      `train(spec)`        parallel   one device, DDP, FSDP2
    checkpoint  stop and go on     convert    granite, minicpm, llama, both ways
    inference  many requests over caches of fixed size
    evaluate  bits per byte, choices, cloze   generate  text   needle  one sentence in a long text

The names below load torch when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

from ultraclean.errors import MissingExtra
from ultraclean.train.config import ModelConfig
from ultraclean.train.spec import Mix, Stage, TrainSpec

if TYPE_CHECKING:
    from ultraclean.train.convert import export_model, import_model
    from ultraclean.train.generate import generate_text
    from ultraclean.train.loop import train

_LAZY = {
    "train": "loop",
    "generate_text": "generate",
    "export_model": "convert",
    "import_model": "convert",
}

__all__ = [
    "Mix",
    "ModelConfig",
    "Stage",
    "TrainSpec",
    "export_model",
    "generate_text",
    "import_model",
    "need_torch",
    "train",
]


def need_torch() -> None:
    """Raises MissingExtra, with the command to type, if torch or safetensors is not installed."""
    for module in ("torch", "safetensors"):
        if importlib.util.find_spec(module) is None:
            raise MissingExtra("train", module, 'pip install "ultraclean-data[train]"')


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    need_torch()
    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
