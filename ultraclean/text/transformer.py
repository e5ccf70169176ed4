"""A sequence classifier of transformers as a function from texts to the outputs of its labels.

Each text is cut into windows of `max_tokens` tokens, special ones included. Windows of like length are
run together, as many as `batch_tokens` padded tokens allow, and padding is masked, so that what a text
is given does not depend on its neighbours (within 1e-5 in float32).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from ultraclean.text.checkpoint import Config, ProblemType, config_of, weight_files

Device = Literal["auto", "cpu", "cuda"]
Windows = Literal["first", "mean", "max"]
_CHARS_PER_TOKEN: Final = 8  # first guess; a text that has fewer tokens is read further
_MARGIN: Final = 64  # tokens past the last that counts: where a text is cut, its tokens may differ


@dataclass(frozen=True)
class Reading:
    """How much of a text is read, and in what batches."""

    max_tokens: int
    windows: Windows
    max_windows: int
    batch_tokens: int


@dataclass(frozen=True)
class Classifier:
    """A loaded model. `labels` are in the order of its outputs."""

    labels: tuple[str, ...]
    problem_type: ProblemType
    reading: Reading
    _tokenizer: Any
    _model: Any

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32[n_texts, n_labels]; NaN for a text without any token."""
        windows, owner, counts = self._windows(texts)
        values = np.full((len(windows), len(self.labels)), np.nan, dtype=np.float32)
        for rows in self._batches([len(window) for window in windows]):
            values[rows] = self._run([windows[row] for row in rows])
        if np.isnan(values).any():
            raise ValueError("the model's output is no number (NaN): another dtype may help")
        out = np.full((len(texts), len(self.labels)), np.nan, dtype=np.float32)
        if self.reading.windows == "max":
            out[np.unique(owner)] = -np.inf
            np.maximum.at(out, owner, values)
        else:
            total = np.zeros(out.shape)
            np.add.at(total, owner, values * counts[:, None])
            n_tokens = np.bincount(owner, counts, len(texts))
            has = n_tokens > 0
            out[has] = total[has] / n_tokens[has, None]
        return out

    def _windows(
        self, texts: Sequence[str]
    ) -> tuple[list[list[int]], NDArray[np.int64], NDArray[np.int64]]:
        """(token ids of each window, its text, how many of its tokens are the text's own)."""
        special = self._tokenizer.num_special_tokens_to_add(pair=False)
        windows, owner, counts = [], [], []
        for row, text in enumerate(texts):
            for window in self._of(text, special):
                if len(window) > special:
                    windows.append(window)
                    owner.append(row)
                    counts.append(len(window) - special)
        return windows, np.array(owner, dtype=np.int64), np.array(counts, dtype=np.int64)

    def _of(self, text: str, special: int) -> list[list[int]]:
        """The first windows of a text, without reading a long one to its end."""
        n_windows = 1 if self.reading.windows == "first" else self.reading.max_windows
        most = (self.reading.max_tokens - special) * n_windows + _MARGIN
        n_chars = _CHARS_PER_TOKEN * most
        while True:
            found: list[list[int]] = self._tokenizer(
                text[:n_chars],
                truncation=True,
                max_length=self.reading.max_tokens,
                return_overflowing_tokens=True,
            )["input_ids"]
            if n_chars >= len(text) or sum(len(ids) - special for ids in found) >= most:
                return found[:n_windows]
            n_chars *= 4

    def _batches(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """Rows that are run together: of like length, `batch_tokens` with their padding."""
        batch: list[int] = []
        for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
            full = batch and (len(batch) + 1) * lengths[batch[0]] > self.reading.batch_tokens
            # without a padding token only equal lengths can be run together, and
            # models that look for the last token take one row at a time
            if full or (batch and self._tokenizer.pad_token_id is None):
                yield batch
                batch = []
            batch.append(row)
        if batch:
            yield batch

    def _run(self, windows: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        import torch

        longest = max(map(len, windows))
        ids = np.full((len(windows), longest), self._tokenizer.pad_token_id or 0, dtype=np.int64)
        mask = np.zeros((len(windows), longest), dtype=np.int64)
        for row, window in enumerate(windows):
            ids[row, : len(window)] = window
            mask[row, : len(window)] = 1
        with torch.inference_mode():
            logits = self._model(
                input_ids=torch.from_numpy(ids).to(self._model.device),
                attention_mask=torch.from_numpy(mask).to(self._model.device),
            ).logits.float()
            if self.problem_type == "single_label_classification":
                logits = logits.softmax(dim=-1)
            elif self.problem_type == "multi_label_classification":
                logits = logits.sigmoid()
            values: NDArray[np.float32] = logits.cpu().numpy()
        return values


def load(
    folder: Path,
    encoder: Path | None,
    reading: Reading,
    problem_type: ProblemType | None,
    device: Device,
    dtype: Literal["auto", "float32", "bfloat16"],
) -> Classifier:
    """The classifier of a folder; ValueError where it is none. `auto` is bfloat16 on a GPU only.

    `encoder` is the folder of the encoder's config, for classifiers of NeMo Curator.
    """
    import torch
    from transformers import AutoTokenizer
    from transformers.utils import logging

    config = config_of(folder)
    place = place_of(device, torch.cuda.is_available)
    number = torch.float32
    if dtype == "bfloat16" or (dtype == "auto" and place == "cuda"):
        number = torch.bfloat16
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = (
            _of_transformers(folder, number)
            if encoder is None
            else _of_curator(folder, encoder, len(config.labels), number)
        )
    except Exception as error:  # the package raises whatever its parts do
        raise ValueError(f"transformers cannot load it: {' '.join(str(error).split())}") from error
    if not tokenizer.is_fast:
        raise ValueError("its tokenizer has no fast form (tokenizer.json), which windows need")
    tokenizer.truncation_side = "right"
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id
    model = model.to(place).eval()
    return Classifier(config.labels, kind_of(config, problem_type), reading, tokenizer, model)


def _of_transformers(folder: Path, number: Any) -> Any:
    from transformers import AutoModelForSequenceClassification

    model, told = AutoModelForSequenceClassification.from_pretrained(
        folder, local_files_only=True, use_safetensors=True, dtype=number, output_loading_info=True
    )
    missing = sorted(told["missing_keys"])
    if missing:
        raise ValueError(
            f"the weights {', '.join(missing[:4])} are missing, so they would be random"
        )
    return model


def _of_curator(folder: Path, encoder: Path, n_labels: int, number: Any) -> Any:
    """An encoder and a linear head on its first token, as NeMo Curator's classifiers save them."""
    import torch
    from safetensors.torch import load_file
    from transformers import AutoConfig, AutoModel

    class Headed(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.config = AutoConfig.from_pretrained(encoder, local_files_only=True)
            self.model = AutoModel.from_config(self.config)  # type: ignore[no-untyped-call]
            self.fc = torch.nn.Linear(self.config.hidden_size, n_labels)

        @property
        def device(self) -> Any:
            return self.fc.weight.device

        def forward(self, **given: Any) -> Any:
            first = self.model(**given).last_hidden_state[:, 0, :]
            return SimpleNamespace(logits=self.fc(first))

    model = Headed()
    weights: dict[str, Any] = {}
    for name in weight_files(folder):
        weights |= load_file(folder / name)
    model.load_state_dict(weights)
    return model.to(number)


def place_of(device: Device, has_gpu: Callable[[], bool]) -> str:
    if device == "cuda" and not has_gpu():
        raise ValueError("device: cuda was asked for, and torch finds no GPU here")
    return "cuda" if device != "cpu" and has_gpu() else "cpu"


def kind_of(config: Config, asked: ProblemType | None) -> ProblemType:
    """What the outputs mean; ValueError where neither the config nor the user says it."""
    kind = asked or config.problem_type
    if kind is None and len(config.labels) == 1:
        raise ValueError(
            "config.json says no problem_type, and one output may be a grade or a logit: set "
            "problem_type to regression or multi_label_classification"
        )
    return kind or "single_label_classification"
