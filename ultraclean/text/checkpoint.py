"""What is in the folder of a sequence classifier in transformers' layout, and what is wrong with it.

Everything here reads JSON and the heads of safetensors files: no model is loaded, nothing is imported
that takes longer than that, so a pipeline can be checked where torch is not installed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args

ProblemType = Literal["regression", "single_label_classification", "multi_label_classification"]

TOKENIZERS: Final = (
    *("tokenizer.json", "vocab.txt", "vocab.json", "tokenizer.model"),
    *("spiece.model", "sentencepiece.bpe.model"),
)
WEIGHTS: Final = "model.safetensors"
INDEX: Final = "model.safetensors.index.json"


@dataclass(frozen=True)
class Config:
    """What a config.json says of a classifier's outputs."""

    labels: tuple[str, ...]
    problem_type: ProblemType | None
    max_positions: int | None
    encoder: str | None = None
    """Of NeMo Curator's classifiers: the model whose encoder lies under their own head."""


def config_of(folder: Path) -> Config:
    """The config of a classifier's folder; ValueError says why it has none."""
    if not folder.is_dir():
        raise ValueError("there is no such folder")
    content = _json(folder / "config.json")
    if isinstance(content.get("base_model"), str) and content.get("id2label"):
        return Config(_labels(content), "single_label_classification", None, content["base_model"])
    architectures = content.get("architectures") or []
    if not any(str(name).endswith("ForSequenceClassification") for name in architectures):
        said = ", ".join(map(str, architectures)) or "none"
        raise ValueError(
            f"config.json names no model for sequence classification (architectures: {said}), so "
            "there is no head to score with"
        )
    if "AutoModelForSequenceClassification" in (content.get("auto_map") or {}):
        raise ValueError("the model is code of its own (auto_map), which is not run here")
    kind = content.get("problem_type")
    if kind is not None and kind not in get_args(ProblemType):
        raise ValueError(f"problem_type {kind!r} is none of {', '.join(get_args(ProblemType))}")
    return Config(_labels(content), kind, _max_positions(content))


def _labels(content: Mapping[str, Any]) -> tuple[str, ...]:
    named = content.get("id2label")
    if named:
        return tuple(str(named[key]) for key in sorted(named, key=int))
    return tuple(f"LABEL_{index}" for index in range(int(content.get("num_labels", 2))))


def _max_positions(content: Mapping[str, Any]) -> int | None:
    """RoBERTa and its kin number positions from after the padding's id."""
    found = content.get("max_position_embeddings")
    if not isinstance(found, int) or found < 1:
        return None
    offset = 2 if content.get("model_type") in {"roberta", "xlm-roberta", "camembert"} else 0
    return found - offset


def problem_of(folder: Path) -> str | None:
    """What keeps a local folder from being loaded, as far as its files' heads say."""
    try:
        config = config_of(folder)
        if not any((folder / name).is_file() for name in TOKENIZERS):
            raise ValueError(f"there is no tokenizer (one of {', '.join(TOKENIZERS)})")
        if (folder / "tokenizer.json").is_file():
            _json(folder / "tokenizer.json")
        shapes = shapes_of(folder)
        n_labels = len(config.labels)
        if not any(len(shape) == 2 and shape[0] == n_labels for shape in shapes.values()):
            raise ValueError(
                f"no weight has {n_labels} outputs, one per label, so the classifier's head is missing"
            )
    except (OSError, ValueError) as error:
        return f"{folder}: {error}"
    return None


def shapes_of(folder: Path) -> dict[str, list[int]]:
    """Name -> shape of every weight; ValueError where a file is missing or cut off."""
    names = weight_files(folder)
    if not any((folder / name).is_file() for name in (INDEX, WEIGHTS)) and any(
        folder.glob("pytorch_model*.bin")
    ):
        raise ValueError(
            "its weights are pickled (pytorch_model.bin), which are not read: load it with "
            "transformers where you trust it, and save_pretrained it as safetensors"
        )
    shapes: dict[str, list[int]] = {}
    for name in names:
        shapes |= _head(folder / name)
    return shapes


def weight_files(folder: Path) -> list[str]:
    """The names of the files of weights that a folder should have."""
    if (folder / INDEX).is_file():
        return sorted(set(_json(folder / INDEX).get("weight_map", {}).values()))
    return [WEIGHTS]


def _head(path: Path) -> dict[str, list[int]]:
    """The shapes that the head of a safetensors file promises, if the file is as long as it says."""
    if not path.is_file():
        raise ValueError(f"there is no {path.name}")
    size = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > size - 8:
            raise ValueError(f"{path.name} is truncated, or no safetensors file: {size:,} bytes")
        try:
            head = json.loads(stream.read(length))
            entries = {name: entry for name, entry in head.items() if name != "__metadata__"}
            shapes = {name: list(entry["shape"]) for name, entry in entries.items()}
            end = max((entry["data_offsets"][1] for entry in entries.values()), default=0)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ValueError(f"{path.name} is no safetensors file") from None
    if size != 8 + length + end:
        message = f"{path.name} is truncated: it has {size:,} bytes of {8 + length + end:,}"
        raise ValueError(message)
    return shapes


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise ValueError(f"there is no {path.name}") from None
    except ValueError as error:
        raise ValueError(f"{path.name} is no JSON: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path.name} is no JSON object")
    return content
